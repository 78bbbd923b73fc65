"""Kill the real `portraitist train` at moments from a seed, continue it each time, and look at what it left."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.events import Stepped
from portraitist.project import Project
from portraitist.runs import RunFolder, all_runs
from tests.end_to_end.command import COMMAND, portraitist, project
from tests.house.source import ROOT
from tests.tiny import tiny

SAVE_EVERY = 3

RECIPE = """preset = "sdxl"
[model]
family = "sdxl"
base = "{base}"
precision = "float32"
threads = 1
[data]
resolution = 64
[adapter]
rank = 4
dropout = 0.1
[[stages]]
steps = {steps}
[training]
batch = 1
accumulate = 1
rate = 1e-2
schedule = "linear"
warmup = 20
ema = 0.9
save_every = {every}
"""


@dataclass(frozen=True)
class Kill:
    """One death: how it was aimed, the last step the run had on record, and whether it hit a checkpoint's writing."""

    aim: str
    step: int
    inside: bool


def prepared(folder: Path, steps: int) -> Path:
    """A project that has all but its training, on a tiny base of SDXL's real classes."""
    base = tiny("sdxl", folder / "base").folder
    made = project(folder, pictures=6)
    (made / "recipe.toml").write_text(RECIPE.format(base=base, steps=steps, every=SAVE_EVERY))
    for verb in ("audit", "encode"):
        done = portraitist(verb, made)
        assert done.returncode == 0, done.stdout + done.stderr
    return made


def uncut(made: Path, folder: Path) -> RunFolder:
    """The run of a copy of the project, trained in one go."""
    shutil.copytree(made, folder)
    done = portraitist("train", folder)
    assert done.returncode == 0, done.stderr
    return newest(folder)


def newest(made: Path) -> RunFolder:
    """The project's run."""
    return all_runs(Project.open(made))[-1]


def killed(made: Path, aims: Sequence[str], seed: int) -> Iterator[Kill]:
    """Start training once per aim, and kill it there: while `starting`, between or in `stepping`, while `writing`."""
    draw = random.Random(seed)
    for aim in aims:
        began = time.time_ns()
        process = subprocess.Popen(
            [*COMMAND, "train", str(made), "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            moment(aim, draw, made, began, process)
        finally:
            process.send_signal(signal.SIGKILL)
            said = process.communicate()[0].decode()
        assert process.returncode == -signal.SIGKILL, f"it ended by itself before it was killed: {said}"
        run = newest(made) if Project.open(made).runs.is_dir() and all_runs(Project.open(made)) else None
        steps = [e.step for e in run.log.events() if isinstance(e, Stepped)] if run else []
        yield Kill(aim, max(steps, default=0), bool(run) and half_written(run, began))


def moment(aim: str, draw: random.Random, made: Path, began: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the moment to kill at."""
    if aim == "starting":
        time.sleep(draw.uniform(0.0, 4.0))
        return
    if aim == "stepping":
        more, delay = draw.randint(1, 2 * SAVE_EVERY), draw.uniform(0.0, 0.08)
        wait(lambda: stepped(made, began) >= more, process, 0.002)
    else:
        more, delay = draw.randint(1, 4), draw.uniform(0.0, 0.006)
        wait(lambda: written(made, began) >= more, process, 0.0)
    time.sleep(delay)


def wait(condition: Callable[[], bool], process: subprocess.Popen[bytes], pause: float, seconds: float = 120) -> None:
    """Until the condition holds, while the process lives."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0].decode()
        assert time.monotonic() < end
        time.sleep(pause)


def stepped(made: Path, began: int) -> int:
    """Steps on record that were taken since a time in nanoseconds."""
    logs = made.glob("runs/*/events.jsonl")
    return sum(
        isinstance(e, Stepped) and e.at > began / 1e9 for log in logs for e in RunFolder(log.parent).log.events()
    )


def written(made: Path, began: int) -> int:
    """Checkpoints whose writing has begun since a time in nanoseconds."""
    return sum(
        any(changed(entry, began) for entry in os.scandir(folder)) for folder in made.glob("runs/*/checkpoints/step-*")
    )


def changed(entry: os.DirEntry[str], began: int) -> bool:
    """Whether an entry of a checkpoint, its manifest aside, is newer than a time; one that vanished meanwhile is."""
    try:
        return entry.name != "manifest.json" and entry.stat().st_mtime_ns > began
    except FileNotFoundError:
        return True


def half_written(run: RunFolder, began: int) -> bool:
    """Whether the killed process died inside a checkpoint's writing, by what it left: a file under its temporary name
    (those of earlier processes were swept at its start), or files of its own without the manifest that comes last."""
    for folder in run.checkpoints.glob("step-*"):
        own = [entry for entry in os.scandir(folder) if entry.stat().st_mtime_ns > began]
        if any(entry.name.endswith(durable.PARTIAL) for entry in own):
            return True
        if own and not (folder / "manifest.json").exists():
            return True
    return False


def same(run: RunFolder, whole: RunFolder) -> None:
    """Assert that two finished runs hold the same bytes and tell the same steps."""
    assert run.steps() == whole.steps()
    for step in whole.steps():
        assert run.adapter(step).read_bytes() == whole.adapter(step).read_bytes(), step
        assert run.manifest(step)["files"] == whole.manifest(step)["files"], step
        assert run.damage(step) == ""
    files = [sorted(str(p.relative_to(r.path)) for p in r.path.rglob("*") if p.is_file()) for r in (run, whole)]
    assert files[0] == files[1], "something was left behind"
    told = [
        [(e.step, e.loss, e.gradient, e.rate) for e in r.log.events() if isinstance(e, Stepped)] for r in (run, whole)
    ]
    assert told[0] == told[1]
    last = [e.step for e in whole.log.events() if isinstance(e, Stepped)]
    assert last == list(range(1, len(last) + 1))


def tell(line: str) -> None:
    """One line for who watches a proof."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
