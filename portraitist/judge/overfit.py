"""Losses on what was held out from training, beside those on what was not: a sign of learning by heart."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from portraitist.judge.measuring.definition import Measure
from portraitist.judge.scorecard import Losses

if TYPE_CHECKING:
    from torch import nn

    from portraitist.family import Family, Sample

LEVELS = 8
"""Noise levels at which a loss is taken, all in one forward pass."""

FEWEST = 8

ABOUT = Measure(
    "held_out",
    "Held-out loss",
    "Denoising loss on the held-out pictures over that of the base, same noise, eight levels: below 1 it "
    "draws them better than the base would, above 1 it has turned to learning the training pictures by heart.",
    (0.5, 2),
    "low",
    "A good alarm and a bad chooser: its minimum comes long before the likeness is best.",
    "Validation loss on fixed noise, as in DVAR (arXiv 2302.04841).",
)
"""The one measure that is of no picture."""


@dataclass(frozen=True)
class Rehearsal:
    """The samples whose losses are compared between checkpoints, and the noise they are compared on."""

    train: Sequence["Sample"]
    held_out: Sequence["Sample"]
    seed: int
    precision: str

    @classmethod
    def of(
        cls, train: Sequence["Sample"], held_out: Sequence["Sample"], seed: int, precision: str, most: int
    ) -> "Rehearsal":
        """At most so many held-out samples, and as many of those trained on (FEWEST when none is held out)."""
        kept = lot(held_out, most)
        return cls(lot(train, len(kept) or min(FEWEST, most)), kept, seed, precision)

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
