"""The pack's child process, held to the real command: answers, refusals, interrupts."""

import json
import os
import sys

import psutil
import pytest

from comfy_nodes import asking, child
from tests.end_to_end.command import answer, project
from tests.house.source import ROOT

HERE = {**os.environ, child.PLACE: sys.executable, "PYTHONPATH": str(ROOT)}


class Interrupt(BaseException):
    """As ComfyUI's own: no Exception."""


def ask(*words, **how):
    """One command, by the Python that runs this test."""
    return child.ask(list(map(str, words)), environment=HERE, **how)


def test_the_command_is_what_the_environment_says(tmp_path):
    other = tmp_path / "portraitist"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    assert child.command({child.PLACE: sys.executable}) == [sys.executable, "-m", "portraitist"]
    assert child.command({child.PLACE: str(other)}) == [str(other)]
    assert child.command({"PATH": str(tmp_path)}) == [str(other)]
    for environment in ({"PATH": str(tmp_path / "none")}, {child.PLACE: str(tmp_path / "none")}):
        with pytest.raises(child.PortraitistError) as refused:
            child.command(environment)
        assert refused.value.remedy


def test_a_refusal_is_the_command_lines_own(tmp_path):
    """Nothing of a node's values is taken for an option, and what is refused is refused in the same words."""
    said = asking.facts("maya_char", "not said", "woman", "", "mini", "", "", "--subject=real")
    with pytest.raises(child.PortraitistError) as refused:
        ask("new", tmp_path / "maya", *asking.options(said))
    theirs = answer("new", tmp_path / "maya", "--trigger", "maya_char", code=2)
    assert (refused.value.problem, refused.value.remedy) == (theirs["problem"], theirs["remedy"])
    made = ask("new", tmp_path / "maya", *asking.options({**said, "subject": "fictional"}))
    assert (made["name"], made["noun"]) == ("--subject=real", "woman")
    sheet = tmp_path / "sheet.png"
    assert ask("sheet", "template", f"--out={sheet}", "--size=640x480", "--views=2") == {"said": str(sheet)}


def test_a_program_that_is_no_portraitist_is_told_by_its_last_words(tmp_path):
    other = tmp_path / "portraitist"
    other.write_text("#!/bin/sh\necho first >&2\necho oops, $3 >&2\nexit 3\n")
    other.chmod(0o755)
    with pytest.raises(child.PortraitistError, match="new ended with code 3: oops, --json"):
        child.ask(["new", "maya"], environment={child.PLACE: str(other), "PATH": os.environ["PATH"]})


def test_events_are_heard_while_it_works_and_an_interrupt_leaves_no_process(tmp_path):
    folder, children, heard = project(tmp_path, pictures=4), [], []

    def hear(events):
        children.extend(psutil.Process().children())
        raise Interrupt

    with pytest.raises(Interrupt):
        ask("audit", folder, hear=hear)
    assert children
    assert not any(process.is_running() for process in children)
    said = ask("audit", folder, hear=heard.extend)
    assert said["pictures"] == 4
    assert [event["kind"] for event in heard] == ["started", *["measured"] * 4, "finished"]


@pytest.mark.proof
def test_a_training_that_was_interrupted_goes_on_to_its_end_and_chooses_nothing(tmp_path):
    folder = project(tmp_path, pictures=9)
    changed = asking.settings(
        asking.changes("training.save_every=4\ntraining.batch=2\njudging.beside='never'", steps=8)
    )

    def hear(events):
        if any(event["kind"] == "stepped" and event["step"] >= 2 for event in events):
            raise Interrupt

    with pytest.raises(Interrupt):
        ask("run", folder, "--until=train", *changed, hear=hear)
    (run,) = (folder / "runs").iterdir()
    before = sorted((run / "checkpoints").iterdir())
    assert before, "it saved before it ended"
    steps = []
    said = ask("run", folder, "--until=train", *changed, hear=lambda events: steps.extend(
        event["step"] for event in events if event["kind"] == "stepped"))  # fmt: skip
    assert (said["run"], said["checkpoint"], said["lora"]) == (run.name, 8, "")
    assert steps[0] > 1
    assert not (run / "choice.toml").exists()
    assert json.loads((folder / "done.json").read_text())["train"]["run"] == run.name
