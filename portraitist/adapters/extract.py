"""Tuned minus base, in rank r: the best LoRA of what fine-tuning changed, layer by layer, with its error.

By Eckart & Young (1936) no factors of rank r leave less of a matrix in Frobenius' norm than its r largest singular
values do; what is left is told for each layer and for all. Held to torch's SVD by tests/integration/test_extract.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from portraitist.adapters.files import ALPHA, DOWN, UP
from portraitist.errors import PortraitistError

Pairs = Iterable[tuple[str, Tensor, Tensor]]
"""Names of parameters with the tuned and the base's values, one at a time."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What became of one layer's change.

    energy  of the change: the sum of its entries' squares
    left    of that, what the factors do not hold
    """

    module: str
    rank: int
    energy: float
    left: float

    @property
    def kept(self) -> float:
        """The share of the energy that the factors hold."""
        return 1 - self.left / self.energy


@dataclass(frozen=True, slots=True)
class Extracted:
    """An adapter by canonical names, and how much of the change it holds.

    beside  energy of what no factors can hold: biases, norms, and layers that take none
    """

    tensors: Mapping[str, Tensor]
    layers: tuple[Layer, ...]
    beside: float

    @property
    def kept(self) -> float:
        """The share of all the change's energy that the adapter holds."""
        whole = sum(layer.energy for layer in self.layers) + self.beside
        return 1 - (sum(layer.left for layer in self.layers) + self.beside) / whole


def low_rank(delta: Tensor, rank: int) -> tuple[Tensor, Tensor, float, float]:
    """Best rank-`rank` factors of a change.

    delta    (out, in), or of a convolution (out, in, kh, kw), float64
    rank     columns kept, at most min(out, in * kh * kw)
    returns  up (out, rank[, 1, 1]) and down (rank, in[, kh, kw]), float32; the energy of delta, and what is left of it

    By the eigenvectors of the smaller Gram matrix, in float64: singular values below 1e-8 of the largest are noise
    there, and are taken as zero. Each half takes the root of a singular value, so that neither loses digits in float16.
    Nothing is clamped: cutting the largest entries, as is common, costs the most important ones.
    """
    flat = delta.flatten(1)
    wide = flat if flat.shape[0] <= flat.shape[1] else flat.T
    values, vectors = torch.linalg.eigh(wide @ wide.T)
    order = values.argsort(descending=True)[:rank]
    vectors = vectors[:, order]
    inner = vectors.T @ wide  # singular values times the right singular vectors
    energy, held = float(flat.square().sum()), float(inner.square().sum())
    sizes = inner.norm(dim=1)
    roots = torch.where(sizes > 1e-8 * sizes.max(), sizes, 0).sqrt()
    left, right = vectors * roots, inner * torch.where(roots > 0, 1 / roots, 0)[:, None]
    up, down = (left, right) if wide is flat else (right.T, left.T)
    ones = (1,) * (delta.ndim - 2)
    shaped = up.reshape(delta.shape[0], -1, *ones).float(), down.reshape(-1, *delta.shape[1:]).float()
    return *(half.contiguous() for half in shaped), energy, max(0.0, energy - held)


def extract(pairs: Pairs, layers: Mapping[str, tuple[int, ...]], rank: int) -> Extracted:
    """The LoRA of rank `rank` that is nearest to what was changed.

    layers  the modules that take factors, by the shapes of their weights; all else counts as `beside`
    A layer that was not changed gets none; one with a side below the rank gets that side. Each alpha is its layer's
    rank, for a scale of 1. Raises PortraitistError for values that are not finite, and where nothing was changed.
    """
    found: dict[str, Tensor] = {}
    rows, beside = [], 0.0
    for name, tuned, base in pairs:
        delta = tuned.double() - base.double()
        if not bool(torch.isfinite(delta).all()):
            raise PortraitistError(f"{name} is not finite in one of the two models", "Take another checkpoint.")
        if not bool(delta.any()):
            continue
        module = name.removesuffix(".weight")
        if module == name or module not in layers:
            beside += float(delta.square().sum())
            continue
        most = min(rank, *delta.flatten(1).shape)
        up, down, energy, left = low_rank(delta, most)
        found |= {module + UP: up, module + DOWN: down, module + ALPHA: torch.tensor(float(most))}
        rows.append(Layer(module, most, energy, left))
    if not rows:
        raise PortraitistError("The two models have the same layers: there is nothing to extract", "Name another one.")
    return Extracted(found, tuple(rows), beside)
