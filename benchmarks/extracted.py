"""Is a LoRA out of a full fine-tune better than one that was trained as such? Held to the truth, and by the judge.

    python -m benchmarks.extracted --keep FOLDER [--count 4] [--rate 1e-3]

Each character's 40 drawings are learnt twice from the same seed, by mini's preset as a LoRA of rank 32 and by training
the whole denoiser. Out of that, LoRAs are extracted in as many bytes as the first has: with the ranks that `--size`
chooses, and with the one rank for all layers that comes nearest. Each is held to the truth of benchmarks/setups.py's
prompts, and judged by the panel's identity and agreement on the full grid, at strength 1 after the last step.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bank import held_to_truth, opened, seated
from benchmarks.setups import FIRST, Setup
from portraitist import durable, runs
from portraitist.adapters.ranks import Ranks
from portraitist.judge.scorecard import WHOLE
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.verbs.encode import encode
from portraitist.verbs.extract import How, extract
from portraitist.verbs.train import train

LAST = "training.save_every=300"


def setup(who: int, *changes: str) -> Setup:
    """A character's drawings, and what is changed of the preset."""
    return Setup(f"extracted-{who}", who, changes=(LAST, *changes))


def judged(made: Setup, project: Project, chosen: Recipe, run: runs.RunFolder) -> dict[str, Any]:
    """The last checkpoint of a run at strength 1, by the truth and by the judge."""
    step = run.steps()[-1]
    truth = next(held_to_truth(made, chosen, run, base=False))
    scores = seated(project, chosen, run).judge(step, WHOLE, "grid").scores
    told = {name: round(scores[name].mean, 3) for name in ("identity", "agreement")}
    size = run.adapter(step).stat().st_size / 1e6
    return {"megabytes": round(size, 2), "likeness": truth["truth"], "reads": truth["agreement"], **told}


def ways(who: int, folder: Path, rate: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every way of one character, with what came of it."""
    durable.remove(folder)
    made = setup(who)
    project, chosen = opened(made, folder)
    encode(project, chosen)
    direct = runs.find(project, train(project, chosen).run)
    found = judged(made, project, chosen, direct)
    yield "direct", found
    made = setup(who, "adapter.kind=full", f"training.rate={rate}")
    project, chosen = opened(made, folder)
    full = runs.find(project, train(project, chosen).run)
    yield "full", judged(made, project, chosen, full)
    least, rank = found["megabytes"], 0
    for name, ranks in (("extracted, size", Ranks(size=least)), ("extracted, one rank", None)):
        if ranks is None:
            rank = nearest(project, full, least)
            ranks = Ranks(linear=rank)
        said = extract(project, full.name, how=How(ranks))
        made = setup(who)
        got = judged(made, project, opened(made, folder)[1], runs.find(project, said.run))
        yield name, got | {"ranks": said.ranks, "kept": round(said.kept, 4)}


def nearest(project: Project, full: runs.RunFolder, megabytes: float) -> int:
    """The rank of all layers whose file comes nearest to a size: by that of rank 8, for a file grows by its ranks."""
    said = extract(project, full.name, how=How(Ranks(linear=8)))
    return max(1, round(8 * megabytes / said.megabytes))


def main() -> None:
    """A line of JSON for each character and way, then the means and the differences from `direct`."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("--keep", type=Path, required=True)
    words.add_argument("--first", type=int, default=FIRST + 300)
    words.add_argument("--count", type=int, default=4)
    words.add_argument("--rate", default="1e-3")
    told = words.parse_args()
    rows: dict[str, list[dict[str, Any]]] = {}
    for who in range(told.first, told.first + told.count):
        for name, found in ways(who, told.keep / str(who), told.rate):
            rows.setdefault(name, []).append(found)
            sys.stdout.write(json.dumps({"character": who, "way": name, **found}) + "\n")
            sys.stdout.flush()
    for name, each in rows.items():
        for what in ("likeness", "reads", "identity", "agreement"):
            apart = [one[what] - first[what] for one, first in zip(each, rows["direct"], strict=True)]
            line = {"way": name, "of": what, "mean": round(float(np.mean([one[what] for one in each])), 3)}
            sys.stdout.write(json.dumps(line | {"apart": [round(v, 3) for v in apart]}) + "\n")


if __name__ == "__main__":
    main()
