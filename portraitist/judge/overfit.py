"""Signs that training pictures are learnt by heart: losses on what was held out, and layouts that come back."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from portraitist.judge.colour import lab, small
from portraitist.judge.scorecard import Losses

if TYPE_CHECKING:
    from torch import nn

    from portraitist.family import Family, Sample

LEVELS = 8
"""Noise levels at which a loss is taken, all in one forward pass."""

MOST = 16
"""Samples of a split whose loss is taken: the interval then is narrow enough, and a checkpoint costs seconds."""

FEWEST = 8
CELLS = 16


@dataclass(frozen=True)
class Rehearsal:
    """The samples whose losses are compared between checkpoints, and the noise they are compared on."""

    train: Sequence["Sample"]
    held_out: Sequence["Sample"]
    seed: int
    precision: str

    @classmethod
    def of(cls, train: Sequence["Sample"], held_out: Sequence["Sample"], seed: int, precision: str) -> "Rehearsal":
        """At most MOST held-out samples, and as many of those trained on (FEWEST when none is held out)."""
        kept = lot(held_out, MOST)
        return cls(lot(train, len(kept) or FEWEST), kept, seed, precision)

    @property
    def yardstick(self) -> str:
        """Digest of all that the losses depend on besides the weights."""
        keys = [[sample.key for sample in samples] for samples in (self.train, self.held_out)]
        return hashlib.sha256(json.dumps([keys, self.seed, self.precision, LEVELS]).encode()).hexdigest()[:16]

    def losses(
        self, family: "Family", denoiser: "nn.Module", step: int, precisely: AbstractContextManager[object]
    ) -> Losses:
        """The losses of the denoiser as it now is; `precisely` is the precision that training has."""
        from portraitist.learn.loss import held_out

        with precisely:
            train = held_out(family, denoiser, self.train, self.seed, LEVELS).double()
            held = held_out(family, denoiser, self.held_out, self.seed, LEVELS).double()

        def rounded(values: Sequence[float]) -> list[float]:
            return [round(value, 6) for value in values]

        return Losses(
            step=step,
            levels=[(k + 0.5) / LEVELS for k in range(LEVELS)],
            train=rounded(train.mean(0).tolist()) if len(train) else [],
            held_out=rounded(held.mean(0).tolist()) if len(held) else [],
            train_each=rounded(train.mean(1).tolist()),
            held_each=rounded(held.mean(1).tolist()),
            yardstick=self.yardstick,
        )


def lot(samples: Sequence["Sample"], count: int) -> list["Sample"]:
    """So many samples, drawn by hash of their keys, so that a picture more moves few of them; in key order."""
    first = sorted(samples, key=lambda sample: hashlib.sha256(f"judged {sample.key}".encode()).hexdigest())[:count]
    return sorted(first, key=lambda sample: sample.key)


def ratios(losses: Losses, base: Losses, split: str = "held_each") -> list[float]:
    """Each sample's loss over the base's on the same noise; empty where nothing was held out or yardsticks differ."""
    if losses.yardstick != base.yardstick:
        return []
    return [a / b for a, b in zip(getattr(losses, split), getattr(base, split), strict=True) if b > 0]


@dataclass(frozen=True, slots=True)
class Copying:
    """How close layouts come to those trained on, against how close the character's other pictures come."""

    layouts: np.ndarray
    usual: float

    @classmethod
    def of(cls, train: Sequence[np.ndarray], held_out: Sequence[np.ndarray]) -> "Copying":
        """From the pixels (H, W, 3) uint8 of the training pictures and of those held out.

        Without held-out ones each training picture is compared with the others instead.
        """
        layouts = np.stack([layout(picture) for picture in train])
        if len(held_out):
            usual = nearest(np.stack([layout(picture) for picture in held_out]), layouts).mean()
        elif len(train) > 1:
            usual = nearest(layouts, layouts, themselves=True).mean()
        else:
            usual = np.float64(0)
        return cls(layouts, min(float(usual), 0.99))

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """(N,): 0 as near as the character's own other pictures are, 1 a training picture itself; below 0: farther."""
        found = nearest(np.stack([layout(picture) for picture in pictures]), self.layouts)
        return np.asarray((found - self.usual) / (1 - self.usual))


def layout(pixels: np.ndarray) -> np.ndarray:
    """A picture's layout, (CELLS, CELLS, 3): small Lab less its mean, of length 1, so that brightness and contrast
    do not count."""
    cells = lab(small(pixels, CELLS))
    cells = cells - cells.mean((0, 1))
    return np.asarray(cells / max(float(np.linalg.norm(cells)), 1e-6))


def nearest(found: np.ndarray, layouts: np.ndarray, *, themselves: bool = False) -> np.ndarray:
    """Correlation of each layout (N, ...) with the nearest of `layouts` (M, ...) or of their mirror images: (N,)."""
    flat, mirrored = (side.reshape(len(side), -1) for side in (layouts, layouts[:, :, ::-1]))
    rows = found.reshape(len(found), -1)
    same = rows @ flat.T
    both = np.maximum(same, rows @ mirrored.T)
    if themselves:
        np.fill_diagonal(both, -1)
    return np.asarray(both.max(1))
