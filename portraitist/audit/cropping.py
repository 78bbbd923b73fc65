"""Crops of a picture by framing, around its face, and without borders; rectangles alone, never enlarging.

Heights are told in heads: an adult is 7.5 high, from the crown down chin 1, armpits 1.8, hips 3.9, mid-thigh 4.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Cut = Literal["trim", "close-up", "mid", "full", "headless"]
Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

BOX_OF_HEAD = 0.64
"""Height of a frontal cascade's box in heads; it ends at the chin."""

BELOW: dict[Cut, float] = {"close-up": 1.7, "mid": 4.3, "full": 8.0}
"""Heads from the crown to where a framing ends."""

LEAST: dict[Cut, float] = {"close-up": 1.0, "mid": 2.8, "full": 7.0}
"""Heads below the crown that a picture must show to be cut to a framing."""

SHAPE: dict[Cut, float] = {"close-up": 0.9, "mid": 0.72, "full": 0.55}
"""Width over height of a framing's crop, as far as the picture reaches."""

AIR = 0.35
"""Heads left above the crown: hair, hats."""

CHIN = 0.2
"""Heads below the chin at which a head is cut away: at once below it would leave jaw and hair."""

WORTH = 0.33
"""Share of the picture's height that must be left when the head is cut away."""

FLAT, SAME, HARD = 2.0, 3.0, 0.4
"""Deviation of a row's luma, and its distance to the outermost row's, up to which it is of a bar; and the share of the
row after it that must differ: a bar ends all at once, a plain background where somebody stands."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head by its face's box: how high it is, and where crown and chin are, in pixels from above."""

    height: float
    crown: float
    chin: float
    middle: float

    @classmethod
    def of(cls, face: Box) -> "Head":
        """By a frontal cascade's box."""
        x, y, w, h = face
        height = h / BOX_OF_HEAD
        return cls(height, y + h - height, float(y + h), x + w / 2)


def heads_shown(height: int, face: Box) -> float:
    """Heads below the crown that a picture of so many rows shows."""
    head = Head.of(face)
    return (height - head.crown) / head.height


def subject_face(faces: Sequence[Box]) -> Box | None:
    """The one face of a picture's subject; None without one, or where a second one is at least half as large."""
    ordered = sorted(faces, key=lambda box: -box[2] * box[3])
    if not ordered or (len(ordered) > 1 and ordered[1][2] * ordered[1][3] >= 0.5 * ordered[0][2] * ordered[0][3]):
        return None
    return ordered[0]


def framed(width: int, height: int, face: Box, cut: Cut) -> Box | None:
    """The crop of a framing in a picture of width x height; None where the picture does not show that much.

    The whole face is inside, with room at its sides of at least 0.6 of its width where the picture has it.
    """
    head = Head.of(face)
    if heads_shown(height, face) < LEAST[cut]:
        return None
    _, y, w, h = face
    top = max(0, min(y, round(head.crown - AIR * head.height)))
    bottom = min(height, max(y + h, round(head.crown + BELOW[cut] * head.height)))
    wide = min(width, max(round((bottom - top) * SHAPE[cut]), round(2.2 * w)))
    left = min(max(0, round(head.middle - wide / 2)), width - wide)
    return left, top, wide, bottom - top


def headless(width: int, height: int, faces: Sequence[Box]) -> Box | None:
    """What lies below all heads of a picture of width x height; None where too little does, or no face is seen."""
    if not faces:
        return None
    top = max(round((head := Head.of(face)).chin + CHIN * head.height) for face in faces)
    return (0, top, width, height - top) if height - top >= WORTH * height else None


def trimmed(pixels: np.ndarray) -> Box | None:
    """A picture (H, W, 3) uint8 without the bars of one colour at its edges; None where it has none.

    Rows and columns count as bars as long as they are flat and of the outermost one's colour, and end along their whole
    length; what would leave less than a quarter of a side is none.
    """
    luma = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)

    def bar(lines: np.ndarray) -> int:
        first, count = float(lines[0].mean()), 0
        while count < len(lines) and lines[count].std() < FLAT and abs(float(lines[count].mean()) - first) < SAME:
            count += 1
        ends = 0 < count < len(lines) and (np.abs(lines[count] - lines[count - 1]) > 2 * SAME).mean() > HARD
        return count if ends else 0

    height, width = luma.shape
    left = top = right = bottom = 0
    for _ in range(2):  # bars at the sides hide where those above and below end, and the other way round
        inner = luma[top : height - bottom, left : width - right]
        top, bottom = top + bar(inner), bottom + bar(inner[::-1])
        inner = luma[top : height - bottom, left : width - right]
        left, right = left + bar(inner.T), right + bar(inner.T[::-1])
        if top + bottom >= 0.75 * height or left + right >= 0.75 * width:
            return None
    if not top + bottom + left + right:
        return None
    return left, top, width - left - right, height - top - bottom
