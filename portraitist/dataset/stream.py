"""Which samples a step sees, as a pure function of (seed, step): a stream has no position to save.

A pass shows each sample exactly `weight` times. Within a pass the samples of one shape are shuffled and cut into
chunks of the global batch, and the chunks shuffled, so that a step is of one shape wherever that is possible; what
is left over of every shape comes at the pass's two ends, where it completes the steps that lie across passes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import torch

from portraitist.dataset.draws import generator
from portraitist.errors import PortraitistError
from portraitist.family import Batch, Sample, collate
from portraitist.recipe import Recipe
from portraitist.sections import Stage

if TYPE_CHECKING:
    from portraitist.family import Conditions


@dataclass(frozen=True, eq=False)
class Stream:
    """Batches of a set of samples.

    samples   at least one
    batch     most pictures per micro-batch
    per_step  pictures per optimiser step: the global batch
    dropout   share of exposures that take the empty caption, in [0, 1]
    first     the step at which this stream begins: its passes count from there
    """

    samples: Sequence[Sample]
    seed: int
    batch: int
    per_step: int
    dropout: float = 0.0
    first: int = 0

    @property
    def exposures(self) -> int:
        """Pictures seen per pass."""
        return sum(sample.weight for sample in self.samples)

    def numbers(self, step: int) -> list[int]:
        """Positions in `samples` of the pictures of a step, in order: `per_step` of them."""
        start = (step - self.first) * self.per_step
        found: list[int] = []
        while len(found) < self.per_step:
            turn, place = divmod(start + len(found), self.exposures)
            found += order(self, turn)[place : place + self.per_step - len(found)]
        return found

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of optimiser step `step` (from 0): one shape each, at most `batch` pictures."""
        groups: dict[Hashable, list[tuple[int, Sample]]] = {}
        for place, number in enumerate(self.numbers(step)):
            sample = self.samples[number]
            groups.setdefault(shape(sample), []).append((step * self.per_step + place, sample))
        return [
            self.batched(group[at : at + self.batch])
            for group in groups.values()
            for at in range(0, len(group), self.batch)
        ]

    def batched(self, group: Sequence[tuple[int, Sample]]) -> Batch:
        """The batch of exposures of one shape, and with it the same ones as the noun tells them."""
        batch = stack([(i, sample, self.caption(sample, i)) for i, sample in group])
        told = [(i, sample, sample.nouns[self.variant(sample, i)]) for i, sample in group if sample.nouns]
        nouns = [(i, sample, conditions) for i, sample, conditions in told if conditions is not None]
        return replace(batch, nouns=stack(nouns)) if nouns else batch

    def caption(self, sample: Sample, index: int) -> Conditions:
        """The conditions an exposure takes: one of its caption variants, or now and then the empty caption."""
        if self.dropout > 0 and torch.rand((), generator=generator(self.seed, "dropout", index)) < self.dropout:
            return sample.empty
        return sample.captions[self.variant(sample, index)]

    def variant(self, sample: Sample, index: int) -> int:
        """Which of its caption variants an exposure takes."""
        draw = generator(self.seed, "caption", index)
        return int(torch.randint(len(sample.captions), (), generator=draw))


@lru_cache(maxsize=8)
def order(stream: Stream, turn: int) -> list[int]:
    """Positions of all exposures of pass `turn` (from 0), aligned so that whole chunks fall on whole steps."""
    size, first = stream.per_step, stream.first

    def shuffled(items: list[list[int]], purpose: str) -> list[list[int]]:
        draw = generator(stream.seed, f"order {first} {purpose}", turn)
        return [items[i] for i in torch.randperm(len(items), generator=draw).tolist()]

    shapes: dict[Hashable, list[list[int]]] = {}
    for number, sample in enumerate(stream.samples):
        shapes.setdefault(shape(sample), []).extend([[number]] * sample.weight)
    chunks: list[list[int]] = []
    rests: list[list[int]] = []
    for i, members in enumerate(shapes.values()):
        flat = [number for one in shuffled(members, f"shape {i}") for number in one]
        whole = len(flat) - len(flat) % size
        chunks += [flat[at : at + size] for at in range(0, whole, size)]
        rests.append(flat[whole:])
    chunks = shuffled(chunks, "chunks")
    rest = [number for one in shuffled(rests, "rests") for number in one]
    head = -turn * stream.exposures % size  # exposures that the last step of the pass before still lacks
    if len(rest) < head and chunks:
        rest += chunks.pop()
    return rest[:head] + [number for chunk in chunks for number in chunk] + rest[head:]


def shape(sample: Sample) -> Hashable:
    """What samples must agree in to be stacked: the shapes of their latents and references."""
    return (tuple(sample.latents.shape), *(tuple(r.shape) for r in sample.references))


def stack(chosen: Sequence[tuple[int, Sample, Conditions]]) -> Batch:
    """A batch of (global sample index, sample, conditions) of one shape.

    Latents of references join the conditions as `reference_0`, `reference_1`, … (B, C, h', w').
    """
    samples = [sample for _, sample, _ in chosen]
    given = collate([conditions for _, _, conditions in chosen])
    for number in range(len(samples[0].references)):
        given[f"reference_{number}"] = torch.stack([s.references[number] for s in samples])
    return Batch(
        latents=torch.stack([s.latents for s in samples]).float(),
        given=given,
        mask=torch.stack(
            [s.mask.float() if s.mask is not None else torch.ones_like(s.latents[:1]).float() for s in samples]
        ),
        weight=torch.tensor([s.loss_weight for s in samples], dtype=torch.float32),
        index=tuple(index for index, _, _ in chosen),
        keys=tuple(s.key for s in samples),
    )


@dataclass(frozen=True, eq=False)
class Course:
    """The stages of a recipe, one stream after another. Past its end the last stage goes on."""

    stages: tuple[Stage, ...]
    streams: tuple[Stream, ...]

    def stage(self, step: int) -> int:
        """The number of the stage that optimiser step `step` (from 0) belongs to."""
        return max(i for i, stream in enumerate(self.streams) if stream.first <= step)

    def step(self, step: int) -> list[Batch]:
        """The micro-batches of optimiser step `step`."""
        return self.streams[self.stage(step)].step(step)

    def factor(self, step: int) -> float:
        """The stage's factor on the learning rate."""
        return self.stages[self.stage(step)].rate


def course(samples: Sequence[Sample], recipe: Recipe) -> Course:
    """The recipe's stages over `samples`.

    Raises PortraitistError when there are no samples, and when a stage names a set that none is of.
    """
    if not samples:
        raise PortraitistError(
            "There is no picture to train on: all are held out, or none was encoded",
            "Add pictures, or lower data.held_out, then run encode again.",
        )
    streams, first = [], 0
    known = sorted({plain(s.set) for s in samples})
    for stage in recipe.stages:
        wanted = {plain(name) for name in stage.sets}
        if missing := sorted(wanted - set(known)):
            raise PortraitistError(
                f"Stage {stage.name!r} asks for the set {missing[0]!r}, and no training picture is of it",
                f"Sets with pictures: {', '.join(repr(name) for name in known)}.",
            )
        chosen = [s for s in samples if not wanted or plain(s.set) in wanted]
        streams.append(
            Stream(
                chosen,
                recipe.training.seed,
                recipe.training.batch,
                recipe.pictures_per_step,
                recipe.data.dropout,
                first,
            )
        )
        first += stage.steps
    return Course(recipe.stages, tuple(streams))


def plain(name: str) -> str:
    """A set's name without its weight prefix: `40_maya` is `maya`."""
    return re.sub(r"^\d+_", "", name)


class Weighed(Protocol):
    """A sample as the cache's listing knows it."""

    @property
    def key(self) -> str:
        """Digest of its content."""
        ...

    @property
    def set(self) -> str:
        """The folder its picture lies in."""
        ...

    @property
    def weight(self) -> int:
        """Exposures per pass."""
        ...

    @property
    def loss_weight(self) -> float:
        """Factor on its loss."""
        ...

    @property
    def nouns(self) -> Sequence[str]:
        """Digests of its captions as the noun tells them."""
        ...


def digest(samples: Sequence[Weighed]) -> str:
    """SHA-256 over what a stream depends on: content, set and weights of its samples, in order."""
    facts = [[s.key, plain(s.set), s.weight, s.loss_weight, *([list(s.nouns)] if s.nouns else [])] for s in samples]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
