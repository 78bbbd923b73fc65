"""Does it help to follow the first advice? Runs made ill on purpose, and the same again with what was advised done.

python -m benchmarks.advice make --keep FOLDER [--part 0/2]
python -m benchmarks.advice

`make` takes each ill run of the group `flawed` that has been measured, follows the first thing that `advise` says of
it, whatever that is, trains once more and holds the last checkpoint at strength 1 to the truth, as the ill one was.
Without `make` it says what came of it.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bank import RESULTS, share, trained
from benchmarks.record import Record, read
from benchmarks.setups import Setup, flawed
from portraitist import durable

SCORES: Mapping[str, Sequence[str]] = {
    "overfit": ("likeness", "agreement"),
    "underfit": ("likeness",),
    "bleed": ("likeness", "agreement"),
    "dead": ("likeness",),
    "leak": ("likeness", "unnamed"),
    "partial": ("likeness", "agreement"),
}
"""What is spoilt by each flaw: its true score is the sum of these, likeness without the trigger taken away. What bleeds
spoils backgrounds too, of which the truth of a cell has the mean alone, in Lab: it is told beside."""

FRAMINGS = {"close-up", "half body", "full body"}
"""Kinds of pictures to add that are framings; there may be several, as in "half body and full body"."""


def ill(run: Record) -> Setup:
    """The set-up of a run."""
    told = dict(run.told["setup"])
    return Setup(**told | {"changes": tuple(told["changes"])})


def followed(run: Record) -> Setup | None:
    """The set-up with a run's first advice followed; None where there is none, or nothing that can be done by hand."""
    before = ill(run)
    if not run.told["advice"]:
        return None
    first = run.told["advice"][0]
    add = [one for one in first["dataset"] if one["kind"] == "add"]
    keys_changed = [*first["recipe"], *(change for one in add for change in one.get("along", ()))]
    changes = tuple(f"{one['key']}={json.dumps(one['after'])}" for one in keys_changed)
    more = sum(one["count"] for one in add)
    of = next((one["of"] for one in add if {*one["of"].split(" and ")} <= FRAMINGS), "")
    keys = {change.partition("=")[0] for change in changes}
    kept = tuple(change for change in before.changes if change.partition("=")[0] not in keys)
    if not (changes or more):
        return None
    name = f"advised-{before.name}"
    return replace(before, name=name, changes=kept + changes, added=more, of=of)


def make(run: Record, folder: Path) -> None:
    """Train with the advice followed, and hold the last checkpoint to the truth."""
    setup = followed(run)
    told: dict[str, Any] = {"of": run.name, "symptom": "", "truths": []}
    if setup is not None:
        told |= {"symptom": run.told["symptoms"][0], "setup": asdict(setup), "truths": trained(setup, folder)}
    durable.write_text(RESULTS / f"advised-{run.name}.json", json.dumps(told) + "\n")


def scores(flaw: str, truth: Mapping[str, Any]) -> np.ndarray:
    """The true score of a checkpoint on each of the twelve prompts: means over seeds."""
    each = np.array(truth["each"]).reshape(-1, 12, 2).mean(0)
    parts = {"likeness": each[:, 0], "agreement": each[:, 1], "unnamed": -np.array(truth["unnamed"])}
    return np.asarray(sum(parts[name] for name in SCORES[flaw]))


def last(truths: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The truth of the last checkpoint."""
    return max(truths, key=lambda one: one["step"])


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % interval, by resampling prompts."""
    picks = np.random.default_rng(0).integers(0, len(values), (4000, len(values)))
    low, high = np.quantile(values[picks].mean(1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def figures(before: Record, told: Mapping[str, Any]) -> dict[str, Any]:
    """What following the advice brought, on the flaw's own score and on each of its parts."""
    flaw = before.name.split("-")[1]
    old, new = last(list(before.truths.values())), last(told["truths"])
    gain, low, high = interval(scores(flaw, new) - scores(flaw, old))
    parts = {
        "likeness": new["truth"] - old["truth"],
        "agreement": new["agreement"] - old["agreement"],
        "unnamed": float(np.mean(new["unnamed"]) - np.mean(old["unnamed"])),
        "background": new["background"] - old["background"],
    }
    return {
        "flaw": flaw,
        "run": before.name,
        "symptom": told["symptom"],
        "score": [round(v, 3) for v in (gain, low, high)],
        **{name: round(value, 3) for name, value in parts.items()},
    }


def report() -> None:
    """A line for each run, then one for each flaw and one for all."""
    rows = []
    for run in read("flawed"):
        path = RESULTS / f"advised-{run.name}.json"
        if not path.is_file():
            continue
        told = json.loads(path.read_text(encoding="utf-8"))
        flaw = run.name.split("-")[1]
        nothing = {"flaw": flaw, "run": run.name, "symptom": told["symptom"], "score": [0.0, 0.0, 0.0]}
        rows.append(figures(run, told) if told["truths"] else nothing)
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
    for flaw in [*SCORES, ""]:
        some = [row for row in rows if not flaw or row["flaw"] == flaw]
        line = {
            "flaw": flaw or "all",
            "better": f"{sum(row['score'][0] > 0 for row in some)} of {len(some)}",
            "surely better": sum(row["score"][1] > 0 for row in some),
            "surely worse": [row["run"] for row in some if row["score"][2] < 0],
        }
        sys.stdout.write(json.dumps(line) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the advised runs, or say what came of them."""
    mine = share("benchmarks.advice", __doc__ or "", [setup.name for setup in flawed()], arguments)
    if mine is None:
        report()
        return
    for run in [one for one in read("flawed") if one.name in mine[0] and one.name.split("-")[1] in SCORES]:
        if not (RESULTS / f"advised-{run.name}.json").is_file():
            began = time.monotonic()
            make(run, mine[1] / f"advised-{run.name}")
            sys.stdout.write(f"{run.name} {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
