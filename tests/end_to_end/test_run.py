"""One command from pictures to report; stopped and continued, with the trainer undisturbed by those who watch it."""

import json
import signal
import subprocess
import time

import pytest

from portraitist.project import Project
from portraitist.runs import all_runs
from tests.end_to_end.command import COMMAND, answer, portraitist, project
from tests.house.source import ROOT

RECIPE = """preset = "mini"
[model]
threads = 1
[[stages]]
steps = 6
[training]
batch = 2
save_every = 2
[judging]
prompts = ["{trigger}, close-up", "{trigger}, full body"]
seeds = 1
screen = 2
cells = 1
strengths = [1.0]
sampling_steps = 2
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project that `run` has been through, and what it said."""
    folder = project(tmp_path_factory.mktemp("uncut"), pictures=9)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder, answer("run", folder)


def adapters(folder):
    """The adapter bytes of every checkpoint of the newest run, by step."""
    run = all_runs(Project.open(folder))[-1]
    return {step: run.adapter(step).read_bytes() for step in run.steps()}


def test_one_command_goes_from_pictures_to_report(made):
    folder, said = made
    assert said["blocked"] is False
    assert said["checkpoint"] in (2, 4, 6)
    assert said["strength"] == 1.0
    assert said["why"]
    for name in ("lora", "report"):
        assert (ROOT / said[name]).stat().st_size > 1000
    assert set(adapters(folder)) == {2, 4, 6}
    assert 0.1 < said["peak_memory_gb"] < 8


@pytest.mark.proof
def test_pictures_without_a_caption_are_captioned_on_the_way(tmp_path):
    """Nobody has to know of captions to begin."""
    folder = project(tmp_path, pictures=4)
    for path in (folder / "pictures").glob("*.txt"):
        path.unlink()
    (folder / "recipe.toml").write_text(RECIPE.replace("steps = 6", "steps = 2"))
    said = answer("run", folder)
    assert said["blocked"] is False
    assert said["checkpoint"] == 2
    assert {p.read_text() for p in (folder / "pictures").glob("*.txt")} == {"maya_char, character\n"}


def test_again_it_does_nothing_twice(made):
    folder, first = made
    before = adapters(folder)
    again = answer("run", folder)
    assert set(again["skipped"]) == {"encode", "train", "evaluate", "export"}
    assert {k: again[k] for k in ("run", "checkpoint", "strength", "why", "lora")} == {
        k: first[k] for k in ("run", "checkpoint", "strength", "why", "lora")
    }
    assert adapters(folder) == before


def test_until_it_is_trained_nothing_is_chosen(made):
    folder, _ = made
    run = all_runs(Project.open(folder))[-1]
    chosen = run.choice.read_bytes()
    run.choice.unlink()
    said = answer("run", folder, "--until", "train")
    assert (said["run"], said["checkpoint"], said["lora"], said["report"]) == (run.name, 6, "", "")
    assert set(said["skipped"]) == {"encode", "train"}
    assert not run.choice.exists()
    assert "--rounds" in answer("run", folder, "--until", "train", "--rounds", "2", code=2)["problem"]
    run.choice.write_bytes(chosen)


def test_stopped_watched_and_continued_it_ends_in_the_bytes_of_a_training_alone(made, tmp_path):
    """The one was trained by `train`, in one go and unwatched; the other by `run`, judged meanwhile, and cut."""
    alone = project(tmp_path / "alone", pictures=9)
    (alone / "recipe.toml").write_text(RECIPE)
    for verb in ("audit", "encode", "train"):
        done = portraitist(verb, alone)
        assert done.returncode in ((0, 1) if verb == "audit" else (0,)), done.stderr
    cut = project(tmp_path / "cut", pictures=9)
    (cut / "recipe.toml").write_text(RECIPE)
    with subprocess.Popen(
        [*COMMAND, "run", str(cut), "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(lambda: list(cut.glob("runs/*/checkpoints/step-000002/manifest.json")), process)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert json.loads(said)["interrupted"] is True
    assert answer("run", cut)["checkpoint"]
    whole, parts, watched = adapters(alone), adapters(cut), adapters(made[0])
    assert whole[6] == parts[6]
    assert whole == watched


def wait_for(condition, process, seconds=120):
    """Until the condition holds, while the process lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_problem_of_a_child_is_told_as_its_own(tmp_path):
    folder = project(tmp_path, pictures=3)
    done = portraitist("run", folder, "--set", f'model.base="{tmp_path / "nowhere"}"')
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-2:]
    assert [line.split(":")[0] for line in last] == ["Problem", "Remedy"]
    assert "nowhere" in last[0]
