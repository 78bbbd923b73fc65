"""Tensors under a publisher's names to those under the names of diffusers' and transformers' classes.

Each form takes tensors by name, what files of several parts put before a name taken off, and the model they are for,
which may be on the meta device. A name that a form does not know stays as it is, and is refused by whoever fills the
model. Little is copied: most tensors stay those of the file.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from portraitist.adapters import layouts
from portraitist.bases.layouts import LDM, UNREAD, UNUSED

Tensors = Mapping[str, Tensor]

FLUX_NORMS = {
    "norm_q": "img_attn.norm.query_norm",
    "norm_k": "img_attn.norm.key_norm",
    "norm_added_q": "txt_attn.norm.query_norm",
    "norm_added_k": "txt_attn.norm.key_norm",
}


def as_is(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """The publisher's names are the class's."""
    return dict(tensors)


def ldm_unet(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """SDXL's UNet in Stability's layout, by diffusers' converter."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    named = {LDM + name: tensor for name, tensor in tensors.items()}
    found: dict[str, Tensor] = convert_ldm_unet_checkpoint(named, model.config)
    return found | passed_over(tensors, found)


def ldm_vae(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """The autoencoder of SDXL and of FLUX in their publishers' layout, by diffusers' converter."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    found: dict[str, Tensor] = convert_ldm_vae_checkpoint(dict(tensors), model.config)
    return found | passed_over(tensors, found)


def wan_vae(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """Qwen-Image's autoencoder in the layout of Wan's, which it began as, by diffusers' converter."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    return convert_wan_vae_to_diffusers(dict(tensors))  # type: ignore[no-any-return]


def clip(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """CLIP-L as transformers wrote it before its fifth version: one level more, and a projection that is not used."""
    used = {name: tensor for name, tensor in tensors.items() if not name.endswith(UNREAD)}
    return {name.removeprefix("text_model."): tensor for name, tensor in used.items()}


def open_clip(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """CLIP-G in OpenCLIP's layout, query, key and value fused, by diffusers' converter."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    used = {name: tensor for name, tensor in tensors.items() if not name.endswith(UNUSED)}
    found: dict[str, Tensor] = convert_open_clip_checkpoint(model, used, prefix="")
    copied = (".in_proj_weight", ".in_proj_bias", "text_projection")  # cut in three, turned
    return found | passed_over({name: tensor for name, tensor in used.items() if not name.endswith(copied)}, found)


def passed_over(tensors: Tensors, found: Tensors) -> dict[str, Tensor]:
    """The tensors that a converter let fall without a word: they keep their names, and are refused by these."""
    taken = {tensor.data_ptr() for tensor in found.values()}
    return {name: tensor for name, tensor in tensors.items() if tensor.data_ptr() not in taken}


def t5(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """T5's encoder; files hold its vectors of words once, the class names them twice."""
    twice = ("shared.weight", "encoder.embed_tokens.weight")
    return dict(tensors) | {one: tensors[other] for one, other in (twice, twice[::-1]) if other in tensors}


def qwen_text(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """Qwen2.5-VL as published: the language model straight below `model`, and its eyes beside it."""
    if any(name.startswith("model.language_model.") for name in tensors):
        return dict(tensors)
    deeper = {"model.": "model.language_model.", "visual.": "model.visual."}
    found = {}
    for name, tensor in tensors.items():
        old = next((prefix for prefix in deeper if name.startswith(prefix)), "")
        found[deeper.get(old, "") + name.removeprefix(old)] = tensor
    return found


def black_forest(tensors: Tensors, model: Any) -> dict[str, Tensor]:
    """FLUX's transformer in Black Forest Labs' layout: fused layers are cut, by the sizes of the class's own.

    diffusers' converter does the same for the published width alone.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    places = {name: black_forest_place(name) for name in shapes}
    begins: dict[str, int] = {}
    found = {}
    for name, place in sorted(places.items(), key=lambda item: item[1].part):
        if place.name not in tensors:
            continue
        whole, first = tensors[place.name], begins.get(place.name, 0)
        rows = shapes[name][0] if place.parts > 1 else len(whole)
        begins[place.name] = first + rows
        piece = whole[first : first + rows]
        found[name] = torch.cat(piece.chunk(2)[::-1]) if place.swapped else piece
    known = {place.name for place in places.values()}
    return found | {name: tensor for name, tensor in tensors.items() if name not in known}


def black_forest_place(name: str) -> layouts.Place:
    """Where a tensor of diffusers' FLUX transformer lies in its publisher's file: a layer's, or a norm's scale."""
    module, _, kind = name.rpartition(".")
    before, _, norm = module.rpartition(".attn.")
    if norm in FLUX_NORMS:
        block, _, number = before.partition(".")
        single = block == "single_transformer_blocks"
        theirs = FLUX_NORMS[norm].removeprefix("img_attn.") if single else FLUX_NORMS[norm]
        return layouts.Place(f"{'single' if single else 'double'}_blocks.{number}.{theirs}.scale")
    place = layouts.black_forest(module)
    return layouts.Place(f"{place.name}.{kind}", place.part, place.parts, place.swapped)


FORMS: dict[str, Callable[[Tensors, Any], dict[str, Tensor]]] = {
    form.__name__: form for form in (as_is, ldm_unet, ldm_vae, wan_vae, clip, open_clip, t5, qwen_text, black_forest)
}
