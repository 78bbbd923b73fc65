"""A project with a run on a tiny SDXL that tests judge, choose from and look at, copy by copy."""

import shutil
from dataclasses import dataclass

from portraitist import recipe as recipes
from portraitist import runs
from portraitist.judge import scorecard
from portraitist.project import Project

SETTINGS = (
    'model.precision="float32"', "model.threads=1", "data.resolution=64", "stages=[{steps=6}]", "training.batch=2",
    "training.accumulate=1", "training.schedule=linear", "training.warmup=20", "judging.guidance=3.0",
    "training.save_every=2", "training.rate=1e-2", "training.ema=0.0", "judging.sampling_steps=2", "judging.seeds=1",
    "judging.screen=3", "judging.contenders=2", "judging.strengths=[0.5, 1.0]", "judging.budget=0",
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
