"""The module trees of the published models: names and shapes alone, built on the meta device without weights."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from portraitist import registry
from portraitist.configs import config

Shapes = Mapping[str, tuple[int, ...]]


@cache
def shapes(family: str) -> Shapes:
    """The shape of every module's weight, by canonical name, text encoders last (`clip_l.`, `clip_g.`, `t5.`).

    Qwen-Image-Edit and FLUX.1-Kontext have the trees of their families; FLUX.1-schnell lacks `guidance_embedder`.
    """
    found = {}
    for name, module in denoiser(family).named_modules():
        weight = module._parameters.get("weight")
        if weight is not None:
            found[name] = tuple(weight.shape)
    return found | dict(encoders(family))


def denoiser(family: str) -> Any:
    """The published denoiser, without memory for its weights."""
    import torch

    build = TREES[family][0] if family in TREES else registry.said(family, "published", None)
    with torch.device("meta"):
        return build()


def encoders(family: str) -> Mapping[str, tuple[int, ...]]:
    """The modules of a family's text encoders that adapter files speak of, and the shapes of their weights."""
    return TREES[family][1] if family in TREES else {}


def is_encoder(module: str) -> bool:
    """Whether a canonical name is of a text encoder's module."""
    return module.startswith(("clip_l.", "clip_g.", "t5."))


def layers(family: str) -> tuple[str, ...]:
    """The denoiser's linear and convolutional layers: what an adapter can be on."""
    return tuple(name for name, shape in shapes(family).items() if len(shape) > 1 and not is_encoder(name))


def sdxl() -> Any:
    """SDXL's UNet."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(**config("sdxl", "unet"))


def flux() -> Any:
    """FLUX.1-dev's transformer."""
    from diffusers import FluxTransformer2DModel

    return FluxTransformer2DModel(**config("flux", "transformer"))


def qwen_image() -> Any:
    """Qwen-Image's transformer."""
    from diffusers import QwenImageTransformer2DModel

    return QwenImageTransformer2DModel(**config("qwen-image", "transformer"))


def mini() -> Any:
    """The embedded base's transformer."""
    from diffusers import QwenImageTransformer2DModel

    config = resources.files("portraitist") / "weights" / "mini" / "transformer" / "config.json"
    return QwenImageTransformer2DModel.from_config(json.loads(config.read_text(encoding="utf-8")))


def clip(name: str, blocks: int, width: int) -> dict[str, tuple[int, ...]]:
    """The linear layers of a CLIP text encoder's blocks."""
    found: dict[str, tuple[int, ...]] = {}
    for i in range(blocks):
        block = f"{name}.text_model.encoder.layers.{i}"
        found |= {f"{block}.self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
        found |= {f"{block}.mlp.fc1": (4 * width, width), f"{block}.mlp.fc2": (width, 4 * width)}
    return found


def t5(blocks: int = 24, width: int = 4096, inner: int = 10240) -> dict[str, tuple[int, ...]]:
    """The linear layers of T5-XXL's encoder."""
    found: dict[str, tuple[int, ...]] = {}
    for i in range(blocks):
        attention, feed = (f"t5.encoder.block.{i}.layer.{j}" for j in range(2))
        found |= {f"{attention}.SelfAttention.{part}": (width, width) for part in ("q", "k", "v", "o")}
        found |= {f"{feed}.DenseReluDense.{part}": (inner, width) for part in ("wi_0", "wi_1")}
        found[f"{feed}.DenseReluDense.wo"] = (width, inner)
    return found


TREES: dict[str, tuple[Callable[[], Any], dict[str, tuple[int, ...]]]] = {
    "sdxl": (sdxl, clip("clip_l", 12, 768) | clip("clip_g", 32, 1280)),
    "flux": (flux, clip("clip_l", 12, 768) | t5()),
    "qwen-image": (qwen_image, {}),
    "mini": (mini, {}),
}


def idle(family: str) -> frozenset[str]:
    """Layers whose output nothing reads, so that no training moves them: the text side of Qwen-Image's last block."""
    if family not in ("qwen-image", "mini"):
        return frozenset()
    last = max(int(name.split(".")[1]) for name in layers(family) if name.startswith("transformer_blocks."))
    block = f"transformer_blocks.{last}."
    sides = ("attn.add_q_proj", "attn.to_add_out", "txt_mlp.")
    return frozenset(n for n in layers(family) if n.startswith(tuple(block + side for side in sides)))
