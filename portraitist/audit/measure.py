"""Pixels to numbers, once a picture; the manifest keeps them. NumPy and Pillow only.

The definitions, and the numbers that each read on untouched, blurred and scaled-up pictures, are in docs/dataset.md.
"""

from typing import Any

import numpy as np
from PIL import Image

from portraitist.dataset.split import CELLS, DIRECTIONS, SIDE
from portraitist.pictures import Opened

VERSION = 2
"""Raised when a definition changes: manifests of another version are measured again."""

SCALES = (0.25, 0.33, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LIMIT_DB = 34.0
TILES = 16
DETAILED = 0.1
MOST_SIDE = 2048

DOWN = Image.Resampling.BILINEAR
"""Averages over what each new pixel covers. Pillow's BOX takes whole pixels only, so that a mirrored picture would not
come out as the mirrored result."""

Grey = np.ndarray
"""(H, W) float32 luma, 0 to 255."""


def measure(opened: Opened, side: int) -> dict[str, Any]:
    """All measures of a picture; `side` is the training side in pixels, at which sharpness is judged.

    short       its shorter side, pixels
    effective   share of its size that holds its detail, 0.25 to 1: see `effective`
    sharpness   see `sharpness`, of the picture at the training side
    dark, bright, midtones  shares of the subject's pixels: luma <= 2, >= 253, 32..223
    phash, dhash            64-bit hashes in hexadecimal, and of the mirrored picture
    thumbnail   16 x 16 luma, bytes in hexadecimal
    descriptor  see `descriptor`
    colour      mean sRGB of the subject, 0 to 255
    covers      share of the picture that is opaque
    """
    luma = grey(opened.pixels)
    inside = np.ones(luma.shape, bool) if opened.alpha is None else opened.alpha > 127
    subject = luma[inside] if inside.any() else luma.ravel()
    colour = opened.pixels[inside] if inside.any() else opened.pixels.reshape(-1, 3)
    mirrored = luma[:, ::-1]
    return {
        "short": min(opened.width, opened.height),
        "effective": effective(luma),
        "sharpness": round(sharpness(at_side(luma, side)), 2),
        "dark": round(float((subject <= 2).mean()), 4),
        "bright": round(float((subject >= 253).mean()), 4),
        "midtones": round(float(((subject >= 32) & (subject <= 223)).mean()), 4),
        "phash": f"{phash(luma):016x}",
        "dhash": f"{dhash(luma):016x}",
        "phash_mirrored": f"{phash(mirrored):016x}",
        "dhash_mirrored": f"{dhash(mirrored):016x}",
        "thumbnail": scaled(luma, SIDE, SIDE, DOWN).round().astype(np.uint8).tobytes().hex(),
        "descriptor": [round(float(v), 3) for v in descriptor(opened.pixels)],
        "colour": [round(float(v), 1) for v in colour.mean(axis=0)],
        "covers": round(float(inside.mean()), 4),
    }


def grey(pixels: np.ndarray) -> Grey:
    """(H, W, 3) uint8 to luma (Rec. 601, as JPEG)."""
    return pixels @ np.array([0.299, 0.587, 0.114], np.float32)


def scaled(luma: Grey, width: int, height: int, how: Image.Resampling) -> Grey:
    """Luma at another size, in floating point."""
    return np.asarray(Image.fromarray(luma).resize((max(1, width), max(1, height)), how))


def at_side(luma: Grey, side: int) -> Grey:
    """Luma with its shorter side scaled down to `side`; a smaller picture stays as it is."""
    height, width = luma.shape
    scale = side / min(height, width)
    if scale >= 1:
        return luma
    return scaled(luma, round(width * scale), round(height * scale), Image.Resampling.LANCZOS)


def effective(luma: Grey) -> float:
    """The smallest scale that loses no detail: 1 for a sharp picture, about a half for one scaled up twofold.

    Scaled down and up again (Lanczos both ways), the picture must come back within `LIMIT_DB` in the tenth of a 16 x 16
    grid of tiles that has most gradient; judging these alone spares shallow depth of field and line art. Of a picture
    above 2048 pixels the middle is judged; below 64, or without any detail, there is nothing to tell and it is 1.
    """
    height, width = luma.shape
    if min(height, width) < 4 * TILES:
        return 1.0
    if max(height, width) > MOST_SIDE:
        top, left = max(0, (height - MOST_SIDE) // 2), max(0, (width - MOST_SIDE) // 2)
        luma = luma[top : top + MOST_SIDE, left : left + MOST_SIDE]
        height, width = luma.shape
    energy = tiles(gradient(luma))
    chosen = energy >= np.quantile(energy, 1 - DETAILED)
    if not energy[chosen].sum() > 0:
        return 1.0

    def comes_back(scale: float) -> bool:
        small = scaled(luma, round(width * scale), round(height * scale), Image.Resampling.LANCZOS)
        error = tiles((luma - scaled(small, width, height, Image.Resampling.LANCZOS)) ** 2)[chosen].mean()
        return bool(error <= 255**2 / 10 ** (LIMIT_DB / 10))

    low, high = 0, len(SCALES)  # a larger scale keeps at least as much: halve the range
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if comes_back(SCALES[middle]) else (middle + 1, high)
    return SCALES[low] if low < len(SCALES) else 1.0


def sharpness(luma: Grey) -> float:
    """Variance of the Laplacian in an 8 x 8 grid of tiles, 90th percentile: the sharpest parts decide.

    Pech-Pacheco 2000, by tile. Of fewer than 16 pixels across nothing is judged, and it is infinite.
    """
    if min(luma.shape) < 16:
        return 1e9
    inner = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner
    means, squares = tiles(laplacian, 8), tiles(laplacian**2, 8)
    return float(np.quantile(squares - means**2, 0.9))


def tiles(values: np.ndarray, count: int = TILES) -> np.ndarray:
    """(H, W) to its means over a count x count grid; what is left over at the right and below is dropped."""
    height, width = values.shape[0] // count, values.shape[1] // count
    cut = values[: height * count, : width * count]
    return np.asarray(cut.reshape(count, height, count, width).mean(axis=(1, 3), dtype=np.float64))


def gradient(luma: Grey) -> np.ndarray:
    """(H, W) squared differences to the right and downward neighbour."""
    right = np.diff(luma, axis=1, append=luma[:, -1:])
    down = np.diff(luma, axis=0, append=luma[-1:])
    return np.asarray(right**2 + down**2)


def phash(luma: Grey) -> int:
    """64 bits: which low frequencies of the 32 x 32 picture lie above their median (Zauner 2010)."""
    small = scaled(np.ascontiguousarray(luma), 32, 32, DOWN).astype(np.float64)
    wave = np.cos(np.pi / 32 * (np.arange(32) + 0.5) * np.arange(8)[:, None])  # DCT-II, rows 0 to 7
    low = (wave @ small @ wave.T).ravel()
    return packed(low > np.median(low))


def dhash(luma: Grey) -> int:
    """64 bits: where the 9 x 8 picture grows brighter to the right (Krawetz 2013)."""
    small = scaled(np.ascontiguousarray(luma), 9, 8, DOWN)
    return packed((small[:, 1:] > small[:, :-1]).ravel())


def packed(bits: np.ndarray) -> int:
    """Bits to a number, the first highest."""
    return int("".join("1" if bit else "0" for bit in bits), 2)


def descriptor(pixels: np.ndarray) -> np.ndarray:
    """(176,) of length 1: 4 x 4 cells, each 8 directions of gradient (roots of shares) and half its mean colour.

    Mean colour is luma and two colour differences, roughly -1 to 1. Survives a tenth cropped off, which hashes do not.
    """
    small = np.asarray(Image.fromarray(pixels).resize((64, 64), DOWN)).astype(np.float32)
    luma = grey(small)
    right, down = np.gradient(luma, axis=1), np.gradient(luma, axis=0)
    strength, angle = np.hypot(right, down), np.arctan2(down, right)
    # each direction is the middle of its bin: the many straight edges are then far from where bins meet
    which = np.floor((angle + np.pi) / (2 * np.pi) * DIRECTIONS + 0.5).astype(int) % DIRECTIONS
    edges = np.stack([tiles(np.where(which == d, strength, 0), CELLS) for d in range(DIRECTIONS)], axis=-1)
    edges = np.sqrt(edges / max(float(edges.sum()), 1e-6))
    colours = (luma / 127.5 - 1, (small[..., 0] - luma) / 127.5, (small[..., 2] - luma) / 127.5)
    colour = np.stack([tiles(c, CELLS) for c in colours], axis=-1)
    whole = np.concatenate([edges, 0.5 * colour], axis=-1).ravel()
    return whole / max(float(np.linalg.norm(whole)), 1e-6)
