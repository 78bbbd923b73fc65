"""What pictures show, through the audit itself: measured once, known again, judged anew, by models that tests make."""

import io
import os
import random

import numpy as np
import pytest
from PIL import Image

from portraitist.audit import content, coverage, figure, variety
from portraitist.audit.framing import measured_in
from portraitist.audit.variety import nearness
from portraitist.dataset import masks
from portraitist.errors import PortraitistError
from portraitist.mini.characters import album, told, unseen
from portraitist.mini.drawing import draw
from portraitist.pictures import Opened, Picture, open_upright
from portraitist.recipe import load
from portraitist.sight import embed, eyes
from portraitist.verbs.audit import audit
from portraitist.verbs.new import new
from tests.pictures import png_header, saved, scenery
from tests.sight import colours, portrait, yunet


@pytest.fixture
def project(tmp_path):
    made = new(tmp_path / "maya", name="Maya", trigger="zorblax", subject="fictional", preset="mini")
    for i in range(3):
        saved(made.pictures / f"{i}.png", scenery(i, 64, 64))
        (made.pictures / f"{i}.txt").write_text(f"zorblax, scene {i}")
    return made


def read(project, *changes):
    return load(project.recipe, changes)


@pytest.fixture
def opened(monkeypatch):
    """The names of pictures that were decoded, as they are."""
    names: list[str] = []
    decode = masks.open_masked
    monkeypatch.setattr(masks, "open_masked", lambda path, data: (names.append(path.name), decode(path, data))[1])
    return names


def test_what_was_measured_is_not_decoded_again_also_when_moved_or_copied_back(project, opened):
    audit(project, read(project))
    assert sorted(opened) == ["0.png", "1.png", "2.png"]
    opened.clear()
    (project.pictures / "0.png").rename(project.pictures / "renamed.png")
    (project.pictures / "face").mkdir()
    data = (project.pictures / "1.png").read_bytes()
    (project.pictures / "1.png").unlink()
    (project.pictures / "face" / "1.png").write_bytes(data)
    os.utime(project.pictures / "2.png", (1, 1))
    before = {p.digest: p for p in project.read_manifest()}
    audit(project, read(project))
    assert opened == []
    after = project.read_manifest()
    assert sorted(p.name for p in after) == ["2.png", "face/1.png", "renamed.png"]
    assert {p.set for p in after} == {"", "face"}
    for picture in after:
        old, own = before[picture.digest].measures, dict(picture.measures)
        assert {**own, "stamp": 0} == {**old, "stamp": 0}
    saved(project.pictures / "2.png", scenery(9, 64, 64))
    audit(project, read(project))
    assert opened == ["2.png"]


def test_thresholds_are_judged_anew_from_the_same_numbers(project, opened):
    few = [f.check for f in audit(project, read(project)).findings]
    opened.clear()
    none = audit(project, read(project, "audit.thresholds.few=2", "audit.thresholds.fewest=1")).findings
    assert "number" in few
    assert "number" not in [f.check for f in none]
    assert opened == []


def test_another_model_looks_again_and_the_same_one_does_not(project, opened, tmp_path):
    yunet(project.folder / "faces.onnx")
    with_model = ("sight.faces=faces.onnx",)
    audit(project, read(project))
    opened.clear()
    audit(project, read(project, *with_model))
    assert len(opened) == 3
    audit(project, read(project, *with_model))
    assert len(opened) == 3
    audit(project, read(project))
    assert len(opened) == 6


def test_faces_recognition_and_embedding_by_models_on_disk_end_up_in_findings(project):
    yunet(project.folder / "yunet.onnx")
    colours(project.folder / "who.onnx", 112)
    colours(project.folder / "dino.onnx", 32)
    for i in range(10):
        pixels = np.full((320, 320, 3), (90, 200, 80) if i else (60, 30, 220), np.uint8)
        pixels[:] += scenery(50 + i, 320, 320) // 24
        pixels[160:168, 160:168] = (255, 0, 0)
        saved(project.pictures / f"face{i}.png", pixels)
        (project.pictures / f"face{i}.txt").write_text("zorblax, upper body")
    changes = [f'sight.{key}="{name}.onnx"' for key, name in
               (("faces", "yunet"), ("recognition", "who"), ("embedding", "dino"))]  # fmt: skip
    result = audit(project, read(project, *changes))
    assert [f.about for f in result.findings if f.check == "identity_outliers"] == ["face0.png"]
    assert any(f.check == "look_alikes" for f in result.findings)
    assert result.shown["mid"]["frontal"] == 10


def test_a_drawn_face_tells_its_framing_through_opencv_alone(tmp_path):
    path = saved(tmp_path / "a.png", portrait(400, 640, 120, 60))
    opened = open_upright(path)
    look = content.look(opened, path.read_bytes(), content.Sights(faces="opencv"))
    (face,) = look["faces"]
    shown = measured_in(Picture("a.png", "", 400, 640, measures={"content": look}))
    assert face["box"][1] < 120
    assert (shown.framing, shown.view, shown.by) == ("mid", "frontal", "face")


@pytest.mark.parametrize(
    ("changes", "words"),
    [(['sight.faces="absent.onnx"'], "absent.onnx"), (['sight.recognition="a.onnx"'], "YuNet"),
     (['sight.embedding="absent.onnx"'], "absent.onnx"), (["preset=flux", 'sight.eyes="family"'], "off"),
     (["audit.thresholds.nothing=1"], "threshold"), (["audit.framing.full=[0.9, 0.1]"], "Swap")],
)  # fmt: skip
def test_models_and_thresholds_that_cannot_be_are_refused_before_anything_is_looked_at(project, opened, changes, words):
    with pytest.raises(PortraitistError) as refusal:
        audit(project, read(project, *changes))
    assert words in refusal.value.problem + refusal.value.remedy
    assert opened == []


def test_a_waiver_is_shown_with_its_reason_and_a_wrong_one_refused(project):
    waived = {"number": "only three exist", "no_such_check": "why"}
    with pytest.raises(PortraitistError, match="no_such_check"):
        audit(type(project)(project.folder, project.facts.model_copy(update={"waived": waived})), read(project))
    del waived["no_such_check"]
    found = audit(type(project)(project.folder, project.facts.model_copy(update={"waived": waived})), read(project))
    assert [f.waived for f in found.findings if f.check == "number"] == ["only three exist"]
    assert found.findings[-1].check == "number", "what is let pass comes last"


def exif(**tags: object) -> bytes:
    """A JPEG whose header tells what a camera would."""
    image, header = Image.fromarray(scenery(1, 64, 48)), Image.Exif()
    header[0x010F], header[0x0110], header[0x0112] = tags.get("make", "Apple"), tags.get("model", "iPhone 12"), 6
    inner = header.get_ifd(0x8769)
    inner[0x9003], inner[0xA405], inner[0xA434] = tags.get("date", "2019:05:02 10:11:12"), tags.get("focal", 26), "lens"
    header.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.5)})
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=header)
    return buffer.getvalue()


def test_the_header_is_read_and_the_place_is_never_kept(project):
    assert content.camera(exif()) == {
        "date": "2019-05-02", "make": "Apple", "model": "iPhone 12", "lens": "lens", "focal": 26,
    }  # fmt: skip
    assert "52" not in str(content.camera(exif()))
    (project.pictures / "phone.jpg").write_bytes(exif())
    (project.pictures / "late.jpg").write_bytes(
        exif(model="EOS R5", make="Canon", date="2023:01:01 00:00:00", focal=85)
    )
    checks = {f.check: f for f in audit(project, read(project)).findings}
    assert checks["phone_pictures"].pictures == ("phone.jpg",)
    assert "2019-05-02 to 2023-01-01" in checks["time_spread"].says
    assert "26 to 85 mm" in checks["focal_spread"].says
    assert (project.manifest.read_text() + project.findings.read_text()).count("52.0") == 0


def test_headers_that_are_broken_or_lie_are_passed_over():
    draws = random.Random(0)
    whole = exif()
    for _ in range(200):
        broken = bytearray(whole)
        for _ in range(draws.randint(1, 30)):
            broken[draws.randrange(2, 400)] = draws.randrange(256)
        read = content.camera(bytes(broken))
        assert set(read) <= {"date", "make", "model", "lens", "focal"}
        assert all(str(value).isprintable() for value in read.values())
    for data in (b"", b"no picture", png_header(100_000, 100_000), whole[:60]):
        assert content.camera(data) == {}
    assert "date" not in content.camera(exif(date="0000:00:00 00:00:00"))
    assert "focal" not in content.camera(exif(focal=0))


@pytest.fixture(scope="module")
def seen():
    """Twelve drawings each of four characters that the eyes never saw, with what the eyes see."""
    by = content.Sights(eyes="mini")
    scenes = [(n, scene) for n in range(20, 24) for scene in album(unseen(n), 12, n)]
    return [(n, scene, content.look(Opened(draw(scene).pixels, None), b"", by)) for n, scene in scenes]


def test_the_familys_eyes_read_framing_where_they_say_they_do(seen):
    words = {"close-up": "close-up", "half body": "mid", "full body": "full"}
    clear = []
    for _, scene, look in seen:
        first, second = sorted(look["framing"].values(), reverse=True)[:2]
        if first - second >= 0.05:
            clear.append(max(look["framing"], key=look["framing"].get) == words[scene.context.framing])
    assert len(clear) > 0.8 * len(seen)
    assert np.mean(clear) > 0.85


def test_a_planted_stranger_is_the_furthest_of_its_set(seen):
    vectors = np.stack([embed.restored(look["who"]) for *_, look in seen])
    who = np.array([n for n, *_ in seen])
    right = [
        int(nearness(np.concatenate([vectors[who == own], vectors[[stranger]]])).argmin()) == 12
        for own in np.unique(who)
        for stranger in np.flatnonzero(who != own)[::3]
    ]
    assert np.mean(right) > 0.8


def test_backdrops_of_drawings_agree_where_their_places_do(seen):
    values = np.stack([np.frombuffer(bytes.fromhex(look["backdrop"]), np.uint8) for *_, look in seen]).astype(float)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    places = np.array([f"{scene.context.background} {scene.context.light}" for _, scene, _ in seen])
    same, near = places[:, None] == places[None], values @ values.T >= 0.9
    assert near[same].mean() > 0.9
    assert near[~same].mean() < 0.05


def test_eyes_are_named_by_their_own_digest_without_being_opened():
    assert eyes.names("mini") == eyes.load("mini").digest
    assert eyes.names("flux") == ""


def test_eyes_find_a_stranger_in_a_project_and_say_so(project):
    for i, scene in enumerate([*album(unseen(30), 10, 0), *album(unseen(31), 1, 1)]):
        saved(project.pictures / f"d{i:02}.png", draw(scene).pixels)
        (project.pictures / f"d{i:02}.txt").write_text(told(scene, "zorblax"))
    for i in range(3):
        (project.pictures / f"{i}.png").unlink()
    result = audit(project, read(project, 'sight.eyes="family"'))
    assert [f.about for f in result.findings if f.check == "identity_outliers"] == ["d10.png"]
    own = {check.__name__ for module in (coverage, figure, variety) for check in module.CHECKS}
    assert {f.check for f in result.findings} & own <= {"identity_outliers", "framing_balance"}, "a good set otherwise"
