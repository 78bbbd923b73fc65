"""Joints of a body, by an ONNX file on this machine: RTMPose, ViTPose, or what is shaped like them.

Such networks are given the box around one person. They answer with a map for each joint, or with a row of places across
and one down for each (SimCC); colours are ImageNet's.
"""

from pathlib import Path

import cv2
import numpy as np

from portraitist.sight import onnx

JOINTS = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
    "right ankle",
)  # fmt: skip
"""COCO's, in order; networks of whole bodies have these first."""

SURE = 0.3
"""From which a joint counts as found: what RTMPose's and ViTPose's own demos draw."""

HEIGHT, WIDTH = 256, 192
"""Of the input in pixels, where the file leaves them open."""

ROOM = 1.25
"""By how much the box is larger than the figure, as these networks were taught."""


def joints(pixels: np.ndarray, inside: np.ndarray, path: Path) -> np.ndarray:
    """Place across and down in pixels and how sure it is (0 to 1) of each of JOINTS: (17, 3).

    pixels  (H, W, 3) uint8; inside: (H, W) bool, where the figure is, all False for everywhere
    Raises ModelError for a network that is not there or answers otherwise.
    """
    network = onnx.network(path)
    if len(network.shape) != 4:
        raise onnx.ModelError(
            f"{path} takes {list(network.shape)}; a model of poses takes one picture (1, 3, H, W)",
            "Name the .onnx file of a model of poses, or leave sight.pose empty.",
        )
    height, width = (
        value if isinstance(value, int) and value > 0 else usual
        for value, usual in zip(network.shape[-2:], (HEIGHT, WIDTH), strict=True)
    )
    centre, scale = box(inside, width, height)
    turn = np.array([[1 / scale, 0, width / 2 - centre[0] / scale], [0, 1 / scale, height / 2 - centre[1] / scale]])
    cut = cv2.warpAffine(np.ascontiguousarray(pixels), turn, (width, height), flags=cv2.INTER_LINEAR)
    mean, spread = (np.array(value, np.float32) for value in onnx.IMAGENET)
    batch = ((cut.astype(np.float32) / 255 - mean) / spread).transpose(2, 0, 1)[None]
    found = places(network(np.ascontiguousarray(batch, np.float32)), path)
    found[:, 0] = (found[:, 0] * width - width / 2) * scale + centre[0]
    found[:, 1] = (found[:, 1] * height - height / 2) * scale + centre[1]
    return found


def box(inside: np.ndarray, width: int, height: int) -> tuple[tuple[float, float], float]:
    """The middle of the figure, and pixels of the picture for one of the input, for its whole box with some room."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if not len(rows):
        rows, columns = np.arange(inside.shape[0]), np.arange(inside.shape[1])
    tall, wide = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    centre = (float(columns[0] + wide / 2), float(rows[0] + tall / 2))
    return centre, float(max(wide / width, tall / height) * ROOM)


def places(answers: list[np.ndarray], path: Path) -> np.ndarray:
    """(17, 3) of a network's answers: across and down in shares of its input, and how sure."""
    count = len(JOINTS)
    if len(answers) >= 2 and all(a.ndim == 3 and a.shape[1] >= count for a in answers[:2]):
        across, down = (np.asarray(a[0, :count], np.float64) for a in answers[:2])
        sure = np.minimum(across.max(1), down.max(1))
        rows = [(a.argmax(1) + 0.5) / a.shape[1] for a in (across, down)]
    elif answers and answers[0].ndim == 4 and answers[0].shape[1] >= count:
        maps = np.asarray(answers[0][0, :count], np.float64)
        flat = maps.reshape(count, -1)
        down, across = np.divmod(flat.argmax(1), maps.shape[2])
        sure = flat.max(1)
        rows = [(across + 0.5) / maps.shape[2], (down + 0.5) / maps.shape[1]]
    else:
        shapes = ", ".join(str(a.shape) for a in answers)
        raise onnx.ModelError(
            f"{path} answers with {shapes}: that is no pose of COCO's {count} joints",
            "Give a network with a map, or with places across and down, for each joint (ViTPose, RTMPose).",
        )
    return np.stack([*rows, np.clip(sure, 0, 1)], axis=1)
