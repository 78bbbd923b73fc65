"""Layers that one layout keeps apart and another fuses (FLUX's qkv): factors taken apart and put together exactly.

Rows and ranks are moved, values are never computed with. Raises PortraitistError where that does not suffice.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from portraitist.adapters.dialects import ALPHA, DIFFERENCES, DORA, DOWN, LOHA, LOKR, MAGNITUDE, MID, UP, Dialect, Entry
from portraitist.adapters.trees import Shapes
from portraitist.errors import PortraitistError

Parts = Mapping[str, Tensor]
"""What a file has of one layer, by part: "down", "up", "alpha", ..."""


def kind(roles: Iterable[str]) -> str:
    """The name of what these parts make."""
    for names, what in (
        (LOHA, "LoHa"),
        (LOKR, "LoKr"),
        ((DORA, MAGNITUDE), "DoRA"),
        ((MID,), "LoCon"),
        (DIFFERENCES, "full difference"),
        ((DOWN, UP, ALPHA), "LoRA"),
    ):
        if set(names) & set(roles):
            return what
    return "OFT or GLoRA"


def inexact(name: str, why: str) -> PortraitistError:
    """The refusal of a conversion that would have to compute."""
    return PortraitistError(
        f"{name} cannot be converted exactly: {why}", "Choose a dialect of the same layout: portraitist inspect FILE."
    )


def apart(name: str, entry: Entry, parts: Parts, shapes: Shapes) -> dict[str, Parts]:
    """A layer of a file by canonical modules: fused rows are taken apart, swapped halves put right.

    Factors whose ranks belong to one run of rows each go with it; others are shared, and each module gets a copy of
    `down`. Raises PortraitistError for parts whose rows cannot be told apart.
    """
    modules = entry.modules
    if len(modules) == 1:
        return {modules[0]: turned(name, parts) if entry.swapped else parts}
    sizes = [shapes[module][0] for module in modules]
    if parts.keys() <= {"diff", "diff_b"} and all(t.shape[0] == sum(sizes) for t in parts.values()):
        runs = {role: torch.split(tensor, sizes) for role, tensor in parts.items()}
        return {m: {role: each[i].contiguous() for role, each in runs.items()} for i, m in enumerate(modules)}
    if not parts.keys() <= {DOWN, UP, ALPHA} or DOWN not in parts or UP not in parts:
        raise inexact(name, f"a {kind(parts)} over {len(modules)} fused layers cannot be taken apart")
    down, up, alpha = parts[DOWN], parts[UP], parts.get(ALPHA)
    if down.ndim != 2 or len(down) == 0 or up.shape != (sum(sizes), len(down)):
        raise inexact(name, "its shapes are not the family's")
    ranks = blocks(up, sizes)
    shares = [portion(alpha, rank, len(down)) for rank in ranks]
    if not ranks or (alpha is not None and None in shares):
        return {m: {**parts, UP: rows.contiguous()} for m, rows in zip(modules, torch.split(up, sizes), strict=True)}
    found: dict[str, Parts] = {}
    for i, module in enumerate(modules):
        columns, rows = slice(sum(ranks[:i]), sum(ranks[: i + 1])), slice(sum(sizes[:i]), sum(sizes[: i + 1]))
        share = shares[i]
        if ranks[i]:
            found[module] = {DOWN: down[columns].contiguous(), UP: up[rows, columns].contiguous()}
            found[module] = found[module] if share is None else {**found[module], ALPHA: share}
    return found


def portion(alpha: Tensor | None, rank: int, of_rank: int) -> Tensor | None:
    """The alpha of `rank` of a layer's `of_rank` ranks, at the same scale; None when its type cannot state it."""
    if alpha is None or alpha.numel() != 1:
        return None
    wanted = Fraction(float(alpha)) * rank / of_rank
    found = torch.full_like(alpha, float(wanted))
    return found if Fraction(float(found)) == wanted else None


def blocks(up: Tensor, sizes: Sequence[int]) -> list[int]:
    """How many columns of `up` (rows, rank) belong to each run of rows alone, in order; [] when some belong to several.

    Equal numbers are tried first, which decides where columns are zero everywhere.
    """
    edges = [0, *accumulate(sizes)]
    bits = [up[a:b].ne(0) | up[a:b].signbit() for a, b in pairwise(edges)]
    used = torch.stack([part.any(0) for part in bits])
    count, rank = used.shape
    if rank % count == 0:
        equal = torch.arange(rank) // (rank // count)
        if not bool((used & (torch.arange(count)[:, None] != equal)).any()):
            return [rank // count] * count
    if not bool((used.sum(0) == 1).all()):
        return []
    owners = used.int().argmax(0)
    return owners.bincount(minlength=count).tolist() if bool((owners.diff() >= 0).all()) else []


def together(parts: Mapping[int, Parts], name: str, dialect: Dialect, shapes: Shapes) -> Parts:
    """The layer that a dialect knows by `name`, from what its modules have; parts that are absent change nothing."""
    places = {module: place for module in shapes if (place := dialect.place(module)) and place.name == name}
    modules = sorted(places, key=lambda module: places[module].part)
    if len(modules) == 1:
        return turned(name, parts[0]) if places[modules[0]].swapped else parts[0]
    sizes = [shapes[module][0] for module in modules]
    roles = {role for each in parts.values() for role in each}
    whole = len(parts) == len(sizes)
    if roles <= {"diff", "diff_b"} and whole and all(each.keys() == roles for each in parts.values()):
        return {role: torch.cat([parts[i][role] for i in range(len(sizes))]) for role in sorted(roles)}
    given = [parts[i] for i in sorted(parts)]
    if not all({DOWN, UP} <= each.keys() <= {DOWN, UP, ALPHA} for each in given):
        raise inexact(name, f"{kind(roles)} of single layers cannot be fused")
    if any(each[UP].shape[0] != sizes[i] or each[UP].ndim != 2 for i, each in parts.items()):
        raise inexact(name, "its shapes are not the family's")
    if len({(each[DOWN].dtype, each[UP].dtype, ALPHA in each) for each in given}) > 1:
        raise inexact(name, "its layers are of several types, or some have an alpha and some none")
    alphas = [each[ALPHA] for each in given if ALPHA in each]
    alike = all(same(each[DOWN], given[0][DOWN]) for each in given) and all(same(each, alphas[0]) for each in alphas)
    if whole and alike:
        return {**given[0], UP: torch.cat([each[UP] for each in given])}
    joined = {DOWN: torch.cat([each[DOWN] for each in given]), UP: diagonal(parts, sizes)}
    return joined | ({ALPHA: total(name, given)} if alphas else {})


def diagonal(parts: Mapping[int, Parts], sizes: Sequence[int]) -> Tensor:
    """The `up` of layers with a `down` each: blocks along the diagonal, zero elsewhere."""
    first = next(iter(parts.values()))[UP]
    found = first.new_zeros(sum(sizes), sum(each[UP].shape[1] for each in parts.values()))
    column = 0
    for i in sorted(parts):
        up, row = parts[i][UP], sum(sizes[:i])
        found[row : row + len(up), column : column + up.shape[1]] = up
        column += up.shape[1]
    return found


def total(name: str, given: Sequence[Parts]) -> Tensor:
    """The alpha of joined ranks: the sum, when all have one scale."""
    exact = [Fraction(float(each[ALPHA])) for each in given]
    if len({alpha / len(each[DOWN]) for alpha, each in zip(exact, given, strict=True)}) > 1:
        raise inexact(name, "its layers have different scales (alpha / rank)")
    found = torch.full_like(given[0][ALPHA], float(sum(exact)))
    if Fraction(float(found)) != sum(exact):
        raise inexact(name, f"alpha {float(sum(exact)):g} has no {found.dtype} value")
    return found


def turned(name: str, parts: Parts) -> Parts:
    """A layer's parts with the halves of its rows the other way round."""
    moved = (UP, "diff", "diff_b")
    if not parts.keys() <= {DOWN, ALPHA, *moved} or any(len(parts[role]) % 2 for role in moved if role in parts):
        raise inexact(name, f"the rows of a {kind(parts)} cannot be moved")
    return {role: torch.cat(part.chunk(2)[::-1]) if role in moved else part for role, part in parts.items()}


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal to the bit, type and shape included."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.contiguous().flatten().view(torch.uint8).equal(other.contiguous().flatten().view(torch.uint8))
