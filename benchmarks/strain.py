"""What strain is worth in the choice, by its price, on characters known by close-ups alone.

python -m benchmarks.strain

Reads the bank; draws and trains nothing. "Set" are the runs that the price was set on, "unset" those made or looked at
after. Each line has the mean regret of the choice by all cells under its own gate and the truth's, fair regret, true
likeness, and for the walk as the preset regret under the truth's gate and true likeness; the last of each kind says
what the price of the product saves, with intervals over characters.
"""

import json
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.chooser import RULES, WALK, admitted, fair, kept, ours, regret, rounded, truth
from benchmarks.record import Record, interval, read
from portraitist.judge import alike

KINDS = {"set": ("choice", "fresh"), "unset": ("later", "close"), "all": ("choice", "fresh", "later", "close")}
PRICES = (0.0, 0.1, alike.PRICE, 0.22, 0.35)
LIKER = (3, 5)  # columns of which more is better


def row(run: Record) -> list[float]:
    """The figures of one run, at the price that holds."""
    whole, walk = ours(run), RULES[WALK](run)
    may, true = admitted(run), kept(run)
    gated = [regret(run, whole, may), regret(run, whole, true), fair(run, whole), truth(run, whole)]
    return [*gated, regret(run, walk, true), truth(run, walk)]


def priced(runs: Sequence[Record], price: float) -> np.ndarray:
    """The figures of runs (N, 6) at a price, which is put back."""
    before, alike.PRICE = alike.PRICE, price
    try:
        return np.array([row(run) for run in runs])
    finally:
        alike.PRICE = before


def main() -> None:
    """A line of JSON for each kind and price."""
    for kind, groups in KINDS.items():
        runs = [run for group in groups for run in read(group) if run.told["setup"]["data"] == "close"]
        found = {price: priced(runs, price) for price in PRICES}
        for price, rows in found.items():
            line = {"kind": kind, "runs": len(runs), "price": price, "means": rounded(rows.mean(0).tolist())}
            sys.stdout.write(json.dumps(line) + "\n")
        saved = found[0.0] - found[alike.PRICE]
        saved[:, LIKER] *= -1
        who = [run.who for run in runs]
        told = [rounded(interval(column.tolist(), who)) for column in saved.T]
        sys.stdout.write(json.dumps({"kind": kind, "saved": told}) + "\n")


if __name__ == "__main__":
    main()
