"""A denoiser by its publisher's names: the way back of portraitist.bases.forms, for a model that is handed out whole.

ComfyUI loads such a file as a diffusion model, and this package as a part of a base. Nothing is computed: tensors are
renamed, and where the publisher fuses layers, put one below the other when their turn comes to be written. Held to
diffusers' converters by tests/integration/test_tuning.py.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from portraitist.adapters import layouts
from portraitist.bases.forms import black_forest_place
from portraitist.bases.layouts import LAYOUTS, LDM
from portraitist.errors import PortraitistError
from portraitist.tensorfile import Planned

Plans = dict[str, Planned]


def published(family: str, plans: Mapping[str, Planned]) -> Plans:
    """Tensors of a family's denoiser by its publisher's names; `plans` has them by their names in diffusers' class.

    A family without publishers' files keeps diffusers' names. Raises PortraitistError for a family whose file cannot
    be written.
    """
    layout = LAYOUTS.get(family)
    form = next(iter(layout.weights.values())).form if layout else "as_is"
    if form not in FORMS:
        raise PortraitistError(f"A whole denoiser of {family} has no file that is written here", "Train a LoRA of it.")
    return FORMS[form](plans)


def as_is(plans: Mapping[str, Planned]) -> Plans:
    """diffusers' names are the publisher's."""
    return dict(plans)


def ldm_unet(plans: Mapping[str, Planned]) -> Plans:
    """SDXL's UNet in Stability's layout, as checkpoints have it."""
    found = {}
    for name, plan in plans.items():
        module, _, kind = name.rpartition(".")
        found[f"{LDM}{layouts.ldm(module)}.{kind}"] = plan
    return found


def black_forest(plans: Mapping[str, Planned]) -> Plans:
    """FLUX's transformer in Black Forest Labs' layout, its fused layers put together."""
    groups: dict[str, dict[int, Planned]] = {}
    swapped = set()
    for name, plan in plans.items():
        place = black_forest_place(name)
        groups.setdefault(place.name, {})[place.part] = plan
        if place.swapped:
            swapped.add(place.name)
    found = {}
    for name, parts in groups.items():
        pieces = [parts[part] for part in sorted(parts)]
        found[name] = fused(pieces) if len(pieces) > 1 else turned(pieces[0]) if name in swapped else pieces[0]
    return found


def fused(pieces: list[Planned]) -> Planned:
    """Layers that share an input, as one: their rows below each other."""
    rows = sum(piece.shape[0] for piece in pieces)

    def make() -> Tensor:
        return torch.cat([piece.make() for piece in pieces])

    return Planned((rows, *pieces[0].shape[1:]), pieces[0].dtype, make)


def turned(piece: Planned) -> Planned:
    """A layer whose two halves of rows stand the other way round."""
    return Planned(piece.shape, piece.dtype, lambda: torch.cat(piece.make().chunk(2)[::-1]))


FORMS: dict[str, Callable[[Mapping[str, Planned]], Plans]] = {
    form.__name__: form for form in (as_is, ldm_unet, black_forest)
}
