"""Finders of faces are held to faces that tests draw; networks to what they were made to see."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist.sight import embed, faces, onnx
from tests.pictures import scenery
from tests.sight import colours, portrait, yunet


@pytest.fixture(scope="module")
def finder(tmp_path_factory):
    return yunet(tmp_path_factory.mktemp("models") / "yunet.onnx")


def cell(pixels: np.ndarray, column: int, row: int, green: int = 0) -> np.ndarray:
    """The picture with one cell that the made YuNet takes for a face."""
    pixels = pixels.copy()
    pixels[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = (255, green, 0)
    return pixels


GREY = np.full((320, 320, 3), 128, np.uint8)


def test_a_face_is_found_where_it_was_drawn_at_any_size_of_picture():
    for scale in (1, 2):
        small = portrait(400, 400, 160, 90)
        pixels = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        (face,) = faces.found(pixels, faces.BUILT_IN)
        left, top, width, height = face.box
        assert left + width / 2 == pytest.approx(200 * scale, abs=8 * scale)
        assert top + height / 2 == pytest.approx(170 * scale, abs=12 * scale)
        assert face.view == "frontal"
        assert face.yaw is None


def test_no_face_is_found_in_what_has_none():
    assert faces.found(scenery(3, 200, 160), faces.BUILT_IN) == []
    assert faces.found(np.zeros((3, 2, 3), np.uint8), faces.BUILT_IN) == []


def test_a_cascade_of_ones_own_finds_as_the_built_in_one_does():
    own = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
    pixels = portrait(400, 400, 160, 90)
    assert faces.found(pixels, str(own)) == faces.found(pixels, faces.BUILT_IN)


def test_yunet_gives_box_and_points_in_pixels_of_the_picture(finder):
    (face,) = faces.found(cell(GREY, 20, 10), str(finder))
    assert face.box == pytest.approx((20.5 * 8 - 40, 10.5 * 8 - 50, 80, 100), abs=0.5)
    assert face.points[0] == pytest.approx((20 * 8 - 16, 10 * 8 - 6), abs=0.5)
    assert face.head == faces.YUNET_HEAD
    large = cv2.resize(cell(GREY, 20, 10), (1280, 1280), interpolation=cv2.INTER_NEAREST)
    (same,) = faces.found(large, str(finder))  # looked at with 640 pixels, where that cell is four
    assert same.box[0] + same.box[2] / 2 == pytest.approx(4 * 20.5 * 8, abs=16)


def test_the_largest_face_comes_first_and_none_is_told_of_a_picture_without(finder):
    assert faces.found(GREY, str(finder)) == []
    both = cell(cell(GREY, 6, 10), 30, 25)
    assert len(faces.found(both, str(finder))) == 2


@given(st.floats(-70, 70), st.floats(0, 360), st.floats(5, 500))
def test_a_turn_is_read_back_from_the_points_it_moves_however_the_head_is_tilted(yaw, roll, apart):
    """Eyes at half their distance from the axis, the nose before it: projected, the tangent gives the angle again."""
    turn, tilt = np.radians(yaw), np.radians(roll)
    flat = np.array([[-0.5 * np.cos(turn), 0], [0.5 * np.cos(turn), 0], [faces.NOSE * np.sin(turn), 0.6]]) * apart
    spun = flat @ np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]]) + 300
    face = faces.Face((0, 0, 10, 10), 1.0, 0.8, "", tuple(map(tuple, spun)))
    assert face.yaw == pytest.approx(yaw, abs=0.5)


def test_aligning_undoes_how_a_face_lies_in_its_picture():
    marks = np.zeros((112, 112, 3), np.uint8)
    for point in faces.ALIGNED:
        cv2.circle(marks, tuple(int(v) for v in point.round()), 3, (255, 255, 255), -1)
    move = cv2.getRotationMatrix2D((56, 56), 25, 1.4)
    move[:, 2] += 60
    moved = cv2.warpAffine(marks, move, (260, 260))
    points = faces.ALIGNED @ move[:, :2].T + move[:, 2]
    again = faces.aligned(moved, faces.Face((0, 0, 1, 1), 1.0, 0.8, "", tuple(map(tuple, points))))
    assert np.abs(again.astype(float) - marks).mean() < 8
    assert marks.mean() > 2


def test_a_face_network_gets_colours_as_it_wants_them(finder, tmp_path):
    """One that scales within its first nodes gets 0 to 255, another -1 to 1: both then say the same."""
    bare, scaling = colours(tmp_path / "bare.onnx", 112), colours(tmp_path / "scaling.onnx", 112, scales=True)
    pixels = cell(np.full((320, 320, 3), (90, 200, 80), np.uint8), 20, 20)
    (face,) = faces.found(pixels, str(finder))
    assert not embed.scales_itself(bare)
    assert embed.scales_itself(scaling)
    assert embed.face(pixels, face, bare) == pytest.approx(embed.face(pixels, face, scaling), abs=1e-4)


def test_an_embedding_reads_side_and_colours_from_what_lies_beside_it(tmp_path):
    path = colours(tmp_path / "dino.onnx", 32)
    pixels = np.full((50, 80, 3), (255, 128, 0), np.uint8)
    plain = (np.array([1, 128 / 255, 0]) - onnx.IMAGENET[0]) / onnx.IMAGENET[1]
    assert embed.picture(pixels, path) == pytest.approx(plain / np.linalg.norm(plain), abs=1e-4)
    other = colours(tmp_path / "other" / "clip.onnx", 32)
    other.with_name("preprocessor_config.json").write_text('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}')
    told = np.array([1, 128 / 255, 0])
    assert embed.picture(pixels, other) == pytest.approx(told / np.linalg.norm(told), abs=1e-4)


@pytest.mark.parametrize(("shape", "kept"), [((1, 4), 0), ((1, 3, 4), 0), ((1, 4, 2, 2), 0)])
def test_an_answer_of_any_usual_shape_is_one_vector_of_length_one(shape, kept, tmp_path):
    vector = embed.unit(np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape), tmp_path)
    assert vector.shape == (4,)
    assert np.linalg.norm(vector) == pytest.approx(1)


@given(st.lists(st.floats(-1, 1), min_size=8, max_size=64).filter(lambda v: np.linalg.norm(v) > 1e-2))
def test_a_stored_vector_comes_back_in_its_direction(values):
    vector = np.array(values, np.float32) / np.linalg.norm(values)
    assert float(embed.restored(embed.stored(vector)) @ vector) > 0.99


def test_models_that_are_none_are_refused_in_one_line(tmp_path):
    text = tmp_path / "not.onnx"
    text.write_text("version https://git-lfs.github.com/spec/v1")
    cascade = tmp_path / "not.xml"
    cascade.write_text("<opencv_storage></opencv_storage>")
    pixels = np.zeros((64, 64, 3), np.uint8)
    for act in (
        lambda: onnx.network(text),
        lambda: onnx.network(tmp_path / "absent.onnx"),
        lambda: faces.found(pixels, str(text)),
        lambda: faces.found(pixels, str(cascade)),
        lambda: faces.found(pixels, str(tmp_path / "absent.xml")),
        lambda: embed.picture(pixels, yunet(tmp_path / "many.onnx")),
    ):
        with pytest.raises(onnx.ModelError) as refusal:
            act()
        assert refusal.value.remedy
        assert "\n" not in refusal.value.problem
