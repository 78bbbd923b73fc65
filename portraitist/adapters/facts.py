"""What can be said of an adapter file without its base: the family it is of, each layer's kind, rank and health."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from torch import Tensor

from portraitist.adapters.content import Content, Layer, read
from portraitist.adapters.dialects import (
    ALPHA,
    DIFFERENCES,
    DORA,
    DOWN,
    LOHA,
    LOKR,
    MAGNITUDE,
    MID,
    OTHERS,
    UP,
    cut,
    families,
    lexicon,
    tree_of,
)
from portraitist.adapters.fused import Parts, kind
from portraitist.adapters.trees import Shapes, shapes
from portraitist.errors import PortraitistError
from portraitist.registry import said

PAIRS = ((DOWN, UP), *((f"{name}_a", f"{name}_b") for name in ("hada_w1", "hada_w2", "lokr_w1", "lokr_w2")))
FACTORS = {DOWN, UP, MID, *LOHA, *LOKR}
TELLING = {*FACTORS, "diff", "w_norm"}
"""Parts whose shapes tell that of the weight they change."""


NAMING = ("portraitist.family", "ss_base_model_version", "modelspec.architecture", "ss_sd_model_name")
NAMES = {"sdxl": ("sdxl", "diffusion-xl"), "flux": ("flux",), "qwen-image": ("qwen",), "mini": ("mini",)}
"""Where metadata name the base, and by which words."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one layer of a file.

    kind   "LoRA", "LoCon" (on a convolution), "LoHa", "LoKr", "DoRA", "full difference", "OFT or GLoRA"
    rank   of its factors; 0 when it has none
    alpha  as the file states it; None when it does not, which everyone reads as the rank
    dead   whether it changes nothing: a factor, the alpha or the difference is zero
    lacks  what of it is missing; "" when it is whole
    fits   whether its shapes are those of the family's weight
    misread  whether ComfyUI computes otherwise with it than its trainers: DoRA by rows of the weight, for it divides by
             the norm of the base's alone, and peft's magnitudes, which it passes over; by columns it is right
    """

    kind: str
    rank: int
    alpha: float | None
    dead: bool
    lacks: str
    fits: bool
    misread: bool


@dataclass(frozen=True, eq=False)
class Recognised:
    """Which family a file is of: "" for none, or for one of several that it fits alike, which `alike` then names."""

    family: str
    content: Content
    alike: tuple[str, ...] = ()


def recognise(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], family: str = "") -> Recognised:
    """The family whose tree most of a file's layers fit by name and shape, and what the file says of it.

    family  the only one to try, as a person says it
    It takes half of the layers: names alone tell nothing, for families share them. FLUX and Qwen-Image share shapes
    too; where several families fit alike, the metadata decide, or nothing does. Raises PortraitistError for a family
    that is not known here, and for a file that says a thing twice.
    """
    family = tree_of(family)
    known = families()
    if family and family not in known:
        raise PortraitistError(f"There is no family {family!r} of files", f"Families: {', '.join(known)}.")
    total = len({cut(name)[0] for name in tensors})
    scores, contents = {}, {}
    for name in (family,) if family else known:
        tree = shapes(name)
        contents[name] = read(tensors, lexicon(name, tuple(tree)))
        fitting = (fits(layer, tree) and bool(layer.tensors.keys() & TELLING) for layer in contents[name].layers)
        scores[name] = sum(fitting)
    most = max(scores.values())
    best = tuple(name for name, score in scores.items() if score == most and 2 * score >= total)
    told = " ".join(metadata.get(key, "") for key in NAMING).lower()
    words = {name: NAMES.get(name) or said(name, "words", (name,)) for name in best}
    named = tuple(name for name in best if any(word in told for word in words[name]))
    chosen = named if len(named) == 1 else best
    if len(chosen) == 1 and most > 0:
        return Recognised(chosen[0], contents[chosen[0]])
    return Recognised("", Content((), tuple(tensors)), best if most > 0 else ())


def facts(parts: Parts, fitting: bool = True) -> Facts:
    """What can be said of a layer; values are looked at, so that a large file takes seconds.

    fitting  whether its shapes are the family's
    """
    what = "LoCon" if kind(parts) == "LoRA" and DOWN in parts and parts[DOWN].ndim > 2 else kind(parts)
    alpha = parts.get(ALPHA)
    missing = lacks(parts)
    return Facts(
        kind=what,
        rank=rank(parts),
        alpha=float(alpha) if alpha is not None and alpha.numel() == 1 else None,
        dead=not missing and dead(parts),
        lacks=missing,
        fits=bool(missing) or fitting,
        misread=MAGNITUDE in parts or (DORA in parts and (parts[DORA].ndim < 2 or parts[DORA].shape[0] != 1)),
    )


def layers(tensors: Mapping[str, Tensor]) -> dict[str, Parts]:
    """A file's layers by its own names, whatever family they are of."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        module, role, _ = cut(name)
        if role:
            found.setdefault(module, {})[role] = tensor
    return dict(found)


def rank(parts: Parts) -> int:
    """Of a layer's factors: the smaller side of them."""
    for role in (DOWN, "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if role in parts and parts[role].ndim > 0:
            return int(parts[role].shape[0])
    return 0


def lacks(parts: Parts) -> str:
    """What of a layer is missing; "" when it is whole."""
    for one, other in PAIRS:
        if (one in parts) != (other in parts):
            return other if one in parts else one
    if any(role.startswith("hada") for role in parts) and not set(LOHA[:4]) <= parts.keys():
        return next(role for role in LOHA[:4] if role not in parts)
    if any(role.startswith("lokr") for role in parts):
        for half in ("lokr_w1", "lokr_w2"):
            if half not in parts and f"{half}_a" not in parts:
                return half
    if MID in parts and DOWN not in parts:
        return DOWN
    return "" if parts.keys() & {*FACTORS, *DIFFERENCES, *OTHERS} else "all but its scale"


def dead(parts: Parts) -> bool:
    """Whether a layer changes nothing: some factor of it is zero everywhere, and no difference is anything else."""
    factors = [part for role, part in parts.items() if role in FACTORS or role == ALPHA]
    rest = [part for role, part in parts.items() if role in DIFFERENCES]
    if any(role in OTHERS for role in parts):
        return False
    alive = bool(parts.keys() & FACTORS) and all(something(part) for part in factors)
    return not alive and not any(something(part) for part in rest)


def something(part: Tensor) -> bool:
    """Whether a tensor has anything but zeros."""
    return bool(part.float().ne(0).any())


def fits(layer: Layer, tree: Shapes) -> bool:
    """Whether a layer's shapes are those of the family's weight; kinds whose shapes are not known to us do."""
    wanted = [tree[module] for module in layer.entry.modules]
    rows, rest = sum(shape[0] for shape in wanted), prod(wanted[0][1:])
    try:
        return all(found in ((), (rows, rest)) for found in extents(layer.tensors, rows))
    except (IndexError, KeyError, ValueError):
        return False


def extents(parts: Parts, rows: int) -> list[tuple[int, ...]]:
    """Rows and entries per row of the weights that a layer's parts change; () for parts that tell nothing.

    Factors that do not multiply, and an alpha of several numbers, raise ValueError. With a Tucker core, outer factors
    are (rank, out) and (rank, in).
    """
    found: list[tuple[int, ...]] = []
    if ALPHA in parts and parts[ALPHA].numel() != 1:
        raise ValueError(ALPHA)
    for role in ("diff", "diff_b", "w_norm", "b_norm"):
        if role in parts:
            shape = tuple(parts[role].shape)
            found.append((shape[0], prod(shape[1:])) if role in ("diff", "w_norm") or len(shape) != 1 else ())
            if role in ("diff_b", "b_norm") and shape[0] != rows:
                raise ValueError(role)
    if DOWN in parts and UP in parts:
        down, up = parts[DOWN].shape, parts[UP].shape
        if up[1] != down[0] or down[0] == 0 or prod(up[2:]) != 1:
            raise ValueError(UP)
        found.append((up[0], prod(down[1:]) * prod(parts[MID].shape[2:] if MID in parts else ())))
    for i in (1, 2):
        if f"hada_w{i}_a" in parts and f"hada_w{i}_b" in parts:
            found.append(product(parts, f"hada_w{i}", f"hada_t{i}"))
    if any(role in parts for role in LOKR):
        one, other = (product(parts, f"lokr_w{i}", f"lokr_t{i}") for i in (1, 2))
        found.append((one[0] * other[0], one[1] * other[1]))
    return found


def product(parts: Parts, name: str, core: str) -> tuple[int, int]:
    """Rows and entries per row of a matrix that is stored whole or as two factors, with a core between them or not."""
    if name in parts:
        shape = parts[name].shape
        return shape[0], prod(shape[1:])
    left, right = parts[f"{name}_a"].shape, parts[f"{name}_b"].shape
    if core in parts:
        return left[1], right[1] * prod(parts[core].shape[2:])
    if left[1] != right[0]:
        raise ValueError(name)
    return left[0], prod(right[1:])
