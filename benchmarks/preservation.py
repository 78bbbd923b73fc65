"""Does training.preserve keep a character from leaking into everyone, on the embedded base, and what does it cost?

python -m benchmarks.preservation [--who 5000] [--steps 300] 0 1

A held-out character is trained as in `benchmarks.curves` (36 pictures, the preset but for its steps) at each weight.
One line of JSON a checkpoint.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.curves import dataset, elsewhere, rounded
from portraitist import demo, families, recipe, runs
from portraitist.adapters import files, inject
from portraitist.events import Stepped
from portraitist.families.mini import MiniEncoder
from portraitist.judge.render import Sampler
from portraitist.mini import probe, truth
from portraitist.mini.characters import unseen
from portraitist.mini.evaluate import WEIGHTS, drawn, encoder, sampler, to_bytes
from portraitist.mini.scenes import NOBODY, Scene, a_character, caption
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.train import train

WHO, SEEDS = 5000, 1
LOOKS = ("hair", "hairstyle", "skin", "outfit", "cloth")


def trained(folder: Path, who: int, changes: Sequence[str]) -> tuple[Project, Recipe]:
    """A project of a held-out character, trained."""
    dataset("plain", folder / "pictures", who)
    facts = Facts(name="held-out", trigger="zorblax", subject="fictional", noun=NOBODY, brief=demo.BRIEF)
    project = Project.create(folder / "project", facts)
    add(project, [folder / "pictures"])
    settings = recipe.load(project.recipe, changes)
    audit(project, settings)
    encode(project, settings)
    train(project, settings)
    return project, settings


class Questions:
    """What is asked of every checkpoint: eleven contexts of the character, and eleven strangers told by their looks."""

    def __init__(self, who: int, by: Sampler, encoding: MiniEncoder) -> None:
        self.by, self.encoding, self.reader = by, encoding, probe.load(WEIGHTS / "probe")
        self.asked = elsewhere(truth.prompts(unseen(who), "zorblax"))
        self.scale = truth.scale(self.asked, encoding)
        self.scenes = [prompt.scene for prompt in self.asked]
        draw = random.Random("strangers")
        self.strangers = [replace(scene, character=a_character(draw)) for scene in self.scenes]
        self.before = {name: self.pictures(scenes, word) for name, scenes, word in self.kinds()}

    def kinds(self) -> list[tuple[str, list[Scene], str]]:
        """The three questions: their name, scenes, and what the captions call the character."""
        return [("named", self.scenes, "zorblax"), ("unnamed", self.scenes, NOBODY), ("others", self.strangers, NOBODY)]

    def pictures(self, scenes: Sequence[Scene], word: str) -> list[Tensor]:
        """Pictures of the scenes, a tensor a seed; of strangers the captions tell the looks too."""
        texts = [caption(one, word, look=one.character is not self.scenes[0].character) for one in scenes]
        return [drawn(self.by, self.encoding, texts, seed, "curves") for seed in range(SEEDS)]

    def answers(self) -> dict[str, dict[str, float]]:
        """Likeness, share of asked contexts and looks that the probe reads, and Lab distance to the base's pictures."""
        found = {}
        for name, scenes, word in self.kinds():
            renders = self.pictures(scenes, word)
            far = [p for pixels in renders for p in map(truth.distance, self.asked, to_bytes(pixels))]
            reads = [
                (one, read) for pixels in renders for one, read in zip(scenes, self.reader.read(pixels), strict=True)
            ]
            found[name] = {"likeness": self.scale(float(np.mean(far)))}
            for kinds, label in ((truth.READ, "context"), (LOOKS, "looks")):
                hits = [r[k] == s.attributes()[k] for s, r in reads for k in kinds if k in s.attributes()]
                found[name][label] = float(np.mean(hits))
            moved = [(a - b).abs().mean() for a, b in zip(renders, self.before[name], strict=True)]
            found[name]["moved"] = float(torch.stack(moved).mean())
        return found


def curve(who: int, weight: float, steps: int) -> None:
    """Train at one weight, and say what every checkpoint draws with the name, without it, and of others."""
    changes = [f"stages.0.steps={steps}", f"training.save_every={steps // 2}"]
    changes += [f"training.preserve={weight}", "model.threads=1"]
    with tempfile.TemporaryDirectory() as place:
        project, settings = trained(Path(place), who, changes)
        done = runs.find(project)
        base = families.resolve(settings.model).folder
        questions = Questions(who, sampler(base), encoder(base))
        seconds = statistics.median(e.seconds for e in done.log.events() if isinstance(e, Stepped))
        for step in (0, *done.steps()):
            tensors = files.read(done.adapter(step))[0] if step else {}
            by = questions.by
            with inject.loaded(by.denoiser, by.family, tensors, 1.0 if step else 0.0):
                told = {"who": who, "preserve": weight, "step": step, "seconds": seconds, **questions.answers()}
            sys.stdout.write(json.dumps(rounded(told)) + "\n")
            sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the curve of each weight."""
    parser = argparse.ArgumentParser(prog="benchmarks.preservation", description=__doc__)
    parser.add_argument("--who", type=int, default=WHO)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("weights", nargs="*", type=float, default=[0.0, 1.0])
    options = parser.parse_args(arguments)
    for weight in options.weights:
        curve(options.who, weight, options.steps)


if __name__ == "__main__":
    main()
