"""The walk over checkpoints and strengths: where it begins, where each cell leads, and how long it may be."""

import itertools

import pytest

from portraitist.judge import measures, walk
from portraitist.judge.candidates import Candidate
from portraitist.judge.gates import Gate
from portraitist.judge.scorecard import Drawn, Scorecard

STRENGTHS = (1.25, 0.6, 1.0, 0.8)


def screened(step, likeness, wobble):
    """A card of the screen: eight pictures about a likeness."""
    values = [likeness + wobble * (-1) ** i for i in range(8)]
    pictures = tuple(Drawn(f"p{i}", f"text {i}", 1, "", {"likeness": value}) for i, value in enumerate(values))
    return Scorecard(step, 1.0, "screen", {"likeness": measures.score(values)}, "g", "e", pictures)


def cell(value, low, limit=0.15, by="portrayal"):
    """A cell with one gate."""
    card = Scorecard(100, 1.0, "grid", {}, "g", "e")
    return Candidate(card, (Gate("obedience", value, low, 2 * value - low, limit, "it heeds less"),), by=by)


KEPT, BROKEN, PERHAPS = cell(0.05, 0.0), cell(0.3, 0.1), cell(0.3, 0.05)


def test_it_begins_at_the_latest_that_is_not_surely_less_like_than_the_likest():
    cards = [screened(10, 0.2, 0.0), screened(20, 0.7, 0.0), screened(30, 0.66, 0.3), screened(40, 0.4, 0.0)]
    assert walk.stops(cards, 5) == [30, 20, 10], "by chance alone 20 may be liker than 30; 40 is surely behind"


def test_what_keeps_to_the_gates_leads_to_the_next_stronger():
    assert walk.onward((50, 0.6), KEPT, [50, 40], STRENGTHS) == (50, 0.8)
    assert walk.onward((50, 0.8), KEPT, [50, 40], STRENGTHS) == (50, 1.0)
    assert walk.onward((50, 1.25), KEPT, [50, 40], STRENGTHS) is None


def test_one_that_is_no_liker_than_the_base_is_tried_stronger():
    """To be earlier or weaker mends what is lost, and never what was not learnt."""
    card = Scorecard(50, 0.6, "grid", {}, "g", "e")
    weak = Candidate(card, (Gate("identity", 0.2, 0.1, 0.3, 0.0, "it is no more like", costs=False),))
    assert not weak.passed
    assert walk.onward((50, 0.6), weak, [50, 40], STRENGTHS) == (50, 0.8)
    unlike = Gate("identity", 0.3, 0.2, 0.4, 0.0, "it is no more like", costs=False)
    both = Candidate(card, (unlike, *PERHAPS.gates))
    assert walk.onward((50, 0.6), both, [50, 40], STRENGTHS) is None, "nor does it lead to an earlier one"


def test_beyond_full_strength_it_goes_only_by_a_measure_that_sees_a_lora_overdriven():
    assert walk.onward((50, 1.0), KEPT, [50, 40], STRENGTHS) == (50, 1.25)
    assert walk.onward((50, 1.0), cell(0.05, 0.0, by="likeness"), [50, 40], STRENGTHS) is None


def test_what_evidently_does_not_leads_to_an_earlier_checkpoint_at_the_same_strength():
    assert walk.onward((50, 0.6), BROKEN, [50, 30, 10], STRENGTHS) == (30, 0.6)
    assert walk.onward((30, 0.8), BROKEN, [50, 30, 10], STRENGTHS) == (10, 0.8)
    assert walk.onward((10, 0.6), BROKEN, [50, 30, 10], STRENGTHS) is None


def test_what_chance_alone_may_have_broken_ends_it():
    """Its interval reaches below half the limit: to go back for that gives likeness away."""
    assert not PERHAPS.passed
    assert walk.onward((50, 0.6), PERHAPS, [50, 30, 10], STRENGTHS) is None


@pytest.mark.parametrize(
    ("checkpoints", "cells", "expected"),
    [(5, 5, [5, 4, 3, 2, 1]), (3, 5, [3, 2, 1]), (6, 5, [6, 4, 3, 2, 1]), (10, 5, [10, 7, 5, 3, 1]), (10, 1, [10])],
)
def test_it_can_come_back_to_the_first_checkpoint_whatever_their_number(checkpoints, cells, expected, monkeypatch):
    cards = [Scorecard(step, 1.0, "screen", {}, "g", "e") for step in range(1, checkpoints + 1)]
    monkeypatch.setattr(walk, "alive", lambda cards: cards)
    assert walk.stops(cards, cells) == expected


@pytest.mark.parametrize("strengths", [(1.0,), (0.7, 0.85, 1.0), (1.0, 1.25), (0.5, 0.8), (0.6, 1.0, 1.5)])
def test_no_walk_is_longer_than_is_counted_and_none_draws_more(strengths):
    """By trying every way that gates may turn out."""
    for checkpoints, cells in itertools.product((1, 2, 3, 6), (1, 2, 3, 5)):
        cards = [Scorecard(step, 1.0, "screen", {}, "g", "e") for step in range(1, checkpoints + 1)]
        steps = sorted({step for step in walk.stops(cards, cells)}, reverse=True)
        found = []
        for turns in itertools.product((KEPT, BROKEN), repeat=cells):
            at, walked = (steps[0], min(strengths)), []
            for seen in turns:
                if at is not None:
                    walked.append(at)
                    at = walk.onward(at, seen, steps, strengths)
            found.append((len(walked), sum(strength == 1.0 for _, strength in walked)))
        count, whole = walk.most(checkpoints, strengths, cells)
        assert max(length for length, _ in found) == count
        drawn = max(10 * length - 3 * shared for length, shared in found)
        assert drawn == 10 * count - 3 * whole, (strengths, checkpoints, cells)
