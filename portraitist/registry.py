"""Which model families there are, and what each says of itself beyond the protocol. Loads no torch.

Families outside the package register under the entry point group `portraitist.families`, as "name = module:Class".

A family's file may say, as attributes of its class and by the types of whoever asks:

    layout        how publishers write its parts into files (bases.layouts.Layout)
    dialects      how programs name its modules in adapter files, the one that is exported first (adapters.dialects)
    tree_of       the family whose denoiser it has, layer by layer: what is said of files is then that one's
    published     a function: its denoiser as published, on the meta device or wherever torch is told to put it
    sets          sets of its layers by name (adapters.modules.Layers)
    words         words by which metadata of other people's files name its base
    architecture  its ModelSpec name
    version       what kohya's readers tell bases apart by
    pipeline      diffusers' class that its bases are for, as their model_index.json names it

What it does not say, it does not have. Of the first families this stands in the tables of those who ask.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from portraitist.errors import PortraitistError

if TYPE_CHECKING:
    from portraitist.family import Family

FAMILIES = {
    "mini": "portraitist.families.mini:Mini",
    "sdxl": "portraitist.families.sdxl:Sdxl",
    "flux": "portraitist.families.flux:Flux",
    "qwen-image": "portraitist.families.qwen:QwenImage",
    "qwen-image-edit": "portraitist.families.qwen:QwenImageEdit",
    "z-image": "portraitist.families.zimage:ZImage",
    "z-image-turbo": "portraitist.families.zimage:ZImageTurbo",
}
GROUP = "portraitist.families"


def known() -> dict[str, str]:
    """Every family's name, and where its class is; ours go before others of the same name."""
    from importlib.metadata import entry_points  # with all of email and sockets behind it

    return {entry.name: entry.value for entry in entry_points(group=GROUP)} | FAMILIES


def get(name: str) -> Family:
    """The family of a name. Raises PortraitistError for an unknown one, with the nearest that is known."""
    place = FAMILIES.get(name) or known().get(name)
    if place is None:
        near = difflib.get_close_matches(name, known(), n=1, cutoff=0.5)
        remedy = f"Did you mean {near[0]}? " if near else ""
        raise PortraitistError(
            f"model.family = {name!r}: there is no such family", f"{remedy}Families: {', '.join(sorted(known()))}."
        )
    module, _, kind = place.partition(":")
    family: Family = getattr(import_module(module), kind)()
    return family


def said(name: str, what: str, otherwise: Any) -> Any:
    """What a family says of itself by a name of the list above; `otherwise` when it does not, or is not known."""
    return getattr(get(name), what, otherwise) if name in FAMILIES or name in known() else otherwise


def saying(what: str) -> tuple[str, ...]:
    """The families that say something of themselves by a name of the list above, in the registry's order."""
    return tuple(name for name in {**FAMILIES, **known()} if hasattr(get(name), what))
