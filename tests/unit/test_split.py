"""The held-out pictures: a tenth or so, the same ones every time, no twin of one trained on."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from portraitist.audit.looks import descriptor
from portraitist.dataset.split import apportioned, clusters, held_out, mirrored, twins
from tests.pictures import jpeg_bytes, looked_at, scenery

POOL = [looked_at(scenery(seed), f"{seed:03}.png") for seed in range(48)]
"""Different pictures, measured once."""


def kept(pictures, share=0.125):
    return {pictures[i].digest for i in held_out(pictures, share)}


def altered(pixels, how):
    image = Image.fromarray(pixels)
    width, height = image.size
    ways = {
        "saved at quality 30": lambda: Image.open(io.BytesIO(jpeg_bytes(pixels, 30))),
        "halved": lambda: image.resize((width // 2, height // 2)),
        "brightened by a quarter": lambda: ImageEnhance.Brightness(image).enhance(1.25),
        "toned": lambda: image.point(lambda value: int(255 * (value / 255) ** 0.7)),
        "cropped by 2 %": lambda: image.crop((3, 3, width - 3, height - 3)),
        "mirrored": lambda: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "mirrored and saved again": lambda: Image.open(io.BytesIO(jpeg_bytes(pixels[:, ::-1], 60))),
    }
    return np.asarray(ways[how]())


WAYS = ("saved at quality 30", "halved", "brightened by a quarter", "toned", "cropped by 2 %", "mirrored",
        "mirrored and saved again")  # fmt: skip


@pytest.mark.parametrize("how", WAYS)
def test_a_picture_that_was_only(how):
    """... is a twin of its original."""
    for seed in range(8):
        pixels = scenery(seed, 256, 256)
        pair = [looked_at(pixels, "a.png"), looked_at(altered(pixels, how), "b.png")]
        assert list(twins(pair)) == [(0, 1)], seed


def test_different_pictures_are_no_twins():
    assert list(twins(POOL)) == []


def test_a_mirrored_descriptor_is_the_descriptor_of_the_mirrored_picture():
    pixels = scenery(3)
    turned = mirrored(np.asarray(descriptor(pixels), np.float32)[None])[0]
    assert float(turned @ descriptor(pixels[:, ::-1])) > 0.999


@given(count=st.integers(0, 48), share=st.floats(0, 0.5))
def test_the_number_held_out_is_never_more_than_the_share_but_at_least_one(count, share):
    held = len(held_out(POOL[:count], share))
    if count < 8 or share == 0:
        assert held == 0
    else:
        assert held == max(1, int(share * count))


@given(order=st.permutations(range(24)))
def test_the_order_of_the_folder_decides_nothing(order):
    assert kept([POOL[i] for i in order]) == kept(POOL[:24])


@given(count=st.integers(16, 47))
def test_one_more_picture_moves_at_most_one_place(count):
    before, after = kept(POOL[:count]), kept(POOL[: count + 1])
    assert len(before - after) <= 1


@settings(max_examples=25)
@given(
    copies=st.lists(st.integers(0, 11), max_size=10),
    share=st.floats(0.05, 0.4),
    order=st.randoms(use_true_random=False),
)
def test_twins_never_straddle_the_split(copies, share, order):
    pictures = POOL[:12] + [looked_at(scenery(seed)[:, ::-1].copy(), f"copy-{n}.png") for n, seed in enumerate(copies)]
    order.shuffle(pictures)
    held = held_out(pictures, share)
    for group in clusters(pictures):
        assert len({i in held for i in group}) == 1
    assert len(held) <= max(1, int(share * len(pictures)))


def test_framings_get_their_part_of_the_places():
    words = ["close-up", "upper body", "full body", "full body"]
    pictures = [looked_at(scenery(i), f"{i}.png", caption=f"zorblax, {words[i % 4]}") for i in range(32)]
    held = [pictures[i].caption for i in held_out(pictures, 0.125)]
    assert sorted(held) == ["zorblax, close-up", "zorblax, full body", "zorblax, full body", "zorblax, upper body"]


def test_only_pictures_of_the_character_are_held_out():
    pictures = [looked_at(scenery(i), f"{i}.png", role="realism" if i < 20 else "identity") for i in range(36)]
    held = held_out(pictures, 0.25)
    assert len(held) == 4
    assert all(pictures[i].role == "identity" for i in held)


@given(
    places=st.integers(0, 60), sizes=st.dictionaries(st.text(max_size=3), st.integers(1, 40), min_size=1, max_size=5)
)
def test_places_are_shared_out_to_the_last_and_within_one_of_exact(places, sizes):
    given_ = apportioned(places, sizes)
    assert sum(given_.values()) == places
    for name, size in sizes.items():
        assert abs(given_[name] - places * size / sum(sizes.values())) < 1
