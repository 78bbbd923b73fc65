"""Combinations: even, never twice, and met by pairs."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.dataset.combinations import USUAL, by_cosets, spread, told, wanted
from portraitist.errors import PortraitistError

KINDS = st.lists(st.integers(1, 5), min_size=1, max_size=5).map(
    lambda sizes: {f"kind{i}": tuple(f"{i}{j}" for j in range(size)) for i, size in enumerate(sizes)}
)


def uneven(rows, kinds):
    counts = {kind: Counter(row[kind] for row in rows) for kind in kinds}
    return max(max(c.values()) - min(c[value] for value in kinds[kind]) for kind, c in counts.items())


@settings(max_examples=60, deadline=None)
@given(kinds=KINDS, share=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_every_value_comes_up_as_often_as_any_other_and_nothing_twice(kinds, share, seed):
    count = max(1, min(60, round(share * math.prod(map(len, kinds.values())))))
    rows = spread(kinds, count, seed)
    assert len({tuple(row.values()) for row in rows}) == count
    assert uneven(rows, kinds) <= 1
    assert rows == spread(kinds, count, seed)


@settings(deadline=None)
@given(kinds=KINDS, share=st.floats(0.01, 1))
def test_so_does_the_arithmetic_that_never_fails(kinds, share):
    import random

    count = max(1, round(share * math.prod(map(len, kinds.values()))))
    rows = by_cosets(kinds, count, random.Random(0))
    assert len({tuple(row.values()) for row in rows}) == count
    assert uneven(rows, kinds) <= 1


def test_pairs_of_values_meet_as_evenly_as_their_number_allows():
    """Of 72 pictures each of the 36 pairs of a view and an expression comes up once to three times."""
    rows = spread(USUAL, 72, 0)
    for a, b in itertools.combinations(USUAL, 2):
        met = Counter((row[a], row[b]) for row in rows)
        mean = 72 / (len(USUAL[a]) * len(USUAL[b]))
        assert len(met) == len(USUAL[a]) * len(USUAL[b]), (a, b)
        assert max(met.values()) <= math.ceil(mean) + 2, (a, b, met.most_common(3))


def test_more_than_there_are_is_refused():
    with pytest.raises(PortraitistError, match="There are 6 combinations"):
        spread({"a": ("1", "2"), "b": ("1", "2", "3")}, 7, 0)


def test_the_brief_goes_before_what_is_usual():
    found = wanted({"lighting": ("moonlight", "moonlight"), "angles": ("from above",), "view": ("front view",)})
    assert found["light"] == ("moonlight",)
    assert found["view"] == ("front view", "from above")
    assert found["framing"] == USUAL["framing"]


def test_words_leave_out_what_cannot_be_seen():
    how = {
        "framing": "half body",
        "view": "back view",
        "expression": "sad",
        "light": "dim",
        "background": "in a forest",
    }
    assert told(how, "maya") == "half body of maya, back view, in a forest, dim"
    assert told(how | {"view": "front view", "background": "city"}, "maya", tags=True) == (
        "maya, half body, sad, front view, city background, dim"
    )


def test_a_view_of_one_word_as_new_writes_it_is_told_as_a_view():
    assert told({"view": "side"}, "maya") == "maya, side view"
    assert told({"view": "back", "expression": "sad"}, "maya") == "maya, back view"
    assert told({"view": "facing left"}, "maya") == "maya, facing left"
