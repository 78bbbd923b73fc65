"""Where the subject is: by GrabCut without any model, or by a matting model that a person has as an ONNX file.

GrabCut (Rother et al. 2004) gives a silhouette that is good enough to weigh a loss by; hair, white collars and what has
the background's colours are lost, so that it is no cut-out. Of thirty drawn figures, ten of each framing before ten
backgrounds, its intersection over union with the truth is 0.89 on the mean and 0.60 at worst (close-ups 0.80, half
bodies 0.93, full bodies 0.93). Nothing is ever downloaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from portraitist.sight import onnx

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

SIDE = 384
"""Pixels of the longer side at which GrabCut works: a quarter of the time of 768, and latent cells are coarser."""

ROUNDS = 5
SURE_EDGE = 0.02
CORNER = 0.14
"""Share of the width, at either end of the lower edge, that is ground and no subject; between, legs and chests end."""

GROWN, FEATHER = 0.025, 0.01
"""Shares of the shorter side by which a mask for a loss is made larger and by which it fades: a latent cell sees eight
pixels, and a mask that is too small cuts off hair."""


def subject(pixels: np.ndarray, faces: Sequence[Box] = (), rounds: int = ROUNDS) -> np.ndarray:
    """Where the subject is, (H, W) uint8 from 0 to 255, of pixels (H, W, 3) uint8; soft at its edge.

    faces  boxes of faces, which are surely of the subject; the body is looked for below them. Without any it is looked
           for in the middle. The picture's edge is background, but for its lower one. The same every time
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    state = seeds(small.shape[0], small.shape[1], [scaled(box, scale) for box in faces])
    if not (state == cv2.GC_BGD).any() or not np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        return np.zeros((height, width), np.uint8)
    cv2.setRNGSeed(0)  # the mixtures start by k-means from random centres
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(small[:, :, ::-1])
    cv2.grabCut(bgr, state, (0, 0, 1, 1), *models, rounds, cv2.GC_INIT_WITH_MASK)
    inside = np.isin(state, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    return upsampled(whole(inside), small, pixels)


def seeds(height: int, width: int, faces: Sequence[Box]) -> np.ndarray:
    """What GrabCut starts from, (H, W) uint8 of its four states.

    With faces: their boxes sure, a cone that widens below each probable, all else probably background. Without: the
    picture's inner ellipse probable.
    """
    state: Any = np.full((height, width), cv2.GC_PR_BGD, np.uint8)
    if faces:
        for x, y, w, h in faces:
            centre, shoulders = x + w // 2, y + round(1.6 * h)
            corners = [(x, y - h // 2), (x + w, y - h // 2), (centre + round(1.7 * w), shoulders)]
            corners += [(centre + round(2.0 * w), height), (centre - round(2.0 * w), height)]
            corners += [(centre - round(1.7 * w), shoulders)]
            cv2.fillPoly(state, [np.array(corners, np.int32)], (cv2.GC_PR_FGD,))
    else:
        middle, radii = (width // 2, round(height * 0.54)), (round(width * 0.3), round(height * 0.5))
        cv2.ellipse(state, middle, radii, 0, 0, 360, (cv2.GC_PR_FGD,), -1)
    edge = max(1, round(SURE_EDGE * min(height, width)))
    state[:edge] = state[:, :edge] = state[:, -edge:] = cv2.GC_BGD
    corner = round(CORNER * width)
    state[-edge:, :corner] = state[-edge:, -corner:] = cv2.GC_BGD
    for x, y, w, h in faces:
        state[max(0, y) : y + h, max(0, x) : x + w] = cv2.GC_FGD
    return np.asarray(state)


def scaled(box: Box, scale: float) -> Box:
    """A box in a picture of another size."""
    x, y, w, h = (round(value * scale) for value in box)
    return x, y, w, h


def whole(inside: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of 0 and 1 without specks, and without holes: what is small beside the largest piece is dropped."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    if count <= 1:
        return inside
    sizes = facts[1:, cv2.CC_STAT_AREA]
    kept = np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())).astype(np.uint8)
    count, labels, facts, _ = cv2.connectedComponentsWithStats(1 - kept, connectivity=4)
    for label in range(1, count):
        x, y, w, h, area = map(int, facts[label])
        edge = x == 0 or y == 0 or x + w == inside.shape[1] or y + h == inside.shape[0]
        if not edge and area < 0.01 * inside.size:
            kept[labels == label] = 1
    return kept


def upsampled(inside: np.ndarray, small: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """A small mask (h, w) of 0 and 1 at its picture's size, its edge drawn to the picture's: (H, W) uint8.

    A guided filter (He et al. 2010) whose coefficients are found at the small size (He and Sun 2015).
    """
    guide = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    rough, size = inside.astype(np.float32), (9, 9)

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, size)

    spread = mean(guide * guide) - mean(guide) ** 2
    slope = (mean(guide * rough) - mean(guide) * mean(rough)) / (spread + 1e-3)
    offset = mean(rough) - slope * mean(guide)
    height, width = pixels.shape[:2]
    large = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    a = cv2.resize(mean(slope), (width, height), interpolation=cv2.INTER_LINEAR)
    b = cv2.resize(mean(offset), (width, height), interpolation=cv2.INTER_LINEAR)
    sharp = np.clip((a * large + b - 0.5) * 3 + 0.5, 0, 1)  # a filter over nine cells is too soft for a silhouette
    return np.asarray((sharp * 255).round().astype(np.uint8))


def grown(mask: np.ndarray) -> np.ndarray:
    """A mask (H, W) uint8 made larger and faded out, to weigh a loss by."""
    short = min(mask.shape)
    reach, fade = max(1, round(GROWN * short)), max(0.5, FEATHER * short)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.GaussianBlur(cv2.dilate(mask, disc), (0, 0), fade))


Kind = Literal["birefnet", "rmbg", "isnet", "u2net"]


@dataclass(frozen=True, slots=True)
class Preparation:
    """How a kind of matting model is fed and read.

    mean, spread  of each channel, in shares of 255
    side          pixels of its input, where the file leaves them open
    finish        sigmoid: what leaves 0 to 1 is squashed; range: the answer is stretched to 0 to 1
    """

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]
    side: int
    finish: Literal["sigmoid", "range"]


KINDS: dict[Kind, Preparation] = {
    "birefnet": Preparation(*onnx.IMAGENET, 1024, "sigmoid"),
    "rmbg": Preparation(*onnx.IMAGENET, 1024, "sigmoid"),
    "isnet": Preparation((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), 1024, "range"),
    "u2net": Preparation(*onnx.IMAGENET, 320, "range"),
}
"""By the publishers' own code: BiRefNet and RMBG-2.0 1024 px, ISNet (RMBG-1.4 as well) 1024 px, U2Net 320 px."""

LICENCES: dict[Kind, str] = {
    "rmbg": "RMBG-2.0's weights are CC BY-NC 4.0: for commercial work they need a licence of their publisher (BRIA)",
}
"""What to know of a kind's weights before using them."""


@dataclass(frozen=True, slots=True)
class Matting:
    """A matting model: an ONNX file with one picture in and one mask out."""

    network: onnx.Network
    kind: Kind
    width: int
    height: int

    @classmethod
    def load(cls, path: Path, kind: Kind) -> "Matting":
        """Open a model's file. Raises ModelError where `onnx.network` does, and for a model that does not take
        (1, 3, H, W)."""
        network = onnx.network(path)
        shape = network.shape
        if len(shape) != 4 or (isinstance(shape[1], int) and shape[1] != 3):
            raise onnx.ModelError(
                f"{path} takes {list(shape)}; a matting model takes one picture (1, 3, H, W)",
                "Name the .onnx file of a matting model.",
            )
        open_side = KINDS[kind].side
        height, width = (value if isinstance(value, int) and value > 0 else open_side for value in shape[2:])
        return cls(network, kind, width, height)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Where the subject is, (H, W) uint8, of pixels (H, W, 3) uint8. Raises ModelError for no mask."""
        how = KINDS[self.kind]
        small = cv2.resize(pixels, (self.width, self.height), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
        normal = (small - np.array(how.mean, np.float32)) / np.array(how.spread, np.float32)
        answers = self.network(np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32))
        last = how.finish == "sigmoid"  # BiRefNet's stages come coarse to fine, U2Net's and ISNet's best comes first
        found = np.squeeze(np.asarray(answers[-1 if last else 0], np.float32))
        if found.ndim != 2 or not np.isfinite(found).all():
            raise onnx.ModelError(
                f"The matting model answers {list(np.shape(found))} and not one finite mask", "Check the file."
            )
        low, high = float(found.min()), float(found.max())
        if how.finish == "range":
            found = (found - low) / max(high - low, 1e-6)
        elif low < 0 or high > 1:
            found = np.asarray(1 / (1 + np.exp(-np.clip(found, -60, 60))), np.float32)
        sized = cv2.resize(found, (pixels.shape[1], pixels.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray((np.clip(sized, 0, 1) * 255).round().astype(np.uint8))
