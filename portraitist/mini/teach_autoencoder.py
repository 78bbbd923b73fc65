"""Teach the autoencoder: principal components of patches first, then convolutions by gradient.

Once there is a base that was taught on its latents, the encoder is held to what it was (`KEPT`), or with `decoder_only`
stays as it is.
"""

import json
import math
import random
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import relu, unfold

from portraitist import durable
from portraitist.arithmetic import AUTO
from portraitist.families import part
from portraitist.families.mini_autoencoder import Autoencoder
from portraitist.family import Base
from portraitist.learn import memory
from portraitist.mini.corpus import drawing, scene, scribbled, to_pixels
from portraitist.mini.drawing import draw
from portraitist.mini.storing import DIFFUSERS, store

POWER = 0.5
"""Latent channels are scaled by the spread of their component to this power: half whitened, order kept."""

FRESH = 4
"""New pictures for each step of 32: drawing more would take the time from learning."""

SCRIBBLED = 0.4
"""Share of pictures with random shapes over them: characters have marks that no world has shown."""

KEPT = 0.5
"""Weight of the squared distance to the latents of the encoder that teaching goes on from."""


@torch.no_grad()
def set_linear(model: Autoencoder, pixels: Tensor) -> None:
    """Set the linear path to the principal components of 8 x 8 patches (B, 3, S, S) (Pearson 1901)."""
    channels: int = model.config.channels
    patches = unfold(pixels, 8, stride=8).transpose(1, 2).reshape(-1, 192)
    middle = patches.mean(0)
    variance, axes = torch.linalg.eigh(torch.cov((patches - middle).T.double()))
    axes, spread = axes.flip(1)[:, :channels].T.float(), variance.flip(0)[:channels].float().sqrt()
    scale = spread**POWER
    scale = scale * ((spread / scale) ** 2).mean().sqrt()
    model.linear_in.weight.copy_((axes / scale[:, None]).view(channels, 3, 8, 8))
    bias_in, bias_out = model.linear_in.bias, model.linear_out.bias
    assert bias_in is not None
    assert bias_out is not None
    bias_in.copy_(-(axes @ middle) / scale)
    model.linear_out.weight.copy_((axes * scale[:, None]).view(channels, 3, 8, 8))
    bias_out.copy_(middle.view(3, 64).mean(1))


def edges(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbours, across and down."""
    return pixels[..., 1:] - pixels[..., :-1], pixels[..., 1:, :] - pixels[..., :-1, :]


def loss_of(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of pixels and of edges, and the squared error, for what is far off."""
    plain = (found - wanted).abs().mean() + 2 * (found - wanted).square().mean()
    return plain + 0.5 * sum((a - b).abs().mean() for a, b in zip(edges(found), edges(wanted), strict=True))


def lost(model: Autoencoder, pixels: Tensor, first: Autoencoder | None) -> Tensor:
    """Loss of a batch (B, 3, S, S): there and back through a little noise; latents kept small, and near `first`'s."""
    with memory.autocast(pixels.device, AUTO):
        latents = model.encode(pixels)
        found = model.decode(latents + 0.04 * torch.randn_like(latents))
    loss = loss_of(found.float(), pixels) + 1e-3 * relu(latents.float().abs() - 5).square().mean()
    if first is None:
        return loss
    with torch.no_grad(), memory.autocast(pixels.device, AUTO):
        before = first.encode(pixels)
    return loss + KEPT * (latents.float() - before.float()).square().mean()


def opened(folder: Path) -> Autoencoder:
    """The autoencoder of a folder of weights, frozen, its tensors laid out for convolutions."""
    found = part(Base(folder, ""), Autoencoder, "vae", torch_dtype=torch.float32)
    return cast(Autoencoder, found.to(memory_format=torch.channels_last))


def keep(out: Path, model: Autoencoder) -> None:
    """Write `out`/vae."""
    config = {"_class_name": "Autoencoder", **{k: model.config[k] for k in ("narrow", "wide", "channels")}}
    store(out / "vae", model.state_dict(), config, DIFFUSERS)


@torch.no_grad()
def quality(model: Autoencoder, pixels: Tensor) -> float:
    """Peak signal to noise in dB, mean over pictures (B, 3, S, S)."""
    error = (model.decode(model.encode(pixels)).clamp(-1, 1) - pixels).square().mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


def held_out() -> tuple[Tensor, Tensor]:
    """64 renders and 64 scribbles that teaching never sees, (64, 3, 128, 128) each."""
    plain = [draw(scene("evaluation", i)).pixels for i in range(64)]
    chance = random.Random(5)
    return to_pixels(plain), to_pixels([scribbled(p, chance) for p in plain])


def teach(out: Path, minutes: float, start: Path | None, decoder_only: bool, purpose: str) -> None:
    """Teach for so many minutes and write `out`/vae; goes on from `start` when given, with pictures it has not seen."""
    torch.manual_seed(0)
    model, before = opened(start) if start else Autoencoder(), {"pictures": 0, "next": 0}
    if start and (start / "vae" / "figures.json").is_file():
        before |= json.loads((start / "vae" / "figures.json").read_text(encoding="utf-8"))
    first = None if not start or decoder_only else opened(start)
    model = model.to(memory_format=torch.channels_last).train().requires_grad_(True)
    chance, checks = random.Random(purpose), held_out()
    taught = [p for n, p in model.named_parameters() if not decoder_only or n.startswith(("up.", "linear_out."))]
    optimiser = torch.optim.AdamW(taught, lr=1.5e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    pool: list[np.ndarray] = []
    with drawing(purpose, before["next"]) as queue:
        while len(pool) < 384:
            pool.append(queue.get()[1])
        if not start:
            set_linear(model, to_pixels([scribbled(p, chance) if i % 4 == 0 else p for i, p in enumerate(pool)]))
        began, step, peak = time.monotonic(), 0, 1.5e-3 if not start else 8e-4
        while (spent := (time.monotonic() - began) / 60) < minutes:
            share = spent / minutes
            falling = 1.0 if share < 0.5 else 0.5 * (1 + math.cos(math.pi * (share - 0.5) / 0.5))
            for group in optimiser.param_groups:
                group["lr"] = peak * min(1, (step + 1) / 60) * falling + 1e-5
            while not queue.empty() and len(pool) < min(24_000, 384 + FRESH * step):
                pool.append(queue.get()[1])
            chosen = [pool[chance.randrange(len(pool))] for _ in range(32)]
            pixels = to_pixels([scribbled(p, chance) if chance.random() < SCRIBBLED else p for p in chosen])
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            loss = lost(model, pixels, first)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(taught, 1.0)
            optimiser.step()
            step += 1
            if step % 100 == 0:
                told = {"step": step, "minutes": round(spent, 2), "loss": round(loss.item(), 4), "pool": len(pool)}
                told |= {
                    "renders_db": round(quality(model, checks[0]), 2),
                    "scribbles_db": round(quality(model, checks[1]), 2),
                }
                sys.stdout.write(json.dumps(told) + "\n")
                sys.stdout.flush()
    if not start:
        centre(model, to_pixels(pool[-1024:]))
    final: dict[str, float] = {"pictures": before["pictures"] + step * 32, "next": before["next"] + len(pool)}
    final |= {"renders_db": round(quality(model, checks[0]), 2), "scribbles_db": round(quality(model, checks[1]), 2)}
    sys.stdout.write(json.dumps(final) + "\n")
    keep(out, model)
    durable.write_json(out / "vae" / "figures.json", final)


@torch.no_grad()
def centre(model: Autoencoder, pixels: Tensor) -> None:
    """Let latents have mean 0 by channel and unit mean square over all: buffers alone change."""
    raw = torch.cat([model.encode(part) for part in torch.split(pixels, 64)])
    model.mean.copy_(raw.mean((0, 2, 3), keepdim=True))
    model.spread.copy_((raw - model.mean).square().mean().sqrt())
