"""Portrayal: how much nearer to the character's own pictures a picture is where it departs from the base's. Not
learned."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.colour import shades
from portraitist.judge.measuring.definition import Case, Measure, Pictures

SIDE = 32
"""Cells along a side: of the sides tried, 16 and 32, that which agrees better with the truth."""

NOTHING = 1e-3
"""Mean Lab distance from the base's picture below which a picture is taken for the same: it is no nearer."""


@dataclass(frozen=True, slots=True)
class Portrayal:
    """Nearness to the references in layout and colour.

    references  (M, SIDE * SIDE, 3) Lab: pictures of the character, and their mirror images
    """

    about: ClassVar[Measure] = Measure(
        "portrayal",
        "Portrayal",
        "By how much of its distance a picture has come nearer to the nearest reference picture than the base's "
        "picture of the same prompt and seed is, in Lab over 32 x 32 cells, each weighed by how far it departs from "
        "the base's; 0 is the base, 1 a reference itself.",
        (0, 1),
        "high",
        "Coarse, and of composition too: a picture that repeats a reference scores highest (copying is there for "
        "that), and one in a pose that no reference has scores low however like it is.",
        "Ours; benchmarks/chooser.md says how well it agrees with the truth.",
    )
    references: np.ndarray

    @classmethod
    def of(cls, case: Case) -> "Portrayal":
        """By the pictures that show the character."""
        cells = shades(case.references.shown, SIDE)
        mirrored = cells.reshape(-1, SIDE, SIDE, 3)[:, :, ::-1].reshape(cells.shape)
        return cls(np.concatenate([cells, mirrored]))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) at most 1; 0 for the base's own pictures, below it for what has come to be farther."""
        ours, base = shades(drawn.pictures, SIDE), shades(drawn.base, SIDE)
        return np.asarray([self.nearer(*pair) for pair in zip(ours, base, strict=True)])

    def nearer(self, picture: np.ndarray, base: np.ndarray) -> float:
        """Of one picture (cells, 3) beside the base's."""
        moved = np.linalg.norm(picture - base, axis=-1)
        if moved.mean() < NOTHING:
            return 0.0
        weights = moved / moved.sum()
        here, there = (
            float((np.linalg.norm(self.references - cells, axis=-1) @ weights).min()) for cells in (picture, base)
        )
        return 1 - here / there if there > 0 else 0.0
