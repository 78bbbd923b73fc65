"""A new project: its brief by flags, its trigger weighed, words refused."""

import pytest

from portraitist.cli.asking import Wishes
from portraitist.errors import PortraitistError
from portraitist.judge.grid import texts
from portraitist.project import Project
from portraitist.sections import Judging
from portraitist.verbs.new import new

PLAIN = {"trigger": "zorblax", "subject": "fictional"}


def test_every_value_of_the_flags_comes_up_in_what_is_judged(tmp_path):
    wishes = Wishes(
        framing="close-up, full body",
        angle="side view, back",
        scene="forest, beach background , forest",
        outfit="red coat",
    )
    made = new(tmp_path / "maya", **PLAIN, brief=wishes.brief())
    assert dict(Project.open(tmp_path / "maya").facts.brief) == {
        "framing": ("close-up", "full body"),
        "view": ("side", "back"),
        "outfit": ("red coat",),
        "background": ("forest", "beach"),
    }
    choosing, _, _ = texts(made.facts, Judging(), [])
    for words in (
        "close-up of zorblax",
        "full body of zorblax",
        "side view",
        "back view",
        "red coat",
        "forest background",
    ):
        assert any(words in text for text in choosing), words


def test_without_flags_there_is_no_brief(tmp_path):
    assert new(tmp_path / "maya", **PLAIN, brief=Wishes(pose=" , ").brief()).facts.brief == {}


def test_a_trigger_that_is_known_is_warned_of_and_taken(tmp_path):
    told = []
    made = new(tmp_path / "maya", trigger="woman", subject="fictional", emit=told.append)
    assert made.facts.trigger == "woman"
    assert ["woman is an everyday word" in event.says for event in told] == [True]
    new(tmp_path / "other", **PLAIN, emit=told.append)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"subject": "real", "noun": "a teenage girl"}, "real person is a minor"),
        ({"subject": "real", "brief": {"pose": ["12 years old"]}}, "pose in the brief"),
        ({"noun": "schoolgirl", "brief": {"outfit": ["lingerie"]}}, "sexualises a minor"),
        ({"brief": {"outfit": ["schoolgirl, nude"]}}, "outfit in the brief sexualises a minor"),
    ],
)
def test_words_that_are_never_made_stop_a_project_before_it_is_there(given, says, tmp_path):
    with pytest.raises(PortraitistError, match=says):
        new(tmp_path / "maya", **{**PLAIN, **given})
    assert not (tmp_path / "maya").exists()
