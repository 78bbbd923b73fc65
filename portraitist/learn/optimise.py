"""The optimisers, the rate as a function of the step alone, and averaged weights."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from portraitist.errors import PortraitistError
from portraitist.sections import Training

PACKAGES = {"adamw8bit": "bitsandbytes", "prodigy": "prodigyopt", "schedulefree": "schedulefree"}
"""Where the optimisers come from that neither torch nor transformers has."""

MOVING = {
    "prodigy": ("k", "d", "d_max", "d_numerator", "d_denom", "d_hat"),
    "schedulefree": ("k", "weight_sum", "lr_max", "scheduled_lr"),
}
"""What an optimiser keeps beside its parameters' own state, by its names: numbers that the next step depends on."""

MANY = 2**28
"""Trained numbers from which on AdamW takes one parameter at a time: on an H100 that was no slower for parameters of
four million numbers, and its own memory in passing 0.05 GB instead of 3.4, as much as those numbers took."""


def available(training: Training) -> None:
    """Refuse an optimiser whose package is not installed."""
    package = PACKAGES.get(training.optimiser)
    if package and find_spec(package) is None:
        raise PortraitistError(
            f'training.optimiser = "{training.optimiser}" needs the package {package}, which is not installed',
            "Run: pip install 'portraitist[optimisers]', or set another training.optimiser.",
        )


def optimiser(parameters: Mapping[str, nn.Parameter], training: Training) -> torch.optim.Optimizer:
    """The recipe's optimiser over named parameters, in their order; the rate is set anew at every step.

    adamw         arXiv 1711.05101, torch's
    adafactor     arXiv 1804.04235, transformers', with the rate as it is given: scaling it by the weights' size, as the
                  paper does, hardly moves factors that begin at zero
    prodigy       arXiv 2306.06101, its authors', with what they advise for diffusion: bias correction, safe warm-up
    schedulefree  arXiv 2405.15682, AdamW by its authors
    adamw8bit     arXiv 2110.02861, bitsandbytes': both averages in 8 bits by blocks of 256, of parameters from 4096 on
    Where some are held in bfloat16 each has a group of its own, for portraitist.learn.rounding.
    Raises PortraitistError when its package is not installed.
    """
    available(training)
    given: list[Any] = list(parameters.values())
    betas = (training.beta1, training.beta2)
    if any(parameter.dtype == torch.bfloat16 for parameter in given):
        given = [{"params": [parameter]} for parameter in given]
    if training.optimiser == "adamw":
        # all at once, torch's default on a card, takes as much memory again as what is trained
        at_once = None if sum(p.numel() for p in parameters.values()) < MANY else False
        settings: Any = {"lr": training.rate, "betas": betas, "weight_decay": training.weight_decay}
        return torch.optim.AdamW(given, foreach=at_once, **settings)
    found: Any
    if training.optimiser == "adafactor":
        from transformers import Adafactor

        found = Adafactor(given, lr=training.rate, scale_parameter=False, relative_step=False)
    elif training.optimiser == "prodigy":
        from prodigyopt import Prodigy

        found = Prodigy(given, lr=training.rate, betas=betas, use_bias_correction=True, safeguard_warmup=True)
    elif training.optimiser == "adamw8bit":
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it tells of kernels that nothing here calls
        from bitsandbytes.optim import AdamW8bit

        found = AdamW8bit(given, lr=training.rate, betas=betas)
    else:
        from schedulefree import AdamWScheduleFree

        found = AdamWScheduleFree(given, lr=training.rate, betas=betas)
        found.train()
    for group in found.param_groups:
        group["weight_decay"] = training.weight_decay  # not given above, for Prodigy would print that it is
    return found  # type: ignore[no-any-return]


def take(optimiser: torch.optim.Optimizer, rate: float, step: Callable[[], object] | None = None) -> float:
    """One step at `rate` with the gradients at hand, which are cleared; returns the rate that the weights moved at.

    step  how it is taken, where that is not the optimiser's own way
    Of Prodigy the rate is `rate` times what it had found so far.
    """
    for group in optimiser.param_groups:
        group["lr"] = rate
    found = float(optimiser.param_groups[0].get("d", 1.0))
    (step or optimiser.step)()
    optimiser.zero_grad(set_to_none=True)
    return rate * found


@contextmanager
def at_rest(optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Within: parameters are what the optimiser would have judged. A schedule-free one then has its average in them.

    The way back is not exact in float32: who calls this puts the parameters back as they were.
    """
    free: Any = optimiser if "train_mode" in optimiser.param_groups[0] else None
    try:
        if free:
            free.eval()
        yield
    finally:
        if free:
            for group in free.param_groups:
                group["train_mode"] = True


def state_of(optimiser: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], kind: str) -> dict[str, Tensor]:
    """Everything an optimiser's next step depends on, by name: `<kind>.<key>/<parameter>`.

    Plain numbers are float64 or int64 scalars below `<kind>.number.<key>/` and, of the whole, `<kind>.group/`.
    """
    found: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        for key, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{kind}.{key}/{name}"] = value
            else:
                found[f"{kind}.number.{key}/{name}"] = scalar(value)
    group = optimiser.param_groups[0]
    return found | {f"{kind}.group/{key}": scalar(group[key]) for key in MOVING.get(kind, ()) if key in group}


def scalar(value: float) -> Tensor:
    """A number as a tensor that holds it exactly."""
    return torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float64)


def load_state(
    optimiser: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], kind: str, state: Mapping[str, Tensor]
) -> None:
    """Put back what `state_of` gave, among other tensors; they are copied, as they may be a file's own pages."""
    for full, value in state.items():
        place, _, name = full.partition("/")
        what, _, key = place.partition(".")
        if what != kind:
            continue
        if key == "group":
            optimiser.param_groups[0][name] = value.item()
        elif key.startswith("number."):
            optimiser.state[parameters[name]][key.removeprefix("number.")] = value.item()
        else:
            parameter = parameters[name]
            optimiser.state[parameter][key] = value.clone() if key == "step" else value.to(parameter.device, copy=True)


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
