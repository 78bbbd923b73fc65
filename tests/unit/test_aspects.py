"""The scoring matrix in words: a word is where an interval lies, and a respect is as good as its worst measure."""

import pytest

from portraitist import durable
from portraitist.judge import aspects, dossier, scorecard
from portraitist.judge.aspects import ASPECTS, Aspect, Mark
from portraitist.judge.measures import MEASURES
from portraitist.judge.scorecard import Drawn, Score, Scorecard
from tests import reported


@pytest.mark.parametrize(
    ("measure", "low", "high", "word"),
    [
        ("likeness", 0.5, 0.7, "good"),
        ("likeness", 0.4, 0.6, "fair"),
        ("likeness", 0.3, 0.49, "weak"),
        ("held_out", 0.8, 1.0, "good"),
        ("held_out", 0.9, 1.1, "fair"),
        ("held_out", 1.01, 1.2, "weak"),
    ],
)
def test_a_word_is_where_the_whole_interval_lies(measure, low, high, word):
    limit = aspects.limits(0.05)[measure]
    assert aspects.against(measure, Score((low + high) / 2, low, high, 8), limit.value) == word


def test_a_respect_is_as_good_as_its_worst_measure():
    known = {"a": Mark("good", "a"), "b": Mark("weak", "b"), "c": Mark("weak", "c")}
    assert aspects.of_aspect(Aspect("x", ("a", "b", "c")), known) == Mark("weak", "b")
    assert aspects.of_aspect(Aspect("x", ("a", "other")), known) == Mark("good", "a")
    assert aspects.of_aspect(Aspect("x", ("other",)), known) is None


def test_a_measure_speaks_of_one_respect_alone_and_has_a_limit():
    named = [name for aspect in ASPECTS for name in aspect.measures]
    assert len(named) == len(set(named))
    assert {name for name in named if name in MEASURES} == set(aspects.limits(0.05))


def test_limits_are_told_from_the_side_that_is_good():
    said = aspects.limits(0.05)
    assert said["agreement"].says("agreement") == "falls by at most 0.05 against the base"
    assert said["copying"].says("copying") == "at most 0.50"
    assert said["obedience"].says("obedience") == "falls by at most 0.15 against the base", "its gate's"
    assert said["likeness"].says("likeness") == "at least 0.50"
    assert said["saturation"].says("saturation") == "at most 8.0 beyond the base's"


def card(run, step, values):
    """A card of the full grid at strength 1, its four pictures with the same values each."""
    drawn = [Drawn("brief-1", f"text {i}", 1, "none.png", values) for i in range(4)]
    scores = {name: Score(value, value, value, 4) for name, value in values.items()}
    scorecard.append(run, Scorecard(step, float(step > 0), "grid", scores, "grid", "eyes", drawn))


def test_the_matrix_of_planted_checkpoints(tmp_path):
    """Step 50 is healthy; step 100 copies, and no longer does what is asked."""
    project = reported.project(tmp_path / "zorblax", count=3, held=0)
    run = reported.trained(project, steps=100)
    durable.remove(run.path / "evaluation" / "losses.jsonl")
    card(run, 0, {"likeness": 0.0, "identity": 0.0, "agreement": 0.9, "copying": 0.0})
    card(run, 50, {"likeness": 0.7, "identity": 0.7, "agreement": 0.88, "copying": 0.1})
    card(run, 100, {"likeness": 0.8, "identity": 0.8, "agreement": 0.6, "copying": 0.7})
    first, second = aspects.matrix(dossier.gather(project))
    assert [mark.word if mark else "" for mark in first.marks] == ["good", "good", "", "good"]
    assert [mark.word if mark else "" for mark in second.marks] == ["weak", "good", "", "weak"]
    assert second.marks[0].because.startswith("Prompt agreement 0.60 (0.60 to 0.60): prompt agreement falls by 0.30")
    assert first.name == "Step 50 at 1"
    assert first.note == "grid, 4 pictures"
