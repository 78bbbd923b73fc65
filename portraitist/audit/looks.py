"""What a picture looks like in few numbers: hashes, a thumbnail, and a descriptor that survives cropping.

All are of one small square picture (`SMALL` pixels, squashed), so that the mirrored picture's are had by turning it
round.
"""

import cv2
import numpy as np

from portraitist.dataset.split import CELLS, DIRECTIONS, THUMB

SMALL = 128


def small(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) or (H, W) uint8 to SMALL x SMALL, by area."""
    return np.asarray(cv2.resize(pixels, (SMALL, SMALL), interpolation=cv2.INTER_AREA))


def luma_of(pixels: np.ndarray) -> np.ndarray:
    """(..., 3) of any kind to float32 luma (Rec. 601, as JPEG)."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], np.float32))


def shrunk(luma: np.ndarray, width: int, height: int) -> np.ndarray:
    """Luma at a smaller size, float32, by area."""
    return np.asarray(cv2.resize(luma.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA))


def phash(luma: np.ndarray) -> int:
    """64 bits: which of the lowest 8 x 8 frequencies of the 32 x 32 picture are above their median (Zauner 2010)."""
    low = cv2.dct(shrunk(luma, 32, 32))[:8, :8].ravel()
    return packed(low > np.median(low))


def dhash(luma: np.ndarray) -> int:
    """64 bits: where the 9 x 8 picture grows brighter to the right (Krawetz 2013)."""
    few = shrunk(luma, 9, 8)
    return packed((few[:, 1:] > few[:, :-1]).ravel())


def packed(bits: np.ndarray) -> int:
    """Bits to a number, the first highest."""
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def thumbnail(luma: np.ndarray) -> str:
    """32 x 32 luma, bytes in hexadecimal."""
    return shrunk(luma, THUMB, THUMB).round().astype(np.uint8).tobytes().hex()


def descriptor(pixels: np.ndarray) -> np.ndarray:
    """(176,) of length 1: 4 x 4 cells, each 8 directions of gradient (roots of shares) and half its mean colour.

    Mean colour is luma and two colour differences, roughly -1 to 1. Survives a tenth cropped off, which hashes do not.
    """
    few = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    luma = luma_of(few)
    right, down = np.gradient(luma, axis=1), np.gradient(luma, axis=0)
    strength, angle = np.hypot(right, down), np.arctan2(down, right)
    # each direction is the middle of its bin: the many straight edges are then far from where bins meet
    which = np.floor((angle + np.pi) / (2 * np.pi) * DIRECTIONS + 0.5).astype(int) % DIRECTIONS
    edges = np.stack([shrunk(np.where(which == d, strength, 0), CELLS, CELLS) for d in range(DIRECTIONS)], axis=-1)
    edges = np.sqrt(edges / max(float(edges.sum()), 1e-6))
    colours = (luma / 127.5 - 1, (few[..., 0] - luma) / 127.5, (few[..., 2] - luma) / 127.5)
    colour = np.stack([shrunk(c, CELLS, CELLS) for c in colours], axis=-1)
    whole = np.concatenate([edges, 0.5 * colour], axis=-1).ravel()
    return np.asarray(whole / max(float(np.linalg.norm(whole)), 1e-6))
