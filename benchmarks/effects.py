"""What single settings do, by the truth: each against the preset on the same pictures.

python -m benchmarks.effects make --keep FOLDER [--part 0/2]
python -m benchmarks.effects

`make` makes the trainings that benchmarks/runs lacks. The last checkpoint at strength 1. Differences are paired by
character, intervals (95 %) are over characters. "Both" is likeness and agreement together.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.bank import RESULTS, share, trained
from benchmarks.record import Record, interval, read
from benchmarks.setups import Setup, effects
from portraitist import durable
from portraitist.learn import state

PLAIN = "preset"
MEASURES = ("likeness", "agreement", "both", "background", "unnamed")


def named(run: Record) -> tuple[str, int]:
    """What was changed, and whose run it is."""
    return run.name.removeprefix("effects-").rpartition("-")[0], run.who


def figures(run: Record) -> Mapping[str, float]:
    """The truth of the last checkpoint at strength 1: likeness, what the probe reads right of what was asked, how far
    backgrounds are from true ones (Lab), and likeness where the character is not named."""
    got: Mapping[str, Any] = run.truths[run.steps[-1], 1.0]
    return {
        "likeness": got["truth"],
        "agreement": got["agreement"],
        "both": got["truth"] + got["agreement"],
        "background": got["background"],
        "unnamed": float(np.mean(got["unnamed"])),
    }


@contextmanager
def averaging(setup: Setup) -> Iterator[None]:
    """Within: averages go as the set-up has them."""
    own = state.decay
    try:
        if setup.cold:
            state.decay = lambda most, updates: most  # type: ignore[attr-defined]
        yield
    finally:
        state.decay = own  # type: ignore[attr-defined]


def report() -> None:
    """A line of JSON for each setting."""
    found = {named(run): figures(run) for run in read("effects")}
    for what in dict.fromkeys(name for name, _ in found):
        both = [who for name, who in found if name == what and (PLAIN, who) in found]
        line: dict[str, object] = {"setting": what, "characters": len(both)}
        for measure in MEASURES:
            own = [found[what, who][measure] for who in both]
            if what == PLAIN:
                line[measure] = round(float(np.mean(own)), 3)
            elif both:
                apart = [found[what, who][measure] - found[PLAIN, who][measure] for who in both]
                line[measure] = [round(value, 3) for value in interval(apart, both)]
        sys.stdout.write(json.dumps(line) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the trainings, or say what came of them."""
    setups = {setup.name: setup for setup in effects()}
    mine = share("benchmarks.effects", __doc__ or "", list(setups), arguments)
    if mine is None:
        report()
        return
    for name in mine[0]:
        place, began = RESULTS / f"{name}.json", time.monotonic()
        if not place.is_file():
            with averaging(setups[name]):
                told = {"setup": asdict(setups[name]), "truths": trained(setups[name], mine[1] / name)}
            durable.write_text(place, json.dumps(told) + "\n")
            sys.stdout.write(f"{name} {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
