"""Pixels as people see differences: CIE Lab (D65) of sRGB, small pictures, chroma. numpy only."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

D65 = (0.95047, 1.0, 1.08883)
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


def lab(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB to (..., 3) float32 CIE Lab: L in [0, 100], a and b about [-100, 100] (IEC 61966-2-1)."""
    linear = pixels.astype(np.float32) / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    xyz = linear @ np.asarray(TO_XYZ, np.float32).T / np.asarray(D65, np.float32)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    ).astype(np.float32)


def small(pixels: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 to (side, side, 3) uint8, each cell the mean of what it covers."""
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX))


def chroma(pixels: np.ndarray) -> float:
    """Mean distance from grey in Lab units of a picture (H, W, 3) uint8."""
    return float(np.hypot(*np.moveaxis(lab(pixels)[..., 1:], -1, 0)).mean())


def shades(pictures: Sequence[np.ndarray], side: int) -> np.ndarray:
    """(N, side * side, 3) Lab of pictures, small."""
    return np.stack([lab(small(picture, side)).reshape(-1, 3) for picture in pictures])
