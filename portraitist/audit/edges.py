"""What lies at a picture's rim and over it: bars, lettering, marks, and steps where a gradient should be.

Of luma, (H, W) uint8. Nothing here reads: lettering is told by its shape alone, and is a hint to look.
"""

import cv2
import numpy as np

from portraitist.audit.sharpness import Luma, gradient

GRID = 48
"""Cells across and down of the map of edges."""

TEXT_SIDE = 512
BAND, COLOURLESS = 0.2, 12
THREE, SQUARE, SIDEWAYS = np.ones((1, 3), np.uint8), np.ones((9, 9), np.uint8), np.ones((3, 11), np.uint8)


def borders(luma: Luma, pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Pixels of a plain bar at the left, top, right and bottom; 0 where there is none.

    A bar is lines of one tone (all within 16 grey levels, less in a picture of less contrast), black, white or grey,
    that end in a straight edge: across at least half of its length the picture differs by more than half of that. A
    plain background goes on behind the subject and ends in no such edge. Blind: coloured bars, and a bar beside a
    picture that is as plain and as dark there.
    """
    few = luma[:: max(1, len(luma) // 64), :: max(1, luma.shape[1] // 64)]
    apart = int(np.clip((np.quantile(few, 0.99) - np.quantile(few, 0.01)) / 12, 2, 16))
    found = []
    for lines, colours in (
        (luma.T, pixels.transpose(1, 0, 2)),
        (luma, pixels),
        (luma.T[::-1], pixels.transpose(1, 0, 2)[::-1]),
        (luma[::-1], pixels[::-1]),
    ):
        depth = bar(lines, apart)
        grey = not depth or float(np.ptp(colours[: max(1, depth // 2)].mean(axis=(0, 1)))) <= COLOURLESS
        found.append(depth if grey else 0)
    return found[0], found[1], found[2], found[3]


def bar(lines: Luma, apart: int) -> int:
    """Lines of a plain bar at the beginning, all within `apart` grey levels; none when it takes up more than a
    third."""
    most, tone = len(lines) // 3, float(lines[0].mean()) if lines.size else 0.0
    for depth in range(most):
        line = lines[depth]
        if int(line.max()) - int(line.min()) > apart or abs(float(line.mean()) - tone) > apart / 5:
            beyond = lines[min(depth + 2, len(lines) - 1)].astype(np.int16)
            ends = float((np.abs(beyond - tone) > apart / 2).mean()) >= 0.5
            return depth if ends and depth >= 2 else 0
    return 0


def staircases(luma: Luma) -> float:
    """Stairs of tone where a gradient should be (banding), of every thousand pixels looked at, along every sixteenth
    line.

    Three steps of 3 to 24 grey levels in a row make one: the same way, alike in height, 80 pixels apart at most, with
    plateaus between. Measured: photographs and noise at most 0.06, the drawn world's sunsets, which do have bands, 6
    to 15. Blind: noise, and texture in what was posterised, hide banding from this as from the eye.
    """
    if min(luma.shape) < 16:
        return 0.0
    found, seen = 0, 0
    for turned in (luma, luma.T):
        lines = turned[::16].astype(np.int16)
        seen += lines.size
        differ = np.diff(lines, axis=1)
        still = (np.abs(differ) <= 1).astype(np.uint8)
        before = cv2.erode(still, THREE, anchor=(2, 0))[:, :-2]
        after = cv2.erode(still, THREE, anchor=(0, 0))[:, 2:]
        height = np.abs(differ[:, 1:-1])
        step = (height >= 3) & (height <= 24) & (before > 0) & (after > 0)
        other = np.cumsum((still[:, 1:-1] == 0) & ~step, axis=1)  # edges of another kind so far
        row, column = np.nonzero(step)
        tall, rest = differ[:, 1:-1][row, column], other[row, column]
        joined = (np.diff(row) == 0) & (np.diff(rest) == 0) & (np.diff(column) <= 80)
        joined &= np.sign(tall[1:]) == np.sign(tall[:-1])
        joined &= np.abs(np.diff(tall)) <= np.maximum(2, 0.34 * np.abs(tall[1:]))
        found += int((joined[1:] & joined[:-1]).sum())
    return found / seen * 1000


def lettering(luma: Luma) -> int:
    """How many boxes near the upper and lower rim look like a line of lettering.

    In a fifth of the picture above and below, scaled to 512 pixels: thin strokes brighter or darker than what is around
    them (top hat and bottom hat), closed sideways to boxes at least three times as wide as high, half filled, and
    crossed by two or more strokes for every height. A hint and no more: ornaments answer to it, lettering over texture
    does not.
    """
    scale = min(1.0, TEXT_SIDE / max(luma.shape))
    few = luma if scale == 1 else cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = few.shape
    if min(height, width) < 96:
        return 0
    band, count = round(height * BAND), 0
    for strip in (few[:band], few[-band:]):
        for how in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
            strokes = cv2.inRange(cv2.morphologyEx(strip, how, SQUARE), 20, 255)
            _, _, boxes, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, SIDEWAYS))
            count += sum(written(strip, box) for box in shaped(boxes[1:], strip.shape[1], height))
    return count


def shaped(boxes: np.ndarray, across: int, height: int) -> np.ndarray:
    """Those of boxes (N, 5) - left, top, width, height, pixels - that are as low, long and full as a line of lettering.

    across, height  of the strip and of the picture, in pixels
    """
    wide, tall, filled = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    low = (tall >= 6) & (tall <= 0.12 * height)
    return np.asarray(boxes[low & (3 * tall <= wide) & (wide <= 0.9 * across) & (filled >= 0.45 * wide * tall)])


def written(strip: Luma, box: np.ndarray) -> bool:
    """Whether a box (left, top, width, height, pixels) of a strip has the strokes of lettering."""
    left, top, wide, tall, _ = (int(v) for v in box)
    inner = strip[top : top + tall, left : left + wide]
    low, high = np.quantile(inner, (0.1, 0.9))
    bright = inner[tall // 4 : max(tall // 4 + 1, 3 * tall // 4)] > (low + high) / 2
    strokes = (bright[:, 1:] != bright[:, :-1]).sum(axis=1).mean() * tall / wide
    return bool(high - low >= 30 and strokes >= 2)


def edge_map(luma: Luma) -> str:
    """48 x 48 cells, bits in hexadecimal: the quarter of them with the strongest edges.

    Summed over many pictures of one size, cells that are always among them carry a mark that all have.
    """
    few = cv2.resize(luma, (256, 256), interpolation=cv2.INTER_AREA)
    strength = cv2.resize(gradient(few), (GRID, GRID), interpolation=cv2.INTER_AREA).ravel()
    chosen = strength > max(float(np.quantile(strength, 0.75)), 1.0)
    return np.packbits(chosen).tobytes().hex()
