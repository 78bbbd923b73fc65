"""Any file becomes upright sRGB, or a reason why not."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from portraitist.errors import PortraitistError
from portraitist.pictures import Crop, Opened, cut, fit, framing_word, open_upright
from tests.pictures import jpeg_bytes, png_header, saved, scenery

TURNED_BY = {
    # EXIF orientation: what a camera did to an upright picture before storing it (JEITA CP-3451)
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", TURNED_BY)
def test_every_exif_orientation_opens_as_the_upright_original(orientation, tmp_path):
    upright = scenery(1, 40, 24)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", np.ascontiguousarray(TURNED_BY[orientation](upright)), exif=exif)
    assert np.array_equal(open_upright(path).pixels, upright)
    assert open_upright(path).digest == open_upright(saved(tmp_path / "b.png", upright)).digest


def test_a_deep_grey_picture_opens_as_its_8_bit_twin(tmp_path):
    grey = scenery(2)[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    opened = open_upright(tmp_path / "deep.png")
    assert np.array_equal(opened.pixels, np.repeat(grey[..., None], 3, axis=2))


def test_a_floating_point_picture_opens_by_its_range(tmp_path):
    grey = scenery(2)[..., 0]
    Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / "unit.tif")
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "bytes.tif")
    for name in ("unit.tif", "bytes.tif"):
        assert np.array_equal(open_upright(tmp_path / name).pixels[..., 0], grey), name


def test_one_bit_opens_as_black_and_white(tmp_path):
    grey = scenery(3)[..., 0]
    Image.fromarray(grey > 128).save(tmp_path / "bits.png")
    assert np.array_equal(open_upright(tmp_path / "bits.png").pixels[..., 1], np.where(grey > 128, 255, 0))


def test_cmyk_opens_near_the_rgb_it_was_made_from(tmp_path):
    colours = scenery(4)
    Image.fromarray(colours).convert("CMYK").save(tmp_path / "print.tif")
    assert np.abs(open_upright(tmp_path / "print.tif").pixels.astype(int) - colours).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_lies_over_white_and_is_kept_apart(mode, tmp_path):
    alpha = np.zeros((96, 96), np.uint8)
    alpha[:, 48:] = 255
    grey = np.clip(scenery(5)[..., 0], 1, 199)
    if mode == "P":  # one palette entry is transparent
        picture = Image.fromarray(np.where(alpha > 0, grey, 200).astype(np.uint8))
        picture.putpalette([value for value in range(256) for _ in range(3)])
        picture.save(tmp_path / "a.png", transparency=200)
    elif mode == "RGB":  # one colour is transparent
        keyed = np.where(alpha > 0, grey, 200).astype(np.uint8)
        Image.fromarray(np.stack([keyed] * 3, axis=-1)).save(tmp_path / "a.png", transparency=(200, 200, 200))
    else:
        picture = Image.fromarray(grey).convert(mode)
        picture.putalpha(Image.fromarray(alpha))
        picture.save(tmp_path / "a.png")
    opened = open_upright(tmp_path / "a.png")
    assert opened.alpha is not None
    assert np.array_equal(opened.alpha, alpha)
    assert (opened.pixels[:, :48] == 255).all()
    assert np.array_equal(opened.pixels[:, 48:, 0], grey[:, 48:])


def test_an_opaque_alpha_channel_is_none_and_does_not_change_the_digest(tmp_path):
    plain = saved(tmp_path / "a.png", scenery(6))
    Image.fromarray(scenery(6)).convert("RGBA").save(tmp_path / "b.png")
    assert open_upright(tmp_path / "b.png").alpha is None
    assert open_upright(tmp_path / "b.png").digest == open_upright(plain).digest


def test_colours_go_through_the_embedded_profile(tmp_path):
    """An sRGB profile changes nothing; a profile whose gamma differs changes what the same bytes mean."""
    colours = scenery(7)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with_profile = saved(tmp_path / "a.png", colours, icc_profile=srgb)
    broken = saved(tmp_path / "b.png", colours, icc_profile=b"not a profile at all")
    assert np.abs(open_upright(with_profile).pixels.astype(int) - colours).max() <= 1
    assert np.array_equal(open_upright(broken).pixels, colours)


def test_of_a_moving_picture_the_first_frame_counts(tmp_path):
    frames = [Image.fromarray(scenery(i)).quantize(64) for i in (8, 9)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.array_equal(open_upright(tmp_path / "a.gif").pixels, np.asarray(frames[0].convert("RGB")))


def refusal(path: Path) -> PortraitistError:
    with pytest.raises(PortraitistError) as caught:
        open_upright(path)
    assert str(path) in caught.value.problem
    assert caught.value.remedy
    assert "\n" not in caught.value.problem + caught.value.remedy
    return caught.value


def test_an_empty_file_says_so(tmp_path):
    (tmp_path / "a.png").touch()
    assert "0 bytes" in refusal(tmp_path / "a.png").problem


def test_a_bomb_is_refused_by_its_header(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(60_000, 60_000))
    assert "3,600 megapixels" in refusal(tmp_path / "a.png").problem


def test_pillows_own_limit_is_put_back(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "a.png").write_bytes(png_header(60_000, 60_000))
    refusal(tmp_path / "a.png")
    assert before == Image.MAX_IMAGE_PIXELS


@given(keep=st.floats(0.02, 0.9))
def test_a_truncated_jpeg_is_refused(keep, tmp_path_factory):
    whole = jpeg_bytes(scenery(10))
    path = tmp_path_factory.mktemp("cut") / "a.jpg"
    path.write_bytes(whole[: int(len(whole) * keep)])
    refusal(path)


@given(
    noise=st.binary(min_size=1, max_size=200),
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF89a", b"II*\0", b"RIFF....WEBP"]),
)
def test_no_bytes_at_all_get_anything_but_a_picture_or_a_refusal(noise, head, tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "a.png"
    path.write_bytes(head + noise)
    with contextlib.suppress(PortraitistError):
        assert open_upright(path).pixels.dtype == np.uint8


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    refusal(tmp_path / "none.png")
    refusal(tmp_path)


@given(left=st.integers(0, 20), top=st.integers(0, 20), width=st.integers(4, 40), height=st.integers(4, 40))
def test_a_crop_at_its_own_size_is_that_part_of_the_picture(left, top, width, height):
    opened = Opened(scenery(11, 64, 64), np.full((64, 64), 7, np.uint8))
    pixels, alpha = cut(opened, Crop(64, 64, left, top, width, height, width, height))
    assert np.array_equal(pixels, opened.pixels[top : top + height, left : left + width])
    assert alpha is not None
    assert alpha.shape == (height, width)


@given(width=st.integers(1, 9000), height=st.integers(1, 9000), longest=st.integers(1, 4000))
def test_a_fitted_size_is_inside_and_keeps_its_aspect(width, height, longest):
    w, h = fit(width, height, longest)
    assert 1 <= w <= max(longest, 1)
    assert 1 <= h <= max(longest, 1)
    assert abs(w * height - h * width) <= max(width, height)


def test_framings_are_read_as_captions_tell_them():
    assert framing_word("zorblax, full body, city") == "full"
    assert framing_word("A Cowboy Shot of zorblax") == "mid"
    assert framing_word("upper body portrait") == "mid"
    assert framing_word("Close-up of zorblax") == "close-up"
    assert framing_word("zorblax in a forest") == ""
