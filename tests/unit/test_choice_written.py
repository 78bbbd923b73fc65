"""The choice as a file, as events and as people read it; a person's own."""

import json
import tomllib
from dataclasses import replace

import pytest

from portraitist import durable
from portraitist.cli import obey
from portraitist.errors import PortraitistError
from portraitist.events import Chosen
from portraitist.judge import scorecard
from portraitist.judge.scorecard import Scorecard
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder
from portraitist.verbs.choose import choose
from tests.cells import BASE, card


@pytest.fixture
def project(tmp_path):
    made = Project.create(tmp_path / "p", Facts(name="Z", trigger="zorblax", subject="fictional"))
    run = RunFolder(made.runs / "one")
    run.path.mkdir(parents=True)
    run.lock.write_text(Recipe().to_toml() + "\n[lock]\n")
    return made


def test_the_choice_is_written_with_its_reason_and_told(project):
    run = RunFolder(project.runs / "one")
    for one in (BASE, card(50, 0.85, identity=0.4), card(100, 0.85, identity=0.6)):
        scorecard.append(run, one)
    told = []
    result = choose(project, emit=told.append)
    values = tomllib.loads(run.choice.read_text())
    assert (values["step"], values["strength"], values["why"]) == (100, 0.85, result.why)
    assert values["gate"]["agreement"]["passed"] is True
    assert values["runner_up"]["step"] == 50
    assert [(e.step, e.strength, e.why) for e in told if isinstance(e, Chosen)] == [(100, 0.85, result.why)]
    before = run.choice.read_bytes()
    choose(project)
    assert run.choice.read_bytes() == before


def test_a_choice_is_told_in_sentences_and_its_reason_once(project, capsys):
    run = RunFolder(project.runs / "one")
    for one in (BASE, card(50, 0.85, identity=0.4), card(100, 0.85, identity=0.6)):
        scorecard.append(run, one)
    assert obey(["choose", str(project.folder)]) == 0
    out, err = capsys.readouterr()
    why = tomllib.loads(run.choice.read_text())["why"]
    assert err == "", "what can be lost with it is nothing"
    assert out.splitlines() == [
        "Step 100 at strength 0.85, by measures.",
        why,
        "Scores: likeness 0.55, identity 0.60, prompt agreement 0.80, copying 0.10; the report has all",
        "Second: step 50 at strength 0.85; identity 0.40, prompt agreement 0.80",
        f"Next: portraitist export {project.folder} --run one, then portraitist report {project.folder} --run one",
    ]
    assert obey(["choose", str(project.folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == [
        "run", "step", "strength", "why", "by", "passed", "prefer", "scores", "runner_up", "guidance", "unsure",
    ]  # fmt: skip
    assert set(told["runner_up"]) == {"step", "strength", "guidance", "level", "freedom", "identity", "agreement"}


def test_a_choice_that_breaks_a_gate_or_has_a_guidance_or_another_preference_says_so(project):
    run = RunFolder(project.runs / "one")
    for one in (BASE, card(50, identity=0.6, agreement=0.6)):
        scorecard.append(run, one)
    assert (
        choose(project, "one", "freedom")
        .told()
        .startswith("Step 50 at strength 1, by measures, freedom first. It does not keep to every gate.\n")
    )
    durable.write_json(run.checkpoint(50) / "manifest.json", {"step": 50, "files": {}})
    own = choose(project, place=(50, 0.8, 3.5), why="It is the calmest")
    assert own.told().startswith("Step 50 at strength 0.8 and guidance 3.5, by a person.\nA person chose")
    assert "Scores:" not in own.told()


def test_the_grids_own_guidance_by_its_number_is_the_cell_that_was_judged(project):
    run = RunFolder(project.runs / "one")
    for one in (BASE, card(50, identity=0.4), card(100, identity=0.6)):
        scorecard.append(run, replace(one, usual=3.5))
    durable.write_json(run.checkpoint(50) / "manifest.json", {"step": 50, "files": {}})
    durable.write_bytes(run.checkpoint(50) / "adapter.safetensors", b"")
    found = choose(project, place=(50, 1.0, 3.5), why="I like it")
    assert (found.guidance, found.passed, "It has not been judged" in found.why) == (0.0, True, False)
    assert choose(project, place=(50, 1.0, 3.0), why="I like it").passed is False
    scorecard.append(run, BASE)  # of an earlier version, which did not know
    assert choose(project, place=(50, 1.0, 3.5), why="I like it").passed is True


def test_the_screen_chooses_until_the_full_grid_has_been_drawn(project):
    run = RunFolder(project.runs / "one")
    for one in (card(0, 0.0, "screen", identity=0.0), card(50, 1.0, "screen", identity=0.4)):
        scorecard.append(run, one)
    assert choose(project).step == 50
    for one in (BASE, card(100, identity=0.2)):
        scorecard.append(run, one)
    assert choose(project).step == 100


def test_numbers_of_another_grid_are_never_mixed_in(project):
    run = RunFolder(project.runs / "one")
    old = card(50, identity=0.9)
    for one in (Scorecard(50, 1.0, "grid", old.scores, "older", "e", old.pictures), BASE, card(100, identity=0.3)):
        scorecard.append(run, one)
    assert choose(project).step == 100


def test_without_scorecards_there_is_nothing_to_choose_from(project):
    with pytest.raises(PortraitistError, match="has not been judged"):
        choose(project)
