"""How long does a LoRA take to come out of a fine-tuned SDXL, how good is it, and what does sd-scripts' way cost?

    OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python -m benchmarks.extraction --folder /somewhere/with/12/GB

Two UNets of SDXL's real size in float16, made here: the base of random weights, the tuned one with a change in every
layer whose spectrum is what fine-tuning leaves (a power law over 256 directions, and a tenth of its energy in noise of
full rank), rms 1e-3. Ours reads both and writes a file, in a process of its own that is measured whole: start, reading,
factors, certificate, writing. sd-scripts' way is timed on one layer of every shape, by the call that its
networks/extract_lora_from_models.py makes, and multiplied by how many layers have that shape. Seconds are of CPU time.
"""

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from portraitist import tensorfile
from portraitist.adapters import factoring, modules, trees
from portraitist.adapters.extract import difference, module_of
from portraitist.adapters.layouts import ldm
from portraitist.bases.layouts import LDM
from portraitist.dataset.draws import generator
from portraitist.sections import Adapter

RANK = 64
CHILD = """
import json, re, sys, threading, time
from pathlib import Path
from portraitist.adapters.ranks import Ranks
from portraitist.verbs.extract import How, extract_files
def anonymous():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
peak, done = [0], []
def watch():
    while not done:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.02)
thread = threading.Thread(target=watch)
thread.start()
tuned, base, out, ranks, how = sys.argv[1:]
asked = How(Ranks(**json.loads(ranks)), **json.loads(how))
said = extract_files(Path(tuned), Path(base), Path(out), "sdxl", asked, True)
done.append(1)
thread.join()
facts = {name: getattr(said, name) for name in said.__slots__ if name not in ("worst",)}
print(json.dumps(facts | {"anonymous": peak[0]}))
"""


def named() -> dict[str, tuple[int, ...]]:
    """The parameters of SDXL's UNet by diffusers' names, with their shapes."""
    with torch.device("meta"):
        unet = trees.sdxl()
    return {name: tuple(parameter.shape) for name, parameter in unet.named_parameters()}


def changed(name: str, shape: tuple[int, ...]) -> Tensor:
    """The change of a weight, float32: the same for the same name."""
    draw = generator(1, name, 0)
    if len(shape) < 2:
        return 1e-3 * torch.randn(shape, generator=draw)
    rows, columns = shape[0], math.prod(shape[1:])
    count = min(256, rows, columns)
    sizes = torch.arange(1, count + 1).float() ** -0.7
    signal = (torch.randn(rows, count, generator=draw) * sizes) @ torch.randn(count, columns, generator=draw)
    noise = torch.randn(rows, columns, generator=draw)
    signal = signal / signal.norm() + math.sqrt(0.1) * noise / noise.norm()
    return (signal * 1e-3 * math.sqrt(rows * columns) / signal.norm()).reshape(shape)


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A weight of the base, float32."""
    return 0.02 * torch.randn(shape, generator=generator(0, name, 0))


def made(folder: Path) -> tuple[Path, Path]:
    """The pair by the publisher's names; what is there already is taken."""
    tuned, base = folder / "tuned.safetensors", folder / "base.safetensors"
    shapes = named()
    for path, moved in ((base, False), (tuned, True)):
        if not path.exists():
            tensorfile.write(path, dict(planned(shapes, moved)))
    return tuned, base


def planned(shapes: dict[str, tuple[int, ...]], moved: bool) -> Iterator[tuple[str, tensorfile.Planned]]:
    """The tensors of a file, each made when it is written."""

    def make(name: str, shape: tuple[int, ...]) -> Tensor:
        before = weight(name, shape).half()
        return (before.float() + changed(name, shape)).half() if moved else before

    for name, shape in shapes.items():
        module, _, leaf = name.rpartition(".")
        full = f"{LDM}{ldm(module)}.{leaf}"
        yield full, tensorfile.Planned(shape, torch.float16, lambda n=name, s=shape: make(n, s))  # type: ignore[misc]


def ours(folder: Path, pair: tuple[Path, Path], ranks: dict[str, float], **how: object) -> dict[str, object]:
    """What one extraction said, and what its process took."""
    out = folder / "out.safetensors"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    words = [sys.executable, "-c", CHILD, *map(str, pair), str(out), json.dumps(ranks), json.dumps(how)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    layers = json.loads(out.with_suffix(".certificate.json").read_text())["layers"]
    left, energy = sum(x["left"] for x in layers), sum(x["energy"] for x in layers)
    return json.loads(done.stdout.splitlines()[-1]) | {
        "cpu": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "system": round(after.ru_stime - before.ru_stime, 1),
        "wall": round(time.monotonic() - began, 1),
        "peak_gb": round(after.ru_maxrss / 1e6, 2),
        "error": round(math.sqrt(left / energy), 5),
    }


def theirs(matrix: Tensor, rank: int) -> tuple[float, Tensor, Tensor]:
    """CPU seconds of sd-scripts' way with one layer, and its factors."""
    began = time.process_time()
    u, s, vh = torch.linalg.svd(matrix)
    u, vh = u[:, :rank] @ torch.diag(s[:rank]), vh[:rank]
    high = torch.quantile(torch.cat([u.flatten(), vh.flatten()]), 0.99)
    u, vh = u.clamp(-high, high), vh.clamp(-high, high)
    return time.process_time() - began, u, vh


def sampled(most: int) -> dict[str, object]:
    """Theirs on one layer of every shape that their 788 modules have, and ours on the same.

    most  numbers in a layer beyond which theirs is left out (it would take the memory of a square of its longer side)
    """
    inside = modules.reached(Adapter(modules="locon"), "sdxl", ())
    layers = {module_of(n): s for n, s in named().items() if len(s) > 1 and inside(module_of(n), len(s))}
    counts, first = Counter(s for s in layers.values()), {s: m for m, s in reversed(layers.items())}
    rows, skipped = [], 0
    for shape, count in sorted(counts.items(), key=lambda item: -math.prod(item[0])):
        if math.prod(shape) > most:
            skipped += count
            continue
        matrix = changed(difference(first[shape] + ".weight"), shape).flatten(1)
        seconds, up, down = theirs(matrix, min(RANK, *shape[:2]))
        began = time.process_time()
        found = factoring.split(matrix, min(RANK, *matrix.shape))
        mine = time.process_time() - began
        least = float(factoring.optima(matrix, found.rank)[-1])
        rows.append(
            {
                "shape": shape,
                "count": count,
                "theirs": round(seconds, 3),
                "ours": round(mine, 4),
                "least": round(math.sqrt(least / found.energy), 5),
                "excess": math.sqrt(found.left(found.rank) / least) - 1,
                "clamped": round(math.sqrt(factoring.missed(matrix, up, down) / found.energy), 5),
            }
        )
        print(json.dumps(rows[-1]), flush=True)  # noqa: T201
    return {
        "modules": sum(counts.values()),
        "left out": skipped,
        "theirs": round(sum(r["count"] * r["theirs"] for r in rows), 1),  # type: ignore[operator]
        "ours, factors alone": round(sum(r["count"] * r["ours"] for r in rows), 1),  # type: ignore[operator]
        "worst excess": max(r["excess"] for r in rows),  # type: ignore[type-var]
        "shapes": rows,
    }


def larger() -> list[dict[str, object]]:
    """Layers of FLUX and Qwen-Image: CPU seconds a layer, and by how much the error is more than the least."""
    rows: list[dict[str, object]] = []
    for shape in ((3072, 3072), (12288, 3072), (3072, 12288), (3072, 15360), (9216, 3072), (18432, 3072)):
        matrix = changed("large", shape)
        began = time.process_time()
        found = factoring.split(matrix, RANK)
        seconds = time.process_time() - began
        least = float(factoring.optima(matrix, RANK)[-1])
        rows.append({"shape": shape, "ours": round(seconds, 3), "excess": math.sqrt(found.left(RANK) / least) - 1})
        print(json.dumps(rows[-1]), flush=True)  # noqa: T201
    return rows


def main() -> None:
    """Measure, and say it as JSON."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    words.add_argument("--folder", type=Path, required=True)
    words.add_argument("--most", type=int, default=1 << 26, help="numbers in a layer beyond which theirs is not timed")
    words.add_argument("--parts", nargs="+", default=["ours", "theirs", "larger"])
    told = words.parse_args()
    torch.set_num_threads(1)
    facts: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "torch": torch.__version__,
    }
    print(json.dumps(facts), flush=True)  # noqa: T201
    told.folder.mkdir(parents=True, exist_ok=True)
    if "ours" in told.parts:
        pair = made(told.folder)
        fixed = ours(told.folder, pair, {"linear": RANK, "convolution": RANK}, rest=False)
        facts["fixed"] = fixed
        print(json.dumps(fixed), flush=True)  # noqa: T201
        facts["carried"] = ours(told.folder, pair, {"linear": RANK, "convolution": RANK})
        facts["size"] = ours(told.folder, pair, {"size": float(str(fixed["megabytes"]))}, rest=False)
        print(json.dumps(facts), flush=True)  # noqa: T201
    if "theirs" in told.parts:
        facts["sample"] = sampled(told.most)
    if "larger" in told.parts:
        facts["larger"] = larger()
    print(json.dumps(facts, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
