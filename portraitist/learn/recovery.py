"""Recovery adapters: what rounding a base's weights lost, given back by frozen factors of low rank beside each of them.

A file holds `<layer>.A` (rank, in) and `<layer>.B` (out, rank) in bfloat16 for every layer that is held in fewer bits,
and says in its metadata which base and which way of rounding it was made for: for any other it gives back nothing, so
any other is refused. It is made by `bases.recovering`, and is no part of what is trained or exported.
Held to what it promises by tests/integration/test_recovery.py and test_packing.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from portraitist import durable, tensorfile
from portraitist.errors import PortraitistError
from portraitist.family import Base
from portraitist.learn import packing
from portraitist.learn.quantise import Quantised

FORMAT = "1"
INNER, OUTER = ".A", ".B"
AGAIN = "Make one for this base: portraitist recover FOLDER --overwrite"


def facts(base: Base) -> dict[str, str]:
    """What the metadata of a file must say to be of use with a base that is held as it is."""
    rounding = packing.ROUNDING if base.quantised in packing.BITS else ""
    return {
        "format": FORMAT,
        "kind": "recovery",
        "family": base.family,
        "base": base.digest,
        "quantised": base.quantised,
        "rounding": rounding,
    }


def write(path: Path, base: Base, tensors: Mapping[str, Tensor], told: Mapping[str, str]) -> None:
    """Write a recovery adapter durably; `told` is said beside `facts`. Raises PortraitistError on a full disk."""
    tensorfile.write(path, tensors, {**facts(base), **told})


def check(base: Base) -> None:
    """Refuse a base's recovery adapter by its header alone, before anything large is read; none is no reason to.

    Raises PortraitistError, in a line with its remedy, for a file that is not there, is damaged or something else, or
    was made for other weights, another family or another way of rounding.
    """
    path = base.recovery
    if path is None:
        return
    if not path.is_file():
        raise PortraitistError(f"model.recovery: there is no such file ({path})", "Make it: portraitist recover FOLDER")
    try:
        with safe_open(path, "pt") as file:
            said: dict[str, str] = file.metadata() or {}
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
    except SafetensorError as error:
        raise PortraitistError(f"{path} is damaged: {' '.join(str(error).split())[:200]}", AGAIN) from error
    if said.get("kind") != "recovery":
        raise PortraitistError(f"{path} is no recovery adapter", AGAIN)
    words = {
        "format": "in a format",
        "family": "for a base of family",
        "base": "for another base, with weights",
        "quantised": "for weights held as",
        "rounding": "for weights rounded in way",
    }
    for key, wanted in facts(base).items():
        if said.get(key, "") != wanted:
            raise PortraitistError(
                f"{path} is {words[key]} {said.get(key, '')[:12]!r}, and {wanted[:12]!r} is wanted", AGAIN
            )


def put(denoiser: nn.Module, base: Base) -> None:
    """Give each layer of a denoiser that is held in fewer bits its part of the base's recovery adapter, if it has one.

    Raises PortraitistError as `check` does; when a layer has no part or a part no layer; and for parts of another shape
    or type, or with numbers that are not finite.
    """
    check(base)
    path = base.recovery
    if path is None:
        return
    tensors = tensorfile.read(path, AGAIN)
    layers = held(denoiser)
    wanted = {f"{name}{end}" for name in layers for end in (INNER, OUTER)}
    for names, what in ((wanted - tensors.keys(), "lacks"), (tensors.keys() - wanted, "has no place for")):
        if names:
            raise PortraitistError(f"{path} {what} {len(names)} tensors, such as {min(names)}", AGAIN)
    for name, layer in layers.items():
        inner, outer = tensors[name + INNER], tensors[name + OUTER]
        if not fits(layer, inner, outer):
            raise PortraitistError(
                f"{path}: the part of {name} is of another shape or type: {tuple(outer.shape)} and "
                f"{tuple(inner.shape)} in {str(inner.dtype).removeprefix('torch.')}",
                AGAIN,
            )
        if not bool(torch.isfinite(inner).all() and torch.isfinite(outer).all()):
            raise PortraitistError(f"{path} is damaged: the part of {name} is not finite", AGAIN)
        place = layer.weight.device
        layer.recover(inner.to(place, copy=True), outer.to(place, copy=True))


def held(denoiser: nn.Module) -> dict[str, Quantised]:
    """The layers of a denoiser that are held in fewer bits, by path."""
    return {name: module for name, module in denoiser.named_modules() if isinstance(module, Quantised)}


def fits(layer: Quantised, inner: Tensor, outer: Tensor) -> bool:
    """Whether factors are of a layer's shape, of one rank, and in bfloat16."""
    if inner.ndim != 2 or outer.ndim != 2 or not inner.dtype == outer.dtype == torch.bfloat16:
        return False
    rank = inner.shape[0]
    return inner.shape == (rank, layer.in_features) and outer.shape == (layer.out_features, rank)


def switch(denoiser: nn.Module, *, on: bool) -> None:
    """Let a denoiser's layers add what a recovery adapter gives back, or not."""
    for layer in held(denoiser).values():
        layer.recovering = on


class Heard:
    """Root mean squares of what a denoiser's held layers are given, feature by feature.

    Within `with Heard(denoiser) as heard:` every call of the denoiser counts.
    """

    def __init__(self, denoiser: nn.Module) -> None:
        self.layers = held(denoiser)
        self.sums: dict[str, Tensor] = {}
        self.rows: dict[str, int] = dict.fromkeys(self.layers, 0)
        self.hooks: list[Any] = []

    def __enter__(self) -> "Heard":
        def listener(name: str) -> Any:
            def hear(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
                rows = given[0].detach().float().reshape(-1, given[0].shape[-1])
                total = rows.square().sum(0)
                self.sums[name] = self.sums[name] + total if name in self.sums else total
                self.rows[name] += len(rows)

            return hear

        self.hooks = [layer.register_forward_pre_hook(listener(name)) for name, layer in self.layers.items()]
        return self

    def __exit__(self, *raised: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def sizes(self) -> dict[str, Tensor]:
        """By layer (in,), float32 on the CPU. Layers that were never called are absent."""
        return {name: (total / self.rows[name]).sqrt().cpu() for name, total in self.sums.items()}
