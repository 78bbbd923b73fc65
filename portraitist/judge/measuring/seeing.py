"""Eyes that may tell who is in a picture: the family's own, and models on this machine; and the subject alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist.judge.measuring.definition import Case, Pictures, embedded
from portraitist.pictures import fit, resize
from portraitist.sight import embed, faces, masks
from portraitist.sight.eyes import Plain

GREY = 128
"""What stands for the background where an eye is shown the subject alone."""

OUTLINE, ROUNDS = 96, 2
"""Longer side in pixels at which outlines are looked for, and GrabCut's rounds: of forty drawn figures they overlap the
truth as well (0.89) as at 128 with five rounds, in a third of the time."""

LEAST, MOST = 0.02, 0.9
"""Shares of a picture between which what was found is taken for a subject."""


@dataclass(frozen=True, slots=True)
class Eye:
    """Who is in pictures, as vectors.

    see    pictures (H, W, 3) uint8 to (N, d) of length 1; nan where it sees nobody
    alone  whether it is shown the subject without its background, which it would else take for part of who it is
    """

    name: str
    see: Callable[[Sequence[np.ndarray]], np.ndarray]
    alone: bool = False


def own(case: Case) -> Eye:
    """The family's own eyes, or the plain ones."""
    name = "The plain eye" if isinstance(case.looks, Plain) else "The family's eye"
    return Eye(name, lambda some: embedded(case.looks.pictures, some))


def eyes(case: Case) -> tuple[Eye, ...]:
    """The family's own, then those that the recipe names. Plain ones stand in only where there are no others."""
    found = []
    if case.sights.embedding:
        whole = Path(case.sights.embedding)
        found.append(Eye(whole.name, lambda some: np.stack([embed.picture(p, whole) for p in some]), alone=True))
    if case.sights.recognition:
        faced = Path(case.sights.recognition)
        found.append(Eye(faced.name, lambda some: recognised(some, case.sights.faces, faced)))
    return tuple(found) if found and isinstance(case.looks, Plain) else (own(case), *found)


def recognised(pictures: Sequence[np.ndarray], finder: str, path: Path) -> np.ndarray:
    """The largest face of each picture as a vector (N, d); nan where there is none with points."""
    rows: list[np.ndarray | None] = []
    for pixels in pictures:
        seen = next((face for face in faces.found(pixels, finder) if face.points), None)
        rows.append(embed.face(pixels, seen, path) if seen else None)
    wide = next((len(row) for row in rows if row is not None), 1)
    return np.stack([np.full(wide, np.nan) if row is None else row for row in rows]).astype(np.float64)


def subjects(case: Case, drawn: Pictures | None = None) -> list[np.ndarray]:
    """Where the subject is in drawn pictures, or in the references: (H, W) bool each, by the same finder, so that its
    faults are the same; all False where none is told from the ground."""
    shelf, pictures = (drawn, drawn.pictures) if drawn else (case, case.references.shown)
    return shelf.once("subjects", lambda: [subject(pixels, case.sights.faces) for pixels in pictures])


def subject(pixels: np.ndarray, finder: str) -> np.ndarray:
    """Where the subject is by GrabCut, around faces where there is a finder of them: (H, W) bool."""
    height, width = pixels.shape[:2]
    size = fit(width, height, OUTLINE)
    boxes = [[round(v * size[0] / width) for v in face.box] for face in faces.found(pixels, finder)] if finder else []
    found = masks.subject(resize(pixels, *size), [(x, y, w, h) for x, y, w, h in boxes], ROUNDS)
    inside = np.asarray(Image.fromarray(found).resize((width, height), Image.Resampling.BILINEAR)) > 127
    return inside if LEAST <= inside.mean() <= MOST else np.zeros_like(inside)


def alone(case: Case, drawn: Pictures | None = None) -> list[np.ndarray]:
    """Drawn pictures, or the references, with grey for what is around the subject; whole where none is found."""
    pictures = drawn.pictures if drawn else case.references.shown
    return [
        np.where(inside[..., None], pixels, np.uint8(GREY)) if inside.any() else pixels
        for pixels, inside in zip(pictures, subjects(case, drawn), strict=True)
    ]
