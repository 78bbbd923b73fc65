"""Which arithmetic is faster on this CPU: a step and a picture of the embedded base in float32 and in bfloat16.

python -m benchmarks.arithmetic

One thread; the mean over the steps after the first two, and eight pictures drawn at once.
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks import bank
from benchmarks.setups import JOBS
from portraitist import arithmetic, runs
from portraitist.events import Stepped
from portraitist.mini.evaluate import WEIGHTS, drawn, encoder, sampler
from portraitist.verbs.encode import encode
from portraitist.verbs.train import train

STEPS, PICTURES = 12, 8


def step(precision: str) -> float:
    """Seconds of a step of the preset."""
    changes = (f"model.precision={precision}", f"stages.0.steps={STEPS}", f"training.save_every={STEPS}")
    with tempfile.TemporaryDirectory() as folder:
        project, chosen = bank.opened(replace(JOBS[0], who=7000, changes=changes), Path(folder))
        encode(project, chosen)
        run = runs.find(project, train(project, chosen).run)
        return statistics.mean([one.seconds for one in run.log.events() if isinstance(one, Stepped)][2:])


def picture(precision: str) -> float:
    """Seconds of a picture, drawn as the preset draws."""
    by, encoding = sampler(WEIGHTS / "mini", precision=precision), encoder(WEIGHTS / "mini")
    began = time.perf_counter()
    with torch.no_grad():
        drawn(by, encoding, ["a cartoon character, standing"] * PICTURES, 0)
    return (time.perf_counter() - began) / PICTURES


def main() -> None:
    """Write what was measured as JSON."""
    torch.set_num_threads(1)
    able = torch.cpu.get_capabilities()
    found = {"torch": torch.__version__, "cpu": able["cpu_name"], "bfloat16": arithmetic.native()}
    for precision in ("float32", "bfloat16"):
        found[precision] = {"step": round(step(precision), 3), "picture": round(picture(precision), 3)}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
