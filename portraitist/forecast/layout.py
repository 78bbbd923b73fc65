"""A base by its files: configurations, and the names and shapes in the headers of its weights. No torch, no weights."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import families
from portraitist.adapters.modules import Reached, parameters
from portraitist.bases import headers
from portraitist.bases.headers import WEIGHTS
from portraitist.bases.layouts import LDM
from portraitist.errors import PortraitistError
from portraitist.forecast.memory import recovery, stored
from portraitist.forecast.published import Blocks
from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Layout:
    """A denoiser by its files' headers.

    parameters  all numbers in it
    widths      the inputs of its matrix products, together
    added       numbers that are trained
    blocks      its layers that may be held in fewer bits
    cell        pixels along the side of what a matrix product sees once: 16 in transformers (a VAE by 8, packing by 2);
                in a UNet 32, since most of its weights lie where the picture is smallest
    """

    parameters: int
    widths: int
    added: int
    blocks: Blocks
    cell: int

    def frozen(self, size: int, recipe: Recipe) -> int:
        """Bytes of all its weights, each of `size` but for blocks that the recipe holds in fewer bits."""
        how = recipe.model.quantised
        if not how:
            return self.parameters * size
        own = stored(self.blocks, how) + recovery(self.blocks, recipe)
        return own + (self.parameters - self.blocks.numbers) * size


BLOCKS = {
    "transformer_blocks", "single_transformer_blocks", "double_blocks", "single_blocks",
    "layers", "noise_refiner", "context_refiner",
}  # fmt: skip
"""What the paths of repeated blocks hold, by diffusers' names and by publishers'."""


def listed(recipe: Recipe) -> dict[str, Path]:
    """The files of the base by name; none when it is not at hand."""
    try:
        return dict(families.listed(families.found(recipe.model)))
    except PortraitistError:
        return {}


def weights(files: Mapping[str, Path]) -> dict[str, list[Path]]:
    """The weight files among a base's, by part."""
    found: dict[str, list[Path]] = {}
    for name, path in files.items():
        if path.suffix == WEIGHTS:
            found.setdefault(name.rpartition("/")[0], []).append(path)
    return found


def read_layout(files: Mapping[str, Sequence[Path]], recipe: Recipe, on: Reached) -> Layout | None:
    """The base's denoiser by its headers: the part that holds most of what the adapter is on."""
    best: Layout | None = None
    for paths in files.values():
        there = shapes(paths)
        there = {name: shape for name, shape in there.items() if name.startswith(LDM)} or there
        total, widths, added = sum(map(math.prod, there.values())), 0, 0
        folded = sum(math.prod(shape) for shape in there.values() if len(shape) == 4)
        for name, shape in there.items():
            module, _, kind = name.rpartition(".")
            if kind != "weight" or len(shape) not in (2, 4):
                continue
            widths += math.prod(shape[1:])
            if on(module, len(shape)):
                added += parameters(recipe.adapter, shape)
        trained = total if recipe.adapter.kind == "full" and added else added
        layout = Layout(total, widths, trained, in_blocks(there), 32 if folded > total / 10 else 16)
        if added and (best is None or layout.parameters > best.parameters):
            best = layout
    return best


def in_blocks(shapes: Mapping[str, Sequence[int]]) -> Blocks:
    """The linear layers of the repeated blocks among these tensors."""
    found = [s for n, s in shapes.items() if len(s) == 2 and n.endswith(".weight") and BLOCKS & set(n.split("."))]
    sizes = [math.prod(shape) for shape in found]
    rows, columns = (sum(shape[i] for shape in found) for i in (0, 1))
    return Blocks(sum(sizes), rows, len(found), max(sizes, default=0), columns)


def header(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Names and shapes in a safetensors file; none when it is damaged or cannot be read."""
    try:
        return headers.read(path).shapes
    except PortraitistError:
        return {}


def settings(path: Path | None) -> dict[str, Any]:
    """A part's config.json; nothing when it is absent or damaged, which is told by what needs it."""
    if path is None:
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def shapes(paths: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a part's weights; of two precisions side by side the plain one is read."""
    plain = [path for path in paths if ".fp16." not in path.name]
    return {name: shape for path in sorted(plain or paths) for name, shape in header(path).items()}
