"""Do the doctor's buckets and checkpoints equal those of sd-scripts and musubi-tuner? Their own code is the judge.

python -m benchmarks.doctor_buckets SD_SCRIPTS MUSUBI [--trials 400]

Both are git directories (HEAD is read). Of their files only the classes and functions that choose buckets and remove
checkpoints are taken and executed, unmodified, on random sizes and settings; differences are counted.
"""

import argparse
import ast
import math
import random
import re
import sys
import typing
from collections import Counter
from pathlib import Path
from subprocess import run
from types import SimpleNamespace
from typing import Any

import numpy as np

from portraitist.interop.kohya import counting

SIZES = 30
"""Pictures a trial."""


def taken(source: Path, name: str, wanted: set[str], given: dict[str, Any]) -> dict[str, Any]:
    """The definitions of these names in a file of a repository, executed; `given` is what they refer to."""
    git = ["git", f"--git-dir={source}", "show", f"HEAD:{name}"]
    tree = ast.parse(run(git, capture_output=True, check=True).stdout)
    body = [node for node in tree.body if getattr(node, "name", "") in wanted]
    space = {**vars(typing), "np": np, "math": math, "argparse": argparse, **given}
    exec(compile(ast.Module(body, []), name, "exec"), space)
    return space


def drawn(draw: random.Random) -> list[tuple[int, int]]:
    """Sizes of pictures."""
    return [(draw.randint(200, 3000), draw.randint(200, 3000)) for _ in range(SIZES)]


def sd_scripts(source: Path, draw: random.Random, trials: int) -> tuple[int, int]:
    """Trials that counted, and those whose buckets differ."""
    resolutions = taken(source, "library/model_util.py", {"make_bucket_resolutions"}, {})["make_bucket_resolutions"]
    util = SimpleNamespace(make_bucket_resolutions=resolutions)
    manager = taken(source, "library/train_util.py", {"BucketManager"}, {"model_util": util})["BucketManager"]
    counted = differ = 0
    while counted < trials:
        side, steps = (64 * draw.randint(4, 24), 64 * draw.randint(4, 24)), draw.choice([32, 64, 128])
        least, most, shrink = draw.choice([128, 256]), draw.choice([1024, 1536, 2048]), draw.random() < 0.4
        if max(side) > most or min(side) < least:
            continue  # it asserts against these
        theirs = manager(shrink, side, least, most, steps)
        if not shrink:
            theirs.make_buckets()
        sizes = drawn(draw)
        try:
            wanted = Counter(theirs.select_bucket(*size)[0] for size in sizes)
        except ZeroDivisionError:
            continue  # of its own, for pictures thinner than a step
        area = side[0] * side[1]
        buckets = counting.bucket_sides(side, least, most, steps)
        ours = Counter(counting.shrunk(size, area, steps) for size in sizes) if shrink else None
        counted += 1
        differ += (counting.bucketed(sizes, buckets) if ours is None else ours) != wanted
    return counted, differ


def musubi(source: Path, draw: random.Random, trials: int) -> tuple[int, int]:
    """Trials, and those whose buckets differ."""
    name = "src/musubi_tuner/dataset/bucket.py"
    text = run(
        ["git", f"--git-dir={source}", "show", f"HEAD:{name}"], capture_output=True, text=True, check=True
    ).stdout
    kinds = {word: word for word in re.findall(r"\bARCHITECTURE_\w+", text)}
    given = {**kinds, "divisible_by": lambda number, divisor: number - number % divisor}
    selector = taken(source, name, {"BucketSelector"}, given)["BucketSelector"]
    differ = 0
    for _ in range(trials):
        side, shrink = (draw.randint(256, 1600), draw.randint(256, 1600)), draw.random() < 0.4
        theirs, sizes = selector(side, True, shrink, "ARCHITECTURE_QWEN_IMAGE"), drawn(draw)
        wanted = Counter(theirs.get_bucket_resolution(size) for size in sizes)
        small = [size for size in sizes if shrink and size[0] * size[1] <= side[0] * side[1]]
        ours = Counter((width - width % 16, height - height % 16) for width, height in small)
        others = [size for size in sizes if size not in small]
        differ += ours + counting.bucketed(others, counting.even_sides(side, 16), exact=False) != wanted
    return trials, differ


def checkpoints(source: Path, draw: random.Random, trials: int) -> tuple[int, int]:
    """Trials, and those where other checkpoints of sd-scripts are left."""
    gone = taken(source, "library/train_util.py", {"get_remove_step_no"}, {})["get_remove_step_no"]
    differ = 0
    for _ in range(trials):
        steps, every, last = draw.randint(1, 300), draw.randint(1, 30), draw.choice([0, draw.randint(1, 100)])
        asked, left = SimpleNamespace(save_every_n_steps=every, save_last_n_steps=last or None), set()
        for step in range(every, steps + 1, every):
            left.add(step)
            left.discard(gone(asked, step))
        differ += counting.saved(steps, every, last) != (steps // every, len(left))
    return trials, differ


def main() -> None:
    """Compare, and say how many differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sd_scripts", type=Path)
    parser.add_argument("musubi", type=Path)
    parser.add_argument("--trials", type=int, default=400)
    asked = parser.parse_args()
    draw = random.Random(0)
    for what, (trials, differ) in {
        f"sd-scripts, buckets of {SIZES} pictures": sd_scripts(asked.sd_scripts, draw, asked.trials),
        f"musubi-tuner, buckets of {SIZES} pictures": musubi(asked.musubi, draw, asked.trials),
        "sd-scripts, checkpoints left": checkpoints(asked.sd_scripts, draw, asked.trials),
    }.items():
        sys.stdout.write(f"{what}: {trials} trials, {differ} differ\n")


if __name__ == "__main__":
    main()
