"""Bleed: backgrounds of training pictures that come where another was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.audit.content import backdrop
from portraitist.family import PromptSpec
from portraitist.judge.measuring.definition import Case, Measure, Pictures, known_mean
from portraitist.judge.prompts import specified
from portraitist.pictures import Opened

PLACES = ("background", "scene")
"""Kinds of attribute that are of backgrounds."""

NEAREST = 3
"""Training backgrounds that a picture's is compared with, the nearest."""


@dataclass(frozen=True, slots=True)
class Bleed:
    """The training pictures' backgrounds: vectors (M, d), and the place that each one's caption tells, "" for none."""

    about: ClassVar[Measure] = Measure(
        "bleed",
        "Background bleed",
        "Of pictures whose prompts ask for a background: how much closer the colours around the subject (left, right "
        "and above) are to the three nearest training pictures that show another background than the base's picture of "
        "the same prompt and seed is. Closeness is the overlap of the two histograms in Lab (Bhattacharyya), 0 to 1; "
        "the base has 0.",
        (-0.5, 0.7),
        "low",
        "Colours alone: it takes a place of the same colours for the same place. A base that itself draws all prompts "
        "before the training pictures' backgrounds hides it, and what a close-up's hair covers is not background.",
        "Ours; the audit's backdrops, Bhattacharyya 1943.",
    )
    vectors: np.ndarray
    places: tuple[str, ...]

    @classmethod
    def of(cls, case: Case) -> "Bleed | None":
        """None where no prompt asks for a background, and without captions of the training pictures."""
        told = case.references.told
        if not told or not any(asked(prompt) for prompt in case.base.prompts):
            return None
        return cls(around(case.references.train), tuple(asked(specified("", text, case.kinds)) for text in told))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in [-1, 1]; nan where no background is asked for, or every training picture shows that one."""
        asks = [asked(prompt) for prompt in drawn.prompts]
        others = np.asarray([[bool(ask) and place != ask for place in self.places] for ask in asks])
        others &= np.isfinite(self.vectors).all(1)
        ours, theirs = (self.closeness(around(some), others) for some in (drawn.pictures, drawn.base))
        return np.asarray(ours - theirs)

    def closeness(self, found: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Mean overlap of backgrounds (N, d) with the nearest of those that count, (N, M) bool: (N,), nan for none."""
        overlaps = np.where(others, found @ np.nan_to_num(self.vectors).T, -np.inf)
        return known_mean(np.sort(overlaps, axis=1)[:, -NEAREST:], axis=1)


def asked(prompt: PromptSpec) -> str:
    """The background that a prompt asks for, or ""."""
    return next((prompt.asks[kind] for kind in PLACES if kind in prompt.asks), "")


def around(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The audit's backdrop of each picture (H, W, 3) uint8 as a vector of length 1: (N, d); nan where there is none."""
    told = [backdrop(Opened(pixels, None), []) for pixels in pictures]
    wide = max((len(text) // 2 for text in told), default=0)
    rows = [np.frombuffer(bytes.fromhex(text), np.uint8).astype(np.float64) if text else np.full(wide, np.nan)
            for text in told]  # fmt: skip
    found = np.stack(rows)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))
