"""How like are LoRAs of characters that nothing was tuned on? The demo's job on held-out characters, held to the truth.

python -m benchmarks.characters --count 4 --keep characters

Writes one line of JSON per character, then the mean, the worst and a 95 % interval over characters. With `--keep` their
folders stay, and a study that was cut off goes on: what the same base and recipe have done there is not done again.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from examples import draw
from portraitist import demo, durable, families, recipe
from portraitist.errors import PortraitistError
from portraitist.mini.characters import unseen
from portraitist.project import Facts, Project
from portraitist.run import run
from portraitist.verbs.add import add

PICTURES = 40
FIRST = 4000
"""Numbers of characters from here on are used for nothing else."""


def one(number: int, changes: Sequence[str], folder: Path) -> dict[str, Any]:
    """The figures of one character, as `make demo` has them; what was begun in `folder` goes on."""
    began, who = time.monotonic(), unseen(number)
    settings = recipe.load(folder / "project" / "recipe.toml", changes)
    made = {"base": families.resolve(settings.model).digest, "recipe": settings.digest()}
    if (folder / "figures.json").is_file() and (known := durable.read_json(folder / "figures.json"))["made"] == made:
        return dict(known["figures"])
    durable.remove(folder)
    draw.main(folder / "pictures", PICTURES, who, number)
    facts = Facts(name="held-out", trigger="zorblax", subject="fictional", noun="a cartoon character", brief=demo.BRIEF)
    project = Project.create(folder / "project", facts)
    add(project, [folder / "pictures"])
    result = run(project, settings)
    if result.blocked:
        raise PortraitistError(f"The audit blocks character {number}", "See why, and mend the drawing.")
    needed = round((time.monotonic() - began) / 60, 2)  # as far as a person waits: what follows is our own study
    figures = {"character": number, "minutes": needed} | demo.truth(project, settings, result.run, who)
    figures |= {"why": result.why}
    durable.write_json(folder / "figures.json", {"made": made, "figures": figures})
    return figures


def summary(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean, worst and interval (by resampling characters) of likeness, and the mean and greatest loss of agreement."""
    like = np.array([each["identity_truth"]["chosen"] for each in found])
    drops = np.array([each["agreement"]["drop"] for each in found])
    means = np.random.default_rng(0).choice(like, (2000, len(like))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "characters": len(found),
        "base": round(float(np.mean([each["identity_truth"]["base"] for each in found])), 4),
        "mean": round(float(like.mean()), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
        "worst": round(float(like.min()), 4),
        "signature": round(float(np.mean([each["signature"]["chosen"] for each in found])), 4),
        "drop": round(float(drops.mean()), 4),
        "greatest_drop": round(float(drops.max()), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure so many characters, one after the other."""
    parser = argparse.ArgumentParser(prog="benchmarks.characters", description=__doc__)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--first", type=int, default=FIRST)
    parser.add_argument("--keep", type=Path, help="folder that the characters' folders stay in")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="section.key=value")
    options = parser.parse_args(arguments)
    found = []
    with tempfile.TemporaryDirectory() as other:
        for number in range(options.first, options.first + options.count):
            found.append(one(number, options.changes, (options.keep or Path(other)) / str(number)))
            sys.stdout.write(json.dumps(found[-1]) + "\n")
            sys.stdout.flush()
    sys.stdout.write(json.dumps(summary(found)) + "\n")


if __name__ == "__main__":
    main()
