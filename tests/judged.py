"""A run of three checkpoints on a tiny SDXL, to be judged."""

import os
import shutil
from dataclasses import dataclass

import numpy as np

from portraitist import recipe as recipes
from portraitist import runs
from portraitist.events import Started
from portraitist.judge import render, scorecard
from portraitist.project import Facts, Project
from portraitist.stopping import never
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.choose import choose
from portraitist.verbs.encode import encode
from portraitist.verbs.evaluate import evaluate, seated
from portraitist.verbs.train import train
from tests.pictures import saved, scenery
from tests.tiny import tiny

SETTINGS = (
    'model.precision="float32"', "model.threads=1", "data.resolution=64", "stages=[{steps=6}]", "training.batch=2",
    "training.accumulate=1", "training.schedule=linear", "training.warmup=20", "judging.guidance=3.0",
    "training.save_every=2", "training.rate=1e-2", "training.ema=0.0", "judging.sampling_steps=2", "judging.seeds=1",
    "judging.screen=3", "judging.cells=3", "judging.strengths=[0.5, 1.0]", "judging.budget=0",
    "judging.unnamed=1", "judging.paraphrases=1", "judging.restyled=1", "judging.guidances=[2.0, 3.0]",
)  # fmt: skip


@dataclass
class Trained:
    """A project with a run of three checkpoints on a tiny SDXL."""

    project: Project
    recipe: recipes.Recipe

    @property
    def run(self):
        return runs.find(self.project)

    def at(self, folder):
        """A copy of it elsewhere."""
        shutil.copytree(self.project.folder, folder, copy_function=shutil.copy2)
        return Trained(Project.open(folder), self.recipe)

    def cards(self):
        return scorecard.read(self.run)

    def pictures(self):
        """Every drawn file's bytes."""
        folder = self.run.evaluation / "renders"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def trained_in(folder):
    """A tiny base, ten captioned pictures, and three checkpoints."""
    base = tiny("sdxl", folder / "base")
    for i in range(10):
        saved(folder / "in" / f"{i}.png", scenery(i, 80, 80))
        words = (("close-up", "full body")[i % 2], ("smiling", "sad")[i // 2 % 2], ("forest", "room", "beach")[i % 3])
        (folder / "in" / f"{i}.txt").write_text("{} of zorblax, {}, {} background".format(*words))
    project = Project.create(folder / "p", Facts(name="Z", trigger="zorblax", subject="fictional", noun="robot"))
    add(project, [folder / "in"])
    changes = ['preset="sdxl"', f'model.base="{base.folder}"', *SETTINGS]
    recipe = recipes.load(project.recipe, changes)
    audit(project, recipe)
    encode(project, recipe)
    train(project, recipe)
    return Trained(project, recipe)


def judged_in(made):
    """Judged, chosen and reported; with what the first judging came to."""
    result = evaluate(made.project, made.recipe)
    choose(made.project)
    evaluate(made.project, made.recipe)
    return made, result


def sat(made, **judging):
    """A sitting over a run, with other settings of judging."""
    recipe = made.recipe.model_copy(update={"judging": made.recipe.judging.model_copy(update=judging)})
    return seated(made.project, recipe, made.run, lambda event: None, never)


def renamed(tensors):
    """A LoRA of ours by another program's names."""
    ends = {".lora_A.weight": ".lora_down.weight", ".lora_B.weight": ".lora_up.weight", ".alpha": ".alpha"}
    found = {}
    for name, tensor in tensors.items():
        end = next(end for end in ends if name.endswith(end))
        found[f"lora_unet_{name.removesuffix(end).replace('.', '_')}{ends[end]}"] = tensor
    return found


def shown(made, card):
    """The pictures of a card (N, H, W, 3)."""
    return np.stack([render.read(made.run.path / drawn.path).astype(float) for drawn in card.pictures])


def begin(made, pid=None):
    """Let the record say that a training goes on in a process (this one)."""
    made.run.log.append(Started(verb="train", total=6, pid=pid or os.getpid()))
