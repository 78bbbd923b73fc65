"""The bank of runs: trainings held to the truth, from which every claim about judging and choosing is read.

python -m benchmarks.bank make measure --keep FOLDER [--group choice] [--part 0/2]

`make` trains each run that FOLDER lacks and draws its checkpoints: what judging draws, and pictures of other prompts
and seeds that the truth is taken on and no judge sees. `measure` has the product's own panel measure what was drawn
and writes benchmarks/runs/NAME.json: scores picture by picture, losses, symptoms, the truth. A run that was made whole
is not made again: take its folder away where base or set-up have changed. All that is there is measured anew.
"""

import argparse
import dataclasses
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.setups import GROUPS, STRENGTHS, TRIGGER, Setup, illustrate
from portraitist import arithmetic, demo, durable, families, recipe, runs
from portraitist.adapters import files, inject
from portraitist.errors import PortraitistError
from portraitist.events import Stepped, ignore
from portraitist.judge.advising import cures, signs
from portraitist.judge.scorecard import BASE, WHOLE, Scorecard, Stage
from portraitist.judge.sitting import Sitting
from portraitist.mini import probe, truth
from portraitist.mini.characters import unseen
from portraitist.mini.corpus import to_pixels
from portraitist.mini.evaluate import WEIGHTS, drawn, encoder, sampler, to_bytes
from portraitist.mini.scenes import NOBODY
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.sight import dual
from portraitist.stopping import never
from portraitist.verbs import advise, evaluate
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.train import train

RESULTS = Path(__file__).parent / "runs"
STAGES: tuple[Stage, ...] = ("grid", "probe")
SEEDS = 3
"""Pictures of each of the truth's prompts."""


def opened(setup: Setup, folder: Path) -> tuple[Project, Recipe]:
    """A set-up's project, made when it is not there, and its recipe."""
    facts = Facts(name="held-out", trigger=TRIGGER, subject="fictional", noun=NOBODY, brief=demo.BRIEF)
    if not (folder / "project" / "manifest.jsonl").is_file():
        durable.remove(folder)
        illustrate(setup, folder / "pictures")
        add(Project.create(folder / "project", facts), [folder / "pictures"])
    project = Project.open(folder / "project")
    changes = [*setup.changes, f"training.seed={setup.seed}", "model.threads=1", "judging.budget=0"]
    chosen = recipe.load(project.recipe, changes)
    if not project.manifest.is_file():
        audit(project, chosen)
    return project, chosen


def make(setup: Setup, folder: Path) -> None:
    """Train, and draw all that judging could, and the truth's pictures."""
    began = time.process_time()
    project, chosen = opened(setup, folder)
    encode(project, chosen)
    run = runs.find(project, train(project, chosen).run)
    trained = time.process_time() - began
    truths = list(held_to_truth(setup, chosen, run))
    sitting, began = seated(project, chosen, run), time.process_time()
    for step in (BASE, *run.steps()):
        for strength in strengths(setup, step):
            for stage in STAGES:
                sitting.take(step)
                sitting.draw(step, strength, stage)
    seconds = {"training": round(trained, 1), "drawing": round(time.process_time() - began, 1)}
    facts = {"recipe": chosen.digest(), "seconds": seconds, "drawn": sitting.drawn, "truths": truths}
    facts["made_by"] = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "precision": arithmetic.settled(chosen.model.precision, chosen.model.device),
    }
    durable.write_json(folder / "truth.json", facts)  # last: a run without it is made again


def trained(setup: Setup, folder: Path) -> list[dict[str, Any]]:
    """The truth of a set-up's training, which is made; nothing is judged."""
    project, chosen = opened(setup, folder)
    encode(project, chosen)
    return list(held_to_truth(setup, chosen, runs.find(project, train(project, chosen).run), base=False))


def strengths(setup: Setup, step: int) -> tuple[float, ...]:
    """Strengths that a checkpoint is drawn at."""
    if step == BASE:
        return (0.0,)
    return STRENGTHS if setup.whole else (WHOLE,)


def seated(project: Project, chosen: Recipe, run: runs.RunFolder) -> Sitting:
    """The product's own panel before a run."""
    return evaluate.seated(project, chosen, run, ignore, never)


def held_to_truth(setup: Setup, chosen: Recipe, run: runs.RunFolder, base: bool = True) -> Iterator[dict[str, Any]]:
    """The truth of every checkpoint at every strength, by name, and at strength 1 without it; the base's first."""
    folder = families.resolve(chosen.model).folder
    by, encoding = sampler(folder, precision=chosen.model.precision), encoder(folder)
    eyes, reader = dual.load(WEIGHTS / "eyes"), probe.load(WEIGHTS / "probe")
    asked = truth.prompts(unseen(setup.who), TRIGGER)
    scale = truth.scale(asked, encoding)
    named, unnamed = ([p.text.replace(TRIGGER, word) for p in asked] for word in (TRIGGER, NOBODY))
    for step in (*([BASE] if base else []), *(run.steps() if setup.whole else run.steps()[-1:])):
        tensors = files.read(run.adapter(step))[0] if step else {}
        for strength in strengths(setup, step):
            with inject.loaded(by.denoiser, by.family, tensors, strength, merged=True):
                shown = [drawn(by, encoding, named, seed, "truth") for seed in range(SEEDS)]
                other = drawn(by, encoding, unnamed, 0, "truth") if strength in (0.0, WHOLE) else None
            told = dataclasses.asdict(truth.verdict(asked, shown, scale, eyes, reader))
            told["each"] = [
                [round(scale(truth.distance(p, pixels)), 4), round(right(p, read), 4)]
                for seed in shown
                for p, pixels, read in zip(asked, to_bytes(seed), reader.read(seed), strict=True)
            ]
            if other is not None:
                apart = [truth.distance(p, pixels) for p, pixels in zip(asked, to_bytes(other), strict=True)]
                told["unnamed"] = [round(scale(one), 4) for one in apart]
            yield {"step": step, "strength": strength, **told}


def right(asked: truth.Prompt, read: Mapping[str, str]) -> float:
    """The share of what a prompt asks that the probe has read in its picture."""
    wanted = {kind: value for kind, value in asked.scene.attributes().items() if kind in truth.READ}
    return float(np.mean([read[kind] == value for kind, value in wanted.items()]))


def measured(setup: Setup, folder: Path) -> dict[str, Any]:
    """What a made run comes to, as the product's own measures have it, beside the truth."""
    project, chosen = opened(setup, folder)
    run = runs.find(project, "")
    told = durable.read_json(folder / "truth.json")
    if not {one["step"] for one in told["truths"]} <= {BASE, *run.steps()}:
        raise PortraitistError(f"The newest run in {folder} is not the one that was held to the truth", "Take it away.")
    durable.remove(run.scorecards)
    sitting, began = seated(project, chosen, run), time.process_time()
    cells = [(step, strength) for step in (BASE, *run.steps()) for strength in strengths(setup, step)]
    cards = [sitting.judge(*cell, stage) for stage in STAGES for cell in cells]
    seen = advise.gather(project, run)
    symptoms = signs.look(seen)
    return {
        "setup": dataclasses.asdict(setup),
        "made_by": told.get("made_by"),
        "grid": sitting.grid.digest,
        "truths": told["truths"],
        "drawings": drawings(setup),
        "seconds": told["seconds"] | {"measuring": round(time.process_time() - began, 1)},
        "drawn": told.get("drawn"),
        "cards": [compact(card) for card in cards],
        "losses": [dataclasses.asdict(losses) for losses in sitting.losses.values()],
        "symptoms": [symptom.name for symptom in symptoms],
        "advice": [one.as_json() for one in cures.advise(symptoms, seen, "")],
        "training": [[event.step, event.loss] for event in run.log.events() if isinstance(event, Stepped)],
    }


def drawings(setup: Setup) -> float:
    """What the probe reads right in true drawings of the character, of what the truth's prompts ask."""
    asked, reader = truth.prompts(unseen(setup.who), TRIGGER), probe.load(WEIGHTS / "probe")
    found = [
        right(prompt, read)
        for prompt in asked
        for read in reader.read(to_pixels([drawing.pixels for drawing in prompt.drawings]))
    ]
    return round(float(np.mean(found)), 4)


def compact(card: Scorecard) -> dict[str, Any]:
    """A card's cell, and by measure the values of its pictures to four places; None where one has none."""
    names = sorted({name for one in card.pictures for name in one.scores})
    return {
        "cell": [card.step, card.strength, card.guidance, card.stage],
        "values": {
            n: [round(v, 4) if (v := d.scores.get(n)) is not None else None for d in card.pictures] for n in names
        },
    }


def share(
    prog: str, about: str, names: Sequence[str], arguments: Sequence[str] | None
) -> tuple[list[str], Path] | None:
    """Which of the names a call with `make` is about, and the folder that runs stay in; None for one without."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("what", nargs="?", choices=["make"])
    parser.add_argument("--keep", type=Path, help="folder that runs stay in")
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2 share the work of two processes")
    options = parser.parse_args(arguments)
    part, parts = map(int, options.part.split("/"))
    if options.what and options.keep is None:
        parser.error("make wants --keep")
    return (list(names[part::parts]), options.keep) if options.what else None


def wanted(options: argparse.Namespace) -> list[Setup]:
    """The set-ups that a call is about: a group's, or this part of them."""
    part, parts = map(int, options.part.split("/"))
    return [setup for name in options.group for setup in GROUPS[name]()][part::parts]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs that are not made, measure those that are, or both, one after the other."""
    parser = argparse.ArgumentParser(prog="benchmarks.bank", description=__doc__)
    parser.add_argument("what", nargs="+", choices=["make", "measure"])
    parser.add_argument("--keep", type=Path, required=True, help="folder that runs and pictures stay in")
    parser.add_argument("--group", nargs="+", default=list(GROUPS), choices=list(GROUPS))
    parser.add_argument("--part", default="0/1", help="0/2 and 1/2 share the work of two processes")
    options = parser.parse_args(arguments)
    for setup in wanted(options):
        folder, began = options.keep / setup.name, time.monotonic()
        if "make" in options.what and not (folder / "truth.json").is_file():
            make(setup, folder)
        if "measure" in options.what and (folder / "truth.json").is_file():
            durable.write_text(RESULTS / f"{setup.name}.json", json.dumps(measured(setup, folder)) + "\n")
        sys.stdout.write(f"{setup.name} {time.monotonic() - began:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
