"""Copying: layouts of training pictures that come back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.colour import lab, small
from portraitist.judge.measuring.definition import Case, Measure, Pictures

CELLS = 16


@dataclass(frozen=True, slots=True)
class Layouts:
    """How close layouts come to those trained on, against how close the character's other pictures come."""

    layouts: np.ndarray
    usual: float

    @classmethod
    def of(cls, train: Sequence[np.ndarray], held_out: Sequence[np.ndarray]) -> "Layouts":
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


@dataclass(frozen=True, slots=True)
class Copying:
    """The layouts that could be copied."""

    about: ClassVar[Measure] = Measure(
        "copying",
        "Copying",
        "Closeness of the picture's layout (16 x 16 cells, Lab, contrast made equal, also mirrored) to its nearest "
        "training picture: 0 is what held-out pictures of the character have, 1 is the training picture itself.",
        (0, 1),
        "low",
        "Coarse: it sees a copied composition, not a copied detail, and a prompt that asks for the very scene of a "
        "training picture may come close without any fault.",
        "Ours; correlation of small pictures, held against the nearest of what was held out.",
    )
    layouts: Layouts

    @classmethod
    def of(cls, case: Case) -> "Copying":
        """By what was trained on, and by what was held out."""
        return cls(Layouts.of(case.references.train, case.references.held_out))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [0, 1]."""
        return self.layouts(drawn.pictures)


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
