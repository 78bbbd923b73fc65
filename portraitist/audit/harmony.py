"""Colours of one picture brought towards those of others, by the optimal transport between two Gaussians or Reinhard's.

MKL (Pitie and Kokaram 2007) is the one linear map of least change that gives a picture the mean and the covariance of
another: with S and R the covariances of source and reference, M = S^-1/2 (S^1/2 R S^1/2)^1/2 S^-1/2, symmetric and
positive. Reinhard et al. (2001) match mean and deviation of each channel of a colour space, here CIELAB.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Method = Literal["mkl", "reinhard"]

THUMBNAIL = 256
"""Pixels of the longer side that statistics are taken from: at 1024 a twentieth of the time, and the same to a fifth of
a grey level."""

NARROW, WIDE = 0.7, 1.4
"""Least and largest factor by which colours are drawn together or apart along any direction."""

LEAST = 64
"""Pixels of a subject below which the whole picture is taken."""


@dataclass(frozen=True, slots=True)
class Colours:
    """A picture's colours as a Gaussian: mean (3,) and covariance (3, 3), sRGB from 0 to 255."""

    mean: np.ndarray
    covariance: np.ndarray


def sampled(pixels: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(N, 3) float64 colours of a thumbnail of a picture (H, W, 3) uint8, of its subject where there is a mask."""
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).reshape(-1, 3).astype(np.float64)
    if mask is None:
        return small
    inside = cv2.resize(mask, size, interpolation=cv2.INTER_AREA).ravel() > 127
    return small[inside] if inside.sum() >= LEAST else small


def gaussian(samples: np.ndarray) -> Colours:
    """The Gaussian of colours (N, 3)."""
    return Colours(samples.mean(0), np.cov(samples.T, bias=True) if len(samples) > 1 else np.zeros((3, 3)))


def root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


def transport(source: Colours, reference: Colours) -> np.ndarray:
    """The map (3, 3) of MKL. Covariances are widened by a thousandth of a grey level, so that flat ones have one."""
    flat = np.eye(3) * 1e-6
    spread = root(source.covariance + flat)
    back = np.linalg.inv(spread)
    return np.asarray(back @ root(spread @ (reference.covariance + flat) @ spread) @ back)


def clamped(matrix: np.ndarray, low: float = NARROW, high: float = WIDE) -> np.ndarray:
    """A symmetric map with its singular values between `low` and `high`."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.clip(values, low, high)) @ vectors.T)


def harmonised(
    pixels: np.ndarray, source: Colours, reference: Colours, strength: float, limits: tuple[float, float] | None
) -> np.ndarray:
    """A picture (H, W, 3) uint8 with its colours moved by MKL towards a reference's.

    strength  0 leaves it as it is, 1 gives it the reference's mean and covariance (before rounding); between, straight
    limits    singular values of the map at full strength; None sets none
    """
    full = transport(source, reference)
    full = full if limits is None else clamped(full, *limits)
    matrix = (1 - strength) * np.eye(3) + strength * full
    mean = (1 - strength) * source.mean + strength * reference.mean
    affine = np.concatenate([matrix, (mean - matrix @ source.mean)[:, None]], axis=1)
    moved = cv2.transform(pixels.astype(np.float32), affine.astype(np.float32))
    return np.asarray(np.clip(np.rint(moved), 0, 255).astype(np.uint8))


def lab(pixels: np.ndarray) -> np.ndarray:
    """sRGB (..., 3) from 0 to 255 to CIELAB (..., 3) float32; L from 0 to 100."""
    flat = np.ascontiguousarray(pixels.reshape(1, -1, 3).astype(np.float32) / 255)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB)).reshape(pixels.shape)


def reinhard(
    pixels: np.ndarray, source: np.ndarray, reference: np.ndarray, strength: float, limits: tuple[float, float] | None
) -> np.ndarray:
    """A picture (H, W, 3) uint8 whose mean and deviation of each channel of CIELAB are moved towards a reference's.

    source, reference  colours (N, 3) of both, from 0 to 255; the factors on the deviations stay within `limits`
    """
    ours, theirs = lab(source), lab(reference)
    factor = theirs.std(0) / np.maximum(ours.std(0), 1e-3)
    factor = factor if limits is None else np.clip(factor, *limits)
    there = lab(pixels)
    moved = (there - ours.mean(0)) * factor + theirs.mean(0)
    mixed = there + strength * (moved - there)
    back = cv2.cvtColor(np.ascontiguousarray(mixed.astype(np.float32)), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(np.rint(np.asarray(back) * 255), 0, 255).astype(np.uint8))


def summary(samples: np.ndarray) -> np.ndarray:
    """Colours (N, 3) in six numbers: mean and deviation in CIELAB."""
    there = lab(samples)
    return np.concatenate([there.mean(0), there.std(0)])


def medoid(summaries: Sequence[np.ndarray]) -> int:
    """Which of several pictures' summaries is nearest to all others."""
    told = np.stack(summaries)
    return int(np.argmin([np.linalg.norm(told - one, axis=1).sum() for one in told]))
