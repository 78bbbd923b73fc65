"""Scorecards on disk, and the statistics on them: intervals that hold what they promise, comparisons in pairs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from portraitist.errors import PortraitistError
from portraitist.judge import measures, scorecard
from portraitist.judge.scorecard import Drawn, Losses, Score, Scorecard
from portraitist.runs import RunFolder


def card(step=50, strength=1.0, stage="screen", grid="g", eyes="e", values=(0.5,), measure="identity"):
    """A card whose pictures have these values."""
    drawn = tuple(Drawn(f"p{i}", f"text {i}", i, f"p{i}.png", {measure: v}) for i, v in enumerate(values))
    return Scorecard(step, strength, stage, measures.scores([d.scores for d in drawn]), grid, eyes, drawn)


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


def test_a_card_comes_back_as_it_was_written(run):
    written = [card(), card(step=0, strength=0.0), card(stage="grid", strength=0.85, values=(0.1, 0.9))]
    for one in written:
        scorecard.append(run, one)
    assert scorecard.read(run) == written


def test_other_purposes_guidances_and_companions_come_back_and_stay_apart(run):
    one = card()
    unnamed = tuple(replace(drawn, purpose="unnamed") for drawn in one.pictures)
    written = [one, replace(one, guidance=4.0, pictures=unnamed), replace(one, beside="f00@0.6")]
    for each in written:
        scorecard.append(run, each)
    assert scorecard.read(run) == written


def test_a_card_of_before_there_were_purposes_is_read_as_named_at_the_grids_own_guidance(run):
    scorecard.append(run, card())
    values = json.loads(run.scorecards.read_text())
    for later in ("guidance", "beside"):
        del values[later]
    del values["pictures"][0]["purpose"]
    run.scorecards.write_text(json.dumps(values) + "\n")
    assert scorecard.read(run) == [card()]


def test_of_equal_keys_the_latest_counts_and_other_yardsticks_stay_apart(run):
    for one in (card(values=(0.1,)), card(values=(0.2,)), card(values=(0.3,), grid="other"), card(eyes="plain")):
        scorecard.append(run, one)
    assert [(c.scores["identity"].mean, c.grid, c.eyes) for c in scorecard.read(run)] == [
        (0.2, "g", "e"), (0.3, "other", "e"), (0.5, "g", "plain"),
    ]  # fmt: skip
    scorecard.append(run, card(values=(0.4,)))
    assert [(c.scores["identity"].mean, c.grid) for c in scorecard.read(run)][-1] == (0.4, "g"), "it was told last"


def test_what_a_killed_writer_left_torn_is_passed_over(run):
    scorecard.append(run, card())
    whole = run.scorecards.read_bytes()
    run.scorecards.write_bytes(whole + whole[: len(whole) // 2])
    assert scorecard.read(run) == [card()]


def test_a_newer_format_is_refused(run):
    scorecard.append(run, card())
    text = run.scorecards.read_text()
    run.scorecards.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(PortraitistError, match="format 2"):
        scorecard.read(run)


def test_losses_are_read_by_step_and_the_latest_of_a_step_counts(run):
    for step, value in ((100, 0.5), (0, 0.7), (100, 0.4)):
        scorecard.append_losses(run, Losses(step, [0.5], [value], [value]))
    assert [(found.step, found.held_out) for found in scorecard.read_losses(run)] == [(0, [0.7]), (100, [0.4])]


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    """Percentile intervals of 40 draws are known to run a little short of nine in ten."""
    draw = np.random.default_rng(0)
    hits = 0
    for i in range(300):
        got = measures.score(draw.exponential(1.0, 40).tolist(), seed=i)
        hits += got.low <= 1.0 <= got.high
    assert 0.82 <= hits / 300 <= 0.94


@pytest.mark.parametrize("count", [2, 3, 4, 6, 7])
def test_intervals_of_few_values_miss_the_mean_no_oftener_than_one_in_ten(count):
    """By normal values, whose interval by theory is Student's; the bootstrap alone misses 20 to 52 of 100."""
    draw = np.random.default_rng(count)
    found = [measures.score(draw.normal(size=count).tolist(), seed=i) for i in range(400)]
    misses = np.mean([not got.low <= 0 <= got.high for got in found])
    assert 0.04 < misses < 0.15


def test_a_score_is_the_same_every_time_and_leaves_out_what_was_not_measured():
    values = [0.1, 0.4, float("nan"), 0.7]
    assert measures.score(values) == measures.score(values)
    assert measures.score(values).count == 3
    assert measures.score(values).mean == pytest.approx(0.4)
    assert measures.score([]) == Score(0, 0, 0, 0)


def test_equal_noise_is_compared_in_pairs():
    """Prompts differ by far more than the two cards do; in pairs the difference is certain all the same."""
    draw = np.random.default_rng(1)
    hard = draw.normal(0, 5, 30)
    one, other = card(values=tuple(hard + 0.2 + draw.normal(0, 0.02, 30))), card(values=tuple(hard))
    apart = measures.difference(one, other, "identity")
    assert 0.17 < apart.low < apart.mean < apart.high < 0.23
    assert one.scores["identity"].low < other.scores["identity"].high
    assert measures.difference(one, card(measure="copying"), "identity").count == 0


def test_every_measure_of_the_registry_says_what_it_is_and_what_it_does_not_see():
    assert set(measures.MEASURES) >= {"identity", "agreement", "copying", "saturation", "held_out", "signature"}
    for name, measure in measures.MEASURES.items():
        assert measure.name == name
        assert measure.range[0] < measure.range[1]
        assert len(measure.says) > 40
        assert len(measure.blind) > 40
