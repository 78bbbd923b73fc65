"""Saturation: colours that have run off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.colour import chroma
from portraitist.judge.measuring.definition import Case, Measure, Pictures


@dataclass(frozen=True, slots=True)
class Chroma:
    """The range of mean chroma that nine in ten references keep to, Lab units."""

    low: float
    high: float

    @classmethod
    def of(cls, references: Sequence[np.ndarray]) -> "Chroma":
        """From the references' pixels (H, W, 3) uint8."""
        low, high = np.quantile([chroma(picture) for picture in references], [0.05, 0.95])
        return cls(float(low), float(high))

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """How far each picture's mean chroma lies outside the range: (N,), 0 inside."""
        found = np.asarray([chroma(picture) for picture in pictures])
        return np.maximum(np.maximum(self.low - found, found - self.high), 0)


@dataclass(frozen=True, slots=True)
class Saturation:
    """The references' chroma."""

    about: ClassVar[Measure] = Measure(
        "saturation",
        "Colour drift",
        "How far the picture's mean chroma lies outside the range that nine in ten references keep to, in Lab "
        "units; 0 is inside.",
        (0, 40),
        "low",
        "A prompt for a colourful scene is not told from burnt colours: the base's own drift is what to compare with.",
        "Ours; CIE Lab (IEC 61966-2-1).",
    )
    usual: Chroma

    @classmethod
    def of(cls, case: Case) -> "Saturation":
        """By the pictures that show the character."""
        return cls(Chroma.of(case.references.shown))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in Lab units, at least 0."""
        return self.usual(drawn.pictures)
