"""The two noise processes, and the draws of noise and level that training makes.

A level is (B,) in [0, 1] for every process: 0 is the clean picture, 1 is all noise.
Held to diffusers' schedulers by tests/unit/test_noise.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from portraitist import rules
from portraitist.dataset.draws import generator, number
from portraitist.family import Process
from portraitist.sections import Training

__all__ = ["Ddpm", "Flow", "alphas", "generator", "levels", "noises", "number", "snr_weights"]


@dataclass(frozen=True, slots=True)
class Flow:
    """Rectified flow (arXiv 2209.03003): a straight line from picture to noise, along which the velocity is asked for.

    distribution  of training levels: uniform, or logit-normal (arXiv 2403.03206, 3.1) with `mean` and `spread`
    shift         moves levels towards noise: t becomes shift t / (1 + (shift - 1) t); 1 leaves them
    """

    distribution: Literal["uniform", "logit-normal"] = "uniform"
    mean: float = 0.0
    spread: float = 1.0
    shift: float = 1.0

    def level(self, uniform: Tensor) -> Tensor:
        """Training levels (B,) in (0, 1) from uniform draws (B,) in (0, 1)."""
        level = uniform
        if self.distribution == "logit-normal":
            level = logit_normal(uniform, self.mean, self.spread)
        return shifted(level, self.shift)

    def mix(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """(1 - level) of the picture and `level` of the noise."""
        t = along(level, latents)
        return (1 - t) * latents + t * noise

    def target(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """The velocity: noise minus picture."""
        return noise - latents

    def start(self, noise: Tensor, levels: Tensor) -> Tensor:
        """Sampling starts at the noise itself."""
        return noise

    def step(self, noisy: Tensor, predicted: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """One Euler step along the velocity."""
        return noisy + (then - now) * predicted


@dataclass(frozen=True, slots=True)
class Ddpm:
    """Denoising diffusion (arXiv 2006.11239) with Stable Diffusion's scaled-linear betas.

    prediction  epsilon (the noise), or v (arXiv 2202.00512, D)
    zero_snr    the last timestep is all noise (arXiv 2305.08891, 3.1): for v alone, as there is no noise to tell apart
    Level (t + 1) / steps is timestep t; level 0 is before the first, where nothing is noise.
    """

    prediction: Literal["epsilon", "v"] = "epsilon"
    steps: int = 1000
    low: float = 0.00085
    high: float = 0.012
    zero_snr: bool = False

    def timestep(self, level: Tensor) -> Tensor:
        """The timestep (B,) of levels (B,), int64 in [0, steps): the nearest one, and 0 for level 0."""
        return (level * self.steps).round().long().sub(1).clamp(0, self.steps - 1)

    def level(self, uniform: Tensor) -> Tensor:
        """Every timestep alike."""
        return ((uniform * self.steps).floor() + 1).clamp(1, self.steps) / self.steps

    def signal(self, level: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Shares of picture and noise at a level (B,) or scalar, shaped to multiply `like` (B, C, h, w)."""
        table = alphas(self.steps, self.low, self.high, self.zero_snr).to(like.device)
        alpha = torch.where(
            level.to(like.device) <= 0, torch.ones(()).to(like.device), table[self.timestep(level).to(like.device)]
        )
        alpha = along(alpha, like)
        return alpha.sqrt(), (1 - alpha).sqrt()

    def mix(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """Picture and noise, each by its share; the squares of the shares sum to one."""
        picture, rest = self.signal(level, latents)
        return picture * latents + rest * noise

    def target(self, latents: Tensor, noise: Tensor, level: Tensor) -> Tensor:
        """The noise, or v."""
        if self.prediction == "epsilon":
            return noise
        picture, rest = self.signal(level, latents)
        return picture * noise - rest * latents

    def start(self, noise: Tensor, levels: Tensor) -> Tensor:
        """Sampling starts at unit noise."""
        return noise

    def step(self, noisy: Tensor, predicted: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """One deterministic DDIM step (arXiv 2010.02502, eta 0)."""
        picture, rest = self.signal(now, noisy)
        if self.prediction == "epsilon":
            clean, noise = (noisy - rest * predicted) / picture, predicted
        else:
            clean, noise = picture * noisy - rest * predicted, picture * predicted + rest * noisy
        picture, rest = self.signal(then, noisy)
        return picture * clean + rest * noise


@lru_cache(maxsize=4)
def alphas(steps: int, low: float, high: float, zero_snr: bool = False) -> Tensor:
    """Share of the picture's variance left at each timestep, (steps,) float32 on the CPU.

    zero_snr  the root is moved and stretched to keep its first value and end at 0 (arXiv 2305.08891, algorithm 1)
    """
    betas = torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float32) ** 2
    left = torch.cumprod(1 - betas, dim=0)
    if zero_snr:
        root = left.sqrt()
        left = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return left


def along(level: Tensor, like: Tensor) -> Tensor:
    """A level (B,) or scalar, shaped to multiply `like` (B, C, h, w)."""
    level = level.to(like)
    return level.reshape(-1, *(1,) * (like.ndim - 1)) if level.ndim else level


def noises(seed: int, indices: Sequence[int], like: Tensor) -> Tensor:
    """Unit noise shaped as `like` (B, C, h, w), float32 on the CPU; row i is drawn for `indices[i]` alone."""
    return torch.stack([torch.randn(like.shape[1:], generator=generator(seed, "noise", i)) for i in indices])


def levels(seed: int, indices: Sequence[int], process: Process, training: Training, per_step: int) -> Tensor:
    """Training levels (B,) in (0, 1] by the recipe's policy, float32 on the CPU; row i is drawn for `indices[i]` alone.

    per_step  pictures of an optimiser step; index i is of step i // per_step
    """
    draws = torch.stack([uniform(seed, i, per_step if training.stratified else 1) for i in indices])
    draws = draws.clamp(1e-6, 1 - 1e-6)  # the quantile function of a normal is infinite at 0 and 1
    if training.level == "family":
        return process.level(draws)
    level = draws
    if training.level == "logit-normal":
        level = logit_normal(draws, training.level_mean, training.level_spread)
    level = shifted(level, training.level_shift)
    return process.level(level) if isinstance(process, Ddpm) else level  # there, what falls on the timesteps


def uniform(seed: int, index: int, strata: int = 1) -> Tensor:
    """A scalar in [0, 1) that is uniform and a function of its words alone.

    strata  indices k strata to (k + 1) strata - 1 have one draw each in every share of 1 / strata, in a random order
    """
    draw = torch.rand((), generator=generator(seed, "level", index))
    if strata == 1:
        return draw
    return (places(seed, index // strata, strata)[index % strata] + draw) / strata


@lru_cache(maxsize=4)
def places(seed: int, step: int, strata: int) -> Tensor:
    """Which share each picture of a step draws from: an order of 0 to strata - 1."""
    return torch.randperm(strata, generator=generator(seed, "strata", step))


def logit_normal(uniform: Tensor, mean: float, spread: float) -> Tensor:
    """The quantiles of a logit-normal distribution at draws in (0, 1)."""
    return torch.sigmoid(mean + spread * torch.special.ndtri(uniform.double())).to(uniform.dtype)


def shifted(level: Tensor, shift: float) -> Tensor:
    """Levels moved towards noise: t becomes shift t / (1 + (shift - 1) t)."""
    return shift * level / (1 + (shift - 1) * level)


def snr_weights(process: Process, level: Tensor, gamma: float) -> Tensor:
    """Factors (B,) on the losses at `level` (B,) by min-SNR (arXiv 2303.09556, 3.4); ones where `gamma` is 0.

    min(SNR, gamma) / SNR for the noise, / (SNR + 1) for v. Raises PortraitistError for other processes than Ddpm.
    """
    if gamma == 0:
        return torch.ones_like(level)
    if not isinstance(process, Ddpm):
        raise rules.no_timesteps("training.snr_gamma")
    picture, rest = process.signal(level, level)
    ratio = (picture / rest).square()
    return ratio.clamp(max=gamma) / (ratio if process.prediction == "epsilon" else ratio + 1)
