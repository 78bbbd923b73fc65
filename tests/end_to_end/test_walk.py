"""The walk is true: from a messy folder to a dataset without warnings, by what the commands say and nothing else."""

import os
import re
import stat
import subprocess
import sys

from tests.end_to_end.command import answer
from tests.house.source import ROOT

PAGE = ROOT / "docs" / "walk.md"


def steps():
    """Each command line of the page with the lines that it shows of its output."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            else:
                found[-1][1].append(line)
    return found


def shims(folder):
    """A folder with the two programs of the page, for a shell's search path."""
    for name, words in (("portraitist", "-m portraitist"), ("python", "")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


def test_the_walk_can_be_walked(tmp_path):
    (tmp_path / "bin").mkdir()
    path = f"{shims(tmp_path / 'bin')}:{os.environ['PATH']}"
    place = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "400"}
    codes = []
    walked = steps()
    assert len(walked) >= 12
    for line, shown in walked:
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, env=place, stdin=subprocess.DEVNULL
        )
        codes.append((line.split()[:2], done.returncode))
        told = done.stdout + done.stderr
        missing = [one for one in shown if one.strip() not in told]
        assert not missing, f"{line}\n{missing[0]}\n{told}"
    assert [code for words, code in codes if words == ["portraitist", "audit"]] == [1, 0]
    assert all(code == 0 for words, code in codes if words != ["portraitist", "audit"]), codes
    said = answer("audit", tmp_path / "maya")
    assert said["pictures"] == 26
    assert {finding["severity"] for finding in said["findings"]} <= {"note"}
    assert (tmp_path / "messy" / "not-mine.png").is_file(), "what was added from is left alone"
