"""Can overfit, bleed and leak be provoked on the embedded base, and do the measures see them?

python -m benchmarks.curves [plain few room noun]

A held-out character is trained on four datasets, the preset as it is: 36 pictures as in the demo; 8 pictures; 36 in one
room that no caption tells; 36 whose captions call it "a cartoon character" too. One line of JSON a checkpoint.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from portraitist import demo, families, recipe, runs
from portraitist.adapters import files, inject
from portraitist.families.mini import MiniEncoder
from portraitist.judge import scorecard
from portraitist.judge.overfit import ratios
from portraitist.judge.render import Sampler
from portraitist.mini import probe, truth
from portraitist.mini.characters import album, told, unseen
from portraitist.mini.drawing import draw
from portraitist.mini.evaluate import WEIGHTS, drawn, encoder, sampler, to_bytes
from portraitist.mini.scenes import NOBODY, Scene, caption
from portraitist.project import Facts, Project
from portraitist.run import run
from portraitist.verbs.add import add

WHO = 5000
QUICK = ("judging.cells=1", "judging.seeds=1", "judging.strengths=[1.0]")


def dataset(name: str, folder: Path, who: int = WHO) -> None:
    """Draw the pictures of one of the four, with captions."""
    scenes = album(unseen(who), 8 if name == "few" else 36, who)
    if name == "room":
        scenes = [replace(one, context=replace(one.context, background="room")) for one in scenes]
    folder.mkdir()
    for number, one in enumerate(scenes):
        text = told(one, "zorblax")
        if name == "room":
            text = text.replace(", room background", "")
        if name == "noun":
            text = text.replace("zorblax", f"zorblax, {NOBODY}")
        Image.fromarray(draw(one).pixels).save(folder / f"{number:02d}.png")
        (folder / f"{number:02d}.txt").write_text(text + "\n", encoding="utf-8")


def pictured(by: Sampler, encoding: MiniEncoder, scenes: Sequence[Scene], word: str) -> Tensor:
    """Pictures of captions that tell the contexts, and of the character only the word."""
    return drawn(by, encoding, [caption(one, word, look=False) for one in scenes], 0, "curves")


def measured(
    asked: Sequence[truth.Prompt], scale: truth.Scale, reader: probe.Probe, pixels: Tensor
) -> dict[str, float]:
    """Likeness, Lab distance of the background, and shares of asked backgrounds and of rooms that the probe reads."""
    pairs = list(zip(asked, to_bytes(pixels), strict=True))
    grounds = [each["background"] for each in reader.read(pixels)]
    wanted = [prompt.scene.context.background for prompt in asked]
    return {
        "likeness": scale(float(np.mean([truth.distance(*pair) for pair in pairs]))),
        "background": float(np.mean([truth.distance(*pair, outside=True) for pair in pairs])),
        "asked": float(np.mean(np.array(grounds) == wanted)),
        "room": grounds.count("room") / len(grounds),
    }


def elsewhere(asked: Sequence[truth.Prompt]) -> list[truth.Prompt]:
    """The prompts that do not ask for a room."""
    return [prompt for prompt in asked if prompt.scene.context.background != "room"]


def curve(name: str) -> None:
    """Train on one dataset, and say what every checkpoint does with the character's name and without."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        dataset(name, folder / "pictures")
        facts = Facts(name="held-out", trigger="zorblax", subject="fictional", noun=NOBODY, brief=demo.BRIEF)
        project = Project.create(folder / "project", facts)
        add(project, [folder / "pictures"])
        settings = recipe.load(project.recipe, QUICK)
        result = run(project, settings)
        if result.blocked:
            sys.stdout.write(json.dumps({"data": name, "blocked": [f.says for f in result.findings]}) + "\n")
            return
        done = runs.find(project, result.run)
        base = families.resolve(settings.model).folder
        by, encoding, reader = sampler(base), encoder(base), probe.load(WEIGHTS / "probe")
        asked = elsewhere(truth.prompts(unseen(WHO), "zorblax"))
        scale, scenes = truth.scale(asked, encoding), [p.scene for p in asked]
        losses = {one.step: one for one in scorecard.read_losses(done)}
        copying = {c.step: c.scores["copying"].mean for c in scorecard.read(done) if c.stage == "screen"}
        for step in (0, *done.steps()):
            told_: dict[str, Any] = {"data": name, "step": step, "copying": copying.get(step)}
            for split in ("train_each", "held_each"):
                found = ratios(losses[step], losses[0], split)
                told_[split] = float(np.mean(found)) if found else None
            tensors = files.read(done.adapter(step))[0] if step else {}
            with inject.loaded(by.denoiser, by.family, tensors, 1.0 if step else 0.0):
                told_["named"] = measured(asked, scale, reader, pictured(by, encoding, scenes, "zorblax"))
                told_["unnamed"] = measured(asked, scale, reader, pictured(by, encoding, scenes, NOBODY))
            sys.stdout.write(json.dumps(rounded(told_)) + "\n")
            sys.stdout.flush()


def rounded(value: Any) -> Any:
    """The same with numbers to four places."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the curves that are named; all without a name."""
    parser = argparse.ArgumentParser(prog="benchmarks.curves", description=__doc__)
    parser.add_argument("data", nargs="*", default=["plain", "few", "room", "noun"])
    for name in parser.parse_args(arguments).data:
        curve(name)


if __name__ == "__main__":
    main()
