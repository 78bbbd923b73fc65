"""Pictures to vectors, by an ONNX file on this machine: whole pictures (DINOv2, CLIP), and faces (ArcFace, SFace).

What a file does not say is how it wants its colours. A face network is looked into: the older ones scale colours in
their first nodes. Beside an embedding, transformers' `preprocessor_config.json` is read; without one they are
ImageNet's, as DINOv2's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from portraitist import durable
from portraitist.sight import faces, onnx

SIDE = 224
"""Pixels of the square, where neither file nor configuration says."""

WANTED = ("image_embeds", "pooler_output")
"""Outputs that are the picture's own, where a network has several; else its first."""


def picture(pixels: np.ndarray, path: Path) -> np.ndarray:
    """(H, W, 3) uint8 to a unit vector (d,) float32: close for pictures that look alike.

    The shorter side is scaled to the network's own (bicubic) and the middle square taken. Raises ModelError for
    a network that is not there or cannot be run on pictures.
    """
    network = onnx.network(path)
    mean, spread, side = manner(path)
    height, width = pixels.shape[:2]
    scale = side / min(height, width)
    size = max(side, round(width * scale)), max(side, round(height * scale))
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    top, left = (size[1] - side) // 2, (size[0] - side) // 2
    square = (small[top : top + side, left : left + side] - np.array(mean, np.float32)) / np.array(spread, np.float32)
    results = network(square.transpose(2, 0, 1)[None].astype(np.float32))
    chosen = next((network.outputs.index(name) for name in WANTED if name in network.outputs), 0)
    return unit(results[chosen], path)


def face(pixels: np.ndarray, seen: faces.Face, path: Path) -> np.ndarray:
    """A found face with points, in pixels (H, W, 3) uint8, to a unit vector (d,) float32: close for one person."""
    network = onnx.network(path)
    batch = faces.aligned(pixels, seen).astype(np.float32).transpose(2, 0, 1)[None]
    return unit(network(batch if scales_itself(path) else (batch - 127.5) / 127.5)[0], path)


def unit(value: np.ndarray, path: Path) -> np.ndarray:
    """A network's answer to one vector of length 1: of tokens (1, T, d) the first, of maps (1, d, h, w) the mean."""
    if value.ndim == 4:
        value = value.mean(axis=(2, 3))
    elif value.ndim == 3:
        value = value[:, 0]
    vector = np.asarray(value, np.float32).ravel()
    length = float(np.linalg.norm(vector))
    if not (vector.size >= 2 and np.isfinite(length) and length > 0):
        raise onnx.ModelError(
            f"{path} answers with {value.shape} of length {length:g}: that is no embedding",
            "Give a network that embeds pictures.",
        )
    return vector / np.float32(length)


@cache
def manner(path: Path) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    """Mean and spread of colours in [0, 1], and the side of the square, that an embedding wants."""
    shape = onnx.network(path).shape
    own = shape[-1] if len(shape) == 4 and isinstance(shape[-1], int) else 0
    beside = path.with_name("preprocessor_config.json")
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    mean, spread, told = *onnx.IMAGENET, 0
    if beside.is_file():
        try:
            value = durable.read_json(beside)
            mean, spread = tuple(map(float, value["image_mean"])), tuple(map(float, value["image_std"]))
            size = value.get("crop_size", value.get("size", 0))
            told = int((size.get("height") or size.get("shortest_edge") or 0) if isinstance(size, dict) else size)
            if not len(mean) == len(spread) == 3 or min(spread) <= 0 or not 0 <= told <= 4096:
                raise ValueError("three numbers each for image_mean and image_std, and a size")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise onnx.ModelError(
                f"{beside} does not say how {path.name} wants its pictures: {error!r}",
                "Correct it (image_mean, image_std, crop_size), or move it away for ImageNet's colours.",
            ) from error
    return mean, spread, own or told or SIDE


@cache
def scales_itself(path: Path) -> bool:
    """Whether a face network takes colours 0 to 255: it then subtracts and multiplies within its first nodes.

    That is how insightface tells its older networks, and SFace, from those that want -1 to 1.
    """
    first = list(operations(path.read_bytes()))[:8]
    return "Sub" in first and "Mul" in first


def operations(data: bytes) -> Iterator[str]:
    """Names of a network's operations in order, by the fields of ONNX's protobuf: graph (7), node (1), op_type (4)."""
    for number, graph in fields(data):
        if number == 7:
            for inner, node in fields(graph):
                if inner == 1:
                    yield from (text.decode("utf-8", "replace") for field, text in fields(node) if field == 4)


def fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Length-delimited fields of a protobuf message, as (number, bytes); others are passed over."""
    view, at = memoryview(data), 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while at < len(view):
            byte = view[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        return value

    while at < len(view):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, bytes(view[at : at + size]) if key >> 3 != 5 else b""  # 5 of a graph is weights
            at += size
        elif key & 7 == 0:
            varint()
        elif key & 7 in (1, 5):
            at += 8 if key & 7 == 1 else 4
        else:
            return


def stored(vector: np.ndarray) -> str:
    """A unit vector as signed bytes in hexadecimal, the largest entry 127: a cosine is kept to about 0.005."""
    most = max(float(np.abs(vector).max()), 1e-9)
    return np.round(vector / most * 127).astype(np.int8).tobytes().hex()


def restored(text: str) -> np.ndarray:
    """The unit vector of `stored`."""
    vector = np.frombuffer(bytes.fromhex(text), np.int8).astype(np.float32)
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))
