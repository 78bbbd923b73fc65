"""Signature: the colours that are the character's own. Not learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.colour import shades
from portraitist.judge.measuring.definition import Case, Measure, Pictures

CLUSTERS = 24
SIDE = 48
REACH = 14.0
"""Lab distance within which a cell counts as of a colour: about what people call the same colour across shading."""

LEAST = 0.004
"""Share of the cells that a colour must cover to count as shown: five of 48 x 48 in half the references."""


@dataclass(frozen=True, slots=True)
class Colours:
    """The character's own colours.

    colours  (K, 3) Lab; none for a character whose colours the base shows just as well
    usual    (K,) share of the picture that each usually covers where it is shown
    """

    colours: np.ndarray
    usual: np.ndarray

    @classmethod
    def of(cls, references: Sequence[np.ndarray], base: Sequence[np.ndarray], seed: int = 0) -> "Colours":
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


@dataclass(frozen=True, slots=True)
class Signature:
    """The character's own colours, of which there is at least one."""

    about: ClassVar[Measure] = Measure(
        "signature",
        "Signature colours",
        "Share of the references' distinctive colours (clusters in Lab that most references show and the base's "
        "renders do not) that the picture shows in about their usual area. Not learned.",
        (0, 1),
        "high",
        "Blobs of the right colour anywhere count; a character without colours of its own has no signature, and "
        "strong coloured light hides one.",
        "Ours; k-means (Lloyd 1982) in CIE Lab.",
    )
    colours: Colours

    @classmethod
    def of(cls, case: Case) -> "Signature | None":
        """None for a character without colours of its own: that is no fault, and nothing is said of it."""
        found = Colours.of(case.references.shown, case.base.pictures)
        return cls(found) if len(found.colours) else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) in [0, 1]."""
        return self.colours(drawn.pictures)


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
