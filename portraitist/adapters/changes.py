"""What a file's part of one layer adds to its weight, whatever its kind: two factors, or the change as a whole.

LoRA and LoCon with a core (Tucker's) are factors; LoHa, LoKr, DoRA and full differences are whole. Held to peft's
layers and LyCORIS' definitions by tests/unit/test_changes.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from portraitist.adapters import factoring
from portraitist.adapters.dialects import ALPHA, DIFFERENCES, DORA, DOWN, LOHA, LOKR, MAGNITUDE, MID, UP
from portraitist.adapters.factoring import Method, Split
from portraitist.adapters.fused import Parts, kind
from portraitist.adapters.products import Product
from portraitist.adapters.products import rank as rank_of
from portraitist.errors import PortraitistError

BESIDE = ("diff_b", "b_norm")
"""Parts that change a layer's bias: they are added and carried as they are."""


@dataclass(frozen=True, eq=False)
class Change:
    """What is added to one weight, flattened to (rows, columns): `up @ down`, or `whole`; float32, scales in it."""

    up: Tensor | None = None
    down: Tensor | None = None
    whole: Tensor | None = None

    @property
    def rank(self) -> int:
        """Of the factors; 0 of a whole change."""
        return 0 if self.down is None else len(self.down)

    def dense(self) -> Tensor:
        """The change multiplied out."""
        if self.whole is not None:
            return self.whole
        if self.up is None or self.down is None:
            raise ValueError("a change without values")
        return self.up @ self.down

    def split(self, rank: int = 0, method: Method = "auto") -> Split:
        """Its singular factors: of factors all of them, exactly; of a whole change `rank` of them."""
        if self.up is not None and self.down is not None:
            return factoring.product(self.up, self.down)
        whole = self.dense()
        return factoring.split(whole, rank or min(whole.shape), method)


def change(module: str, parts: Parts, shape: Sequence[int], weight: Tensor | None = None) -> Change | None:
    """What a file's parts of a module add to its weight; None where they change its bias alone.

    shape   of the weight
    weight  the base's, which DoRA alone depends on
    Raises PortraitistError for DoRA without a weight, and for kinds whose change depends on the base in other ways.
    """
    roles = parts.keys() - {ALPHA, *BESIDE}
    if not roles:
        return None
    found = plain(module, {role: parts[role].float() for role in parts}, shape)
    if DORA not in parts and MAGNITUDE not in parts:
        return found
    if weight is None:
        raise PortraitistError(
            f"{module} is a DoRA, whose change depends on the base", "Name the base that it was trained on: --base"
        )
    size = parts[DORA] if DORA in parts else parts[MAGNITUDE]
    return Change(whole=decomposed(weight.float().flatten(1), found.dense(), size.float(), shape))


def plain(module: str, parts: Parts, shape: Sequence[int]) -> Change:
    """The change without DoRA's magnitudes."""
    flat, alpha = (shape[0], prod(shape[1:])), parts.get(ALPHA)
    if DOWN in parts and UP in parts:
        down, up = parts[DOWN], parts[UP].flatten(1)
        scale = 1.0 if alpha is None else float(alpha) / len(down)
        if MID in parts:  # (outer, inner, kh, kw) between (inner, in) and (out, outer)
            down = torch.einsum("i j k l, j r -> i r k l", parts[MID], down.flatten(1))
        return Change(scale * up, down.flatten(1))
    if any(role in parts for role in LOHA):
        rank = len(parts["hada_w1_b"])
        halves = [core(parts, f"hada_w{i}_a", f"hada_w{i}_b", f"hada_t{i}") for i in (1, 2)]
        return Change(whole=(halves[0] * halves[1] * (1.0 if alpha is None else float(alpha) / rank)).reshape(flat))
    if any(role in parts for role in LOKR):
        rank = rank_of(parts)
        scale = 1.0 if alpha is None or not rank else float(alpha) / rank
        inner = {role: part for role, part in parts.items() if role in LOKR}
        for i in (1, 2):
            if f"lokr_t{i}" in inner:
                made = core(inner, f"lokr_w{i}_a", f"lokr_w{i}_b", f"lokr_t{i}")
                inner = {r: p for r, p in inner.items() if not r.startswith((f"lokr_w{i}", f"lokr_t{i}"))}
                inner |= {f"lokr_w{i}": made}
        return Change(whole=Product(inner, scale).delta(torch.Size(shape)).flatten(1))
    for role in ("diff", "w_norm"):
        if role in parts:
            return Change(whole=parts[role].reshape(flat))
    raise PortraitistError(
        f"{module} is {kind(parts)}, whose change is no sum", "Use the file with the program it was made for."
    )


def core(parts: Parts, left: str, right: str, between: str) -> Tensor:
    """A matrix, or a convolution's weight, that is stored as two factors, with a core between them or without.

    With a core the factors are (rank, out) and (rank, in), as LyCORIS stores them.
    """
    if between not in parts:
        return parts[left] @ parts[right].flatten(1)
    return torch.einsum("i j k l, j r, i p -> p r k l", parts[between], parts[right], parts[left])


def decomposed(weight: Tensor, added: Tensor, size: Tensor, shape: Sequence[int]) -> Tensor:
    """DoRA's change (arXiv 2402.09353): the sum of weight and change brought to the sizes that were learnt, less the
    weight.

    size  (in,) in any shape whose first side is 1: of columns, over a kernel's cells; else (out,): of rows
    """
    merged: Tensor = weight + added
    if size.ndim > 1 and size.shape[0] == 1:
        each = merged.reshape(shape[0], shape[1], -1)
        norms = each.transpose(0, 1).flatten(1).norm(dim=1)
        scaled = (each * (size.flatten() / norms)[None, :, None]).reshape(merged.shape)
    else:
        scaled = merged * (size.flatten() / merged.norm(dim=1))[:, None]
    found: Tensor = scaled - weight
    return found


def added(changes: Sequence[Change], weights: Sequence[float]) -> Change:
    """The weighted sum of changes: of factors their ranks side by side, nothing lost."""
    if all(one.whole is None for one in changes):
        ups = [weight * one.up for one, weight in zip(changes, weights, strict=True) if one.up is not None]
        downs = [one.down for one in changes if one.down is not None]
        return Change(torch.cat(ups, 1), torch.cat(downs))
    total = weights[0] * changes[0].dense()
    for one, weight in zip(changes[1:], weights[1:], strict=True):
        total = total + weight * one.dense()
    return Change(whole=total)


def beside(parts: Sequence[Parts], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted sum of what changes biases, by role, float32."""
    found: dict[str, Tensor] = {}
    for each, weight in zip(parts, weights, strict=True):
        for role in BESIDE:
            if role in each:
                found[role] = found.get(role, torch.zeros(())) + weight * each[role].float()
    return found


def inner(one: Change, other: Change) -> float:
    """The sum of the products of two changes' entries."""
    if one.up is not None and one.down is not None and other.up is not None and other.down is not None:
        left, right = one.up.double().T @ other.up.double(), one.down.double() @ other.down.double().T
        return float((left * right).sum())
    return float((one.dense().double() * other.dense().double()).sum())


def is_difference(parts: Parts) -> bool:
    """Whether a module's parts are differences as they are, which no factors need to stand for."""
    return parts.keys() - {ALPHA} <= {*DIFFERENCES}
