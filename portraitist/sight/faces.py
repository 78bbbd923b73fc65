"""Where faces are in a picture: by OpenCV's own cascades, which need no weights, or by a model on this machine.

The cascades were made of photographs of upright faces; to drawn ones they are nearly blind. A face that is not found
is unknown, never absent: people look away, and cascades miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import atan, degrees
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from portraitist.pictures import fit
from portraitist.sight import onnx

if TYPE_CHECKING:
    from collections.abc import Sequence

BUILT_IN = "opencv"

Box = tuple[float, float, float, float]

SIDES = {"frontal": 512, "profile": 320}
"""Longer side at which cascades look, in pixels. Of photographs' frontal faces of 60 px 98 % are found at 512; profiles
are looked for with less care, since that is done twice, and in every picture without a frontal face."""

LEAST = 24
"""Smallest face a cascade looks for at that side: a whole figure's is about 40 at 512."""

CASCADE_HEAD, YUNET_HEAD = 0.64, 0.78
"""Height of a found box over that of the head, crown to chin. Of cascades measured on a portrait, of YuNet assumed."""

YUNET_SIDE, YUNET_SCORE = 640, 0.6

NOSE = 0.55
"""How far the nose stands out before the eyes, in distances between the eyes: about 35 of 63 mm."""

ALIGNED = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Where eyes, nose and corners of the mouth lie in the 112 x 112 pictures that recognition was taught on (ArcFace)."""


@dataclass(frozen=True, slots=True)
class Face:
    """One face.

    box     left, top, width, height in pixels of the upright picture
    score   how sure its finder is, 0 to 1; of cascades always 1, they do not say
    head    height of the box over that of the head
    view    frontal | profile, as the cascade that found it, or "" where points tell more
    points  eyes, nose, corners of the mouth, left to right in the picture, (5, 2) pixels; none from cascades
    """

    box: Box
    score: float
    head: float
    view: str = ""
    points: tuple[tuple[float, float], ...] = ()

    @property
    def yaw(self) -> float | None:
        """Degrees that the head is turned by, positive to the picture's right; None without points.

        By how far the nose lies from the middle between the eyes, along the line through them: NOSE times the tangent.
        """
        if not self.points:
            return None
        left, right, nose = (np.array(point) for point in self.points[:3])
        across = right - left
        apart = float(np.linalg.norm(across))
        if apart < 1e-6:
            return 90.0
        return degrees(atan(float((nose - (left + right) / 2) @ across) / apart**2 / NOSE))


def found(pixels: np.ndarray, path: str) -> list[Face]:
    """Faces in pixels (H, W, 3) uint8, the largest first.

    path  BUILT_IN for OpenCV's cascades, a cascade's `.xml`, or YuNet's `.onnx`

    Raises ModelError for a model that is not there, or that OpenCV cannot read.
    """
    faces = by_yunet(pixels, Path(path)) if path.endswith(".onnx") else by_cascades(pixels, path)
    return sorted(faces, key=lambda face: (-face.box[2] * face.box[3], face.box))


def boxes(pixels: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of the faces that OpenCV's own cascades see in (H, W, 3) uint8, the largest first."""
    seen = [face.box for face in found(pixels, BUILT_IN)]
    return [(round(left), round(top), round(width), round(height)) for left, top, width, height in seen]


def names(path: str) -> str:
    """What a finder is known by beside its measures: its own name, or SHA-256 of its model."""
    return f"{BUILT_IN}-haar-1" if path == BUILT_IN else onnx.digest(Path(path))


@cache
def cascades(path: str) -> tuple[tuple[str, Any], ...]:
    """The view each finds and the classifier itself. Raises ModelError where OpenCV has none, or cannot read."""
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):  # OpenCV 5 has none, and leaves the folder of their files there, empty
        raise onnx.ModelError(
            f"OpenCV {cv2.__version__} finds no faces without a model",
            'Run: pip install "opencv-python-headless<5", or set sight.faces to a YuNet file, or to "off".',
        )
    if path == BUILT_IN:
        files = {"frontal": "haarcascade_frontalface_alt2.xml", "profile": "haarcascade_profileface.xml"}
        folder = Path(str(cv2.__file__)).parent / "data"
        wanted = {view: str(folder / name) for view, name in files.items()}
    else:
        onnx.require(Path(path))
        wanted = {"frontal": path}
    loaded = []
    for view, name in wanted.items():
        try:
            classifier = cv2.CascadeClassifier(name)
        except (cv2.error, SystemError) as error:
            raise refused(name) from error
        if classifier.empty():
            raise refused(name)
        loaded.append((view, classifier))
    return tuple(loaded)


def refused(name: str) -> onnx.ModelError:
    """The refusal of a file that is no finder of faces."""
    return onnx.ModelError(
        f"{name} cannot be read as a finder of faces", "Give an OpenCV cascade (.xml) or YuNet's model (.onnx)."
    )


def by_cascades(pixels: np.ndarray, path: str) -> list[Face]:
    """Upright faces; a profile is looked for, both ways, only where there is no frontal one."""
    import cv2

    height, width = pixels.shape[:2]
    for view, classifier in cascades(path):
        small = fit(width, height, SIDES[view])
        shades = cv2.cvtColor(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        luma = cv2.equalizeHist(shades)
        boxes = detected(classifier, luma)
        if view == "profile":
            boxes += [(small[0] - x - w, y, w, h) for x, y, w, h in detected(classifier, np.fliplr(luma).copy())]
        if boxes := apart(boxes):
            scale = width / small[0]
            scaled = [(x * scale, y * scale, w * scale, h * scale) for x, y, w, h in boxes]
            return [Face((round(x, 1), round(y, 1), round(w, 1), round(h, 1)), 1.0, CASCADE_HEAD, view)
                    for x, y, w, h in scaled]  # fmt: skip
    return []


def detected(classifier: Any, luma: np.ndarray) -> list[Box]:
    """Boxes that a classifier finds in luma (H, W) uint8, whose contrast has been evened."""
    found = classifier.detectMultiScale(luma, 1.25, 3, minSize=(LEAST, LEAST))
    return [(float(x), float(y), float(w), float(h)) for x, y, w, h in found]


def apart(boxes: Sequence[Box]) -> list[Box]:
    """Boxes of which none has its middle inside a larger one."""
    kept: list[Box] = []
    for x, y, w, h in sorted(boxes, key=lambda box: -box[2]):
        middle = x + w / 2, y + h / 2
        if not any(a <= middle[0] <= a + c and b <= middle[1] <= b + d for a, b, c, d in kept):
            kept.append((x, y, w, h))
    return kept


@cache
def yunet(path: Path) -> Any:
    """OpenCV's YuNet on a file. Raises ModelError for one that is not there or is no YuNet."""
    import cv2

    onnx.require(path)
    try:
        return cv2.FaceDetectorYN.create(str(path), "", (320, 320), YUNET_SCORE, 0.3, 100)
    except (cv2.error, SystemError) as error:
        raise refused(str(path)) from error


def by_yunet(pixels: np.ndarray, path: Path) -> list[Face]:
    """Faces with five points each."""
    import cv2

    height, width = pixels.shape[:2]
    small = fit(width, height, YUNET_SIDE)
    finder, scale = yunet(path), width / small[0]
    try:
        finder.setInputSize(small)
        _, rows = finder.detect(
            cv2.cvtColor(cv2.resize(pixels, small, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        )
    except (cv2.error, SystemError) as error:
        raise refused(str(path)) from error
    faces = []
    for row in rows if rows is not None else ():
        values = [round(float(v) * scale, 1) for v in row[:14]]
        points = tuple(zip(values[4::2], values[5::2], strict=True))
        faces.append(
            Face((values[0], values[1], values[2], values[3]), round(float(row[14]), 3), YUNET_HEAD, "", points)
        )
    return faces


def aligned(pixels: np.ndarray, face: Face) -> np.ndarray:
    """The face (112, 112, 3) uint8, upright and in its place as recognition was taught it (least squares, Umeyama)."""
    import cv2

    turn, _ = cv2.estimateAffinePartial2D(np.array(face.points, np.float32), ALIGNED, method=cv2.LMEDS)
    if turn is None:  # points that lie in one place
        left, top, width, height = face.box
        turn = np.array([[112 / width, 0, -left * 112 / width], [0, 112 / height, -top * 112 / height]])
    return np.asarray(cv2.warpAffine(pixels, turn, (112, 112)))
