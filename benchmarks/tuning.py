"""Which values of mini's preset make characters most alike, and what does each cost? Held-out characters, the truth.

python -m benchmarks.tuning --who 3000 --only preset rate-low

Trains a character with 40 pictures once for every variant, and holds a half and all of its steps to the truth, at every
strength and guidance asked for. One line of JSON each. The characters are none of those that
`benchmarks.characters` reports.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples import draw
from portraitist import demo, durable, families, recipe, runs
from portraitist.adapters import files, inject
from portraitist.events import Stepped
from portraitist.families.mini import MiniEncoder
from portraitist.judge.render import Sampler
from portraitist.learn import memory
from portraitist.mini import probe, truth
from portraitist.mini.characters import unseen
from portraitist.mini.evaluate import GUIDANCE, WEIGHTS, encoder, sampler
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.sight import dual
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.train import train

PICTURES, PARTS = 40, 2
VARIANTS: dict[str, tuple[str, ...]] = {
    "preset": (),
    "rate-low": ("training.rate=1.5e-3",),
    "rate-high": ("training.rate=6e-3",),
    "rank-16": ("adapter.rank=16",),
    "rank-64": ("adapter.rank=64",),
    "uniform": ("training.level=uniform",),
    "towards-noise": ("training.level=uniform", "training.level_shift=4"),
    "stratified": ("training.stratified=true",),
    "batch-16": ("training.batch=16",),
    "short": ("stages.0.steps=150",),
    "long": ("stages.0.steps=600",),
    "rank-16-long": ("adapter.rank=16", "stages.0.steps=600"),
    "dropout": ("adapter.dropout=0.1",),
    "decay": ("training.weight_decay=0.1",),
    "masks": ("data.masks=0.3",),
    "lokr": ("adapter.kind=lokr", "training.rate=1e-2"),
}


class Truth:
    """What is asked of a character, and how its pictures are measured."""

    def __init__(self, who: int, by: Sampler, encoding: MiniEncoder) -> None:
        self.by, self.encoding = by, encoding
        self.eyes, self.reader = dual.load(WEIGHTS / "eyes"), probe.load(WEIGHTS / "probe")
        self.asked = truth.prompts(unseen(who), "zorblax")
        self.scale = truth.scale(self.asked, encoding)

    def figures(self, guidance: float) -> dict[str, Any]:
        """The verdict on what is drawn now."""
        renders = truth.render(dataclasses.replace(self.by, guidance=guidance), self.encoding, self.asked)
        return dataclasses.asdict(truth.verdict(self.asked, renders, self.scale, self.eyes, self.reader))


def ready(folder: Path, who: int, settings: Sequence[str]) -> Project:
    """A project of a held-out character, encoded."""
    draw.main(folder / "pictures", PICTURES, unseen(who), who)
    facts = Facts(name="held-out", trigger="zorblax", subject="fictional", noun="a cartoon character", brief=demo.BRIEF)
    project = Project.create(folder / "project", facts)
    add(project, [folder / "pictures"])
    chosen = recipe.load(project.recipe, settings)
    audit(project, chosen)
    encode(project, chosen)
    return project


def measured(
    project: Project, chosen: Recipe, by: Truth, ways: Sequence[tuple[float, float]]
) -> Iterator[dict[str, Any]]:
    """Train, and hold each part of the steps to the truth, in ways to draw: strength and guidance."""
    paces: list[float] = []
    result = train(project, chosen, emit=lambda e: paces.append(e.seconds) if isinstance(e, Stepped) else None)
    run = runs.find(project, result.run)
    for part in range(1, PARTS + 1):
        step = chosen.steps * part // PARTS
        tensors, _ = files.read(run.adapter(step))
        for strength, guidance in ways:
            told = {"step": step, "strength": strength, "guidance": guidance, "pace": round(float(np.median(paces)), 4)}
            with inject.loaded(by.by.denoiser, by.by.family, tensors, strength):
                yield told | by.figures(guidance)
    durable.remove(run.path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure characters and variants, one after the other."""
    parser = argparse.ArgumentParser(prog="benchmarks.tuning", description=__doc__)
    parser.add_argument("--who", type=int, nargs="+", default=[3000])
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=VARIANTS, metavar="VARIANT")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="section.key=value")
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0])
    parser.add_argument("--guidance", type=float, nargs="+", default=[GUIDANCE])
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no other variant begins")
    options = parser.parse_args(arguments)
    began, ways = time.monotonic(), list(product(options.strengths, options.guidance))

    def told(line: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    for who in options.who:
        with tempfile.TemporaryDirectory() as folder:
            project = ready(Path(folder), who, options.changes)
            settings = recipe.load(project.recipe, options.changes)
            device = memory.place(settings.model.device)
            base = families.resolve(settings.model).folder
            by, encoding = sampler(base, precision=settings.model.precision), encoder(base)
            asked = Truth(who, dataclasses.replace(by, denoiser=by.denoiser.to(device)), encoding)
            for guidance in options.guidance:
                seconds = round(time.monotonic() - began, 1)
                line = {"who": who, "variant": "base", "seconds": seconds, "guidance": guidance}
                told(line | asked.figures(guidance))
            for name in options.only:
                if time.monotonic() - began > options.seconds:
                    return
                save = [f"training.save_every={steps_of(project, [*options.changes, *VARIANTS[name]]) // PARTS}"]
                chosen = recipe.load(project.recipe, [*options.changes, *VARIANTS[name], *save])
                for line in measured(project, chosen, asked, ways):
                    seconds = round(time.monotonic() - began, 1)
                    told({"who": who, "variant": name, "seconds": seconds} | line)


def steps_of(project: Project, changes: Sequence[str]) -> int:
    """The steps of a recipe with changes."""
    return recipe.load(project.recipe, changes).steps


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
