"""Likeness: learned, by the eyes' identity space, and not learned, by the colours that are the character's own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from portraitist.judge.colour import shades

NEAREST = 5
"""References that a picture is compared with: a mean over the best few, so that one odd reference decides nothing."""

CLUSTERS = 24
SIDE = 48
REACH = 14.0
"""Lab distance within which a cell counts as of a colour: about what people call the same colour across shading."""

LEAST = 0.004
"""Share of the cells that a colour must cover to count as shown: five of 48 x 48 in half the references."""


def closeness(found: np.ndarray, references: np.ndarray, *, themselves: bool = False) -> np.ndarray:
    """Mean cosine of each unit vector (N, d) with its nearest references (M, d); (N,).

    themselves  `found` are the references: none is compared with itself
    """
    cosines = found @ references.T
    if themselves:
        np.fill_diagonal(cosines, -np.inf)
    count = min(NEAREST, len(references) - themselves)
    return np.sort(cosines, axis=1)[:, -count:].mean(1) if count > 0 else np.ones(len(found))


@dataclass(frozen=True, slots=True)
class Likeness:
    """The identity scale of one character: 0 is the base on the same prompts, 1 the references among themselves."""

    references: np.ndarray
    floor: float
    ceiling: float

    @classmethod
    def of(cls, references: np.ndarray, base: np.ndarray) -> "Likeness":
        """From unit embeddings of the references (M, d) and of the base's pictures (N, d).

        Where the base is as close as the references are to each other there is no scale; the eyes then see no
        difference, and one hundredth of a cosine is taken for the whole range.
        """
        floor = float(closeness(base, references).mean())
        ceiling = float(closeness(references, references, themselves=True).mean())
        return cls(references, floor, max(ceiling, floor + 0.01))

    def __call__(self, found: np.ndarray) -> np.ndarray:
        """Identity of pictures by their embeddings (N, d): (N,), usually in [0, 1]."""
        return np.asarray((closeness(found, self.references) - self.floor) / (self.ceiling - self.floor))


@dataclass(frozen=True, slots=True)
class Signature:
    """The character's own colours.

    colours  (K, 3) Lab; none for a character whose colours the base shows just as well
    usual    (K,) share of the picture that each usually covers where it is shown
    """

    colours: np.ndarray
    usual: np.ndarray

    @classmethod
    def of(cls, references: Sequence[np.ndarray], base: Sequence[np.ndarray], seed: int = 0) -> "Signature":
        """From pictures (H, W, 3) uint8: k-means over the references' cells, then what most of them show and the
        base's pictures do not.

        A colour is distinctive when at least half of the references show it, and at most half as large a part of the
        base's pictures does.
        """
        cells = shades(references, SIDE)
        centres = clusters(cells.reshape(-1, 3), seed)
        shown, known = areas(cells, centres), areas(shades(base, SIDE), centres)
        present, common = (shown >= LEAST).mean(0), (known >= LEAST).mean(0)
        own = apart(
            centres,
            areas(cells, centres, REACH / 3).mean(0),
            np.flatnonzero((present >= 0.5) & (common <= present / 2)),
        )
        usual = [float(np.median(column[column >= LEAST])) for column in shown.T[own]]
        return cls(centres[own], np.asarray(usual))

    def __call__(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Share of the colours that each picture shows, (N,) in [0, 1]; a colour of half its usual area counts half."""
        found = areas(shades(pictures, SIDE), self.colours) / self.usual
        return np.asarray(np.minimum(found, 1).mean(1))


def apart(colours: np.ndarray, sizes: np.ndarray, which: np.ndarray) -> list[int]:
    """Those of `which` colours that are no shade of a larger one: the cells at a colour's edge make shades of it."""
    kept: list[int] = []
    for k in sorted(which.tolist(), key=lambda k: (-sizes[k], k)):
        if all(np.linalg.norm(colours[k] - colours[other]) > 1.5 * REACH for other in kept):
            kept.append(k)
    return kept


def areas(cells: np.ndarray, colours: np.ndarray, reach: float = REACH) -> np.ndarray:
    """Share of the cells (N, S, 3) within reach of each colour (K, 3): (N, K)."""
    found = [(np.linalg.norm(cells - colour, axis=-1) < reach).mean(1) for colour in colours]
    return np.stack(found, axis=1) if found else np.zeros((len(cells), 0))


def clusters(points: np.ndarray, seed: int, count: int = CLUSTERS, rounds: int = 12) -> np.ndarray:
    """Centres (K, 3) of at most `count` clusters of points (N, 3): k-means (Lloyd 1982) from spread-out starts.

    Each start is the point farthest from those taken, so that small areas of a strong colour get a cluster of their
    own; deterministic but for the thinning of many points to 20,000.
    """
    draw = np.random.default_rng(seed)
    if len(points) > 20_000:
        points = points[draw.choice(len(points), 20_000, replace=False)]
    centres = [points.mean(0)]
    distance = np.linalg.norm(points - centres[0], axis=1)
    while len(centres) < count and distance.max() > REACH / 2:
        centres.append(points[int(distance.argmax())])
        distance = np.minimum(distance, np.linalg.norm(points - centres[-1], axis=1))
    found = np.stack(centres)
    for _ in range(rounds):
        nearest = ((points**2).sum(1)[:, None] - 2 * points @ found.T + (found**2).sum(1)).argmin(1)
        found = np.stack(
            [points[nearest == k].mean(0) if (nearest == k).any() else found[k] for k in range(len(found))]
        )
    return found
