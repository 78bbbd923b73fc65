"""Drawn faces that OpenCV's cascades find, and small ONNX networks that see what tests paint."""

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from portraitist import durable


def face(side: int) -> np.ndarray:
    """(side, side, 3) uint8: a face of shades as cascades know them, brows, eyes, nose and mouth dark on light skin."""
    y, x = np.mgrid[0:side, 0:side] / side
    skin = ((x - 0.5) / 0.33) ** 2 + ((y - 0.5) / 0.43) ** 2 < 1
    shades = np.where(skin, 205.0, 120.0)
    shades[skin & (y < 0.22)] = 60
    for middle in (0.36, 0.64):
        shades[(abs(x - middle) < 0.085) & (abs(y - 0.375) < 0.022)] = 70
        shades[((x - middle) / 0.075) ** 2 + ((y - 0.44) / 0.04) ** 2 < 1] = 60
    shades[(abs(x - 0.5) < 0.07) & (abs(y - 0.6) < 0.018)] = 140
    shades[((x - 0.5) / 0.13) ** 2 + ((y - 0.72) / 0.035) ** 2 < 1] = 110
    return np.repeat(cv2.GaussianBlur(shades, (0, 0), side / 50)[..., None], 3, -1).astype(np.uint8)


def portrait(width: int, height: int, side: int, top: int) -> np.ndarray:
    """A grey picture with one face of a side, so far from the top and in the middle."""
    pixels = np.full((height, width, 3), 120, np.uint8)
    left = (width - side) // 2
    pixels[top : top + side, left : left + side] = face(side)
    return pixels


def written(path: Path, nodes: list, inputs: list, outputs: list, weights: dict[str, np.ndarray]) -> Path:
    """A network as a file."""
    held = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "made", inputs, outputs, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    durable.write_bytes(path, model.SerializeToString())
    return path


def yunet(path: Path) -> Path:
    """A finder with YuNet's inputs and outputs: each full 8 x 8 cell of red without blue is a face of 80 x 100 pixels.

    Its box lies around the cell's middle; eyes 20 pixels left and right of it and 10 above, the nose at its height and
    moved by 40 pixels times the cell's green.
    """
    nodes, outputs, weights = [], [], {}
    for stride in (8, 16, 32):
        own = stride == 8
        rows = {
            "cls": [(-1, 0, 1, 0.0 if own else -1.0)],  # blue, green, red: OpenCV gives them in that order
            "obj": [(0, 0, 0, 1.0 if own else 0.0)],
            "bbox": [(0, 0, 0, value) for value in (0.5, 0.5, np.log(10), np.log(12.5))],
            "kps": [(0, 0, 0, v) for v in (-2.0, -0.75, 3.0, -0.75)]
            + [(0, 5, 0, 0.5), (0, 0, 0, 0.5)]
            + [(0, 0, 0, v) for v in (-1.0, 2.5, 2.0, 2.5)],
        }
        for kind, terms in rows.items():
            name = f"{kind}_{stride}"
            kernel = np.zeros((len(terms), 3, stride, stride), np.float32)
            for i, term in enumerate(terms):
                kernel[i] = np.array(term[:3], np.float32)[:, None, None] / (255 * stride**2)
            weights[f"w{name}"], weights[f"b{name}"] = kernel, np.array([t[3] for t in terms], np.float32)
            weights[f"s{name}"] = np.array([1, -1, len(terms)], np.int64)
            nodes += [
                helper.make_node("Conv", ["input", f"w{name}", f"b{name}"], [f"c{name}"], strides=[stride, stride]),
                helper.make_node("Transpose", [f"c{name}"], [f"t{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t{name}", f"s{name}"], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, len(terms)]))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 320, 320])
    return written(path, nodes, [given], outputs, weights)


def colours(path: Path, side: int, *, scales: bool = False, name: str = "out") -> Path:
    """A network that embeds a picture as its mean colour; with `scales` it wants 0 to 255, and makes -1 to 1 of it."""
    given = helper.make_tensor_value_info("data", TensorProto.FLOAT, [None, 3, side, side])
    told = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 3])
    before = []
    if scales:
        before = [helper.make_node("Sub", ["data", "half"], ["low"]), helper.make_node("Mul", ["low", "over"], ["in"])]
    last = "in" if scales else "data"
    nodes = [
        *before,
        helper.make_node("GlobalAveragePool", [last], ["mean"]),
        helper.make_node("Flatten", ["mean"], [name]),
    ]
    weights = {"half": np.float32([127.5]), "over": np.float32([1 / 127.5])} if scales else {}
    return written(path, nodes, [given], [told], weights)
