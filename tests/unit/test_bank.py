"""What benchmarks read off the bank of runs: intervals over characters, and regret."""

import math

import numpy as np
import pytest

from benchmarks import chooser
from benchmarks.record import Record, interval


def test_two_seeds_of_a_character_are_no_more_evidence_than_one():
    """The same values twice within each character: nothing is known better."""
    values = list(np.random.default_rng(1).normal(size=12))
    once = interval(values, range(12))
    assert interval(values * 2, [*range(12), *range(12)]) == pytest.approx(once)
    alone = interval(values * 2, range(24))
    assert alone[2] - alone[1] < 0.8 * (once[2] - once[1])


def test_an_interval_over_characters_is_as_wide_as_the_theory_of_means_has_it():
    values = list(np.random.default_rng(2).normal(size=40))
    mean, low, high = interval(values, range(40))
    assert mean == pytest.approx(np.mean(values))
    assert high - low == pytest.approx(2 * 1.96 * np.std(values) / math.sqrt(40), rel=0.08)


def test_regret_is_the_share_of_the_range_that_is_given_away_within_what_is_allowed():
    cells = {(0, 0.0): 0.0, (100, 1.0): 0.5, (200, 1.0): 0.7, (300, 1.0): 0.9}
    run = Record("a-run", {"truths": [{"step": s, "strength": k, "truth": v} for (s, k), v in cells.items()]})
    every = [(100, 1.0), (200, 1.0), (300, 1.0)]
    assert chooser.regret(run, (300, 1.0), every) == 0
    assert chooser.regret(run, (100, 1.0), every) == 1
    assert chooser.regret(run, (100, 1.0), every[:2]) == pytest.approx(0.5)
    assert chooser.regret(run, (300, 1.0), every[:2]) == chooser.OUT == 1, "better, and not allowed"
    assert math.isnan(chooser.regret(run, (100, 1.0), []))
