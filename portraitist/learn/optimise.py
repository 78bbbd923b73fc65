"""The optimiser, the rate as a function of the step alone, and averaged weights."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from portraitist.recipe import Training


def adamw(parameters: Mapping[str, nn.Parameter], training: Training) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101) over named parameters, in their order; the rate is set anew at every step."""
    return torch.optim.AdamW(
        list(parameters.values()),
        lr=training.rate,
        betas=(training.beta1, training.beta2),
        weight_decay=training.weight_decay,
    )


def rate(training: Training, step: int, horizon: int) -> float:
    """The learning rate of optimiser step `step` (from 0), before the stage's factor.

    horizon  the steps the run was planned with when it began. It stays when a run is extended, so that steps already
             taken keep the rates they had; beyond it the rate stays at the floor (or, if constant, as it is)
    """
    if step < training.warmup:
        return training.rate * (step + 1) / training.warmup
    if training.schedule == "constant":
        return training.rate
    done = min(1.0, (step - training.warmup) / max(1, horizon - training.warmup))
    left = 1 - done if training.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return training.rate * (training.floor + (1 - training.floor) * left)


def decay(most: float, updates: int) -> float:
    """Share of the old average that update number `updates` (from 0) keeps: min(most, (1 + t) / (10 + t)).

    Early averages forget the untrained weights quickly; a late one settles at `most`.
    """
    return min(most, (1 + updates) / (10 + updates))


@torch.no_grad()
def average(averages: Mapping[str, Tensor], parameters: Mapping[str, Tensor], keep: float) -> None:
    """Move each float32 average to keep * itself + (1 - keep) * parameter, in place."""
    for name, value in averages.items():
        value.lerp_(parameters[name].detach().float(), 1 - keep)


@torch.no_grad()
def clip(parameters: Mapping[str, nn.Parameter], most: float) -> Tensor:
    """Shorten the gradient over all parameters to norm `most` (0: leave it); returns its norm before, a scalar."""
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if most > 0:
        nn.utils.clip_grads_with_norm_(list(parameters.values()), most, norm)
    return norm
