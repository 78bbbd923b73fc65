"""The probe: a classifier that reads a picture's attributes. The measuring rod for the base, and for nothing else.

It is taught apart from the shipped eyes, which choose checkpoints: what chooses must not also report. Unlike base and
eyes it meets characters with marks in its teaching, others than are ever judged: a rod must not be confused by them.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from portraitist import durable
from portraitist.arithmetic import AUTO
from portraitist.errors import PortraitistError
from portraitist.families.mini_autoencoder import Autoencoder
from portraitist.learn import memory
from portraitist.mini.characters import unseen
from portraitist.mini.corpus import drawing, scene, to_pixels
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import KINDS, Scene
from portraitist.mini.storing import store
from portraitist.mini.teach_autoencoder import opened
from portraitist.mini.teach_eyes import CONTEXT, augmented
from portraitist.sight.dual import Trunk

MARKED = 10_000_000
"""Numbers of held-out characters from here on are the probe's own."""


class Probe(nn.Module):
    """A trunk with a head for every kind of attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk((40, 80, 144, 192), (1, 1, 2, 1))
        self.heads = nn.ModuleDict({kind: nn.Linear(self.trunk.width, len(values)) for kind, values in KINDS.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """(B, 3, 128, 128) in [-1, 1] to logits (B, values) by kind."""
        features = self.trunk(pixels)
        return {kind: head(features) for kind, head in self.heads.items()}

    @torch.no_grad()
    def read(self, pixels: Tensor) -> list[dict[str, str]]:
        """Per picture the value of every kind, whether or not it can be seen."""
        parts = [self(part) for part in torch.split(pixels, 32)]
        best = {kind: torch.cat([part[kind] for part in parts]).argmax(1).tolist() for kind in KINDS}
        return [{kind: KINDS[kind][best[kind][i]] for kind in KINDS} for i in range(len(pixels))]


def load(folder: Path) -> Probe:
    """The probe in a folder. Raises PortraitistError when it is absent or damaged."""
    model = Probe()
    try:
        found: dict[str, Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            found |= safetensors.torch.load_file(path)
        model.load_state_dict({name: value.float() for name, value in found.items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        raise PortraitistError(f"{folder}: the probe cannot be read: {error}", "Install portraitist again.") from error
    return model.eval().requires_grad_(False)


def lesson(purpose: str, number: int) -> Scene:
    """The scene of a number: that of `corpus.scene`, every second one with a character with marks in it."""
    plain = scene(purpose, number)
    return plain if number % 2 == 0 else replace(plain, character=unseen(MARKED + number))


def targets(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """The number of each kind's value, -100 where it cannot be seen, (B,) by kind.

    Of characters with marks only the context is asked: marks hide what their words say.
    """
    seen = [
        {kind: value for kind, value in one.attributes().items() if kind in CONTEXT or not one.character.marks.kinds()}
        for one in scenes
    ]
    return {kind: torch.tensor([KINDS[kind].index(s[kind]) if kind in s else -100 for s in seen]) for kind in KINDS}


def teach(out: Path, start: Path, minutes: float, device: str = "cpu", drawers: int = 1, room: int = 200_000) -> None:
    """Teach for so many minutes on drawings, a quarter as the autoencoder gives them back; write `out`/probe.

    Goes on from `start`/probe where there is one, with pictures that it has not seen.

    drawers  processes that draw
    room     pictures at most, 50 KB each
    """
    torch.manual_seed(4)
    before, model = {"steps": 0, "minutes": 0.0, "drawn": 0}, Probe()
    if (start / "probe").is_dir():
        model = load(start / "probe").train().requires_grad_(True)
        before |= json.loads((start / "probe" / "figures.json").read_text(encoding="utf-8"))
    first = int(before["drawn"])
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    vae = opened(start).to(device)
    chance = random.Random(f"probe {first}")
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.02)
    pool: list[tuple[int, np.ndarray]] = []
    began, step = time.monotonic(), 0
    with drawing("probe", first, which=lesson, drawers=drawers) as queue:
        while (spent := (time.monotonic() - began) / 60) < minutes:
            while len(pool) < 512 or (len(pool) < room and not queue.empty()):
                pool.append(queue.get()[:2])
            for group in optimiser.param_groups:
                group["lr"] = 2e-3 * min(1, (step + 1) / 100) * max(0.02, 1 - spent / minutes)
            chosen = chance.sample(pool, 64)
            pixels = to_pixels([p for _, p in chosen]).to(device)
            loss = loss_of(model, vae, [lesson("probe", n) for n, _ in chosen], pixels)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            if step % 100 == 0:
                told = {"step": step, "minutes": round(spent, 1), "loss": round(loss.item(), 3), "pool": len(pool)}
                sys.stdout.write(json.dumps(told) + "\n")
                sys.stdout.flush()
    model.to("cpu")
    scenes = [scene("evaluation", i) for i in range(256)]
    figures = right(model.eval(), scenes, to_pixels([draw(one).pixels for one in scenes]))
    scenes = [replace(one, character=unseen(1000 + i)) for i, one in enumerate(scenes)]
    marked = right(model, scenes, to_pixels([draw(one).pixels for one in scenes]))
    marked = {kind: share for kind, share in marked.items() if kind in CONTEXT}
    sys.stdout.write(json.dumps({"right": figures, "right_with_marks": marked}) + "\n")
    steps, whole = before["steps"] + step, round(float(before["minutes"]) + minutes, 1)
    store(out / "probe", model.state_dict(), {})
    read = {"right": figures, "right_with_marks": marked}
    record = {"steps": steps, "minutes": whole, "drawn": first + len(pool), **read}
    durable.write_json(out / "probe" / "figures.json", record)


def loss_of(model: Probe, vae: Autoencoder, scenes: Sequence[Scene], pixels: Tensor) -> Tensor:
    """Cross entropy summed over the kinds that can be seen, of pixels (B, 3, S, S) drawn from scenes."""
    with torch.no_grad(), memory.autocast(pixels.device, AUTO):
        pixels[::4] = vae.decode(vae.encode(pixels[::4])).float().clamp(-1, 1)
    with memory.autocast(pixels.device, AUTO):
        found = model(augmented(pixels).contiguous(memory_format=torch.channels_last))
    wanted = targets(scenes)
    asked = [k for k in KINDS if (wanted[k] >= 0).any()]
    parts = [cross_entropy(found[k].float(), wanted[k].to(pixels.device)) for k in asked]
    return torch.stack(parts).sum()


def right(model: Probe, scenes: Sequence[Scene], pixels: Tensor) -> dict[str, float]:
    """By kind: share of pictures in which the probe reads what the scene says, among those where it can be seen."""
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for one, read in zip(scenes, model.read(pixels), strict=True):
        for kind, value in one.attributes().items():
            found[kind].append(read[kind] == value)
    return {kind: round(float(np.mean(hits)), 4) for kind, hits in found.items() if hits}
