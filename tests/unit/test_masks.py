"""Masks: found without a model and with one, read beside pictures, judged, and counted in what is learnt."""

import numpy as np
import pytest

from portraitist.audit import Rules, Seen
from portraitist.audit import masks as checks
from portraitist.dataset import intake, masks, taking
from portraitist.errors import PortraitistError
from portraitist.mini.characters import unseen
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Context, Scene
from portraitist.pictures import Opened, Picture, open_upright
from portraitist.sight.masks import Matting, grown, subject
from tests.pictures import saved, scenery


def figure(seed, framing="half body", background="plain blue", side=160):
    how = Context(framing, "front view", "neutral", "standing", background, "soft light")
    return draw(Scene(unseen(seed), how, seed), side=side)


def overlap(found, truth):
    found, truth = found > 127, truth > 127
    return (found & truth).sum() / max(1, (found | truth).sum())


def test_grabcut_finds_drawn_figures_before_plain_and_busy_backgrounds():
    cases = [
        (1, "half body", "plain pink"),
        (5, "full body", "room"),
        (9, "half body", "city"),
        (41, "close-up", "beach"),
    ]
    found = [overlap(subject((d := figure(*case)).pixels), d.mask) for case in cases]
    assert min(found) > 0.7, found
    assert np.mean(found) > 0.85, found


def test_the_same_picture_gives_the_same_mask():
    drawn = figure(2)
    assert np.array_equal(subject(drawn.pixels), subject(drawn.pixels))


def test_a_face_is_always_inside_and_only_the_lower_edge_may_be():
    drawn = figure(3, side=120)
    found = subject(drawn.pixels, [(45, 30, 30, 30)])
    assert found[34:56, 49:71].min() > 127
    assert found[0].max() < 128
    assert found[:, 0].max() < 128


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (5, 3), (3, 3)])
def test_no_picture_is_too_small(size):
    assert subject(np.full((*size, 3), 90, np.uint8)).shape == size


def test_a_grown_mask_covers_the_mask_and_fades():
    mask = np.zeros((200, 200), np.uint8)
    mask[80:120, 80:120] = 255
    large = grown(mask)
    assert large[80:120, 80:120].min() > 250
    assert large[78, 100] > 200
    assert 0 < large[73, 100] < 255
    assert large[40, 100] == 0


def matting(path, side, slope, offset):
    """A real model that answers slope * red + offset, red being as the kind's preparation leaves it."""
    onnx = pytest.importorskip("onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    fed = helper.make_tensor_value_info("picture", proto.FLOAT, [1, 3, side, side])
    out = helper.make_tensor_value_info("mask", proto.FLOAT, [1, 1, side, side])
    numbers = [
        helper.make_tensor("weight", proto.FLOAT, [1, 3, 1, 1], [slope, 0.0, 0.0]),
        helper.make_tensor("bias", proto.FLOAT, [1], [offset]),
    ]
    node = helper.make_node("Conv", ["picture", "weight", "bias"], ["mask"])
    graph = helper.make_graph([node], "matting", [fed], [out], numbers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize("kind", ["birefnet", "rmbg", "isnet", "u2net"])
def test_a_matting_model_is_fed_and_read_as_its_kind_says(kind, tmp_path):
    """Red is the subject: logits far from zero, or a range of its own, come to the same mask."""
    pixels = np.zeros((60, 100, 3), np.uint8)
    pixels[20:40, 30:70, 0] = 255
    found = Matting.load(matting(tmp_path / "a.onnx", 40, 40.0, -20.0), kind)(pixels)
    assert found.shape == (60, 100)
    assert found[26:34, 40:60].min() > 250
    assert found[:10].max() < 5


def test_probabilities_are_taken_as_they_are(tmp_path):
    """A model that squashes its answers itself is not squashed twice."""
    pixels = np.full((40, 40, 3), 128, np.uint8)
    red = (128 / 255 - 0.485) / 0.229
    found = Matting.load(matting(tmp_path / "a.onnx", 40, 0.0, 0.25), "birefnet")(pixels)
    assert abs(int(found[20, 20]) - 64) <= 1
    assert red > 0  # and this picture would have given another number if its red had counted


@pytest.mark.parametrize(
    ("content", "word"), [(None, "There is no"), (b"", "cannot be read"), (b"not a model", "cannot be read")]
)
def test_what_is_no_model_is_refused(content, word, tmp_path):
    path = tmp_path / "a.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PortraitistError, match=word):
        Matting.load(path, "birefnet")


@pytest.fixture
def masked(tmp_path):
    """A picture with a mask beside it, white on its left half."""
    path = saved(tmp_path / "a.png", scenery(1, 64, 64))
    half = np.zeros((64, 64), np.uint8)
    half[:, :32] = 255
    saved(masks.beside(path), half)
    return path


def test_a_mask_beside_a_picture_stands_for_its_alpha_and_is_part_of_what_it_is_known_by(masked):
    opened = masks.open_masked(masked)
    assert opened.alpha[:, :32].min() == 255
    assert opened.alpha[:, 32:].max() == 0
    assert np.array_equal(opened.pixels, open_upright(masked).pixels)
    before = opened.digest, masks.stamp(masked)
    saved(masks.beside(masked), np.full((64, 64), 200, np.uint8))
    assert masks.open_masked(masked).digest != before[0]
    assert masks.stamp(masked) != before[1]
    masks.beside(masked).unlink()
    assert masks.open_masked(masked).alpha is None


def test_a_mask_of_half_the_size_is_scaled_and_one_of_another_crop_is_told_and_passed_over(masked):
    saved(masks.beside(masked), np.full((32, 32), 255, np.uint8))
    opened = masks.open_masked(masked)
    assert opened.alpha.min() == 255
    assert masks.measured(masked, opened)["size"] == [32, 32]
    saved(masks.beside(masked), np.full((32, 48), 255, np.uint8))
    opened = masks.open_masked(masked)
    assert opened.alpha is None
    assert "another crop" in masks.measured(masked, opened)["problem"]


def test_masks_come_along_and_are_no_pictures(masked, tmp_path):
    orphan = saved(tmp_path / "gone-masklabel.png", np.zeros((8, 8), np.uint8))
    listing = intake.listed(tmp_path)
    assert [source.name for source in listing.pictures] == ["a.png"]
    assert listing.others == ("gone-masklabel.png",)
    (tmp_path / "to").mkdir()
    assert [(t.name, t.outcome) for t in taking.take(tmp_path / "to", [masked])] == [("a.png", "added")]
    assert masks.beside(tmp_path / "to" / "a.png").read_bytes() == masks.beside(masked).read_bytes()
    with pytest.raises(PortraitistError, match="mask of a picture"):
        list(taking.take(tmp_path / "to", [orphan]))


def judged(tmp_path, mask, weight=0.1):
    """Names and severities of what is found about a 64 x 64 picture with such a mask."""
    path = saved(tmp_path / "a.png", scenery(1, 64, 64))
    masks.beside(path).write_bytes(mask) if isinstance(mask, bytes) else saved(masks.beside(path), mask)
    opened = masks.open_masked(path)
    picture = Picture("a.png", opened.digest, 64, 64, measures={"mask": masks.measured(path, opened)})
    seen = Seen(pictures=[picture], trigger="zorblax", side=64, masks=weight)
    return [(f.check, f.severity) for check in checks.CHECKS for f in check(seen, Rules())]


def ring(inside, outside):
    made = np.full((64, 64), outside, np.uint8)
    made[10:54, 10:54] = inside
    return made


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (ring(255, 0), []),
        (ring(255, 255), [("mask_full", "warn")]),
        (ring(0, 0), [("mask_empty", "block")]),
        (ring(0, 255), [("mask_inverted", "block")]),
        (ring(6, 0), [("mask_coverage", "warn")]),
        (np.full((32, 48), 255, np.uint8), [("mask_unusable", "block")]),
        (ring(255, 0)[::2, ::2], [("mask_scaled", "note")]),
        (b"no picture", [("mask_unusable", "block")]),
    ],
    ids=["good", "white", "empty", "inverted", "tiny", "other crop", "smaller", "broken"],
)  # fmt: skip
def test_faults_of_masks_are_found_and_good_ones_pass(mask, found, tmp_path):
    assert judged(tmp_path, mask) == found


def test_where_masks_are_ignored_nothing_about_them_blocks(tmp_path):
    assert judged(tmp_path, ring(0, 255), weight=1.0) == [("masks_ignored", "note"), ("mask_inverted", "note")]


def test_drawn_subjects_are_never_called_inverted(tmp_path):
    for seed in range(12):
        drawn = figure(seed, ("close-up", "half body", "full body")[seed % 3], side=64)
        opened = Opened(drawn.pixels, drawn.mask)
        picture = Picture("a.png", "", 64, 64, measures={"mask": masks.measured(tmp_path / "a.png", opened)})
        seen = Seen(pictures=[picture], trigger="z", side=64, masks=0.0)
        assert not list(checks.mask_inverted(seen, Rules()))
