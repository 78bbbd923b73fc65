"""The LoRA as other programs want it beside ComfyUI: A1111 and its Forges, and diffusers. Loads no torch itself.

A1111 takes a LoRA's name from `ss_output_name`, the word and weight to put into a prompt from `NAME.json`, and the
picture of its card from `NAME.png` (extensions-builtin/Lora and modules/ui_extra_networks.py there). Forge and Forge
Neo read the same, and load the names that ComfyUI does. Held to diffusers' own loader by
tests/integration/test_handed_out.py.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist.adapters import dialects
from portraitist.deploy.packages import Piece
from portraitist.errors import PortraitistError

if TYPE_CHECKING:
    from torch import Tensor

VERSIONS = {"sdxl": "SDXL", "flux": "Flux"}
"""What A1111 and Forge call the bases that they tell apart; others they take as they are told."""

WEIGHTS = "pytorch_lora_weights.safetensors"
"""The name that diffusers looks for when it is given a folder."""


def a1111(lora: Path, name: str, trigger: str, strength: float, family: str, picture: bytes) -> list[Piece]:
    """Files for `models/Lora`: the LoRA, what A1111 reads beside it, and its picture, b"" for none.

    name  of the character, for people
    The trigger is escaped where A1111 would read its brackets as emphasis.
    """
    stem = lora.stem
    facts = {
        "description": f"{name}: {trigger} at {strength:g}",
        "sd version": VERSIONS.get(family, "Unknown"),
        "activation text": re.sub(r"([()\[\]])", r"\\\1", trigger),
        "preferred weight": strength,
        "negative text": "",
        "notes": "Word and weight are those that it was judged by.",
    }
    text = json.dumps(facts, indent=4, ensure_ascii=False) + "\n"
    pieces = [Piece(lora.name, lora), Piece(f"{stem}.json", text.encode())]
    return [*pieces, *([Piece(f"{stem}.png", picture)] if picture else [])]


def diffusers(tensors: "Mapping[str, Tensor]", family: str, facts: Mapping[str, str]) -> list[Piece]:
    """A file for `load_lora_weights`, by diffusers' own names and without alphas, which some of its loaders refuse.

    tensors  by canonical names
    The scale, alpha over rank, is multiplied into the second factors: what reads no alpha takes it as 1. Values are
    rounded once where that scale is no power of two. Raises PortraitistError for LoHa and LoKr, which diffusers has no
    reader of.
    """
    import torch

    from portraitist.adapters import files

    if files.products(tensors):
        raise PortraitistError(
            "diffusers loads neither LoHa nor LoKr", "Make a LoRA of the exported file: portraitist resize."
        )
    dialect, named = dialects.get(dialects.tree_of(family), "diffusers"), {}
    parts = files.factors(tensors)
    for module, part in parts.items():
        place = dialect.place(module)
        if place is None or place.parts > 1:
            raise PortraitistError(f"{module} has no name in diffusers' files of {family}", "Export it for ComfyUI.")
        scaled = part.up.to(torch.float32) * (part.alpha / part.rank)
        named[place.name + dialect.suffixes[dialects.DOWN]] = part.down.contiguous()
        named[place.name + dialect.suffixes[dialects.UP]] = scaled.to(part.up.dtype).contiguous()
    told = {**facts, "format": "pt", "ss_network_alpha": facts.get("ss_network_dim", "")}
    told |= files.hashes(files.packed(named, {}))
    return [Piece(WEIGHTS, files.packed(named, told))]
