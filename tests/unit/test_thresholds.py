"""What is said of the audit's thresholds and remedies, held to what they are."""

import re
import shlex
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from portraitist.audit import Finding, Rules, Seen, mending, terms
from portraitist.cli import app
from portraitist.errors import PortraitistError
from portraitist.sections import Audit
from portraitist.verbs.audit import CHECKS
from tests.pictures import looked_at, scenery

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


JUDGING = [check for check in CHECKS if check.__name__ != "maybe_same"]  # slow, and asks no threshold
NUMBERS = [f.name for f in fields(Rules) if f.name != "framing"]
SET = [
    replace(looked_at(scenery(i, 48, 48), f"{i}.png"), caption=f"zorblax, {('full body', 'legs', 'close-up')[i % 3]}")
    for i in range(9)
]


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("role", ["identity", "realism", "prior"])
def test_any_threshold_is_judged_by_or_refused(role, value):
    """Each alone at an end of its range, over sets of which some checks have nothing to count."""
    pictures = [replace(picture, role=role) for picture in SET]
    for name in NUMBERS:
        try:
            rules = terms.expected(Audit(thresholds={name: value}))
        except PortraitistError:
            assert name in ("part", "crowded")
            continue
        for check in JUDGING:
            assert all(f.says for f in check(Seen(pictures=pictures, trigger="zorblax", side=48), rules))


def test_a_range_that_no_number_of_pictures_meets_is_refused():
    with pytest.raises(PortraitistError, match="no number of pictures"):
        terms.expected(Audit(framing={"close-up": (0, 1), "mid": (0, 1), "full": (1, 1)}))
