"""Laws of memory and work: what `counting` found at some sizes, as sums of few terms that hold at any. No torch.

Activations grow with cells and text tokens of a picture; work has terms of their products as well, from attention.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

RANK = 16
"""The rank that most counts are made at; what another one adds is a term of its own."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a law is asked: pictures in a batch, cells and text tokens of each, rank."""

    batch: int
    cells: int
    text: int
    rank: int = RANK


@dataclass(frozen=True, slots=True)
class Laws:
    """Coefficients, in the order of `memory_terms` and `work_terms`.

    kept        peak bytes of a half-precision step that keeps all activations
    recomputed  of one that keeps the blocks' inputs and computes the rest again (gradient checkpointing)
    wide        the same in float32
    drawn       peak bytes of a half-precision forward pass that keeps nothing
    saved, saved_recomputed  bytes between forward and backward, with and without all activations
    work, work_drawn  floating-point operations of a step that keeps all, and of its forward pass alone
    again       share of the forward pass that checkpointing computes a second time
    parameters, adapter  of the denoiser; of its adapter per rank
    misfit      the largest relative error of any law at the counts it was fitted to
    """

    kept: tuple[float, ...]
    recomputed: tuple[float, ...]
    wide: tuple[float, ...]
    drawn: tuple[float, ...]
    saved: tuple[float, ...]
    saved_recomputed: tuple[float, ...]
    work: tuple[float, ...]
    work_drawn: tuple[float, ...]
    again: float
    parameters: int
    adapter: int
    misfit: float

    def as_json(self) -> dict[str, Any]:
        """As the file has it."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Laws":
        """From what `as_json` gave, after JSON."""
        found = {field.name: values[field.name] for field in fields(cls)}
        plain: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return cls(**plain)


def memory_terms(at: Point) -> list[float]:
    """What bytes are a sum of: one fixed, three that grow with the pictures, two for ranks beyond `RANK`."""
    more = at.rank - RANK
    return [1, at.batch, at.batch * at.cells, at.batch * at.text, more, more * at.batch * (at.cells + at.text)]


def work_terms(at: Point) -> list[float]:
    """What operations are a sum of, all per picture: products of cells and tokens are attention's."""
    c, t = at.cells, at.text
    return [at.batch * term for term in (1, c, t, c * c, c * t, t * t, (at.rank - RANK) * (c + t))]


def bytes_at(law: Sequence[float], at: Point) -> float:
    """Bytes by a law of memory."""
    return sum(a * b for a, b in zip(law, memory_terms(at), strict=True))


def operations_at(law: Sequence[float], at: Point) -> float:
    """Operations by a law of work."""
    return sum(a * b for a, b in zip(law, work_terms(at), strict=True))


Counts = Sequence[tuple[Point, Any]]


def fit(*, kept: Counts, recomputed: Counts, wide: Counts, drawn: Counts, again: float) -> Laws:
    """The laws nearest to counts, by least squares of relative errors; `again` is as in `Laws`."""
    import numpy as np  # to read a law none is needed

    worst: list[float] = []

    def law(counts: Counts, what: str) -> tuple[float, ...]:
        terms = work_terms if what == "operations" else memory_terms
        rows = np.array([terms(at) for at, _ in counts], float)
        values = np.array([getattr(found, what) for _, found in counts], float)
        scale = np.abs(rows).max(0) + (np.abs(rows).max(0) == 0)
        solved = np.linalg.lstsq(rows / scale / values[:, None], np.ones(len(values)), rcond=1e-12)[0] / scale
        worst.append(float(np.abs(rows @ solved / values - 1).max()))
        return tuple(float(f"{value:.9g}") for value in solved)

    first = kept[0][1]
    return Laws(
        kept=law(kept, "peak"),
        recomputed=law(recomputed, "peak"),
        wide=law(wide, "peak"),
        drawn=law(drawn, "peak"),
        saved=law(kept, "saved"),
        saved_recomputed=law(recomputed, "saved"),
        work=law(kept, "operations"),
        work_drawn=law(drawn, "operations"),
        again=round(again, 4),
        parameters=first.parameters,
        adapter=first.adapter // kept[0][0].rank,
        misfit=round(max(worst), 6),
    )
