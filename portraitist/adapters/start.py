"""Where a training may start from: an adapter file in any dialect, checked against what the recipe trains.

Held to the dialects' own writers by tests/integration/test_start.py.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from portraitist.adapters import content, dialects, files
from portraitist.adapters.dialects import ALPHA, DOWN, UP
from portraitist.adapters.facts import fits, lacks, rank
from portraitist.adapters.fused import Parts, apart, kind
from portraitist.adapters.modules import SETS, reached
from portraitist.adapters.products import ROLES
from portraitist.adapters.trees import Shapes, encoders, is_encoder
from portraitist.errors import PortraitistError
from portraitist.family import Family
from portraitist.sections import Adapter

NAMES = {DOWN: files.DOWN, UP: files.UP, ALPHA: files.ALPHA, **{role: f".{role}" for role in ROLES}}
"""The ends of canonical names, by part."""


def weights(path: Path, adapter: Adapter, family: Family, layers: Shapes) -> dict[str, Tensor]:
    """The parts of an adapter file by the canonical names that the recipe's adapter has, float32 on the CPU.

    layers  of the base's denoiser, from `inject.layers`: the file must fit them
    Raises PortraitistError, with the setting to change, for a file of other layers, another kind, rank or scale than
    the recipe's; for one that also changes text encoders, which stay frozen; and for one that changes nothing.
    """
    on = reached(adapter, family.name, family.targets)
    wanted = {name for name, shape in layers.items() if on(name, len(shape))}
    found: dict[str, Tensor] = {}
    loose = modules(path, family.name, layers)
    if loose.keys() != wanted:
        raise elsewhere(path, adapter, family, layers, loose.keys(), wanted)
    for module, parts in loose.items():
        fit(path, module, parts, adapter)
        if not fits(content.Layer(module, dialects.Entry((module,), False, ()), parts), layers):
            raise PortraitistError(
                f"{path} fits no weight of this base: {module} is of another shape", "Start from a file for this base."
            )
        found |= {f"{module}{NAMES[role]}": part.float() for role, part in parts.items() if role != ALPHA}
    if not any(files.changes(name, found) for name in found):
        raise PortraitistError(f"{path} changes nothing: a factor is zero on every layer", "Start from the base.")
    return found


def modules(path: Path, family: str, layers: Shapes) -> dict[str, Parts]:
    """What a file has of each module of a denoiser, by canonical names. Refuses text encoders and what is of neither.

    family  in whose dialects the file may be, if it is no checkpoint of ours
    layers  shapes of the denoiser's weights
    """
    tensors, metadata = files.read(path)
    if own := canonical(tensors, metadata, layers):
        return own
    tree = dialects.tree_of(family)
    if tree not in dialects.families():
        raise PortraitistError(
            f"The names of {family}'s adapter files are not known here, and {path} is no checkpoint of "
            "a training of that base",
            "Give a checkpoint's adapter.safetensors, or none.",
        )
    said = content.read(tensors, dialects.lexicon(tree, (*layers, *encoders(tree))))
    look = f"See what it is: portraitist inspect {path}"
    texts = [layer for layer in said.layers if is_encoder(layer.entry.modules[0])]
    if texts:
        raise PortraitistError(
            f"{path} also changes {len(texts)} layers of text encoders, which stay frozen here",
            "Give a file of the denoiser alone; docs/decisions/011-frozen-text-encoders.md says why.",
        )
    if said.strangers:
        raise PortraitistError(f"{path} holds what belongs to no layer of this base: {said.strangers[0][:200]}", look)
    found: dict[str, Parts] = {}
    for layer in content.explicit(said, metadata).layers:
        if missing := lacks(layer.tensors):
            raise PortraitistError(f"{path}: {layer.name} lacks {missing}", look)
        for module, parts in apart(layer.name, layer.entry, layer.tensors, layers).items():
            if module in found:
                raise PortraitistError(f"{path} says twice what {module} is, by two names", look)
            found[module] = parts
    return found


def canonical(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], layers: Shapes) -> dict[str, Parts]:
    """The same of a checkpoint of ours, whose names are canonical already; empty for any other file."""
    found: dict[str, dict[str, Tensor]] = {}
    if not metadata.keys() >= files.SAYS:
        return {}
    for name, tensor in tensors.items():
        role = next((role for role, end in NAMES.items() if name.endswith(end)), "")
        module = name.removesuffix(NAMES.get(role, ""))
        if not role or module not in layers:
            return {}
        found.setdefault(module, {})[role] = tensor
    if any(lacks(parts) for parts in found.values()):
        return {}
    return dict(found.items())


def fit(path: Path, module: str, parts: Parts, adapter: Adapter) -> None:
    """Refuse a module's parts that are of another kind, rank or scale than the recipe's."""
    what = {"LoRA": "lora", "LoHa": "loha", "LoKr": "lokr"}.get(kind(parts), "")
    if not what or not parts.keys() <= NAMES.keys():
        raise PortraitistError(
            f"{path}: {module} is a {kind(parts)}, which is not trained here", "Start from a LoRA, LoHa or LoKr."
        )
    if what != adapter.kind:
        raise PortraitistError(
            f'{path} is a {kind(parts)}, and adapter.kind = "{adapter.kind}"', f"Train with: --set adapter.kind={what}"
        )
    ours, theirs = adapter.rank, rank(parts)
    if theirs not in (0, ours):  # a LoKr whose matrices are whole has none
        raise PortraitistError(
            f"{path} has rank {theirs} on {module}, and adapter.rank = {ours}",
            f"Train with: --set adapter.rank={theirs}, if all of its layers have that one: portraitist inspect {path}",
        )
    alpha = parts.get(ALPHA, torch.tensor(float(theirs)))
    wanted = adapter.alpha or float(ours)
    if alpha.numel() != 1:
        raise files.damaged(f"the alpha of {module} in {path} is no number")
    if theirs and alpha.item() != torch.tensor(wanted, dtype=alpha.dtype).item():  # as the file can say it
        raise PortraitistError(
            f"{path} has alpha {alpha.item():g} on {module}, and the recipe {wanted:g}",
            f"Train with: --set adapter.alpha={alpha.item():g}",
        )


def elsewhere(
    path: Path,
    adapter: Adapter,
    family: Family,
    layers: Shapes,
    theirs: Collection[str],
    ours: Collection[str],
) -> PortraitistError:
    """The refusal of a file on other layers than the recipe trains, with the set that it is on if there is one."""
    more, less = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    first = f"it is on {more[0]}" if more else f"it is not on {less[0]}"
    remedy = "List the layers it is on in adapter.targets."
    for name in names(family.name):
        whole = adapter.model_copy(update={"modules": name, "targets": ()})
        on = reached(whole, family.name, family.targets)
        if set(theirs) == {module for module, shape in layers.items() if on(module, len(shape))}:
            remedy = f"Train with: --set adapter.modules={name}" + (
                " --set adapter.targets=[]" if adapter.targets else ""
            )
            break
    return PortraitistError(
        f"{path} is on {len(theirs)} layers and the recipe trains {len(ours)}; {first}, unlike the recipe", remedy
    )


def names(family: str) -> Iterable[str]:
    """The sets of layers that a family has."""
    return ("family", *SETS.get(family, {}))
