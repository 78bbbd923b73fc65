"""The LoRA as other programs want it beside ComfyUI: A1111 and its Forges, and diffusers. Loads no torch itself.

A1111 takes a LoRA's name from `ss_output_name`, the word and weight to put into a prompt from `NAME.json`, and the
picture of its card from `NAME.png` (extensions-builtin/Lora and modules/ui_extra_networks.py there). Forge and Forge
Neo read the same, and load the names that ComfyUI does. Held to diffusers' own loader by
tests/integration/test_export.py.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable
from portraitist.adapters import dialects
from portraitist.deploy.examples import shown
from portraitist.deploy.handed import Handed, Target
from portraitist.errors import PortraitistError
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

VERSIONS = {"sdxl": "SDXL", "flux": "Flux"}
"""What A1111 and Forge call the bases that they tell apart; others they take as they are told."""

WEIGHTS = "pytorch_lora_weights.safetensors"
"""The name that diffusers looks for when it is given a folder."""


@dataclass(frozen=True, slots=True)
class A1111:
    """Hands a LoRA to A1111 and its Forges: what they read beside the file, which goes into `models/Lora` with it."""

    def plan(self, handed: Handed) -> Callable[[], Sequence[Path]]:
        """What writes them. Raises PortraitistError for what these programs load no LoRA of."""
        require_lora(handed.recipe)
        return partial(self.hand, handed)

    def hand(self, handed: Handed) -> list[Path]:
        """Write `NAME.json` and the picture of its card; of a real person no picture: see docs/decisions/023.

        The trigger is escaped where A1111 would read its brackets as emphasis.
        """
        strength, name = handed.choice.strength, handed.project.facts.name
        facts = {
            "description": f"{name}: {handed.trigger} at {strength:g}",
            "sd version": VERSIONS.get(handed.recipe.model.family, "Unknown"),
            "activation text": re.sub(r"([()\[\]])", r"\\\1", handed.trigger),
            "preferred weight": strength,
            "negative text": "",
            "notes": "Word and weight are those that it was judged by.",
        }
        told, preview = handed.lora.with_suffix(".json"), handed.lora.with_suffix(".png")
        durable.write_json(told, facts)
        durable.remove(preview)
        if handed.project.facts.subject == "real" or not handed.pictures:
            return [told]
        durable.write_bytes(preview, shown(handed.pictures[0].path, preview.name))
        return [told, preview]


@dataclass(frozen=True, slots=True)
class Diffusers:
    """Hands a LoRA to diffusers: a folder for `load_lora_weights`."""

    def plan(self, handed: Handed) -> Callable[[], Sequence[Path]]:
        """What writes it. Raises PortraitistError for what diffusers has no reader of."""
        require_lora(handed.recipe)
        if (kind := handed.recipe.adapter.kind) != "lora":
            raise PortraitistError(
                f"diffusers does not load a {kind}", "Make a LoRA of the exported file: portraitist resize."
            )
        return partial(self.hand, handed)

    def hand(self, handed: Handed) -> list[Path]:
        """Write the folder `diffusers` with the one file of its default name."""
        from portraitist.adapters import files

        tensors, _ = files.read(handed.run.adapter(handed.choice.step))
        facts = files.load(handed.lora, files.DTYPES)[1]
        place = handed.lora.parent / "diffusers"
        durable.write_bytes(place / WEIGHTS, renamed(tensors, handed.recipe.model.family, facts))
        return [place / WEIGHTS]


TARGETS: dict[str, type[Target]] = {"a1111": A1111, "diffusers": Diffusers}
"""By the word that asks for them."""


def require_lora(recipe: Recipe) -> None:
    """Refuse a whole model, and a LoRA that no other program has a base for."""
    if recipe.adapter.kind == "full":
        raise PortraitistError(
            "This run trained the whole denoiser, and other programs are handed LoRAs",
            "Take a LoRA out of it: portraitist extract.",
        )
    if recipe.model.family == "mini":
        raise PortraitistError(
            "A LoRA of the embedded base is of use in portraitist alone", "Train on a base that others have as well."
        )


def renamed(tensors: "Mapping[str, Tensor]", family: str, facts: Mapping[str, str]) -> bytes:
    """A file by diffusers' own names and without alphas, which some of its loaders refuse.

    tensors  by canonical names
    The scale, alpha over rank, is multiplied into the second factors: what reads no alpha takes it as 1. Values are
    rounded once where that scale is no power of two.
    """
    import torch

    from portraitist.adapters import files

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
    return files.packed(named, told)
