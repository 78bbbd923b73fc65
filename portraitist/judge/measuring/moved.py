"""Moved: whether prompts without the trigger still draw what the base draws."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.colour import shades
from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.leak import shared

SIDE = 48
LEAST = 1.0
"""Lab units: a change that nobody sees."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The distance of unnamed pictures from the base's; it needs nothing of the character."""

    about: ClassVar[Measure] = Measure(
        "moved",
        "Moved",
        "Mean Lab distance (48 x 48 cells) of pictures whose prompt has the noun in the trigger's place from the "
        "base's of the same noise, as a share of the distance that the pictures with the trigger have: 0 is the base's "
        "own picture, 1 has changed as much as when the character is named.",
        (0, 1),
        "low",
        "Any change counts, also one for the better, and a figure that stands elsewhere counts much; whether it is the "
        "character that came is what leak says.",
        "Ours; benchmarks/preservation.md has it as a plain difference of pixels.",
    )

    @classmethod
    def of(cls, _case: Case) -> "Moved":
        """For every character."""
        return cls()

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) from 0; nan for pictures of another purpose, and where no picture is named."""
        apart = np.linalg.norm(shades(drawn.pictures, SIDE) - shades(drawn.base, SIDE), axis=-1).mean(1)
        return shared(drawn, apart, LEAST)
