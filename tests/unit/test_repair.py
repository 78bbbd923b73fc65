"""Repair: the colour map by its theorem, crops by the faces they keep, and originals that never change."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from portraitist import provenance
from portraitist.audit import cropping, harmony
from portraitist.audit import repair as staging
from portraitist.audit.harmony import Colours
from portraitist.dataset import claims, masks
from portraitist.dataset.intake import listed
from portraitist.dataset.taking import Stated
from portraitist.errors import PortraitistError
from portraitist.mini.characters import unseen
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Context, Scene
from portraitist.pictures import open_upright
from portraitist.verbs.add import add
from portraitist.verbs.new import new
from portraitist.verbs.repair import Settings, put, repair, uncovered
from portraitist.verbs.verify import verify
from tests.pictures import saved, scenery


def covariance(seed):
    shape = np.random.default_rng(seed).normal(size=(3, 3)) * 20
    return shape @ shape.T + np.eye(3)


@given(a=st.integers(0, 99), b=st.integers(100, 199))
def test_the_map_takes_one_covariance_to_the_other_and_turns_nothing(a, b):
    """MKL's two theorems: M S M' is R, and M is symmetric and positive, so that it is the map of least change."""
    source, reference = Colours(np.zeros(3), covariance(a)), Colours(np.zeros(3), covariance(b))
    matrix = harmony.transport(source, reference)
    np.testing.assert_allclose(matrix @ source.covariance @ matrix.T, reference.covariance, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > 0
    back = harmony.transport(reference, source)
    np.testing.assert_allclose(back @ matrix, np.eye(3), atol=1e-4)


def test_at_full_strength_a_picture_has_its_references_mean_and_covariance():
    pixels = (scenery(1).astype(np.float32) * 0.4 + 70).astype(np.uint8)
    like = (scenery(2).astype(np.float32) * np.array([0.45, 0.3, 0.35]) + np.array([60, 70, 60])).astype(np.uint8)
    source, reference = harmony.gaussian(pixels.reshape(-1, 3)), harmony.gaussian(like.reshape(-1, 3))
    moved = harmony.gaussian(harmony.harmonised(pixels, source, reference, 1.0, None).reshape(-1, 3).astype(float))
    np.testing.assert_allclose(moved.mean, reference.mean, atol=0.5)
    np.testing.assert_allclose(moved.covariance, reference.covariance, rtol=0.03, atol=2)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_a_picture_like_its_reference_stays_as_it_is(strength):
    pixels = scenery(3)
    own = harmony.gaussian(harmony.sampled(pixels))
    assert np.array_equal(harmony.harmonised(pixels, own, own, strength, (0.7, 1.4)), pixels)
    samples = harmony.sampled(pixels)
    again = harmony.reinhard(pixels, samples, samples, strength, (0.7, 1.4))
    assert np.abs(again.astype(int) - pixels).max() <= 1


@given(seed=st.integers(0, 99))
def test_no_direction_of_colour_is_stretched_beyond_the_limits(seed):
    values = np.linalg.svd(harmony.clamped(covariance(seed) / 100), compute_uv=False)
    assert harmony.NARROW - 1e-9 <= values.min() <= values.max() <= harmony.WIDE + 1e-9


def test_the_medoid_is_the_picture_like_most_others():
    plain = [scenery(i) for i in range(5)]
    tinted = (scenery(9) * np.array([1.0, 0.6, 0.4])).astype(np.uint8)
    assert harmony.medoid([harmony.summary(harmony.sampled(p)) for p in [tinted, *plain]]) != 0


BOXES = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(8, 200), st.integers(8, 200))


@settings(max_examples=300)
@given(face=BOXES, room=st.tuples(st.integers(0, 600), st.integers(0, 900)), cut=st.sampled_from(list(cropping.BELOW)))
def test_no_crop_cuts_a_face_or_leaves_the_picture(face, room, cut):
    x, y, w, h = face
    width, height = x + w + room[0], y + h + room[1]
    box = cropping.framed(width, height, face, cut)
    if box is not None:
        left, top, wide, high = box
        assert left <= x
        assert top <= y
        assert left + wide >= x + w
        assert top + high >= y + h
        assert left >= 0
        assert top >= 0
        assert left + wide <= width
        assert top + high <= height
        shown = cropping.heads_shown(top + high, face)
        assert shown <= cropping.BELOW[cut] + 0.1 or top + high == y + h


@given(faces=st.lists(BOXES, min_size=1, max_size=3), room=st.integers(0, 2000))
def test_nothing_of_a_face_is_left_without_the_head(faces, room):
    height = max(y + h for _, y, _, h in faces) + room
    box = cropping.headless(1000, height, faces)
    if box is not None:
        assert all(y + h <= box[1] for _, y, _, h in faces)
        assert box[3] >= cropping.WORTH * height
    assert cropping.headless(1000, height, []) is None


@given(bars=st.tuples(*[st.integers(0, 30)] * 4), grey=st.integers(0, 255))
@settings(max_examples=30, deadline=None)
def test_bars_are_trimmed_to_the_line_and_a_picture_without_them_is_left(bars, grey):
    top, bottom, left, right = bars
    inner = scenery(7, 90, 80)
    edge = np.full((80 + top + bottom, 90 + left + right, 3), grey, np.uint8)
    edge[top : top + 80, left : left + 90] = inner
    found = cropping.trimmed(edge)
    assert found == (None if not sum(bars) else (left, top, 90, 80))


def test_a_plain_background_is_no_bar():
    for background in ("plain blue", "forest", "sunset", "mountains"):
        how = Context("half body", "front view", "neutral", "standing", background, "soft light")
        assert cropping.trimmed(draw(Scene(unseen(1), how, 1), side=128).pixels) is None


@pytest.fixture
def project(tmp_path):
    """Four pictures, one a JPEG with a mask and a caption, one with alpha, one with bars."""
    made = new(tmp_path / "maya", trigger="maya_char", subject="fictional")
    for i in range(4):
        pixels = scenery(i, 80, 80)
        path = made.pictures / "face" / f"{i}.{'jpg' if i == 1 else 'png'}"
        if i == 2:
            pixels = np.dstack([pixels, np.full((80, 80), 200, np.uint8)])
        saved(path, np.pad(pixels, ((0, 20), (0, 0), (0, 0))) if i == 3 else pixels)
        (made.pictures / "face" / f"{i}.txt").write_text("maya_char, close-up")
    half = np.zeros((80, 80), np.uint8)
    half[:, :40] = 255
    saved(masks.beside(made.pictures / "face" / "1.jpg"), half)
    return made


def state(folder):
    """Every file below a folder by the digest of its bytes."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_preparing_changes_nothing_applying_sets_originals_aside_and_undoing_puts_them_back(project):
    before = state(project.pictures)
    result = repair(project, "harmonise", settings=Settings(like=("face/0.png",)))
    assert result.prepared == ("face/1.jpg", "face/2.png", "face/3.png")
    assert result.skipped == {"face/0.png": "it is the reference"}
    assert state(project.pictures) == before
    assert Image.open(result.preview).size[0] > 400
    assert repair(project, "harmonise", apply=True).applied == result.prepared
    after = state(project.pictures)
    assert after.keys() == (before.keys() - {"face/1.jpg"}) | {"face/1.png"}
    aside = state(project.folder / "aside" / "001-harmonise")
    assert {name: aside[name] for name in result.prepared} == {name: before[name] for name in result.prepared}
    assert open_upright(project.pictures / "face" / "2.png").alpha.min() == 200
    assert repair(project, "harmonise", undo=True).undone == result.prepared
    assert state(project.pictures) == before
    assert not list((project.folder / "aside").iterdir())


@pytest.fixture
def known(project, tmp_path):
    """The same pictures in a project whose ledger knows them and where they are from."""
    other = new(tmp_path / "known", trigger="maya_char", subject="fictional")
    add(other, [project.pictures], Stated(source="my own camera"))
    return other


def test_the_ledger_follows_a_repair_and_its_undoing(known):
    """A JPEG becomes a PNG and back: nothing differs from what was recorded, nothing is missed, its source stays."""
    for turn in ({"apply": True}, {"undo": True}, {"apply": True}):
        if "apply" in turn:
            repair(known, "harmonise", settings=Settings(like=("face/0.png",)))
        repair(known, "harmonise", **turn)
        found = verify(known)
        assert (found.broken, found.notes, found.pictures) == ((), (), 4), turn
        records = provenance.records(provenance.read(known.ledger))
        assert {record.source for record in records.values()} == {"my own camera"}
        assert ("face/1.png" in records) == ("apply" in turn)


def test_what_a_picture_put_there_by_hand_says_of_itself_outlives_its_repair(project):
    said = PngInfo()
    said.add_text("noai", "noai")
    Image.fromarray(scenery(5, 80, 80)).save(project.pictures / "not-mine.png", pnginfo=said)
    repair(project, "harmonise", ["not-mine.png"])
    repair(project, "harmonise", apply=True)
    assert not claims.read((project.pictures / "not-mine.png").read_bytes()).training
    assert provenance.records(provenance.read(project.ledger))["not-mine.png"].says["training"] == "refused"


@pytest.mark.parametrize("undo", [False, True], ids=["applying", "undoing"])
def test_a_kill_after_the_last_picture_is_moved_loses_no_line_of_the_ledger(known, undo):
    repair(known, "harmonise", settings=Settings(like=("face/0.png",)))
    if undo:
        repair(known, "harmonise", apply=True)
    going = put(known, "harmonise", undo=undo)
    assert [next(going) for _ in range(3)] == ["face/1.jpg", "face/2.png", "face/3.png"]
    going.close()
    assert not verify(known).broken
    repair(known, "harmonise", apply=not undo, undo=undo)
    assert (verify(known).broken, verify(known).notes) == ((), ())


def test_a_picture_that_is_named_alone_is_brought_towards_all_the_others(project):
    """As the audit's own remedy names it; were the reference sought among what is named, there would be none."""
    usual = np.mean([open_upright(source.path).pixels.mean((0, 1)) for source in listed(project.pictures).pictures], 0)
    odd = (scenery(8, 80, 80) * np.array([1.0, 0.5, 0.4])).astype(np.uint8)
    saved(project.pictures / "odd.png", odd)
    assert repair(project, "harmonise", ["odd.png"]).prepared == ("odd.png",)
    moved = open_upright(project.folder / "repaired" / "harmonise" / "odd.png").pixels.mean((0, 1))
    assert np.abs(moved - usual).sum() < np.abs(odd.mean((0, 1)) - usual).sum()


def test_a_mask_is_cut_with_its_picture(project):
    path = project.pictures / "face" / "1.jpg"
    saved(path, np.pad(scenery(1, 80, 80), ((20, 20), (0, 0), (0, 0))), quality=95, subsampling=0)
    saved(masks.beside(path), np.pad(np.full((80, 80), 255, np.uint8), ((20, 20), (0, 0))))
    assert repair(project, "crop", ["face/1.jpg"]).prepared == ("face/1.jpg",)
    repair(project, "crop", apply=True)
    opened = masks.open_masked(project.pictures / "face" / "1.png")
    assert abs(opened.height - 80) <= 2
    assert opened.alpha.shape == opened.pixels.shape[:2]
    assert opened.alpha.mean() > 250


def test_masks_are_made_where_there_are_none_and_kept_where_there_are(project):
    how = Context("half body", "front view", "neutral", "standing", "plain pink", "soft light")
    drawn = draw(Scene(unseen(1), how, 1), side=128)
    saved(project.pictures / "drawn.png", drawn.pixels)
    kept = masks.beside(project.pictures / "face" / "1.jpg").read_bytes()
    result = repair(project, "mask", ["drawn.png", "face/1.jpg"])
    assert result.skipped == {"face/1.jpg": "it has a mask already"}
    repair(project, "mask", apply=True)
    found = masks.open_masked(project.pictures / "drawn.png").alpha
    assert (found > 127)[drawn.mask > 127].mean() > 0.85
    assert (found > 127).mean() < 2 * (drawn.mask > 127).mean()
    assert masks.beside(project.pictures / "face" / "1.jpg").read_bytes() == kept
    repair(project, "mask", undo=True)
    assert not masks.beside(project.pictures / "drawn.png").exists()


def test_kohyas_folder_of_masks_comes_in_by_name(project, tmp_path):
    for name in ("0.png", "3.png", "other.png"):
        saved(
            tmp_path / "cond" / name,
            np.pad(np.full((40, 80), 255, np.uint8), ((0, 40 + 20 * (name == "3.png")), (0, 0))),
        )
    result = repair(project, "mask", settings=Settings(masks=str(tmp_path / "cond")))
    assert result.prepared == ("face/0.png", "face/3.png")
    repair(project, "mask", apply=True)
    assert masks.open_masked(project.pictures / "face" / "0.png").alpha[:40].min() == 255


def test_a_background_becomes_transparent_or_a_colour_by_the_mask(project):
    repair(project, "background", ["face/1.jpg"])
    repair(project, "background", apply=True)
    with Image.open(project.pictures / "face" / "1.png") as image:
        alpha = np.asarray(image.getchannel("A"))
    assert alpha[:, :39].min() == 255
    assert alpha[:, 41:].max() == 0
    repair(project, "background", undo=True)
    repair(project, "background", ["face/1.jpg"], Settings(colour="#102030"))
    painted = np.asarray(Image.open(project.folder / "repaired" / "background" / "face" / "1.png"))
    assert (painted[:, 42:] == (16, 32, 48)).all()
    assert np.array_equal(painted[:, :39], open_upright(project.pictures / "face" / "1.jpg").pixels[:, :39])


def test_colours_under_white_come_back():
    own = scenery(5, 40, 40)
    alpha = np.full((40, 40), 128, np.uint8)
    image = Image.fromarray(np.dstack([own, alpha]))
    over = Image.new("RGB", image.size, (255, 255, 255))
    over.paste(image, mask=image.getchannel("A"))
    from portraitist.pictures import Opened

    assert np.abs(uncovered(Opened(np.asarray(over), alpha)).astype(int) - own).max() <= 2


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_kill_while_applying_loses_nothing_and_the_same_command_goes_on(project, after):
    before = state(project.pictures)
    repair(project, "harmonise", settings=Settings(like=("face/0.png",)))
    going = staging.apply(project, "harmonise")
    for _ in range(after):
        next(going)
    going.close()
    kept = {*state(project.pictures).values(), *state(project.folder).values()}
    assert {*before.values()} <= kept
    repair(project, "harmonise", apply=True)
    assert [p.name for p in (project.folder / "aside").iterdir()] == ["001-harmonise"]
    repair(project, "harmonise", undo=True)
    assert state(project.pictures) == before


def test_what_a_person_changed_meanwhile_is_never_written_over(project):
    repair(project, "harmonise", settings=Settings(like=("face/0.png",)))
    saved(project.pictures / "face" / "2.png", scenery(40))
    before = state(project.pictures)
    with pytest.raises(PortraitistError, match=r"face/2.png changed since its repair"):
        repair(project, "harmonise", apply=True)
    assert state(project.pictures) == before
    repair(project, "harmonise", settings=Settings(like=("face/0.png",)))
    repair(project, "harmonise", apply=True)
    saved(project.pictures / "face" / "3.png", scenery(41))
    before = state(project.pictures)
    with pytest.raises(PortraitistError, match=r"face/3.png changed since it was repaired"):
        repair(project, "harmonise", undo=True)
    assert state(project.pictures) == before


def test_a_repaired_jpeg_never_takes_the_place_of_a_png_of_its_name(project):
    saved(project.pictures / "face" / "1.png", scenery(50))
    result = repair(project, "harmonise", settings=Settings(like=("face/0.png",)))
    assert "another picture" in result.skipped["face/1.jpg"]


def test_two_pictures_of_one_name_never_become_one_file(project):
    saved(project.pictures / "face" / "2.webp", scenery(51), lossless=True)
    (project.pictures / "face" / "2.png").rename(project.pictures / "face" / "2.bmp")
    result = repair(project, "harmonise", settings=Settings(like=("face/0.png",)))
    assert "another picture" in result.skipped["face/2.webp"]
    assert repair(project, "harmonise", apply=True).applied == result.prepared


@pytest.mark.parametrize(
    ("action", "how", "word"),
    [
        ("upscale", {}, "not enlarged"),
        ("harmonise", {"settings": Settings(strength=0.0)}, "strength"),
        ("harmonise", {"settings": Settings(like=("nobody.png",))}, "read"),
        ("harmonise", {"names": ["nobody.png"]}, "neither a picture nor a set"),
        ("crop", {"settings": Settings(to="mid")}, "no face was found"),
        ("background", {"settings": Settings(colour="blurple")}, "is no colour"),
        ("mask", {"settings": Settings(model="a.onnx")}, "How is"),
        ("mask", {"settings": Settings(kind="u2net")}, "none is named"),
        ("mask", {"settings": Settings(model="a.onnx", kind="u2net")}, "There is no"),
        ("mask", {"settings": Settings(masks="nowhere")}, "no folder"),
        ("crop", {"apply": True}, "is prepared"),
        ("crop", {"undo": True}, "has been applied"),
        ("crop", {"undo": True, "apply": True}, "opposites"),
        ("crop", {"apply": True, "names": ["face/0.png"]}, "is for all that was prepared"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(project, action, how, word):
    before = state(project.folder)
    with pytest.raises(PortraitistError, match=word):
        repair(project, action, **how)
    assert state(project.folder) == before
