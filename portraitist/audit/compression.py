"""What compression and coarse tones did to a picture: JPEG's tables, the marks of its blocks, and steps in
gradients."""

from collections.abc import Sequence

import cv2
import numpy as np

from portraitist.audit.sharpness import Luma

LUMA_TABLE = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip
CHROMA_TABLE = np.array([
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
])  # fmt: skip
"""ITU-T T.81 annex K, row by row: what libjpeg scales by quality."""

BLOCK = 8
STRONGEST, UNSEEN = 12, 0.3
THIRD = np.array([[1, -3, 3, -1]], np.float32)
BLOCKS, FEWEST = 1024, 100
QUALITIES = range(5, 96, 2)
LOW = np.array([1, 8, 16, 9, 2, 3, 10, 17, 24])
"""Places in a table of the frequencies that are looked at: the lowest but the constant one."""
PLACES = np.arange(BLOCK)
WAVES = np.cos(np.pi * (PLACES + 0.5) * PLACES[:, None] / BLOCK) * np.where(PLACES[:, None] == 0, np.sqrt(1 / 8), 0.5)


def scaled_table(base: np.ndarray, quality: int) -> np.ndarray:
    """A table as libjpeg (the IJG's) makes it for a quality of 1 to 100."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.asarray(np.clip((base * scale + 50) // 100, 1, 255))


EVERY = np.stack([np.stack([scaled_table(t, q) for t in (LUMA_TABLE, CHROMA_TABLE)]) for q in range(1, 101)])


STEPS = EVERY[[quality - 1 for quality in QUALITIES], 0][:, LOW].astype(np.float32)


def table_quality(tables: Sequence[Sequence[int]]) -> tuple[float, bool]:
    """The quality, 1 to 100, that a JPEG was saved with, by its quantisation tables; and whether they tell it exactly.

    tables  of 64 steps each, row by row: luma first, then chroma, if any

    libjpeg's own tables (Pillow, OpenCV, libvips, browsers) are found to the number. Others (cameras, Photoshop) are
    told by their mean step against the standard table, on libjpeg's scale. Blind: a file saved again tells of its last
    saving only; see `blockiness`.
    """
    given = np.array([list(table) for table in tables[:2]], np.int64)
    off = np.abs(EVERY[:, : len(given)] - given).sum(axis=(1, 2))
    best = int(off.argmin())
    if off[best] == 0:
        return float(best + 1), True
    scale = float((100 * given[0] / LUMA_TABLE).mean())
    return round(min(max((200 - scale) / 2 if scale <= 100 else 5000 / scale, 1.0), 100.0), 1), False


def subsampling(layers: Sequence[Sequence[int]]) -> str:
    """4:4:4, 4:2:2, 4:2:0 and so on, of a JPEG's components (number, across, down, table); "" for one without
    colour."""
    if len(layers) < 3:
        return ""
    across, down = layers[0][1] // max(layers[1][1], 1), layers[0][2] // max(layers[1][2], 1)
    return {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0", (1, 2): "4:4:0", (4, 1): "4:1:1"}.get(
        (across, down), f"{across}x{down}"
    )


def blockiness(luma: Luma) -> tuple[float, tuple[int, int]]:
    """How much stronger steps are where JPEG's blocks meet than elsewhere, and the row and column a block begins at.

    The mean third difference |a - 3b + 3c - d| across the step from b to c (cut off at 12, so that a picture's own
    edges count little), by its place modulo 8, both ways; the strongest place over the median (both
    with 0.3 added, for what no eye sees), the lesser of the two ways. 1 without blocks. After Wang, Sheikh & Bovik
    2002. Blocks away from row and column 0 were cropped after they were compressed. Blind: scaling afterwards wipes
    the marks out, texture hides them, and drawn patterns of 8 pixels make them.
    """
    if min(luma.shape) < 8 * BLOCK:
        return 1.0, (0, 0)
    ratios, first = [], []
    for kernel in (THIRD.T, THIRD):
        steps = cv2.convertScaleAbs(cv2.filter2D(luma, cv2.CV_16S, kernel, borderType=cv2.BORDER_REPLICATE))
        means = np.asarray(
            cv2.reduce(np.minimum(steps, STRONGEST), 1 if kernel is not THIRD else 0, cv2.REDUCE_AVG, None, cv2.CV_32F)
        )
        line = means.ravel()[2:-2]
        places = np.array([line[start::BLOCK].mean() for start in range(BLOCK)])
        middle = float(np.median(places))
        ratios.append((float(places.max()) + UNSEEN) / (middle + UNSEEN))
        first.append((int(places.argmax()) + 2) % BLOCK)
    return min(ratios), (first[0], first[1])


def earlier_quality(luma: Luma, begins: tuple[int, int]) -> int:
    """The JPEG quality, 5 to 95, that a picture was once saved with, whatever file it lies in now; 0 when none shows.

    begins  row and column, 0 to 7, at which a block begins: 0, 0 unless it was cropped afterwards

    The coefficients of its 8 x 8 blocks crowd at multiples of the steps of one table (Fan & de Queiroz 2003): by the
    lowest quality at which the mean of cos(2 pi coefficient / step) over nine low frequencies is above a half. Exact to
    about 2, measured on photographs, drawings and noise; without compression that mean stays below 0.15. Blind: only
    libjpeg's own tables are known; scaling, rotating or retouching afterwards wipes it out, and so does a later hard
    JPEG.
    """
    row, column = begins
    down, across = (luma.shape[0] - row) // BLOCK, (luma.shape[1] - column) // BLOCK
    if down * across < 64:
        return 0
    grid = luma[row : row + down * BLOCK, column : column + across * BLOCK].reshape(down, BLOCK, across, BLOCK)
    some = np.linspace(0, down * across - 1, min(BLOCKS, down * across)).astype(int)
    blocks = grid[some // across, :, some % across].astype(np.float32)
    blocks = blocks[(blocks.min(axis=(1, 2)) > 2) & (blocks.max(axis=(1, 2)) < 253)]  # cut off at black or white
    found = (WAVES @ blocks @ WAVES.T).reshape(-1, BLOCK * BLOCK)[:, LOW]
    found = np.abs(found[np.argsort(-np.abs(found).sum(axis=1))[: BLOCKS // 4]]).astype(np.float32)
    turns = found / STEPS[:, None]
    told = turns > 0.5
    counts = told.sum(axis=(1, 2))
    crowding = (np.cos(2 * np.pi * turns) * told).sum(axis=(1, 2)) / np.maximum(counts, 1)
    able = np.flatnonzero((counts >= FEWEST) & (crowding > 0.5))
    return QUALITIES[int(able[0])] if able.size else 0
