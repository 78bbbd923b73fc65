"""Tuned minus base, in low rank: the best LoRA of what fine-tuning changed, layer by layer, each with its true error.

Both models are read tensor by tensor, and layers are factored side by side by threads that have one core each: one
layer's algebra over several cores is slower. What no factors hold - biases, norms - goes along as it is, if asked for.
Held to torch's SVD by tests/integration/test_extract.py.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from portraitist.adapters import factoring, ranks
from portraitist.adapters.factoring import Method, Room
from portraitist.adapters.layered import CHECKED, Layer, Row, mean, number, settled, worthless
from portraitist.adapters.ranks import Ranks
from portraitist.errors import PortraitistError

AHEAD = 4
"""Parameters that wait for each worker."""

PIECE = 1 << 18
"""Numbers that are subtracted at a time: a megabyte, which a core keeps at hand."""


class Source(Protocol):
    """A model's parameters by name, read when they are asked for."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every parameter."""
        ...

    def take(self, name: str) -> Tensor:
        """One of them."""
        ...

    def pieces(self, name: str, numbers: int, room: Room) -> Iterator[Tensor]:
        """One of them, flat, so many numbers at a time; they may lie in the room, each in place of the last."""
        ...


@dataclass(frozen=True, eq=False)
class Held:
    """Parameters that are at hand."""

    tensors: Mapping[str, Tensor]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every parameter."""
        return {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}

    def take(self, name: str) -> Tensor:
        """One of them."""
        return self.tensors[name].detach()

    def pieces(self, name: str, numbers: int, room: Room) -> Iterator[Tensor]:
        """One of them, flat, so many numbers at a time."""
        yield from torch.split(self.take(name).reshape(-1), numbers)


@dataclass(frozen=True, eq=False)
class Part:
    """One part of two models: a denoiser, or a text encoder.

    layers  the modules that take factors, by the shapes of their weights
    before  what stands before a module's name in the adapter
    whole   parameters whose differences are carried as they are, such as biases and norms
    """

    tuned: Source
    base: Source
    layers: Mapping[str, tuple[int, ...]]
    before: str = ""
    whole: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Kohya:
    """What sd-scripts does beside: a clamp of the factors, and the difference from which on text encoders count."""

    clamp: float = 0.99
    least: float = 0.01


@dataclass(frozen=True, slots=True)
class Asked:
    """How it is done.

    dtype    of the factors
    workers  threads side by side
    """

    ranks: Ranks
    method: Method = "auto"
    dtype: torch.dtype = torch.float32
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 1
    kohya: Kohya | None = None


@dataclass(frozen=True, slots=True)
class Extracted:
    """An adapter by canonical names, and how much of the change it holds.

    differences  what is carried as it is: `<module>.diff` of a weight, `<module>.diff_b` of a bias
    beside       energy of what the adapter holds nothing of: biases, norms, and layers that take no factors
    carried      energy of the differences
    capped       layers that did not reach the share asked for with the most ranks that they may have
    """

    tensors: Mapping[str, Tensor]
    layers: tuple[Layer, ...]
    beside: float
    differences: Mapping[str, Tensor] = field(default_factory=dict)
    carried: float = 0.0
    capped: int = 0

    @property
    def kept(self) -> float:
        """The share of all the change's energy that the adapter holds."""
        return 1 - (sum(layer.left for layer in self.layers) + self.beside) / self.energy

    @property
    def energy(self) -> float:
        """Of the whole change."""
        return sum(layer.energy for layer in self.layers) + self.beside + self.carried


def extract(parts: Sequence[Part], asked: Asked, tell: Callable[[str, int, int], None] | None = None) -> Extracted:
    """The LoRA that is nearest to what was changed.

    tell  is given each layer, how many are done, and of how many
    A layer that was not changed gets none. Raises PortraitistError for values that are not finite, and where nothing
    was changed.
    """
    found: dict[str, Row] = {}
    layers: dict[str, tuple[Part, str]] = {}
    differences: dict[str, Tensor] = {}
    beside = carried = 0.0
    work = Work(asked, min(CHECKED, max(1, sum(len(part.layers) for part in parts) // 4)))
    first = mean(parts[0].layers.values(), asked.ranks, asked.dtype)
    names = [(part, name, first) for part in parts for name in part.base.shapes]
    for i, (part, name, row, change) in enumerate(done(names, work)):
        if row is not None and row.energy > 0:
            found[row.module], layers[row.module] = row, (part, name)
        if change is not None:
            energy = factoring.squares(change.reshape(1, -1))
            refuse_wild(part.before + name, energy)
            if name in part.whole and energy > 0:
                differences[part.before + difference(name)] = change
                carried += energy
            else:
                beside += energy
        if tell is not None:
            tell(part.before + name, i + 1, len(names))
    if asked.ranks.size:
        widen(found, layers, work, len(names), tell)
    rows = list(found.values())
    if asked.kohya is not None:
        rows = counted(rows, parts, asked.kohya)
    if not rows:
        raise PortraitistError("The two models have the same layers: there is nothing to extract", "Name another one.")
    capped = sum(ranks.enough(r.sizes, r.energy, asked.ranks.energy) > len(r.sizes) for r in rows)
    taken = settled(rows, asked.ranks, asked.dtype, sum(tensor.nbytes for tensor in differences.values()))
    dropped = [row for row in rows if not taken[row.module]]
    tensors = {n: t for row in rows if taken[row.module] for n, t in row.tensors(taken[row.module]).items()}
    return Extracted(
        tensors,
        tuple(row.layer(taken[row.module]) for row in rows if taken[row.module]),
        beside + sum(row.energy for row in dropped),
        differences,
        carried,
        capped if asked.ranks.energy else 0,
    )


def widen(
    found: dict[str, Row],
    layers: Mapping[str, tuple[Part, str]],
    work: "Work",
    before: int,
    tell: Callable[[str, int, int], None] | None,
) -> None:
    """Find more ranks of the layers of which a file's size may have room for more than are known, until it has not.

    before  how many parameters have been told of
    """
    asked = work.asked.ranks
    while True:
        least = worthless(list(found.values()), asked, work.asked.dtype)
        short = [
            (*layers[module], 2 * len(row.sizes))
            for module, row in found.items()
            if len(row.sizes) < asked.of(row.shape) and row.worth(-1, work.asked.dtype) > least
        ]
        if not short:
            return
        for i, (part, name, row, _) in enumerate(done(short, work)):
            if row is not None:
                found[row.module] = row
            if tell is not None:
                tell(part.before + name, before + i + 1, before + len(short))
        before += len(short)


def counted(rows: list[Row], parts: Sequence[Part], kohya: Kohya) -> list[Row]:
    """The layers that sd-scripts keeps: of text encoders all, where any of them changed by more than the least."""
    prefixes = tuple(part.before for part in parts if part.before)
    encoders = [row for row in rows if prefixes and row.module.startswith(prefixes)]
    keep = any(row.peak > kohya.least for row in encoders)
    return rows if keep else [row for row in rows if row not in encoders]


def done(names: Sequence[tuple[Part, str, int]], work: "Work") -> Iterator[tuple[Part, str, Row | None, Tensor | None]]:
    """What becomes of parameters, in order, with so many ranks each; they are read and worked on side by side, few
    ahead of the rest."""
    waiting: deque[tuple[Part, str, Future[tuple[Row | None, Tensor | None]]]] = deque()
    with one_core_each(work.asked.workers) as pool:
        for part, name, rank in names:
            waiting.append((part, name, pool.submit(work, part, name, rank)))
            if len(waiting) > AHEAD * work.asked.workers:
                part, name, job = waiting.popleft()
                yield part, name, *job.result()
        while waiting:
            part, name, job = waiting.popleft()
            yield part, name, *job.result()


@contextmanager
def one_core_each(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose algebra takes one core each."""
    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class Work:
    """What is done with one parameter, by whichever thread; of so many layers one is `checked`."""

    asked: Asked
    checked: int
    own: threading.local = field(default_factory=threading.local)

    def __call__(self, part: Part, name: str, rank: int) -> tuple[Row | None, Tensor | None]:
        """A layer's factors of so many ranks at most, or the change itself of what takes none."""
        module = module_of(name)
        if not name.endswith(".weight") or module not in part.layers or name in part.whole:
            return None, part.tuned.take(name).float() - part.base.take(name).float()
        change = self.change(part, name)
        row = self.row(part.before + module, change, min(self.asked.ranks.of(change.shape), rank))
        refuse_wild(part.before + name, row.energy)
        return row, None

    def change(self, part: Part, name: str) -> Tensor:
        """Tuned minus base, in a place of this thread's own that the next call takes: fresh memory costs more than
        the subtraction. In float64 for the exact way."""
        device = self.asked.device
        if self.asked.method == "exact":
            return part.tuned.take(name).to(device).double() - part.base.take(name).to(device).double()
        shape = part.base.shapes[name]
        found, done = self.kept("room").take("change", prod(shape)), 0
        both = part.tuned, part.base
        pieces = (model.pieces(name, PIECE, self.kept(str(i))) for i, model in enumerate(both))
        for after, before in zip(*pieces, strict=True):
            piece = found[done : done + len(after)]
            piece.copy_(after)
            piece.sub_(self.kept("room").take("before", len(piece)).copy_(before))  # of one type: mixed ones go slowly
            done += len(after)
        return found.view(shape)

    def kept(self, name: str) -> Room:
        """This thread's own: `room` on the device, others on the CPU."""
        if not hasattr(self.own, name):
            setattr(self.own, name, Room(self.asked.device if name == "room" else None))
        found: Room = getattr(self.own, name)
        return found

    def row(self, module: str, change: Tensor, rank: int) -> Row:
        """The factors of one layer's change."""
        flat, shape, asked = change.flatten(1), tuple(change.shape), self.asked
        if asked.kohya is not None:
            return self.like_kohya(module, flat, shape, rank, asked.kohya)
        found = self.enough(flat, rank)
        up, down, lost = found.rounded(asked.dtype)
        checked = asked.method != "exact" and number(module) % self.checked == 0 and found.rank > 0
        best = factoring.optima(flat, found.rank).tolist() if checked else ()
        return Row(module, shape, found.energy, up.cpu(), down.cpu(), found.sizes.tolist(), lost.tolist(), best)

    def enough(self, flat: Tensor, most: int) -> factoring.Split:
        """The factors: of all ranks, or, where a share is asked for, of the fewest that hold it, at most `most`."""
        share = self.asked.ranks.energy
        rank = min(32, most) if share else most
        while True:
            found = factoring.split(flat, rank, self.asked.method, self.kept("room"))
            if not share or rank == most or ranks.enough(found.sizes.tolist(), found.energy, share) <= found.rank:
                break
            rank = min(2 * rank, most)
        if not share or not found.rank:
            return found
        kept = min(ranks.enough(found.sizes.tolist(), found.energy, share), found.rank)
        return factoring.Split(found.up[:, :kept], found.down[:kept], found.sizes[:kept], found.energy)

    def like_kohya(self, module: str, flat: Tensor, shape: tuple[int, ...], rank: int, kohya: Kohya) -> Row:
        """The same as sd-scripts would: their rank is no larger than a convolution's channels."""
        energy = factoring.squares(flat)
        if not math.isfinite(energy) or energy == 0:
            return Row(module, shape, energy, flat[:, :0], flat[:0], (), ())
        up, down = factoring.kohya(flat, min(rank, *shape[:2]), kohya.clamp)
        up, down = up.to(self.asked.dtype), down.to(self.asked.dtype)
        left, peak = factoring.missed(flat, up, down), float(flat.abs().max())
        return Row(module, shape, energy, up.cpu(), down.cpu(), (0.0,) * len(down), (), (), peak, left)


def module_of(name: str) -> str:
    """The module that a parameter is of."""
    return name.rpartition(".")[0]


def difference(name: str) -> str:
    """A parameter's name as a difference that is carried as it is."""
    module, _, leaf = name.rpartition(".")
    return f"{module}.{'diff_b' if leaf == 'bias' else 'diff'}"


def refuse_wild(name: str, energy: float) -> None:
    """Refuse a change that is not finite."""
    if not math.isfinite(energy):
        raise PortraitistError(f"{name} is not finite in one of the two models", "Take another checkpoint.")
