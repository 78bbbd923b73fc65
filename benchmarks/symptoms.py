"""Are runs that were made ill on purpose told from healthy ones? The group `flawed` of the bank.

python -m benchmarks.symptoms

For each flaw: how many of its runs `advise` finds it in, and how many of the others it finds it in all the same. By the
preset every LoRA leaks on this base: for leaks the ill are the preset's own runs, and the healthy those made not to.
"""

import json
import sys
from collections.abc import Sequence

from benchmarks.record import Record, read

SIGNS = ("overfit", "underfit", "bleed", "dead", "leak", "partial")
"""Flaws that have a symptom of their name."""


def flaw(run: Record) -> str:
    """What was done to a run; those of the preset leak, and are healthy otherwise."""
    return run.name.split("-")[1]


def healthy(runs: Sequence[Record], name: str) -> list[Record]:
    """Runs without a flaw: those of the preset, and those that were made not to leak."""
    return [run for run in runs if flaw(run) in (("kept",) if name == "leak" else ("kept", "leak"))]


def main() -> None:
    """Write a line of JSON for each flaw."""
    runs = list(read("flawed"))
    for name in SIGNS:
        ill, well = [run for run in runs if flaw(run) == name], healthy(runs, name)
        found, false = ([run.name for run in some if name in run.told["symptoms"]] for some in (ill, well))
        missed = [run.name for run in ill if run.name not in found]
        line = {"flaw": name, "found": f"{len(found)} of {len(ill)}", "false": f"{len(false)} of {len(well)}"}
        sys.stdout.write(json.dumps(line | {"missed": missed, "falsely": false}) + "\n")


if __name__ == "__main__":
    main()
