"""Diversity: whether one prompt still gives different pictures from different seeds."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.copying import layout
from portraitist.judge.measuring.definition import Case, Measure, Pictures, known_mean

LEAST = 1e-4
"""Least spread of the base's own, as one minus a correlation, that another is told by."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """The spread over seeds within each prompt, the base's own being 1."""

    about: ClassVar[Measure] = Measure(
        "diversity",
        "Diversity",
        "One minus the correlation of a picture's lightness (16 x 16 cells) with that of the other seeds' pictures of "
        "its prompt, over the mean of the same in the base's pictures: 1 is as different as the base's own are, 0 is "
        "always the same picture.",
        (0, 1.5),
        "high",
        "Coarse: pose, place and light count, a changed face hardly. A character that is always itself is less various "
        "than strangers are, and rightly: it falls while likeness rises, so compare checkpoints by it. With two seeds "
        "a prompt its interval is wide.",
        "Same-prompt spread, as DreamBooth's DIV (arXiv 2208.12242), there by LPIPS. Of lightness, since learned eyes "
        "mostly tell who it is: there the base's strangers are far apart and any character near.",
    )

    @classmethod
    def of(cls, _case: Case) -> "Diversity":
        """For every character."""
        return cls()

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) from 0; nan for unnamed, reworded and restyled pictures, and for prompts of a single seed."""
        usual = known_mean(spread(drawn.of_base))
        return spread(drawn) / usual if usual > LEAST else np.full(len(drawn.shots), np.nan)


def spread(drawn: Pictures) -> np.ndarray:
    """(N,) the mean of one minus the correlation with each other seed's picture of the prompt; nan without one."""
    shades = np.stack([layout(picture)[..., 0].reshape(-1) for picture in drawn.pictures]).astype(np.float64)
    rows = shades / np.maximum(np.linalg.norm(shades, axis=1, keepdims=True), 1e-6)
    return known_mean(np.where(siblings(drawn), 1 - rows @ rows.T, np.nan), axis=1)


def siblings(drawn: Pictures) -> np.ndarray:
    """(N, N) whether two pictures are of one prompt and of different seeds, both named."""
    named = [(shot.prompt.text, shot.seed) if shot.purpose == "named" else None for shot in drawn.shots]
    return np.asarray([[bool(a and b and a[0] == b[0] and a[1] != b[1]) for b in named] for a in named])
