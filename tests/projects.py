"""Whole projects on tiny bases: pictures added, audited, encoded and trained on, a checkpoint chosen."""

from types import SimpleNamespace

from portraitist import families, runs
from portraitist.recipe import load
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.new import new
from portraitist.verbs.train import train
from tests.pictures import saved, scenery
from tests.tiny import tiny

SETTINGS = """preset = "{family}"
[model]
family = "{family}"
base = "{base}"
precision = "float32"
threads = 1
[data]
resolution = 64
[adapter]
rank = 3
alpha = 5.0
[[stages]]
steps = 4
[training]
batch = 2
accumulate = 1
rate = 1e-2
schedule = "linear"
warmup = 20
ema = 0.98
save_every = 2
[judging]
guidance = 3.0
sampling_steps = 20
"""


def made(folder, name, changes=(), settings=SETTINGS):
    """A project trained on a tiny base for four steps, step 2 at strength 0.7 chosen from it."""
    base = tiny(name, folder / "base")
    for i in range(3):
        saved(folder / "from" / f"{i}.png", scenery(i, 64, 64))
        (folder / "from" / f"{i}.txt").write_text(f"zorblax, scene {i}")
    made = new(folder / "maya", name="Maya Ø", trigger="zorblax", subject="fictional", preset="mini")
    made.recipe.write_text(settings.format(family=name, base=base.folder))
    recipe = load(made.recipe, changes)
    add(made, [folder / "from"])
    audit(made, recipe)
    encode(made, recipe)
    train(made, recipe)
    run = runs.find(made)
    run.choice.write_text('format = 1\nstep = 2\nstrength = 0.7\nwhy = "it is the best"\n')
    return SimpleNamespace(project=made, run=run, family=families.get(name), base=base, folder=folder)
