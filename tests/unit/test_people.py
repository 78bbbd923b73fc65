"""Votes decide only where they are certain and among what passes; a person's word stands until it is given up."""

import tomllib

import pytest
import tomli_w

from portraitist import durable
from portraitist.cli import obey
from portraitist.errors import PortraitistError
from portraitist.events import Warned
from portraitist.judge import dossier, doubts, keeping, measures, scorecard, votes
from portraitist.judge.scorecard import Drawn, Scorecard
from portraitist.judge.votes import Seen, Vote
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.run import settled
from portraitist.runs import RunFolder
from portraitist.verbs.choose import choose

EARLY, LATE, OUT = (100, 1.0, 0.0), (200, 1.0, 0.0), (300, 1.0, 0.0)


def judged(run, cell, likeness, agreement=0.8):
    """A card of twelve pictures, every second one likenesses apart by chance."""
    sway = 0.03 * (cell == LATE)
    drawn = [
        Drawn(f"p{n}", f"text {n}", 1, "", {
            "likeness": likeness + sway * (-1) ** n, "identity": likeness, "agreement": agreement, "copying": 0.1,
            "saturation": 1.0,
        })
        for n in range(12)
    ]  # fmt: skip
    card = Scorecard(cell[0], cell[1], "grid", measures.scores([d.scores for d in drawn]), "g", "e", drawn)
    scorecard.append(run, card)


@pytest.fixture
def made(tmp_path):
    """A run of which two checkpoints cannot be told apart, and the likest no longer does what is asked."""
    project = Project.create(tmp_path / "zor", Facts(name="Zorblax", trigger="zorblax", subject="fictional"))
    run = RunFolder(project.runs / "r")
    durable.write_text(run.lock, Recipe().to_toml() + "\n" + tomli_w.dumps({"lock": {"format": 1}}))
    judged(run, (0, 0.0, 0.0), 0.0)
    for cell, likeness, agreement in ((EARLY, 0.6, 0.8), (LATE, 0.6, 0.8), (OUT, 0.9, 0.4)):
        durable.write_json(run.checkpoint(cell[0]) / "manifest.json", {"step": cell[0], "files": {}})
        judged(run, cell, likeness, agreement)
    return project


def run_of(project):
    """Its only run."""
    return RunFolder(project.runs / "r")


def cast(project, a, b, wins, losses):
    """Votes for one cell over another."""
    answers = enumerate("a" * wins + "b" * losses)
    found = [Vote(a, b, f"text {n}", 1, answer, "Ann", "2026-01-14", "x", f"pair-{n}") for n, answer in answers]
    votes.append(run_of(project), found)


def table(project):
    """The choice as it stands."""
    return tomllib.loads(run_of(project).choice.read_text())


def test_certain_votes_decide_among_what_measures_cannot_tell_apart(made):
    assert (choose(made).step, choose(made).by) == (100, "measures")
    cast(made, LATE, EARLY, 10, 2)
    found = choose(made)
    assert (found.step, found.by, found.passed) == (200, "votes", True)
    assert found.why.startswith("Of 12 blind pairs with step 100 at strength 1, 10 went to step 200 at strength 1")
    told = table(made)
    assert (told["measured"]["step"], told["runner_up"]["step"], told["by"]) == (100, 100, "votes")
    assert [one["step"] for one in told["unsure"]] == [100], "what measures cannot tell from it, and not itself"
    assert found.unsure == 1
    assert "ties" not in told, "those were of what measures chose"
    assert [one["step"] for one in told["measured"]["ties"]] == [200], "which people may still vote on"
    assert told["people"]["over_measured"][0]["share"] == pytest.approx(0.8077)
    assert told["people"]["agreement"]["likeness"]["count"] == 12
    assert [said for said in doubts.people(dossier.gather(made)) if said.startswith("Likeness sides with people")]


def test_a_measure_is_not_held_to_a_handful_of_decisions(made):
    cast(made, LATE, EARLY, 3, 1)
    choose(made)
    assert table(made)["people"]["agreement"]["likeness"]["count"] == 4
    assert [said for said in doubts.people(dossier.gather(made)) if "sides with" in said] == []


def test_votes_that_could_be_chance_decide_nothing_and_that_is_told(made):
    cast(made, LATE, EARLY, 9, 3)
    found = choose(made)
    assert (found.step, found.by) == (100, "measures")
    assert "that is not certain and decides nothing" in found.why


def test_no_vote_brings_back_what_is_out_at_a_gate(made):
    cast(made, OUT, EARLY, 12, 0)
    assert choose(made).step == 100


def test_nor_do_votes_choose_where_nothing_passes(made):
    for cell, agreement in ((EARLY, 0.5), (LATE, 0.45)):
        judged(run_of(made), cell, 0.6, agreement)
    assert (choose(made).step, choose(made).passed) == (100, False)
    cast(made, LATE, EARLY, 12, 0)
    found = choose(made)
    assert found.step == 100
    assert found.why.endswith("What people said decides nothing where nothing passes every gate.")


def test_what_a_person_saw_is_counted_and_marked_as_theirs(made):
    seen = [Seen(EARLY, f"{n}.png", "t", n, "anatomy", answer, "Ann", "2026-01-14", "x", f"picture-{n}")
            for n, answer in enumerate(("yes", "no", "unsure"))]  # fmt: skip
    votes.append(run_of(made), seen)
    choose(made)
    assert table(made)["people"] == {"asked": {"anatomy": {"yes": 1, "of": 2}}}


@pytest.mark.parametrize(("strength", "scored"), [(1.0, True), (0.8, False)])
def test_a_person_overrules_and_is_kept_to_until_asked_again(made, strength, scored):
    found = choose(made, place=(300, strength, 0.0), why="Only here  the scar is right.")
    assert (found.step, found.by, found.passed, bool(found.scores)) == (300, "person", False, scored)
    assert found.why.startswith(
        f"A person chose step 300 at strength {strength:g}: Only here the scar is right. "
        + ("By measures: " if scored else "It has not been judged. By measures: ")
    )
    told, run = table(made), run_of(made)
    assert (told["by"], told["reason"], told["measured"]["step"]) == ("person", "Only here the scar is right.", 100)
    assert keeping.chosen(run) == {100, 300}, "retention keeps it, and what was measured"
    assert settled(run), "and `run` keeps to it"

    heard = []
    assert choose(made, emit=heard.append).step == 100
    warned = next(event for event in heard if isinstance(event, Warned))
    assert "step 300" in warned.says
    assert f'--step 300 --strength {strength:g} --why "Only here the scar is right."' in warned.remedy
    assert not settled(run)
    heard.clear()
    choose(made, emit=heard.append)
    assert not any(isinstance(event, Warned) for event in heard)


def test_a_choice_whose_checkpoint_is_gone_is_not_kept_to(made):
    choose(made, place=OUT, why="so")
    durable.remove(run_of(made).checkpoint(300))
    assert not settled(run_of(made))


@pytest.mark.parametrize(
    ("place", "why", "says"),
    [
        ((250, 1.0, 0.0), "so", "no checkpoint at step 250\nIt has: 100, 200, 300."),
        ((300, 1.0, 0.0), "  ", "needs its reason"),
        (None, "so", "needs its reason"),
        ((300, 0.0, 0.0), "so", "cannot be chosen"),
        ((300, 3.0, 0.0), "so", "cannot be chosen"),
        ((300, float("nan"), 0.0), "so", "cannot be chosen"),
        ((300, 1.0, float("inf")), "so", "cannot be chosen"),
        ((300, 1.0, 0.0), "so\udcff", "is no character of UTF-8"),
    ],
)
def test_a_person_is_refused_what_is_not_there(made, place, why, says):
    with pytest.raises(PortraitistError) as caught:
        choose(made, place=place, why=why)
    assert says in str(caught.value)
    assert not run_of(made).choice.is_file()


def test_words_of_the_command_line_go_together(made, capsys):
    folder = str(made.folder)
    assert obey(["choose", folder, "--step", "300", "--why", "so"]) == 2
    assert obey(["choose", folder, "--guidance", "3"]) == 2
    assert obey(["vote", folder, "--out", "x.html"]) == 2
    assert "go together" in capsys.readouterr().err
    assert obey(["choose", folder, "--step", "300", "--strength", "0.8", "--why", "so"]) == 0
    assert table(made)["strength"] == 0.8
