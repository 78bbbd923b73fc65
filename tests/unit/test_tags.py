"""Taggers are given pictures exactly as they were taught on them, and say what they say."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from portraitist.errors import PortraitistError
from portraitist.pictures import Opened, open_upright
from portraitist.sight import tags
from tests.pictures import saved, scenery
from tests.taggers import SIDE, TAGS, tagger, weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tagger(tmp_path_factory.mktemp("tagger"))


def by_hand(pixels: np.ndarray) -> np.ndarray:
    """The contract in numpy: white square, bicubic, BGR, 0 to 255; then the model's own arithmetic."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    above, before = (longest - height) // 2, (longest - width) // 2
    room = ((above, longest - height - above), (before, longest - width - before), (0, 0))
    square = np.pad(pixels, room, constant_values=255)
    small = np.asarray(Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return small[..., [2, 1, 0]].astype(np.float64).reshape(1, -1) @ weights()


@pytest.mark.parametrize(("width", "height"), [(16, 16), (96, 64), (37, 91), (1, 5)])
def test_probabilities_are_those_of_the_contract(folder, width, height):
    pixels = scenery(width, width, height) if min(width, height) > 1 else np.full((height, width, 3), 200, np.uint8)
    found = tags.load(folder, 1)(Opened(pixels, None))
    expected = dict(zip([tags.spoken(name) for name, _ in TAGS], by_hand(pixels)[0], strict=True))
    got = {**found.general, **found.characters, **found.ratings}
    assert {name for name, value in expected.items() if value > 0.06} <= set(got)
    for name, value in got.items():
        assert value == pytest.approx(expected[name], abs=2e-3), name


def test_channels_are_not_mixed_up(folder):
    blue = np.zeros((20, 20, 3), np.uint8)
    blue[..., 2] = 255
    assert next(iter(tags.load(folder, 1)(Opened(blue, None)).general)) in ("blue background", "upper body")
    assert "red hat" not in tags.load(folder, 1)(Opened(blue, None)).general


def test_transparent_parts_count_as_white(folder, tmp_path):
    pixels = np.zeros((16, 16, 4), np.uint8)
    opened = open_upright(saved(tmp_path / "clear.png", pixels))
    found = tags.load(folder, 1)(opened)
    assert found.general["blue background"] == pytest.approx(1, abs=1e-3)


def test_thresholds_hold_in_general_and_for_single_tags():
    found = tags.Tagged({"red hat": 0.6, "green dress": 0.4, "^_^": 0.36, "upper body": 0.2}, {"some hero": 0.9}, {})
    assert found.counted(0.35, 0, {}) == ["red hat", "green dress", "^_^"]
    assert found.counted(0.35, 0, {"upper_body": 0.1, "Red Hat": 0.7}) == ["green dress", "^_^", "upper body"]
    assert found.counted(0.35, 0.85, {})[0] == "some hero"
    assert found.counted(0.35, 0.95, {})[0] == "red hat"


def test_a_rating_is_read_and_no_tag(folder):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    found = tags.load(folder, 1)(Opened(red, None))
    assert found.rating == "explicit"
    assert "explicit" not in found.counted(0.01, 0.01, {})


@pytest.mark.parametrize(
    ("name", "said"),
    [("blue_sky", "blue sky"), ("^_^", "^_^"), ("o_o", "o_o"), ("horse_(animal)", "horse (animal)"), (">_<", ">_<"),
     ("(o)_(o)", "(o)_(o)"), (":d", ":d"), ("t-shirt", "t-shirt"), ("1990s_(style)", "1990s (style)")],
)  # fmt: skip
def test_underscores_are_spaces_but_in_faces(name, said):
    assert tags.spoken(name) == said


def test_a_model_whose_input_is_open_is_given_the_usual_size(tmp_path):
    assert tags.load(tagger(tmp_path, side="S"), 1).side == tags.SIDE


def test_what_is_no_tagger_is_refused_in_a_line(tmp_path, folder):
    with pytest.raises(PortraitistError, match=r"holds no model\.onnx"):
        tags.load(tmp_path, 1)
    opened = Opened(scenery(0, 20, 20), None)
    with pytest.raises(PortraitistError, match="no probabilities"):
        tags.load(tagger(tmp_path / "loud", scale=9.0), 1)(opened)
    with pytest.raises(PortraitistError, match="10 outputs, and its list 7"):
        tags.load(tagger(tmp_path / "short", rows=7), 1)(opened)
    broken = tagger(tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(PortraitistError, match="cannot be read"):
        tags.load(broken, 1)


@pytest.mark.parametrize(
    "text", ["", "tag_id,name\n1,a\n", "tag_id,name,category,count\n1,a,x,3\n", "name,category\na"]
)
def test_what_is_no_list_of_tags_is_refused(tmp_path, text):
    (tmp_path / "selected_tags.csv").write_text(text)
    with pytest.raises(PortraitistError, match=r"selected_tags\.csv"):
        tags.listed(tmp_path / "selected_tags.csv")


def test_another_model_or_list_has_another_digest(tmp_path, folder):
    other = tagger(tmp_path / "other", rows=9)
    louder = tagger(tmp_path / "louder", scale=0.5)
    loaded = [tags.load(one, 1) for one in (folder, other, louder)]
    assert len({(one.digest, one.list_digest) for one in loaded}) == 3
    assert loaded[0].digest == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
