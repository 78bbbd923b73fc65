"""What is said of the audit's thresholds and remedies, held to what they are."""

import re
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest

from portraitist.audit import Finding, Rules, mending
from portraitist.cli import app
from portraitist.verbs.audit import CHECKS

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def test_the_page_names_every_threshold_with_its_value_and_no_other():
    rows = re.findall(r"^\| .*\| (`.*) \|$", PAGE.read_text("utf-8").partition("### Quotas")[2], re.M)
    told = {name: float(value) for row in rows for name, value in re.findall(r"`(\w+)` ([\d.]+)", row)}
    assert told == {name: value for name, value in asdict(Rules()).items() if name != "framing"}


@pytest.mark.parametrize("check", mending.COMMANDS)
def test_the_command_that_mends_a_finding_is_one(check, tmp_path):
    assert check in {known.__name__ for known in CHECKS}
    found = Finding(check, "", "warn", "it is so", "mend it", 0, ("a b.png", "40_face/it's.png"))
    first, *words = shlex.split(mending.mended(found, tmp_path / "my maya").repair)
    assert first == "portraitist"
    command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    assert command.__name__ == words[0]
    assert str(tmp_path / "my maya") in map(str, bound.args)
    assert words[0] != "repair" or {"a b.png", "40_face/it's.png"} <= set(bound.args)
    waived = Finding(check, "", "warn", "it is so", "mend it", waived="meant")
    assert mending.mended(waived, tmp_path).repair == ""
