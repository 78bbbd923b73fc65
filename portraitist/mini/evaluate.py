"""How well the base does what captions ask: python -m portraitist.mini.evaluate.

Captions of held-out scenes are drawn by the base and read by the probe; what it reads right is told as a share of what
it reads right on true drawings of the same scenes. One JSON object is written to standard output.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from portraitist import durable
from portraitist.arithmetic import AUTO
from portraitist.dataset.draws import generator
from portraitist.families import resolve
from portraitist.families.mini import Mini, MiniEncoder
from portraitist.family import Prompt
from portraitist.judge.render import Sampler
from portraitist.mini import probe
from portraitist.mini.corpus import scene, to_pixels
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import KINDS, Scene, caption
from portraitist.sections import Model

WEIGHTS = Path(__file__).parent.parent / "weights"
STEPS, GUIDANCE, BATCH = 20, Mini.profile.guidance, 32
GATE = {"framing": 0.95, "background": 0.6}
NEAR, SMALL = ("close-up", "half body"), ("hairstyle", "outfit", "expression", "eyes")
"""Framings that show small things, and what is small: told for these framings too."""


def sampler(folder: Path, steps: int = STEPS, guidance: float = GUIDANCE, precision: str = AUTO) -> Sampler:
    """The base in a folder, ready to draw 128 x 128."""
    family, base = Mini(), replace(resolve(Model(family="mini", base=str(folder), device="cpu")), precision=precision)
    return Sampler(family, family.load_denoiser(base), (16, 16, 16), 128, 128, steps, guidance, precision)


def encoder(folder: Path) -> MiniEncoder:
    """The encoders of the base in a folder."""
    return Mini().load_encoder(resolve(Model(family="mini", base=str(folder))))


def drawn(
    by: Sampler,
    encoding: MiniEncoder,
    texts: Sequence[str],
    seed: int,
    purpose: str = "evaluate",
    references: Tensor | None = None,
) -> Tensor:
    """Pictures (B, 3, 128, 128) in [-1, 1] of captions; the noise of each is a function of (seed, purpose, place).

    references  latents (B, 16, h, w), one for each
    """
    negative, found = encoding.conditions(Prompt("")), []
    for at in range(0, len(texts), BATCH):
        part = texts[at : at + BATCH]
        noise = [torch.randn(by.latent, generator=generator(seed, purpose, at + i)) for i in range(len(part))]
        given = [encoding.conditions(Prompt(text)) for text in part]
        beside = [] if references is None else [references[at : at + BATCH]]
        found.append(encoding.pixels(by.latents(given, negative, torch.stack(noise), beside)))
    return torch.cat(found)


def interval(hits: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a share, from rows of hits (N,), by resampling a thousand times."""
    draw_ = np.random.default_rng(0)
    means = hits[draw_.integers(0, len(hits), (1000, len(hits)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def table(
    scenes: Sequence[Scene], real: Tensor, renders: Sequence[Tensor], model: probe.Probe
) -> dict[str, dict[str, float]]:
    """By kind: what the probe reads right on drawings and on renders (a tensor a seed), and the share with interval."""
    truth = probe.right(model, scenes, real)
    read = [model.read(pixels) for pixels in renders]
    found = {}
    for kind in KINDS:
        hits = np.array([[r[i][kind] == one.attributes()[kind] for r in read]
                         for i, one in enumerate(scenes) if kind in one.attributes()], float)  # fmt: skip
        low, high = interval(hits.mean(1))
        found[kind] = {
            "drawings": truth[kind],
            "renders": round(float(hits.mean()), 4),
            "chance": round(1 / len(KINDS[kind]), 3),
        }
        found[kind] |= {
            n: round(v / truth[kind], 3) for n, v in (("share", float(hits.mean())), ("low", low), ("high", high))
        }
    return found


def sheet(pictures: Sequence[np.ndarray], columns: int = 8) -> bytes:
    """Pictures (S, S, 3) uint8 side by side, as PNG bytes."""
    side, rows = pictures[0].shape[0] + 2, -(-len(pictures) // columns)
    whole = np.full((rows * side, columns * side, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = divmod(i, columns)
        whole[y * side : y * side + side - 2, x * side : x * side + side - 2] = picture
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, "PNG")
    return buffer.getvalue()


def beside(first: Sequence[np.ndarray], second: Sequence[np.ndarray], columns: int = 8) -> list[np.ndarray]:
    """Rows of the first and rows of the second by turns."""
    starts = range(0, len(first), columns)
    return [picture for at in starts for row in (first, second) for picture in row[at : at + columns]]


def to_bytes(pixels: Tensor) -> list[np.ndarray]:
    """(B, 3, S, S) in [-1, 1] to pictures (S, S, 3) uint8."""
    found = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    return list(found.numpy())


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate; the exit code is 1 when the gate does not hold."""
    parser = argparse.ArgumentParser(prog="portraitist.mini.evaluate", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "mini", help="folder of the base")
    parser.add_argument("--probe", type=Path, default=WEIGHTS / "probe")
    parser.add_argument("--count", type=int, default=256, help="captions")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--guidance", type=float, default=GUIDANCE)
    parser.add_argument("--sheet", type=Path, help="write 32 drawings as a PNG, rows of renders below each row")
    options = parser.parse_args(arguments)
    began = time.process_time()
    by, encoding, model = (
        sampler(options.weights, guidance=options.guidance),
        encoder(options.weights),
        probe.load(options.probe),
    )
    scenes = [scene("evaluation", i) for i in range(options.count)]
    real = to_pixels([draw(one).pixels for one in scenes])
    renders = [drawn(by, encoding, [caption(one) for one in scenes], seed) for seed in range(options.seeds)]
    found = table(scenes, real, renders, model)
    near = [i for i, one in enumerate(scenes) if one.context.framing in NEAR]
    closer = table([scenes[i] for i in near], real[near], [r[near] for r in renders], model)
    holds = {kind: found[kind]["share"] >= least for kind, least in GATE.items()}
    told = {"captions": options.count, "seeds": options.seeds, "steps": STEPS, "guidance": options.guidance}
    told |= {"kinds": found, "near": {kind: closer[kind] for kind in SMALL}, "gate": holds}
    told["cpu_seconds"] = round(time.process_time() - began)
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    if options.sheet:
        durable.write_bytes(options.sheet, sheet(beside(to_bytes(real[:32]), to_bytes(renders[0][:32]))))
    return 0 if all(holds.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
