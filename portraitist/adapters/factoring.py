"""The nearest matrix of low rank to a given one, as two factors: exactly, or by block Krylov steps in less time.

By Eckart & Young (1936) no factors of rank r leave less of a matrix in Frobenius' norm than its r largest singular
values do. Whatever way the factors were found, what they leave is known and not estimated: for orthonormal columns Q,
||A - Q Q'A||^2 = ||A||^2 - ||Q'A||^2. Held to torch.linalg.svd by tests/unit/test_factoring.py.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from portraitist.dataset.draws import generator

Method = Literal["auto", "exact", "fast"]

SMALL = 256
"""Sides up to this are factored exactly by `auto`: there the quick way saves nothing."""

TOLERANCE = 5e-4
"""By how much, of the error that is the least possible, the quick way is content to err more."""

NOISE = 1e-8
"""Singular values below this share of the largest are rounding, and are taken as zero."""

MUCH = 0.1
"""Share of the energy: while more than this is left, small eigenvalue problems are solved in float32."""

DEEPEST = 12  # blocks of the quick way; what has not settled by then is factored exactly


@dataclass(frozen=True, eq=False)
class Split:
    """Factors of a matrix A (rows, columns), and what is known of them.

    up      (rows, rank), orthogonal columns, the largest first
    down    (rank, columns), orthogonal rows; each half has the root of a singular value, so that neither loses digits
            in float16
    sizes   (rank,) float64: the singular values that they hold
    energy  of A: the sum of its entries' squares
    """

    up: Tensor
    down: Tensor
    sizes: Tensor
    energy: float

    @property
    def rank(self) -> int:
        """Columns of `up`."""
        return len(self.sizes)

    def left(self, rank: int) -> float:
        """The energy that the first `rank` factors do not hold."""
        return max(0.0, self.energy - float(self.sizes[:rank].square().sum()))

    def rounded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """The factors in a type, and for each rank (rank,) the energy that rounding it loses beside what is left.

        The residual is orthogonal to both factors, so their rounding errors add to it by themselves; the product of two
        such errors is left out, being some 1e-7 of them in float16.
        """
        up, down = self.up.to(dtype).contiguous(), self.down.to(dtype).contiguous()
        off = (up.float() - self.up).norm(dim=0).square() + (down.float() - self.down).norm(dim=1).square()
        return up, down, off.double().cpu() * self.sizes


class Room:
    """Memory of one thread on a device, kept and taken again: fresh memory costs the system's time each time."""

    def __init__(self, device: torch.device | None = None) -> None:
        """None is kept yet; without a device it is the CPU's."""
        self.device = device or torch.device("cpu")
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor whose values are anything; what was taken before by this name, in the same type, is gone."""
        size, key = math.prod(shape), (name, dtype)
        if key not in self.kept or len(self.kept[key]) < size:
            self.kept[key] = torch.empty(size, dtype=dtype, device=self.device)
        return self.kept[key][:size].view(shape)


def split(matrix: Tensor, rank: int, method: Method = "auto", room: Room | None = None) -> Split:
    """The best factors of a matrix (rows, columns) of a rank, at most its smaller side.

    method  "exact": by an eigendecomposition in float64; "fast": by block Krylov steps in float32, which err by at most
            `TOLERANCE` more than the best as far as their own convergence tells; "auto": fast where that saves time
    room    on the matrix' device, of a thread that splits many
    The same matrix gives the same factors on the same device. A matrix that is not finite gives an energy that is not,
    and factors that are zero.
    """
    energy = squares(matrix)
    if not math.isfinite(energy) or energy == 0 or rank == 0:
        return nothing(matrix, rank, energy)
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    rank = min(rank, len(wide))
    quick = method == "fast" or (method == "auto" and len(wide) > SMALL)
    found = krylov(wide.float(), rank, energy, room or Room(wide.device)) if quick and 4 * rank <= len(wide) else None
    left, right = found or gram(wide, rank)
    sizes = right.norm(dim=1).double()
    sizes = torch.where(sizes > NOISE * sizes.max(), sizes, 0)
    roots = sizes.sqrt()
    left, right = left * roots, right * torch.where(roots > 0, 1 / roots, 0)[:, None]
    up, down = (left, right) if wide is matrix else (right.T, left.T)
    return Split(up.float(), down.float(), sizes.cpu(), energy)


def product(up: Tensor, down: Tensor) -> Split:
    """The singular factors of up (rows, r) @ down (r, columns), all of them, without multiplying it out.

    By the QR factorisations of both in float64, so that only an r by r matrix is decomposed.
    """
    left, above = torch.linalg.qr(up.double())
    right, below = torch.linalg.qr(down.double().T)
    inner, sizes, outer = torch.linalg.svd(above @ below.T, full_matrices=False)
    sizes = torch.where(sizes > NOISE * sizes.max(), sizes, 0) if len(sizes) else sizes
    roots = sizes.sqrt()
    halves = (left @ inner) * roots, roots[:, None] * (outer @ right.T)
    return Split(halves[0].float(), halves[1].float(), sizes.cpu(), float(sizes.square().sum()))


def nothing(matrix: Tensor, rank: int, energy: float) -> Split:
    """Factors that are zero."""
    up, down = matrix.new_zeros(len(matrix), rank).float(), matrix.new_zeros(rank, matrix.shape[1]).float()
    return Split(up, down, torch.zeros(rank, dtype=torch.float64), energy)


def squares(matrix: Tensor) -> float:
    """The sum of a matrix' squares, row by row, so that float32 loses nothing that matters."""
    return float(torch.linalg.vector_norm(matrix, dim=1).double().square().sum())


def gram(wide: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Left singular vectors (rows, rank) of a matrix no higher than wide, and what they hold of it (rank, columns).

    Of a Gram matrix small singular values are lost in rounding: below 1e-8 of the largest, in float64.
    """
    values, vectors = torch.linalg.eigh(normal(wide))
    vectors = vectors[:, values.argsort(descending=True)[:rank]]
    return vectors, vectors.T @ wide.double()


def normal(wide: Tensor) -> Tensor:
    """A matrix times its own transpose, in float64."""
    exact = wide.double()
    return exact @ exact.T


def optima(matrix: Tensor, rank: int) -> Tensor:
    """The least energy that factors of 1 to `rank` ranks can leave of a matrix (rows, columns): (rank,) float64.

    What results are held against; of a float32 matrix to some 1e-6 of its energy.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    values = torch.linalg.eigvalsh((wide @ wide.T).double()).flip(0)[:rank]
    found: Tensor = (squares(matrix) - values.cumsum(0)).clamp(min=0).cpu()
    return found


def krylov(wide: Tensor, rank: int, energy: float, room: Room) -> tuple[Tensor, Tensor] | None:
    """As `gram`, from a space that grows by blocks until more of it would not help; None where that does not settle.

    Block Golub-Kahan steps with full reorthogonalisation (Golub, Luk & Overton 1981; Musco & Musco 2015, arXiv
    1504.05477) from a fixed random start. Each block costs two products with the matrix, and the second is the space's
    share of it already: the certificate costs nothing.
    """
    rows, columns = wide.shape
    block = max(8, rank // 2)
    most = min(DEEPEST * block, rows // block * block)
    space, held = room.take("space", most, rows), room.take("held", most, columns)
    inner = torch.zeros(most, most, dtype=torch.float64, device=wide.device)
    start = torch.randn(block, columns, generator=generator(0, "factoring", columns))
    new, done, course = start.to(wide.device) @ wide.T, 0, Course(energy)
    while done + len(new) <= most:
        fresh = orthonormal(new, space[:done])
        now = slice(done, done + len(fresh))
        space[now], done = fresh, now.stop
        torch.mm(fresh, wide, out=held[now])
        inner[now, :done] = (held[now] @ held[:done].T).double()
        whole = len(fresh) == 0  # there is nothing in the matrix that is not in the space
        if whole or (done >= rank + block and course.settled(largest(inner[:done, :done], rank, course))):
            small = inner[:done, :done].float() if course.coarse and not whole else inner[:done, :done]
            vectors = torch.linalg.eigh(small)[1][:, -rank:].flip(1).to(wide.dtype)
            return space[:done].T @ vectors, vectors.T @ held[:done]
        new = held[now] @ wide.T
    return None


def largest(inner: Tensor, rank: int, course: "Course") -> float:
    """The sum of the `rank` largest eigenvalues of a matrix whose lower half is filled."""
    if course.coarse:
        quick = float(torch.linalg.eigvalsh(inner.float())[-rank:].sum())
        course.coarse = course.energy - quick > MUCH * course.energy
        if course.coarse:
            return quick
    return float(torch.linalg.eigvalsh(inner)[-rank:].sum())


@dataclass(slots=True)
class Course:
    """How the energy that is held grows from block to block.

    coarse  whether so much is left that float32, which tells energies to some 1e-6, tells gains beside it as well
    """

    energy: float
    held: float = -1.0
    gain: float = 0.0
    coarse: bool = True

    def settled(self, held: float) -> bool:
        """Whether what is still to come, were gains to shrink as they do, is within the tolerance."""
        before, last, self.held = self.held, self.gain, held
        left = self.energy - held
        if left < 1e-6 * self.energy:
            return True  # float32 tells no more of the energy than this
        if before < 0:
            return False
        self.gain = max(held - before, 0.0)
        ratio = min(0.9, self.gain / last) if last else 0.2
        return self.gain * ratio / (1 - ratio) < 2 * TOLERANCE * left


def orthonormal(new: Tensor, space: Tensor) -> Tensor:
    """Rows (block, n) made orthonormal, and orthogonal to those of a space; those that depend on others are left out.

    By two passes of Cholesky's factorisation, in float64 of what is small: the second mends what rounding left of the
    first (Yamamoto et al. 2015).
    """
    size = float(torch.linalg.matrix_norm(new))
    for _ in range(2):
        if len(space):
            new = new - (new @ space.T) @ space
        new = independent(new, size)
        size = 0.0
    return new


def independent(new: Tensor, size: float) -> Tensor:
    """Rows of one span made orthonormal; of what is below 1e-5 of the given size, or 1e-3 of the largest, nothing."""
    if len(new) == 0:
        return new
    inner = (new @ new.T).double()
    factor, failed = torch.linalg.cholesky_ex(inner)
    sides = factor.diagonal()
    if not bool(failed) and float(sides.min()) > max(1e-3 * float(sides.max()), 1e-5 * size):
        inverse = torch.linalg.solve_triangular(factor, torch.eye(len(new)).to(factor), upper=False)
        found: Tensor = inverse.to(new.dtype) @ new  # four times as fast as solving with many columns
        return found
    values, vectors = torch.linalg.eigh(inner)
    kept = (values > 1e-6 * values[-1]) & (values > (1e-5 * size) ** 2)
    turned: Tensor = (vectors[:, kept] / values[kept].sqrt()).T.to(new.dtype)
    return turned @ new


def kohya(matrix: Tensor, rank: int, clamp: float) -> tuple[Tensor, Tensor]:
    """Factors as sd-scripts' networks/extract_lora_from_models.py makes them: up (rows, rank) and down (rank, columns).

    clamp  quantile in (0, 1] of the *signed* entries of both, cut on both sides beyond it; so even 1 cuts negative
           entries that are larger than the largest positive one
    Singular values go into `up`. Theirs asks for all singular vectors; the first `rank` are these.
    """
    left, sizes, right = torch.linalg.svd(matrix.float(), full_matrices=False)
    up, down = left[:, :rank] * sizes[:rank], right[:rank]
    edge = torch.quantile(torch.cat([up.flatten(), down.flatten()]), clamp)
    return up.clamp(-edge, edge), down.clamp(-edge, edge)


def missed(matrix: Tensor, up: Tensor, down: Tensor) -> float:
    """The energy that any factors leave of a matrix, found by multiplying them out."""
    return squares(matrix.double() - up.double() @ down.double())
