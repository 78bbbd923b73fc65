"""The tour is true: every command of docs/tour.md works, in its order, in an empty folder."""

import json
import re
import shlex

from tests.end_to_end.command import portraitist
from tests.house.source import ROOT


def commands():
    """The command lines of the tour's console blocks."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / "tour.md").read_text(), re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_tour_can_be_walked(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    walked = commands()
    assert len(walked) >= 8
    for line in walked:
        word, *words = shlex.split(line)
        assert word == "portraitist", line
        done = portraitist(*words, cwd=tmp_path, timeout=600)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if "--json" in words:
            json.loads(done.stdout)
    assert (tmp_path / "page" / "report.html").is_file()
    assert list((tmp_path / "zorblax" / "exports").rglob("*.safetensors"))
