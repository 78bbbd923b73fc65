"""The command line as people and machines call it: a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from tests.house.source import ROOT

COMMAND = (sys.executable, "-m", "portraitist")


def portraitist(*words: object, cwd: Path = ROOT, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """One command line, to its end."""
    line = [*COMMAND, *map(str, words)]
    environment = {**os.environ, "COLUMNS": "120", "PYTHONPATH": str(ROOT)}
    quiet = subprocess.DEVNULL  # whoever runs the tests at a terminal is not to be asked
    return subprocess.run(line, stdin=quiet, capture_output=True, text=True, cwd=cwd, timeout=timeout, env=environment)


def answer(*words: object, code: int = 0) -> Any:
    """What a command says to a machine; it must leave with `code` and say nothing else."""
    done = portraitist(*words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1, done.stdout
    return json.loads(done.stdout)


def noise(path: Path, seed: int, side: int = 160) -> Path:
    """A sharp picture unlike any other, drawn by arithmetic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = bytes((i * (seed * 7 + 13) * (1 + i // side % 11) + seed * 31) % 251 for i in range(side * side))
    Image.frombytes("L", (side, side), values).convert("RGB").save(path)
    return path


def project(folder: Path, pictures: int = 3) -> Path:
    """A project of a few captioned pictures."""
    source = folder / "source"
    for i in range(pictures):
        noise(source / f"{i}.png", i)
        (source / f"{i}.txt").write_text(f"maya_char, close-up, number {i}")
    made = folder / "maya"
    assert portraitist("new", made, "--trigger", "maya_char", "--subject", "fictional").returncode == 0
    done = portraitist("add", made, source)
    assert done.returncode == 0, done.stderr
    return made
