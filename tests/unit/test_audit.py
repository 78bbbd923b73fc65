"""Measures are held to what they claim to see; findings to what they tell a person to do."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from portraitist.audit import Rules, Seen, Unread, balance, coverage, quality, wording
from portraitist.audit.looks import phash
from portraitist.audit.measure import grey, measure
from portraitist.audit.sharpness import effective, sharpness
from portraitist.pictures import Opened, Picture
from tests.pictures import jpeg_bytes, looked_at, scenery

PLAIN = {
    "short": 512, "effective": 1.0, "sharpness": 500.0, "dark": 0.0, "bright": 0.0, "midtones": 1.0,
    "phash": "0" * 16, "dhash": "0" * 16, "phash_mirrored": "f" * 16, "dhash_mirrored": "f" * 16,
    "thumbnail": "00" * 1024, "descriptor": "0000" * 176, "noise": 0.0, "low": 20.0, "high": 230.0, "tones": 7.0,
    "jpeg": 0.0, "exact": False, "chroma_kept": "", "earlier": 0, "blocks": 1.0, "moved": False, "banding": 0.0,
    "missing": 0.0, "cast": 0.0, "leans": "red", "hues": 20.0, "chroma": 30.0, "tone": [50.0, 0.0, 0.0],
    "borders": [0, 0, 0, 0], "dark_end": [0.0, 0.0, 0.0], "bright_end": [0.0, 0.0, 0.0], "burnt": 0.0, "lettering": 0,
    "camera": False, "format": "PNG", "edges": "00" * 288,
}  # fmt: skip
"""Measures of a picture that nothing is wrong with, and that is no twin of another."""


def made(name: str, caption: str = "zorblax, half body", **measures: object) -> Picture:
    return Picture(name, f"digest of {name}", 512, 512, caption, split="train", measures={**PLAIN, **measures})


def seen(pictures, **facts) -> Seen:
    return Seen(pictures=pictures, trigger="zorblax", side=512, **facts)


def found(check, pictures, **facts):
    return list(check(seen(pictures, **facts), Rules()))


@pytest.mark.parametrize(("factor", "most"), [(1.5, 0.7), (2, 0.5), (4, 0.33)])
def test_a_picture_scaled_up_shows_its_effective_size(factor, most):
    for seed in range(3):
        picture = Image.fromarray(scenery(seed, 384, 384))
        small = picture.resize((int(384 / factor),) * 2, Image.Resampling.LANCZOS)
        again = np.asarray(small.resize((384, 384), Image.Resampling.BICUBIC))
        assert effective(grey(np.asarray(picture))) >= 0.9
        assert effective(grey(again)) <= most


def test_a_sharp_subject_before_a_blurred_background_counts_as_sharp():
    sharp = scenery(1, 384, 384)
    soft = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(3))).copy()
    assert sharpness(grey(soft)) < Rules().sharpness
    soft[96:288, 96:288] = sharp[96:288, 96:288]
    assert sharpness(grey(soft)) > Rules().sharpness
    assert effective(grey(soft)) >= 0.7


def test_a_flat_or_tiny_picture_is_measured_without_a_number_that_is_none():
    for pixels in (np.full((200, 90, 3), 255, np.uint8), scenery(0, 3, 5), np.zeros((1, 1, 3), np.uint8)):
        numbers = measure(Opened(pixels, None), 512)
        assert all(np.isfinite(v).all() for v in numbers.values() if not isinstance(v, str))


def test_shares_are_of_the_subject_not_of_the_white_around_it():
    pixels, alpha = np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64), np.uint8)
    pixels[16:48, 24:40], alpha[16:48, 24:40] = 120, 255
    assert measure(Opened(pixels, None), 64)["bright"] == 0.875
    assert measure(Opened(pixels, alpha), 64)["bright"] == 0
    assert measure(Opened(pixels, alpha), 64)["covers"] == 0.125


@given(seed=st.integers(0, 200), gain=st.floats(0.5, 1.5), shift=st.floats(-20, 20))
def test_a_hash_does_not_see_brightness_or_contrast(seed, gain, shift):
    """The median of scaled frequencies is the scaled median; only the constant one may cross it."""
    luma = grey(scenery(seed, 64, 64))
    assert (phash(luma) ^ phash(luma * np.float32(gain) + np.float32(shift))).bit_count() <= 3


@given(close=st.integers(0, 60), mid=st.integers(0, 60), full=st.integers(0, 60))
def test_the_remedy_cures(close, mid, full):
    """A remedy is a claim: following it puts that framing inside its range."""
    counts, rules = {"close-up": close, "mid": mid, "full": full}, Rules()
    words = {"close-up": "close-up", "mid": "upper body", "full": "full body"}
    pictures = [made(f"{f}{i}", f"zorblax, {words[f]}") for f, n in counts.items() for i in range(n)]
    for finding in coverage.framing_balance(seen(pictures), rules):
        low, high = rules.framing[finding.about]
        share = (counts[finding.about] + finding.change) / (sum(counts.values()) + max(finding.change, 0))
        assert low - rules.slack <= share <= high + rules.slack
        assert not (finding.change > 0 and "Swap" in finding.remedy)


def test_framings_are_not_judged_where_captions_do_not_tell_them():
    pictures = [made(str(i), "zorblax" if i % 2 else "zorblax, close-up") for i in range(40)]
    assert found(coverage.framing_balance, pictures) == []


@given(count=st.integers(1, 30))
def test_the_number_of_pictures_asked_for_is_enough(count):
    pictures = [made(str(i)) for i in range(count)]
    for finding in found(balance.number, pictures):
        more = pictures + [made(f"new {i}") for i in range(finding.change)]
        assert not any(f.severity == finding.severity for f in found(balance.number, more))
    assert any(f.severity == "block" for f in found(balance.number, pictures)) == (count < 3)


def test_copies_of_one_picture_count_as_one():
    pictures = [looked_at(scenery(0), f"{i}.png") for i in range(6)]
    assert [f.severity for f in found(balance.number, pictures)] == ["block"]


def test_of_twins_the_one_with_most_detail_is_kept(tmp_path):
    large, small = (
        looked_at(scenery(0, 256, 256), "large.png"),
        looked_at(np.asarray(Image.fromarray(scenery(0, 256, 256)).resize((100, 100))), "small.png"),
    )
    (finding,) = found(balance.near_duplicates, [small, looked_at(scenery(1), "other.png"), large])
    assert finding.about == "large.png"
    assert finding.pictures == ("large.png", "small.png")
    assert "remove small.png" in finding.remedy
    assert finding.change == -1


def test_equal_pixels_are_told_apart_from_alike_ones():
    twice = [looked_at(scenery(0), "a.png"), looked_at(scenery(0), "b.png")]
    assert "the same pixels" in found(balance.near_duplicates, twice)[0].says


@pytest.mark.parametrize(
    ("check", "measures"),
    [
        (quality.small, {"short": 255}),
        (quality.soft, {"effective": 0.5}),
        (quality.blurred, {"sharpness": 39.0}),
        (quality.clipped, {"bright": 0.06, "midtones": 0.1}),
        (quality.clipped, {"dark": 0.06, "midtones": 0.1}),
    ],
)
def test_a_bad_picture_is_named_with_its_number_and_a_good_one_is_not(check, measures):
    (finding,) = found(check, [made("bad.png", **measures), made("good.png")])
    assert finding.pictures == ("bad.png",)
    assert finding.severity == "warn"
    assert any(char.isdigit() for char in finding.says)
    assert finding.remedy


def test_a_large_soft_file_with_enough_pixels_left_is_fine():
    assert found(quality.soft, [made("camera.jpg", short=3000, effective=0.5)]) == []


def test_a_lit_subject_on_white_is_not_clipped():
    assert found(quality.clipped, [made("studio.png", bright=0.4, midtones=0.5)]) == []


def test_saving_as_jpeg_makes_no_picture_soft():
    pixels = scenery(2, 256, 256)
    again = np.asarray(Image.open(BytesIO(jpeg_bytes(pixels, 85))).convert("RGB"))
    assert found(quality.soft, [looked_at(again, side=256)]) == []


def test_no_caption_with_the_trigger_blocks_and_some_without_it_warns():
    none = [made(str(i), "a fox in a wood") for i in range(5)]
    (finding,) = found(wording.trigger_missing, none)
    assert finding.severity == "block"
    (finding,) = found(wording.trigger_missing, [made("x"), *none])
    assert finding.severity == "warn"
    assert finding.pictures == tuple("01234")
    assert found(wording.trigger_missing, [made("x")]) == []


def test_pictures_of_others_need_no_trigger_and_must_not_have_it():
    others = [replace(made(str(i), "a fox in a wood"), role="prior") for i in range(5)]
    assert found(wording.trigger_missing, [made("x"), *others]) == []
    assert found(wording.trigger_in_prior, [made("x"), *others]) == []
    (finding,) = found(wording.trigger_in_prior, [made("x"), *others, replace(made("y"), role="prior")])
    assert (finding.severity, finding.pictures) == ("block", ("y",))
    (finding,) = found(wording.trigger_missing, others)
    assert finding.severity == "block", "pictures of others alone show no character"


def test_a_caption_past_the_limit_is_told_with_its_count():
    count = {"count_tokens": lambda text: len(text.split()), "token_limit": 4}
    (finding,) = found(wording.caption_too_long, [made("a.png"), made("b.png", "zorblax one two three four")], **count)
    assert finding.about == "b.png"
    assert "5 tokens" in finding.says


def test_every_variant_of_a_caption_is_counted():
    long = Picture("a.png", "a", 512, 512, "zorblax", ("zorblax and many more words",), measures=PLAIN)
    count = {"count_tokens": lambda text: len(text.split()), "token_limit": 3}
    assert len(found(wording.caption_too_long, [long], **count)) == 1


def test_an_unreadable_caption_blocks_and_is_not_called_missing_too():
    broken = [Unread("a.png", "a.txt is not UTF-8", "Save it as UTF-8.")]
    pictures = [made("a.png", ""), made("b.png", "")]
    assert found(wording.caption_unreadable, pictures, uncaptioned=broken)[0].severity == "block"
    assert found(wording.caption_missing, pictures, uncaptioned=broken)[0].pictures == ("b.png",)


def test_one_caption_for_everything_is_told():
    assert len(found(wording.captions_alike, [made(str(i), "zorblax") for i in range(4)])) == 1
    assert found(wording.captions_alike, [made("a"), made("b", "zorblax, sitting"), made("c")]) == []


def test_every_check_says_nothing_of_a_good_set():
    words = ["close-up"] * 5 + ["half body"] * 9 + ["full body"] * 6
    pictures = [
        looked_at(
            scenery(i, 128, 128),
            f"{i:02}.png",
            caption=f"zorblax, {word}, scene {i}",
            split="held-out" if i == 3 else "train",
        )
        for i, word in enumerate(words)
    ]
    matter = Seen(pictures=pictures, trigger="zorblax", side=128)
    assert [f for check in (*quality.CHECKS, *balance.CHECKS, *wording.CHECKS) for f in check(matter, Rules())] == []
