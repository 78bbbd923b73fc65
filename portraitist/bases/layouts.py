"""How publishers write the parts of a base into files, and what such files lack. Loads no torch.

Held to diffusers' converters and the classes' module trees by tests/integration/test_bases.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from portraitist.bases.headers import Header
from portraitist.configs import config
from portraitist.registry import said

Form = Callable[[Mapping[str, Any], Any], dict[str, Any]]
"""Tensors by a publisher's names, and the model they are for, to tensors by its class's."""

LDM, SGM = "model.diffusion_model.", "conditioner.embedders."

UNUSED = ("position_ids", "logit_scale")
"""Ends of names that CLIP's files carry and no class has: a counting row, and a factor of CLIP's own training."""

UNREAD = (*UNUSED, "text_projection.weight")
"""The same of CLIP-L, whose projection is not used either."""


@dataclass(frozen=True, slots=True)
class Written:
    """How one part is written.

    form     what turns its names into the class's: a function of portraitist.bases.forms, or one of the family's own
    file     what people know its own file by
    inside   what its names begin with in a file of several parts
    signs    names of tensors that tell a file of this part alone; none where nothing tells it
    config   what its publisher's config.json says, for a family that says it here
    """

    form: str | Form
    file: str
    inside: str = ""
    signs: tuple[str, ...] = ()
    config: Mapping[str, Any] | None = None

    def within(self, header: Header) -> bool:
        """Whether a file of several parts holds this one: by its signs where it has some."""
        if self.signs:
            return any(self.inside + sign in header.shapes for sign in self.signs)
        return any(name.startswith(self.inside) for name in header.shapes)


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a family that publishers write, by diffusers' names, and the parts that no such file has.

    configs  the folder below portraitist/configs of the parts' sizes as their publisher published them; a part may
             say its own
    words    tokenizers and the like, which lie in folders of diffusers' layout alone
    """

    configs: str
    weights: Mapping[str, Written]
    words: tuple[str, ...]

    def found(self, header: Header) -> tuple[str, ...]:
        """The parts that a file holds."""
        several = [part for part, how in self.weights.items() if how.inside and how.within(header)]
        if several:
            return tuple(several)
        return tuple(part for part, how in self.weights.items() if any(sign in header.shapes for sign in how.signs))[:1]

    def config(self, part: str) -> Mapping[str, Any]:
        """What config.json of a part says."""
        own = self.weights[part].config
        return config(self.configs, part) if own is None else own


QWEN = {
    "transformer": Written("as_is", "qwen_image_bf16.safetensors", LDM, ("transformer_blocks.0.img_mod.1.weight",)),
    "vae": Written(
        "wan_vae",
        "qwen_image_vae.safetensors",
        signs=("decoder.middle.0.residual.0.gamma", "decoder.mid_block.resnets.0.norm1.gamma"),
    ),
    "text_encoder": Written(
        "qwen_text",
        "qwen_2.5_vl_7b.safetensors",
        signs=("visual.patch_embed.proj.weight", "model.visual.patch_embed.proj.weight"),
    ),
}
LAYOUTS = {
    "sdxl": Layout(
        "sdxl",
        {
            "unet": Written("ldm_unet", "the checkpoint itself", LDM, ("input_blocks.0.0.weight",)),
            "vae": Written("ldm_vae", "sdxl_vae.safetensors", "first_stage_model.", ("decoder.conv_in.weight",)),
            "text_encoder": Written("clip", "CLIP-L", f"{SGM}0.transformer."),
            "text_encoder_2": Written("open_clip", "CLIP-G", f"{SGM}1.model."),
        },
        ("tokenizer", "tokenizer_2"),
    ),
    "flux": Layout(
        "flux",
        {
            "transformer": Written(
                "black_forest",
                "flux1-dev.safetensors",
                LDM,
                ("double_blocks.0.img_attn.qkv.weight", "single_transformer_blocks.0.attn.to_q.weight"),
            ),
            "vae": Written("ldm_vae", "ae.safetensors", "vae.", ("decoder.conv_in.weight",)),
            "text_encoder": Written(
                "clip",
                "clip_l.safetensors",
                "text_encoders.clip_l.transformer.",
                ("text_model.embeddings.token_embedding.weight",),
            ),
            "text_encoder_2": Written(
                "t5",
                "t5xxl_fp16.safetensors",
                "text_encoders.t5xxl.transformer.",
                ("encoder.block.0.layer.0.SelfAttention.q.weight",),
            ),
        },
        ("tokenizer", "tokenizer_2"),
    ),
    "qwen-image": Layout("qwen-image", QWEN, ("tokenizer",)),
    "qwen-image-edit": Layout("qwen-image", QWEN, ("tokenizer", "processor")),
}


def of(family: str) -> Layout | None:
    """How a family's parts are published; None for one that is read in diffusers' layout alone."""
    found: Layout | None = LAYOUTS.get(family) or said(family, "layout", None)
    return found
