"""Which layers an adapter is on, and how much it adds: sets by name for each family, or suffixes that a recipe lists.

Names are diffusers'. Loads no torch. Counts are held to the published trees by tests/unit/test_modules.py.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from portraitist.errors import PortraitistError
from portraitist.registry import said
from portraitist.sections import Adapter

Reached = Callable[[str, int], bool]
"""Whether an adapter is on a module, by its path and the dimensions of its weight: 2 is linear, 4 a convolution."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A set of a denoiser's layers.

    pattern       found in the paths of its modules
    convolutions  whether those are of it too; else linear layers alone
    """

    pattern: str
    convolutions: bool = False


ALL_LINEAR = Layers("")
ATTENTION = r"\.attn\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)$"
QWEN = {
    "attention": Layers(ATTENTION),
    "attention-mlp": Layers(rf"{ATTENTION}|_mlp\.net\."),
    "blocks": Layers(r"^transformer_blocks\."),
    "all-linear": ALL_LINEAR,
}
SETS: Mapping[str, Mapping[str, Layers]] = {
    "sdxl": {
        "attention": Layers(r"\.attn[12]\.to_(q|k|v|out\.0)$"),
        "attention-mlp": Layers(r"\.attentions\."),
        "blocks": Layers(r"^(down_blocks|mid_block|up_blocks)\."),
        "locon": Layers(r"^(down_blocks|mid_block|up_blocks)\.", convolutions=True),
        "all-linear": ALL_LINEAR,
    },
    "flux": {
        "attention": Layers(ATTENTION),
        "attention-mlp": Layers(rf"{ATTENTION}|\.ff(_context)?\.net\.|^single_.*\.proj_(mlp|out)$"),
        "blocks": Layers(r"transformer_blocks\."),
        "all-linear": ALL_LINEAR,
    },
    "qwen-image": QWEN,
    "qwen-image-edit": QWEN,
    "mini": QWEN,
}
"""By family, from few layers to all. What other trainers take: of SDXL kohya's 722 are "attention-mlp" and its 788 with
`conv_dim` are "locon"; of FLUX kohya's and ai-toolkit's are "blocks"; of Qwen-Image musubi-tuner's and ai-toolkit's are
"blocks", OneTrainer's "attention-mlp"."""


def reached(adapter: Adapter, family: str, targets: tuple[str, ...]) -> Reached:
    """Which layers a recipe's adapter is on; `targets` are the suffixes that the family takes by itself.

    Raises PortraitistError for a set that the family does not have.
    """
    if adapter.modules == "family":
        suffixes = adapter.targets or targets
        return lambda module, _: any(module == suffix or module.endswith(f".{suffix}") for suffix in suffixes)
    known: Mapping[str, Layers] = SETS.get(family) or said(family, "sets", {})
    if adapter.modules not in known:
        raise PortraitistError(
            f'adapter.modules = "{adapter.modules}": {family} has no such set of layers',
            f"It has: {', '.join(['family', *known])}. Or list suffixes in adapter.targets.",
        )
    layers = known[adapter.modules]
    return lambda module, dimensions: (
        dimensions in ((2, 4) if layers.convolutions else (2,)) and re.search(layers.pattern, module) is not None
    )


def parameters(adapter: Adapter, shape: Sequence[int]) -> int:
    """How many numbers a recipe's adapter adds to a layer whose weight has this shape."""
    rows, rest, rank = shape[0], math.prod(shape[1:]), adapter.rank
    if adapter.kind == "lokr":
        (left, top), (right, bottom) = (divide(side, adapter.factor) for side in (rows, shape[1]))
        kernel = math.prod(shape[2:])
        whole = rank >= max(top, bottom) / 2
        return left * right + (top * bottom * kernel if whole else rank * (top + bottom * kernel))
    return rank * (rows + rest) * (2 if adapter.kind == "loha" else 1)


def divide(side: int, factor: int) -> tuple[int, int]:
    """A side as the product of two, as LyCORIS and peft choose them: the factor where it divides it, else the largest
    divisor up to it that is not above the square root; a factor of 0 is that root."""
    if factor and side % factor == 0:
        return factor, side // factor
    most = min(factor or side, math.isqrt(side))
    first = next(number for number in range(most, 0, -1) if side % number == 0)
    return first, side // first
