"""A small tagger of the WD14 kind, made here: its probabilities are means of channels over parts of its input."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 16
TAGS = (
    ("general", 9), ("sensitive", 9), ("questionable", 9), ("explicit", 9),
    ("blue_background", 0), ("green_dress", 0), ("red_hat", 0), ("^_^", 0), ("upper_body", 0), ("some_hero", 4),
)  # fmt: skip
"""Names and categories, in the order of outputs."""


def weights() -> np.ndarray:
    """(SIDE * SIDE * 3, 10) of the linear layer: what each output is a mean of; inputs are BGR from 0 to 255.

    general: 0; sensitive and so on: means of the whole; blue, green and red: of their own channel; ^_^: the upper
    half of red; upper_body: the left half of blue; some_hero: the first pixel's red.
    """
    made = np.zeros((SIDE, SIDE, 3, len(TAGS)), np.float32)
    made[:, :, 0, 4], made[:, :, 1, 5], made[:, :, 2, 6] = 1, 1, 1
    made[: SIDE // 2, :, 2, 7], made[:, : SIDE // 2, 0, 8], made[0, 0, 2, 9] = 1, 1, 1
    made[:, :, 2, 3] = 0.5
    made = made.reshape(-1, len(TAGS))
    sums = made.sum(axis=0)
    return made / np.where(sums > 0, sums, 1) / 255


def tagger(folder: Path, *, side: int | str = SIDE, scale: float = 1.0, rows: int | None = None) -> Path:
    """The folder of a tagger; `scale` spoils its outputs, `rows` cuts its list."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = helper.make_node("Flatten", ["input"], ["flat"], axis=1)
    times = helper.make_node("MatMul", ["flat", "weights"], ["output"])
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", side, side, 3])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", len(TAGS)])
    held = numpy_helper.from_array(weights() * np.float32(scale), "weights")
    graph = helper.make_graph([flat, times], "tagger", [picture], [output], [held])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    lines = [f"{i},{name},{category},100" for i, (name, category) in enumerate(TAGS)][:rows]
    (folder / "selected_tags.csv").write_text("\n".join(["tag_id,name,category,count", *lines]) + "\n")
    return folder
