"""How wrong the denoiser is: per picture, in training and on held-out samples."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from portraitist.dataset.draws import generator
from portraitist.dataset.stream import stack
from portraitist.family import Batch, Family, Sample


def picture_losses(family: Family, denoiser: nn.Module, batch: Batch, noise: Tensor, level: Tensor) -> Tensor:
    """Mean squared error of each picture's prediction, (B,) float32; `batch.weight` is not applied.

    noise  (B, C, h, w) unit noise; level (B,) in [0, 1]; all on the batch's device
    The mask's weights are divided by their sum in that picture, so that a picture with a small subject counts as
    much as any other; a mask of zeros alone says nothing and counts as no mask.
    """
    noisy = family.process.mix(batch.latents, noise, level)
    predicted = family.predict(denoiser, noisy, level, batch.given)
    error = (predicted.float() - family.process.target(batch.latents, noise, level).float()).square().mean(1)
    mask = batch.mask.squeeze(1).float()
    total = mask.sum((1, 2), keepdim=True)
    mask = torch.where(total > 0, mask / total.clamp_min(1e-12), torch.full_like(mask, 1 / mask[0].numel()))
    return (error * mask).sum((1, 2))


@torch.no_grad()
def held_out(family: Family, denoiser: nn.Module, samples: Sequence[Sample], seed: int, levels: int = 8) -> Tensor:
    """Losses of samples at fixed levels, (N, levels) float32 on the CPU; column k is level (k + 1/2) / levels.

    The noise is a function of (seed, sample's key, level) alone: checkpoints are compared on the same noise, and a
    picture more does not change that of the others. The first caption counts. Call it under the precision that
    training has; batches hold one picture at all its levels.
    """
    device = next(denoiser.parameters()).device
    level = (torch.arange(levels) + 0.5) / levels
    rows = []
    for sample in samples:
        batch = to(stack([(i, sample, sample.captions[0]) for i in range(levels)]), device)
        draws = [generator(seed, f"held-out {sample.key}", i) for i in range(levels)]
        noise = torch.stack([torch.randn(sample.latents.shape, generator=draw) for draw in draws])
        rows.append(picture_losses(family, denoiser, batch, noise.to(device), level.to(device)).cpu())
    return torch.stack(rows) if rows else torch.empty(0, levels)


def to(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on `device`."""
    return replace(
        batch,
        latents=batch.latents.to(device),
        given={name: value.to(device) for name, value in batch.given.items()},
        mask=batch.mask.to(device),
        weight=batch.weight.to(device),
    )
