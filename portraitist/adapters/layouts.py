"""Where a denoiser's module stands in the layouts that adapter files speak of: diffusers' own, Stability's, BFL's.

Canonical names are diffusers' module paths. Loads no torch.
Held to diffusers' converters by tests/integration/test_families.py and tests/integration/test_dialects.py.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from portraitist.errors import PortraitistError

RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
    "norm1": "in_layers.0",
    "norm2": "out_layers.0",
}
ENDS = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "conv_norm_out": "out.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
PLACE = re.compile(r"(down|up|mid)_blocks?\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a module's weight lies in another layout.

    name     of the layer there
    part     which of its `parts` runs of rows, from 0: some layouts fuse layers that share an input
    swapped  whether the two halves of its rows stand the other way round
    """

    name: str
    part: int = 0
    parts: int = 1
    swapped: bool = False


Layout = Callable[[str], Place]
"""A module's place; raises PortraitistError for a module that has none."""

FLUX_ENDS = {
    "x_embedder": Place("img_in"),
    "context_embedder": Place("txt_in"),
    "time_text_embed.timestep_embedder.linear_1": Place("time_in.in_layer"),
    "time_text_embed.timestep_embedder.linear_2": Place("time_in.out_layer"),
    "time_text_embed.text_embedder.linear_1": Place("vector_in.in_layer"),
    "time_text_embed.text_embedder.linear_2": Place("vector_in.out_layer"),
    "time_text_embed.guidance_embedder.linear_1": Place("guidance_in.in_layer"),
    "time_text_embed.guidance_embedder.linear_2": Place("guidance_in.out_layer"),
    "norm_out.linear": Place("final_layer.adaLN_modulation.1", swapped=True),  # shift before scale there
    "proj_out": Place("final_layer.linear"),
}
FLUX_BLOCKS = {
    "transformer_blocks": (
        "double_blocks",
        {
            "attn.to_q": Place("img_attn.qkv", 0, 3),
            "attn.to_k": Place("img_attn.qkv", 1, 3),
            "attn.to_v": Place("img_attn.qkv", 2, 3),
            "attn.add_q_proj": Place("txt_attn.qkv", 0, 3),
            "attn.add_k_proj": Place("txt_attn.qkv", 1, 3),
            "attn.add_v_proj": Place("txt_attn.qkv", 2, 3),
            "attn.to_out.0": Place("img_attn.proj"),
            "attn.to_add_out": Place("txt_attn.proj"),
            "ff.net.0.proj": Place("img_mlp.0"),
            "ff.net.2": Place("img_mlp.2"),
            "ff_context.net.0.proj": Place("txt_mlp.0"),
            "ff_context.net.2": Place("txt_mlp.2"),
            "norm1.linear": Place("img_mod.lin"),
            "norm1_context.linear": Place("txt_mod.lin"),
        },
    ),
    "single_transformer_blocks": (
        "single_blocks",
        {
            "attn.to_q": Place("linear1", 0, 4),
            "attn.to_k": Place("linear1", 1, 4),
            "attn.to_v": Place("linear1", 2, 4),
            "proj_mlp": Place("linear1", 3, 4),
            "proj_out": Place("linear2"),
            "norm.linear": Place("modulation.lin"),
        },
    ),
}


def as_is(module: str) -> Place:
    """diffusers' own layout."""
    return Place(module)


def processors(module: str) -> Place:
    """As diffusers once named the four layers of an attention: its processor's, and `to_out` without a number."""
    return Place(re.sub(r"\.to_(q|k|v|out)(\.0)?$", r".processor.to_\1", module))


def stability(module: str) -> Place:
    """SDXL's UNet in the publisher's layout."""
    return Place(ldm(module))


def ldm(module: str) -> str:
    """A module of diffusers' UNet by its name in the publisher's layout (Stability's generative-models).

    Two layers per block going down and three going up, each level's last place being its resampler. Raises
    PortraitistError for a module that has none.
    """
    if module in ENDS:
        return ENDS[module]
    found = PLACE.fullmatch(module)
    if not found:
        raise PortraitistError(f"SDXL's UNet has no module {module}", "Name modules as diffusers' UNet does.")
    way, level, kind, number, rest = found[1], int(found[2] or 0), found[3], int(found[4]), found[5]
    if kind == "downsamplers":
        return f"input_blocks.{3 * level + 3}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{3 * level + 2}.2.{rest}"
    rest = RESNET.get(rest, rest) if kind == "resnets" else rest
    if way == "mid":
        return f"middle_block.{2 * number if kind == 'resnets' else 1}.{rest}"
    place = f"input_blocks.{3 * level + number + 1}" if way == "down" else f"output_blocks.{3 * level + number}"
    return f"{place}.{0 if kind == 'resnets' else 1}.{rest}"


def black_forest(module: str) -> Place:
    """A module of diffusers' FLUX transformer in the publisher's layout (Black Forest Labs' flux), qkv fused."""
    if module in FLUX_ENDS:
        return FLUX_ENDS[module]
    block, _, rest = module.partition(".")
    number, _, rest = rest.partition(".")
    theirs, layers = FLUX_BLOCKS.get(block, ("", {}))
    if rest not in layers:
        raise PortraitistError(f"FLUX has no layer for {module} in its publisher's layout", "Use diffusers' names.")
    place = layers[rest]
    return Place(f"{theirs}.{number}.{place.name}", place.part, place.parts)
