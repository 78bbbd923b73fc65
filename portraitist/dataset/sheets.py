"""Character sheets: a template of hard-edged boxes side by side, and a finished sheet cut into its views.

Boxes are separated by black lines. A finished sheet may have been saved as JPEG, scaled or moved by a few pixels: its
lines are looked for where they are. Where a model painted over them, the template's size tells where they were.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from portraitist.errors import PortraitistError

VIEWS = ("front view", "side view", "back view")
"""Of the template's boxes, from left to right."""

LINE = 0.0104
"""Width of the black lines as a share of the sheet's: 16 of 1536 pixels."""

DARK = 72
"""Luma below which a pixel may be of a line: black, after JPEG and scaling."""

ALIKE = 0.15
"""By how much of the widest the boxes of one sheet may differ in width."""

ASPECT = 0.02
ADULT = 7.5
"""Heads that an adult is high; drawn figures are often 3 to 6."""


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle in pixels: its corner and its size."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """What of a picture (H, W, ...) lies in it."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]

    def holds(self, other: "Box") -> bool:
        """Whether another rectangle lies in it whole."""
        right, bottom = other.left + other.width, other.top + other.height
        return (
            self.left <= other.left
            and self.top <= other.top
            and right <= self.left + self.width
            and bottom <= self.top + self.height
        )


def boxes(width: int, height: int, count: int = len(VIEWS)) -> tuple[Box, ...]:
    """The template's boxes for a sheet of width x height pixels: equal, with a line around each.

    Raises PortraitistError for a sheet in which a box would be less than 16 pixels wide or high.
    """
    line = max(2, round(width * LINE))
    wide, high = (width - (count + 1) * line) // count, height - 2 * line
    if wide < 16 or high < 16:
        raise PortraitistError(
            f"A sheet of {width} x {height} pixels has no room for {count} views", "Make it larger, such as 1536x1024."
        )
    return tuple(Box(line + i * (wide + line), line, wide, high) for i in range(count))


def template(width: int, height: int, count: int = len(VIEWS)) -> np.ndarray:
    """The empty sheet (height, width, 3) uint8: white boxes, all else black."""
    made = np.zeros((height, width, 3), np.uint8)
    for box in boxes(width, height, count):
        box.of(made)[:] = 255
    return made


def composed(views: Sequence[np.ndarray], width: int, height: int) -> np.ndarray:
    """A sheet with pictures (H, W, 3) uint8 of its boxes' own size laid in."""
    made = template(width, height, len(views))
    for box, view in zip(boxes(width, height, len(views)), views, strict=True):
        box.of(made)[:] = view
    return made


def found(pixels: np.ndarray, count: int = len(VIEWS), size: tuple[int, int] | None = None) -> tuple[Box, ...]:
    """The boxes of a finished sheet (H, W, 3) uint8, from left to right.

    count  views that it has
    size   of the template it was made from, width and height: where its lines cannot be seen, they were there
    Raises PortraitistError where neither lines nor a size tell, and for a sheet of another aspect than its template.
    """
    height, width = pixels.shape[:2]
    seen = by_lines(pixels, count)
    if seen:
        return seen
    if size is None:
        raise PortraitistError(
            f"The sheet ({width} x {height}) has no {count} boxes of one width between black lines",
            "Say the size of the template it was made from, such as --size 1536x1024, or how many --views it has.",
        )
    across, down = width / size[0], height / size[1]
    if abs(across / down - 1) > ASPECT:
        raise PortraitistError(
            f"The sheet is {width} x {height}, its template {size[0]} x {size[1]}: they differ in aspect",
            "Name the template's own size.",
        )
    inset = max(1, round(width * LINE / 4))
    return tuple(
        Box(
            round(box.left * across) + inset,
            round(box.top * down) + inset,
            int(box.width * across) - 2 * inset,
            int(box.height * down) - 2 * inset,
        )
        for box in boxes(*size, count)
    )


def by_lines(pixels: np.ndarray, count: int) -> tuple[Box, ...]:
    """The boxes between the sheet's black lines; empty unless there are `count`, of about one width."""
    luma = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    height, width = luma.shape
    dark = luma < DARK
    core = dark[round(height * 0.15) : max(1, round(height * 0.85))]  # rows of boxes, wherever those were moved
    gaps = spans(core.mean(0) < 0.9, width / count / 2)
    if len(gaps) != count or max(b - a for a, b in gaps) * (1 - ALIKE) > min(b - a for a, b in gaps):
        return ()
    made = []
    for left, right in gaps:
        rows = spans(dark[:, left:right].mean(1) < 0.9, height / 2)
        if len(rows) != 1:
            return ()
        made.append(clean(luma, Box(left, rows[0][0], right - left, rows[0][1] - rows[0][0])))
    return tuple(made)


def spans(open_: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Begin and end of the runs of true values that are at least so long."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], open_.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= least]


def clean(luma: np.ndarray, box: Box) -> Box:
    """A box without the rows and columns at its edge into which scaling or JPEG has mixed the line.

    Those are darker than what lies two further in, along nearly all of their length.
    """
    most = max(2, round(luma.shape[1] * LINE / 2))

    def mixed(inner: np.ndarray) -> int:
        count = 0
        while count < min(most, len(inner) - 3) and (inner[count] < inner[count + 2] - 4).mean() > 0.8:
            count += 1
        return count

    inner = box.of(luma)
    top, bottom, left, right = mixed(inner), mixed(inner[::-1]), mixed(inner.T), mixed(inner.T[::-1])
    return Box(box.left + left, box.top + top, box.width - left - right, box.height - top - bottom)


def figure(view: np.ndarray) -> Box:
    """Where the figure stands in a view (H, W, 3) uint8 before a plain background; the whole view before another."""
    height, width = view.shape[:2]
    whole = Box(0, 0, width, height)
    edge = np.concatenate([view[0], view[:, 0], view[:, -1]]).astype(np.float32)
    plain = np.median(edge, axis=0)
    if np.abs(edge - plain).max(axis=1).mean() > 24:
        return whole
    far = np.abs(view.astype(np.float32) - plain).max(axis=2) > 32
    rows, columns = np.flatnonzero(far.mean(1) > 0.01), np.flatnonzero(far.mean(0) > 0.01)
    if not len(rows) or not len(columns):
        return whole
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))


def framings(view: np.ndarray, heads: float) -> dict[str, Box]:
    """A view's crops by framing: full body, and half body and close-up where it shows a figure from head to toe.

    heads  that the figure is high. A half body ends at the hips, a close-up below the shoulders; each has some air
    """
    stands, height, width = figure(view), *view.shape[:2]
    head = stands.height / heads
    made = {"full body": padded(stands, 0.04 * stands.height, width, height)}
    hips = 1 + 3.3 * (heads - 1) / (ADULT - 1)
    for name, below in (("half body", hips), ("close-up", min(1.45, (1 + hips) / 2))):
        reach = round(below * head)
        upper = Box(stands.left, stands.top, stands.width, min(stands.height, reach))
        part = figure(Box(0, stands.top, width, upper.height).of(view))  # what of it is as high: arms may reach further
        middle, wide = part.left + part.width / 2, max(part.width, upper.height * 0.8)
        narrow = Box(round(middle - wide / 2), upper.top, round(wide), upper.height)
        made[name] = padded(narrow, 0.2 * head, width, height, below=False)
    return made


def padded(box: Box, air: float, width: int, height: int, *, below: bool = True) -> Box:
    """A rectangle with air around it, as far as a picture of width x height reaches."""
    left, top = max(0, round(box.left - air)), max(0, round(box.top - air))
    right = min(width, round(box.left + box.width + air))
    bottom = min(height, round(box.top + box.height + (air if below else 0)))
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def stature(front: np.ndarray, face: tuple[int, int, int, int] | None) -> float:
    """Heads that a figure is high, by its face's box in the front view; an adult's without one.

    A frontal cascade's box is 0.64 of a head, and ends at the chin.
    """
    if face is None:
        return ADULT
    return float(np.clip(figure(front).height / (face[3] / 0.64), 2.0, 9.0))


def mirrored(pixels: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3), left and right exchanged."""
    return np.ascontiguousarray(pixels[:, ::-1])
