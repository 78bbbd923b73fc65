"""Buckets and crops are arithmetic; these are its theorems."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portraitist.dataset.buckets import buckets, crops, enlarged, exposures, lost, nearest, window
from portraitist.errors import PortraitistError

sides = st.integers(64, 1536)
multiples = st.sampled_from([8, 16, 32, 64])
aspects = st.floats(1, 4)
sizes = st.integers(1, 6000)


@given(side=sides, multiple=multiples, aspect=aspects)
def test_every_bucket_keeps_the_rules(side, multiple, aspect):
    """No larger than the square, sides in multiples, inside the aspect limit; lying and standing come in pairs."""
    found = buckets(side, multiple, aspect)
    square = side // multiple * multiple
    assert any(b.width == b.height == square for b in found)
    for bucket in found:
        assert bucket.width % multiple == bucket.height % multiple == 0
        assert bucket.width * bucket.height <= side * side
        assert max(bucket.aspect, 1 / bucket.aspect) <= aspect + 1e-9
        assert type(bucket)(bucket.height, bucket.width) in found


@given(side=sides, multiple=multiples, aspect=aspects)
def test_no_bucket_could_grow_by_one_multiple(side, multiple, aspect):
    for bucket in buckets(side, multiple, aspect):
        if bucket.width > bucket.height:
            wider = bucket.width + multiple
            assert wider * bucket.height > side * side or wider > bucket.height * aspect


def test_at_1024_the_buckets_are_those_every_trainer_knows():
    found = {(b.width, b.height) for b in buckets(1024, 64, 2.0)}
    assert {(1024, 1024), (1152, 896), (896, 1152), (1216, 832), (1344, 768), (768, 1344)} <= found


def test_an_aspect_of_one_leaves_only_the_square():
    assert [(b.width, b.height) for b in buckets(128, 16, 1.0)] == [(128, 128)]


def test_a_resolution_below_one_multiple_is_refused():
    with pytest.raises(PortraitistError, match="resolution = 8"):
        buckets(8, 16, 2.0)


@given(width=sizes, height=sizes, side=sides, multiple=multiples, aspect=aspects, count=st.integers(1, 8))
def test_crops_lie_inside_the_picture_and_fill_their_bucket(width, height, side, multiple, aspect, count):
    among = buckets(side, multiple, aspect)
    found = crops(width, height, among, count)
    assert len(found) in (1, count)
    assert len(set(found)) == len(found)
    for crop in found:
        assert 0 <= crop.left < crop.left + crop.width <= width == crop.source_width
        assert 0 <= crop.top < crop.top + crop.height <= height == crop.source_height
        assert any((crop.to_width, crop.to_height) == (b.width, b.height) for b in among)
        assert crop.width == width or crop.height == height  # the largest window there is


@given(width=st.integers(64, 6000), height=st.integers(64, 6000), side=sides, multiple=multiples, aspect=aspects)
def test_a_crop_has_its_buckets_aspect_to_within_half_a_pixel(width, height, side, multiple, aspect):
    for crop in crops(width, height, buckets(side, multiple, aspect), 3):
        ideal = crop.to_width / crop.to_height
        assert (
            abs(crop.width - crop.height * ideal) <= 0.5 + 1e-6 or abs(crop.height - crop.width / ideal) <= 0.5 + 1e-6
        )


@given(width=sizes, height=sizes, side=sides, multiple=multiples)
def test_the_nearest_bucket_loses_least(width, height, side, multiple):
    """Of all buckets the nearest by log aspect keeps the largest share of the picture: exp(-distance) is that share."""
    among = buckets(side, multiple, 2.5)
    best = nearest(width, height, among)
    assume(min(width, height) >= 200)  # below, whole pixels decide
    kept = {bucket: 1 - lost(window(width, height, bucket)) for bucket in among}
    assert kept[best] >= max(kept.values()) - 0.01
    assert math.isclose(kept[best], math.exp(-abs(math.log(width / height / best.aspect))), abs_tol=0.01)


@given(height=st.integers(200, 4000))
def test_a_tall_picture_keeps_its_head(height):
    """What is cut from a tall picture comes mostly from below."""
    crop = crops(100, height, buckets(512, 64, 1.0))[0]
    above, below = crop.top, height - crop.top - crop.height
    assert above <= below / 7 + 1


def test_several_crops_reach_both_ends_of_the_longer_side():
    found = crops(900, 300, buckets(256, 32, 2.0), 4)
    assert min(c.left for c in found[1:]) == 0
    assert max(c.left + c.width for c in found[1:]) == 900
    assert len({c.left for c in found[1:]}) == 3


@given(width=sizes, height=sizes, count=st.integers(1, 8), weight=st.integers(1, 40))
def test_every_picture_is_seen_equally_often_however_many_crops_it_has(width, height, count, weight):
    found = len(crops(width, height, buckets(512, 64, 2.0), count))
    assert found * exposures(weight, found, count) == weight * count


def test_enlarging_is_told_as_a_factor():
    assert enlarged(crops(64, 64, buckets(128, 16, 2.0))[0]) == 2
    assert enlarged(crops(512, 512, buckets(128, 16, 2.0))[0]) == 0.25
