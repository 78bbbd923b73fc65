"""Pixel measures, held to what was done to a picture, to symmetries, and to slow definitions."""

import io
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from portraitist.audit import Rules, Seen, alike, balance, consistency, quality
from portraitist.audit.compression import (
    CHROMA_TABLE,
    LUMA_TABLE,
    blockiness,
    earlier_quality,
    scaled_table,
    subsampling,
    table_quality,
)
from portraitist.audit.consistency import uprightness
from portraitist.audit.edges import borders, staircases
from portraitist.audit.looks import descriptor
from portraitist.audit.measure import grey, measure
from portraitist.audit.sharpness import effective, noise, sharpness
from portraitist.audit.tones import missing_tones
from portraitist.dataset.split import TWINS, looks, mirrored, near, turned
from portraitist.mini.characters import album, unseen
from portraitist.mini.drawing import draw
from portraitist.pictures import Opened, Picture, open_upright
from tests.pictures import jpeg_bytes, looked_at, saved, scenery


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def said(check, pictures, side=256):
    return [finding.about for finding in check(Seen(pictures=pictures, trigger="zorblax", side=side), Rules())]


@pytest.mark.parametrize("quality_", [*range(1, 101, 7), 50, 100])
def test_the_quality_of_a_jpeg_is_read_from_its_tables_to_the_number(quality_, tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes(scenery(0), quality_))
    assert table_quality(open_upright(path).header.tables) == (quality_, True)


def test_tables_that_libjpeg_never_made_are_told_about():
    tables = [scaled_table(base, 60) for base in (LUMA_TABLE, CHROMA_TABLE)]
    tables[0] = tables[0] + 1
    value, exact = table_quality([table.tolist() for table in tables])
    assert not exact
    assert value == pytest.approx(60, abs=3)


@pytest.mark.parametrize(("how", "word"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_how_colours_were_thinned_is_told(how, word, tmp_path):
    path = saved(tmp_path / "a.jpg", scenery(0), subsampling=how)
    assert subsampling(open_upright(path).header.layers) == word


@pytest.mark.parametrize("quality_", [20, 35, 50, 65, 80])
@pytest.mark.parametrize("cut", [(0, 0), (3, 6)])
def test_jpeg_shows_in_pixels_that_were_saved_again_without_loss(quality_, cut):
    pixels, begins = scenery(1, 256, 256), tuple(-c % 8 for c in cut)
    again = decoded(jpeg_bytes(pixels, quality_))[cut[0] :, cut[1] :]
    assert abs(earlier_quality(grey(np.ascontiguousarray(again)), begins) - quality_) <= 5
    assert earlier_quality(grey(pixels), begins) == 0


def test_blocks_are_found_where_they_begin():
    pixels = draw(album(unseen(3), 1, 0)[0], 256).pixels
    again = decoded(jpeg_bytes(pixels, 40))[2:, 5:]
    ratio, begins = blockiness(grey(np.ascontiguousarray(again)))
    assert begins == (6, 3)
    assert ratio > 1.2 > blockiness(grey(pixels))[0]


@given(seed=st.integers(0, 30), deviation=st.floats(3, 20))
@settings(max_examples=8)
def test_noise_is_measured_in_grey_levels(seed, deviation):
    chance = np.random.default_rng(seed)
    flat = np.linspace(90, 160, 384)[None, :] + np.zeros((384, 1))
    luma = np.clip(flat + chance.normal(0, deviation, (384, 384)), 0, 255).astype(np.uint8)
    assert noise(luma) == pytest.approx(deviation, rel=0.25), "the quietest tiles read a little low"


def test_drawings_and_smooth_pictures_have_no_noise():
    assert noise(grey(draw(album(unseen(3), 1, 0)[0], 256).pixels)) < 0.5
    assert noise(np.tile(np.arange(256, dtype=np.uint8), (256, 1))) == 0


@given(seed=st.integers(0, 20), height=st.integers(70, 200), width=st.integers(70, 200))
@settings(max_examples=8)
def test_a_mirrored_picture_is_as_sharp_as_noisy_and_as_detailed(seed, height, width):
    luma = grey(scenery(seed, width, height))
    for turned_round in (luma[:, ::-1], luma[::-1]):
        other = np.ascontiguousarray(turned_round)
        assert effective(other) == pytest.approx(effective(luma), abs=0.051)
        assert sharpness(other) == pytest.approx(sharpness(luma), rel=0.03)
        assert noise(other) == pytest.approx(noise(luma), abs=0.6)


def test_less_contrast_makes_no_picture_soft():
    luma = grey(scenery(1, 256, 256))
    assert effective((luma * 0.3).astype(np.uint8)) >= effective(luma) - 0.1


@pytest.mark.parametrize("tone", [0, 40, 255])
def test_bars_are_measured_to_the_pixel_and_a_plain_background_is_none(tone):
    pixels = scenery(0, 120, 100)
    pixels[:9], pixels[-13:], pixels[:, :7] = tone, tone, tone
    left, above, right, below = borders(grey(pixels), pixels)
    assert (left, above, right, below) == (7, 9, 0, 13)
    backdrop = np.full((120, 120, 3), 200, np.uint8)
    backdrop[40:, 40:70] = scenery(1, 30, 80)
    assert borders(grey(backdrop), backdrop) == (0, 0, 0, 0)


def test_stairs_are_banding_and_a_ramp_or_stripes_are_none():
    ramp = np.tile(np.linspace(20, 220, 512), (256, 1))
    stairs = np.floor(ramp / 8) * 8
    stripes = np.where(np.arange(512) // 16 % 2, 100, 110) + np.zeros((256, 1))
    assert staircases(stairs.astype(np.uint8)) > Rules().banding
    assert staircases(ramp.astype(np.uint8)) == 0
    assert staircases(stripes.astype(np.uint8)) == 0


@given(levels=st.sampled_from([8, 16, 32, 64]))
def test_missing_tones_are_counted(levels):
    step = 256 // levels
    pixels = scenery(0, 200, 200) // step * step
    assert missing_tones(pixels) == pytest.approx(1 - 1 / step, abs=0.1)
    assert missing_tones(scenery(0, 200, 200)) < 0.1


def test_light_that_was_cut_off_is_told_from_a_subject_before_white():
    pixels = scenery(3, 256, 256) // 2 + 50
    burnt = np.clip(pixels * 2.1, 0, 255).astype(np.uint8)
    backdrop = np.full((256, 256, 3), 255, np.uint8)
    backdrop[60:, 80:180] = pixels[60:, 80:180]
    named = said(quality.clipped, [looked_at(p, f"{n}.png", 256) for n, p in enumerate((pixels, burnt, backdrop))])
    assert named == ["1.png white"]


def test_grey_and_sepia_are_named_among_colours_and_in_a_grey_set_nothing_is():
    luma = scenery(4, 128, 128) @ np.array([0.3, 0.6, 0.1])
    sepia = np.clip(luma[..., None] * np.array([1.07, 0.97, 0.8]), 0, 255).astype(np.uint8)
    plain = np.repeat(luma[..., None], 3, axis=2).astype(np.uint8)
    coloured = [looked_at(draw(scene, 128).pixels, f"{n}.png") for n, scene in enumerate(album(unseen(5), 5, 0))]
    spoilt = [looked_at(sepia, "sepia.png"), looked_at(plain, "grey.png")]
    assert sorted(said(consistency.greyscale, [*coloured, *spoilt])) == ["grey.png", "sepia.png"]
    assert said(consistency.greyscale, spoilt) == []


def test_a_set_tells_which_of_its_pictures_lie_and_what_turns_them_back():
    scenes = album(unseen(6), 20, 1)
    pictures = []
    for number, scene in enumerate(scenes):
        pixels = np.ascontiguousarray(np.rot90(draw(scene, 64).pixels, number if number < 4 else 0))
        pictures.append(looked_at(pixels, f"{number:02}.png"))
    seen = Seen(pictures=pictures, trigger="zorblax", side=64)
    found = {finding.about: finding.says for finding in consistency.lying(seen, Rules())}
    assert sorted(found) == ["01.png", "02.png", "03.png"]
    for name, way in (("01.png", "to the right"), ("02.png", "by half"), ("03.png", "to the left")):
        assert way in found[name], "turned to the left, it must be turned to the right"


def test_a_set_without_an_up_of_its_own_has_nothing_lying():
    assert said(consistency.lying, [looked_at(scenery(seed), f"{seed}.png") for seed in range(24)]) == []


def test_judging_without_a_picture_is_fitting_without_it():
    """The closed form equals fitting once for every picture left out."""
    look = looks([looked_at(scenery(seed, 48, 48), str(seed)) for seed in range(14)])
    fast = uprightness(look)
    forms = np.stack([turned(side, k) for side in (look, mirrored(look)) for k in range(4)], axis=1).astype(float)
    forms -= forms.mean(axis=(0, 1))
    truth, ridge = np.tile([1, -1 / 3, -1 / 3, -1 / 3], 2), 10.0 * 14 * 8 / 176
    for left_out in (0, 7, 13):
        kept = np.delete(forms, left_out, axis=0).reshape(-1, 176)
        weights = np.linalg.solve(kept.T @ kept + ridge * np.eye(176), kept.T @ np.tile(truth, 13))
        np.testing.assert_allclose(fast[left_out], (forms[left_out] @ weights)[:4], atol=1e-8)


@given(quarters=st.integers(0, 3), seed=st.integers(0, 20))
@settings(max_examples=20)
def test_a_turned_descriptor_is_the_descriptor_of_the_turned_picture(quarters, seed):
    pixels = scenery(seed, 64, 64)
    there = descriptor(np.ascontiguousarray(np.rot90(pixels, quarters)))
    assert float(turned(descriptor(pixels)[None], quarters)[0] @ there) > 0.999


def test_a_mark_that_all_pictures_have_is_found_and_a_set_without_one_is_not_accused():
    plain = [scenery(seed, 144, 144) for seed in range(10)]
    marked = [p.copy() for p in plain]
    for pixels in marked:
        pixels[112:130:5, 90:135] = 255
        pixels[112:130, 90:135:5] = 255
    assert said(consistency.repeated_mark, [looked_at(p, f"{n}.png") for n, p in enumerate(plain)]) == []
    (about,) = said(consistency.repeated_mark, [looked_at(p, f"{n}.png") for n, p in enumerate(marked)])
    assert about.startswith("144x144 7") or about.startswith("144x144 8")


POOL = [looked_at(scenery(seed, 48, 48), f"{seed:02}") for seed in range(20)]
POOL += [looked_at(scenery(seed, 48, 48)[:, ::-1].copy(), f"m{seed}") for seed in range(5)]
POOL += [looked_at(scenery(seed, 48, 48)[1:, 1:].copy(), f"c{seed}") for seed in range(5)]
POOL += [replace(POOL[0], name="copy")]


@given(order=st.permutations(range(len(POOL))), count=st.integers(0, len(POOL)))
@settings(max_examples=8)
def test_the_fast_search_for_twins_is_the_slow_definition(order, count):
    pictures = [POOL[i] for i in order[:count]]
    assert list(near(pictures, TWINS)) == slow(pictures)


def test_a_search_over_several_blocks_of_rows_is_the_slow_definition():
    pictures = [replace(POOL[i % len(POOL)], name=str(i)) for i in range(40)]
    assert list(near(pictures, TWINS)) == slow(pictures)


def slow(pictures):
    """Twins by their definition, pair by pair, one bit and one number at a time."""

    def number(picture, name):
        return int(picture.measures[name], 16)

    def luma(picture, flip):
        fine = np.frombuffer(bytes.fromhex(picture.measures["thumbnail"]), np.uint8).reshape(32, 32).astype(float)
        coarse = fine.reshape(16, 2, 16, 2).mean(axis=(1, 3))
        coarse = coarse[:, ::-1] if flip else coarse
        return (coarse - coarse.mean()).ravel() / max(np.linalg.norm(coarse - coarse.mean()), 1e-6)

    def twin(a, b, flip):
        end = "_mirrored" if flip else ""
        by_p = (number(a, "phash") ^ number(b, f"phash{end}")).bit_count() <= TWINS.phash
        by_d = (number(a, "dhash") ^ number(b, f"dhash{end}")).bit_count() <= TWINS.dhash
        other = looks([b])
        look = float(looks([a])[0] @ (mirrored(other) if flip else other)[0])
        shape = float(luma(a, False) @ luma(b, flip))
        sure = look >= TWINS.sure_alike or shape >= TWINS.sure_shape
        return (by_p or by_d) and look >= TWINS.alike and shape >= TWINS.shape and sure

    pairs = combinations(range(len(pictures)), 2)
    one = pictures
    return [(i, j) for i, j in pairs if one[i].digest == one[j].digest or any(twin(one[i], one[j], f) for f in (0, 1))]


def test_a_crop_is_for_review_and_no_twin():
    pixels = draw(album(unseen(8), 3, 3)[2], 256).pixels
    pictures = [looked_at(pixels, "whole.png"), looked_at(np.ascontiguousarray(pixels[20:236, 12:228]), "part.png")]
    assert list(near(pictures, TWINS)) == []
    (finding,) = alike.maybe_same(Seen(pictures=pictures, trigger="zorblax", side=256), Rules())
    assert (finding.severity, finding.pictures) == ("note", ("part.png", "whole.png"))
    assert list(alike.maybe_same(Seen(pictures=pictures[:1] * 2, trigger="zorblax", side=256), Rules())) == []


def test_of_twins_the_one_without_jpeg_is_kept(tmp_path):
    pixels = scenery(2, 192, 192)
    pictures = []
    for path in (saved(tmp_path / "a.png", pixels), saved(tmp_path / "z.jpg", pixels, quality=50)):
        opened = open_upright(path)
        pictures.append(Picture(path.name, opened.digest, 192, 192, measures=measure(opened, 192)))
    assert said(balance.near_duplicates, pictures) == ["a.png"]


@pytest.mark.parametrize("name", ["IMG 1.png", "Screenshot_2024.png", "Bildschirmfoto 3.png"])
def test_a_screenshot_is_told_by_its_name(name):
    assert bool(said(quality.screenshot, [replace(POOL[0], name=name)])) == ("1." not in name)


def test_a_screen_s_size_is_no_screenshot_when_a_camera_took_it():
    screen = replace(POOL[0], width=1080, height=2400)
    assert said(quality.screenshot, [screen]) == [screen.name]
    assert said(quality.screenshot, [replace(screen, measures={**screen.measures, "camera": True})]) == []


@given(
    pixels=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3)).map(
        lambda v: np.random.default_rng(v[2]).integers(0, 256, (v[0], v[1], 3), dtype=np.uint8)
    ),
    opaque=st.sampled_from([None, 0, 255]),
)
@settings(max_examples=40)
def test_any_size_and_any_transparency_is_measured_and_judged(pixels, opaque):
    alpha = None if opaque is None else np.full(pixels.shape[:2], opaque, np.uint8)
    opened = Opened(pixels, alpha)
    picture = Picture("a.png", opened.digest, opened.width, opened.height, measures=measure(opened, 64))
    values = [v for value in picture.measures.values() for v in (value if isinstance(value, list) else [value])]
    assert all(math.isfinite(v) for v in values if not isinstance(v, str))
    for check in quality.CHECKS:
        list(check(Seen(pictures=[picture], trigger="zorblax", side=64), Rules()))
