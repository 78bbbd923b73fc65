"""Likeness: what decides; a learned and an unlearned measure that count alike."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.identity import Identity
from portraitist.judge.measuring.signature import Signature


@dataclass(frozen=True, slots=True)
class Likeness:
    """Identity and signature of one character."""

    about: ClassVar[Measure] = Measure(
        "likeness",
        "Likeness",
        "Mean of identity and signature; identity alone where the character has no colours of its own. It decides.",
        (0, 1),
        "high",
        "Identity is learned and soon content, signature is fooled by blobs: what both miss, it misses too.",
        "Ours.",
    )
    parts: tuple[Identity | Signature, ...]

    @classmethod
    def of(cls, case: Case) -> "Likeness":
        """Of what can be taken of the two."""
        return cls(tuple(part for part in (case.taken(Identity), case.taken(Signature)) if part is not None))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [0, 1]."""
        return np.asarray(np.mean([drawn.value(part) for part in self.parts], axis=0))
