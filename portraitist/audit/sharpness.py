"""How much detail a picture holds, how sharp its sharpest parts are, and how much noise lies over it.

Of luma, (H, W) uint8, 0 to 255. All three come out the same for the mirrored picture: a transform's squares do not
change when a tile is turned round, and grids are laid from both sides alike.
"""

import math

import cv2
import numpy as np
from PIL import Image

Luma = np.ndarray
"""(H, W) uint8."""

LIMIT_DB, FAINT = 34.0, 0.01
FINEST = 20
GRID = 16
DETAILED = 0.1
MOST_TILE = 128
NEIGHBOURS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def at_side(luma: Luma, side: int) -> Luma:
    """Luma with its shorter side scaled down to `side` (Lanczos); a smaller picture stays as it is."""
    height, width = luma.shape
    scale = side / min(height, width)
    if scale >= 1:
        return luma
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(luma).resize(size, Image.Resampling.LANCZOS))


def effective(luma: Luma) -> float:
    """The share of its size that holds a picture's detail: 1 sharp to the pixel, a half for one scaled up twofold.

    Of the tenth of a 16 x 16 grid of tiles with most gradient (at half size), the smallest share of frequencies (both
    ways, of the cosine transform) that keeps all but a mean squared error of 34 dB, or of 1 % of the contrast where
    that is less; by Parseval this is the error of scaling down and up again with an ideal filter. In twentieths.
    Judging the most detailed tiles alone spares shallow depth of field and line art. Below 64 pixels, or without any
    detail, there is nothing to tell and it is 1. Blind: noise and grain above some 5 grey levels, and sharp lettering
    over a scaled-up picture, count as detail.
    """
    if min(luma.shape) < 4 * GRID:
        return 1.0
    height, width = (length // GRID // 2 * 2 for length in luma.shape)  # of a tile; the transform wants even sizes
    middle = centred(luma, height * GRID, width * GRID)
    half = cv2.resize(middle, (width * GRID // 2, height * GRID // 2), interpolation=cv2.INTER_AREA)
    energy = tiled(gradient(half), GRID)
    chosen = np.argwhere(energy >= np.quantile(energy, 1 - DETAILED))
    if not energy.max() > 0:
        return 1.0
    tall, wide = min(height, MOST_TILE), min(width, MOST_TILE)
    above, left = (luma.shape[0] - height * GRID) // 2, (luma.shape[1] - width * GRID) // 2
    power = np.zeros((tall, wide))
    for row, column in chosen:
        top, start = above + row * height + (height - tall) // 2, left + column * width + (width - wide) // 2
        power += cv2.dct(luma[top : top + tall, start : start + wide].astype(np.float32)) ** 2
    power /= len(chosen) * tall * wide
    lost = power.sum() - np.array([power[: share(tall, k), : share(wide, k)].sum() for k in range(1, FINEST + 1)])
    most = min(255**2 / 10 ** (LIMIT_DB / 10), FAINT * (power.sum() - power[0, 0]))
    enough = np.flatnonzero(lost <= most)
    return round((int(enough[0]) + 1) / FINEST, 2)


def share(length: int, twentieths: int) -> int:
    """So many twentieths of a length, rounded up."""
    return -(-length * twentieths // FINEST)


def centred(luma: Luma, height: int, width: int) -> Luma:
    """The middle of a picture."""
    top, left = (luma.shape[0] - height) // 2, (luma.shape[1] - width) // 2
    return luma[top : top + height, left : left + width]


def gradient(luma: Luma) -> np.ndarray:
    """(H, W) float32 strength of gradient by central differences."""
    right = cv2.Sobel(luma, cv2.CV_32F, 1, 0, ksize=1)
    down = cv2.Sobel(luma, cv2.CV_32F, 0, 1, ksize=1)
    return np.asarray(cv2.magnitude(right, down))


def tiled(values: np.ndarray, count: int) -> np.ndarray:
    """(H, W) to its means over a count x count grid; what is left over falls away at the sides alike."""
    height, width = (length // count * count for length in values.shape)
    middle = centred(values, height, width).astype(np.float32, copy=False)
    return np.asarray(cv2.resize(middle, (count, count), interpolation=cv2.INTER_AREA))


def sharpness(luma: Luma) -> float:
    """Variance of the Laplacian in an 8 x 8 grid of tiles, 90th percentile: the sharpest parts decide.

    Pech-Pacheco 2000, by tile. Of fewer than 16 pixels across nothing is judged, and it is 1e9. Blind: noise of a few
    grey levels reads as sharp; see `noise`.
    """
    if min(luma.shape) < 16:
        return 1e9
    laplacian = cv2.Laplacian(luma, cv2.CV_16S)[1:-1, 1:-1]
    height, width = (length // 8 for length in laplacian.shape)
    middle = centred(laplacian, height * 8, width * 8)
    spreads = [
        cv2.meanStdDev(middle[row * height : (row + 1) * height, column * width : (column + 1) * width])[1]
        for row in range(8)
        for column in range(8)
    ]
    return float(np.quantile(np.ravel(spreads) ** 2, 0.9))


def noise(luma: Luma) -> float:
    """Standard deviation of the white noise in grey levels, in the quietest tenth of a 16 x 16 grid.

    Immerkaer 1996: the mean of |luma| under a mask that no plane and no straight edge along the axes answers to, by
    tile; once of the picture and once of its 2 x 2 means, where white noise is half as strong and texture is not, so
    that (4/3) (first^2 - second^2) is its variance or less. Blind: grain that was enlarged or saved in hard JPEG is
    white no more, and what lies at pure black or white shows none.
    """
    if min(luma.shape) < 4 * GRID:
        return 0.0
    middle = centred(luma, *(length // (2 * GRID) * 2 * GRID for length in luma.shape))
    half = cv2.resize(middle, (middle.shape[1] // 2, middle.shape[0] // 2), interpolation=cv2.INTER_AREA)
    inside = tiled(cv2.inRange(half, 5, 250), GRID) > 230
    if not inside.any():
        return 0.0
    whole, halved = (tiled(cv2.convertScaleAbs(cv2.filter2D(v, cv2.CV_16S, NEIGHBOURS)), GRID) for v in (middle, half))
    quiet = inside & (whole <= np.quantile(whole[inside], 0.1))
    white = float((whole**2 - halved**2)[quiet].mean()) * 4 / 3
    return math.sqrt(max(white, 0.0) * math.pi / 2) / 6
