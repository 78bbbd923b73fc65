"""Likeness: what decides where portrayal cannot; a learned and two unlearned measures that count alike."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.identity import Identity
from portraitist.judge.measuring.portrayal import Portrayal
from portraitist.judge.measuring.signature import Signature


@dataclass(frozen=True, slots=True)
class Likeness:
    """Identity, portrayal and signature of one character."""

    about: ClassVar[Measure] = Measure(
        "likeness",
        "Likeness",
        "Mean of identity, of signature where the character has colours of its own, and of portrayal where the prompt "
        "is the caption of a known picture. It decides where portrayal cannot be taken on four pictures of every cell.",
        (0, 1),
        "high",
        "Identity is learned and soon content, portrayal is coarse, signature is fooled by blobs: what all miss, it "
        "misses too.",
        "Ours.",
    )
    parts: tuple[Identity | Portrayal | Signature, ...]

    @classmethod
    def of(cls, case: Case) -> "Likeness":
        """Of what can be taken of the three."""
        parts = (case.taken(Identity), case.taken(Portrayal), case.taken(Signature))
        return cls(tuple(part for part in parts if part is not None))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [0, 1]."""
        return np.asarray(np.nanmean([drawn.value(part) for part in self.parts], axis=0))
