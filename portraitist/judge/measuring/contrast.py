"""Contrast: tones and detail that have run off, as artefacts of training do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.audit.measure import grey
from portraitist.audit.sharpness import sharpness
from portraitist.judge.measuring.definition import Case, Measure, Pictures

LEAST = (2.0, 1.0, 0.1)
"""Spread of each trait below which references do not differ: grey levels, percent, and a tenth of a power of e."""


@dataclass(frozen=True, slots=True)
class Tones:
    """By trait: the range that nine in ten references keep to, and their spread (standard deviation); each (3,)."""

    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, references: Sequence[np.ndarray]) -> "Tones":
        """From the references' pixels (H, W, 3) uint8."""
        found = np.stack([traits(picture) for picture in references])
        low, high = np.quantile(found, [0.05, 0.95], axis=0)
        return cls(low, high, np.maximum(found.std(0), LEAST))

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """How far each picture's worst trait lies outside the range, in spreads: (N,), 0 inside."""
        found = np.stack([traits(picture) for picture in pictures])
        outside = np.maximum(np.maximum(self.low - found, found - self.high), 0)
        return np.asarray((outside / self.spread).max(1))


def traits(pixels: np.ndarray) -> np.ndarray:
    """Contrast, clipping and detail of (H, W, 3) uint8: (3,).

    Standard deviation of luma in grey levels; percent of luma at 2 and below or 253 and above; log of the audit's
    sharpness, the variance of the Laplacian in the sharpest parts.
    """
    luma = grey(pixels)
    clipped = ((luma <= 2) | (luma >= 253)).mean()
    return np.array([luma.std(), 100 * clipped, np.log1p(sharpness(luma))])


@dataclass(frozen=True, slots=True)
class Contrast:
    """The references' tones and detail."""

    about: ClassVar[Measure] = Measure(
        "contrast",
        "Contrast and artefacts",
        "How far the picture's contrast, its share of clipped tones or its finest detail (whichever is worst) lies "
        "outside the range that nine in ten references keep to, in their standard deviations; 0 is inside.",
        (0, 6),
        "low",
        "The base's own pictures are often softer than the references, so read it against the base. A prompt for night "
        "or fog leaves the range without any fault, and a wrong detail of the right sharpness is not seen.",
        "Ours; z against the training pictures as a guard against overcooked pictures, and Pech-Pacheco 2000.",
    )
    tones: Tones

    @classmethod
    def of(cls, case: Case) -> "Contrast":
        """By the pictures that show the character."""
        return cls(Tones.of(case.references.shown))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in standard deviations, at least 0."""
        return self.tones(drawn.pictures)
