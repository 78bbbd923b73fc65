"""Rounds from the command line: a run that was driven too hard, the advice against it, and the run that follows it."""

import json

import pytest

from portraitist import runs
from portraitist.project import Project
from tests.end_to_end.command import answer, portraitist, project

RECIPE = """preset = "mini"
[model]
threads = 1
[[stages]]
steps = 6
[training]
batch = 2
rate = 0.5
save_every = 3
[judging]
prompts = ["{trigger}, close-up", "{trigger}, full body"]
seeds = 1
screen = 2
cells = 1
strengths = [1.0]
sampling_steps = 2
"""


@pytest.mark.proof
def test_a_run_that_was_driven_too_hard_is_found_out_and_done_again_by_advice(tmp_path):
    folder = project(tmp_path, pictures=9)
    (folder / "recipe.toml").write_text(RECIPE)
    said = answer("run", folder, "--rounds", "2")
    story = json.loads((folder / "rounds.json").read_text())
    first, second = story["rounds"]
    assert first["settings"] == {}
    assert "worse than the base does" in second["why"]
    assert second["settings"] == {"training.rate": 3e-3}
    trained = runs.find(Project.open(folder), second["name"]).recipe()
    assert (trained.training.rate, trained.steps) == (3e-3, 6)
    assert said["run"] == (second if second["kept"] else first)["name"]
    assert (folder / "recipe.toml").read_text() == RECIPE
    assert answer("run", folder, "--rounds", "2")["rounds"] == said["rounds"]
    advice = answer("advise", folder, "--run", first["name"])
    assert advice["advice"][0]["symptom"] == "diverged"
    refused = portraitist("run", folder, "--rounds", "0")
    assert refused.returncode == 2
