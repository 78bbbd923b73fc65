"""What a measure is: its record, the character's case it is set up by, and the pictures it is taken on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np

from portraitist.audit.content import Sights

if TYPE_CHECKING:
    from torch import Tensor

    from portraitist.family import PromptSpec
    from portraitist.judge.measuring.references import References
    from portraitist.judge.shot import Shot
    from portraitist.sight.eyes import Eyes, Looks

    Surprise = Callable[[Shot, np.ndarray], float]
    """Log of the base's own denoising loss on a picture (H, W, 3) uint8 of a shot."""

BATCH = 16

T = TypeVar("T")
S = TypeVar("S", bound="Taken")


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that is measured on a picture, on a set of pictures, or on a checkpoint.

    title   what people call it
    says    the definition in a sentence
    range   (least, most) it takes in practice; values beyond are possible where the definition allows
    better  which end is the good one
    blind   what it does not see, and what fools it
    source  where the definition comes from: a paper, a guide, or ours
    """

    name: str
    title: str
    says: str
    range: tuple[float, float]
    better: Literal["high", "low"]
    blind: str
    source: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures that are measured together, aligned with what they were drawn from.

    shots     prompts with what they ask for, and seeds
    pictures  pixels (H, W, 3) uint8, all of one size
    base      what the base drew from the same shots; of the base its own pictures
    alone     of pictures that were drawn beside a second LoRA: the same without it
    """

    shots: Sequence[Shot]
    pictures: Sequence[np.ndarray]
    base: Sequence[np.ndarray]
    alone: Pictures | None = None
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def prompts(self) -> list[PromptSpec]:
        """The shots' prompts."""
        return [shot.prompt for shot in self.shots]

    @property
    def of_base(self) -> Pictures:
        """The base's pictures, to be measured likewise."""
        return self.once("base", lambda: Pictures(self.shots, self.base, self.base))

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What several measures need of these pictures, such as embeddings: made by the first that asks."""
        return shelved(self.kept, name, make)

    def value(self, taken: Taken) -> np.ndarray:
        """(N,) of a measure, taken once."""
        return self.once(taken.about.name, lambda: taken(self))


@dataclass(frozen=True, slots=True)
class Case:
    """One character as measures are set up by it.

    base     the base's pictures of the prompts that choose: the zero line
    looks    the family's eyes, or the plain ones
    kinds    known values of each kind of attribute: what an asked one is held against
    changed  the same of what restyled pictures ask for
    trigger  the character's word; noun: what eyes are told in its place
    sights   models on this machine that look at pictures too: faces, whole pictures, poses; "" where there is none
    lacking  framings asked for that no picture of the character has
    surprise  the base as a judge of pictures; None where it is not at hand
    notes    what could not be taken or is not to be trusted, in sentences: measures add to them while they are set up
    """

    references: References
    base: Pictures
    looks: Looks
    kinds: Mapping[str, Sequence[str]]
    trigger: str
    noun: str
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sights: Sights = field(default_factory=Sights)
    lacking: Collection[str] = ()
    surprise: Surprise | None = None
    notes: list[str] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What several measures need of this case: made by the first that asks."""
        return shelved(self.kept, name, make)

    def taken(self, kind: type[S]) -> S | None:
        """A measure set up for this case, once: what others are made of."""
        return self.once(kind.about.name, lambda: kind.of(self))


def shelved(shelf: dict[str, Any], name: str, make: Callable[[], T]) -> T:
    """A value from a shelf, put there where it is not."""
    if name not in shelf:
        shelf[name] = make()
    found: T = shelf[name]
    return found


class Taken(Protocol):
    """A measure set up for one character."""

    about: ClassVar[Measure]

    @classmethod
    def of(cls, case: Case) -> Self | None:
        """Set up; None where it cannot be taken for this character (why stands in the case's notes)."""
        ...

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) its value on each picture; nan where it does not apply."""
        ...


def embedded(eye: Callable[[Tensor], Tensor], pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Embeddings (N, d) float64 of pictures (H, W, 3) uint8 by an eye that takes (B, 3, H, W) in [-1, 1], some at a
    time."""
    import torch

    rows = []
    with torch.no_grad():
        for at in range(0, len(pictures), BATCH):
            pixels = np.stack(pictures[at : at + BATCH])
            rows.append(eye(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1).double().cpu().numpy())
    return np.concatenate(rows)


def known_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """The mean along an axis of what is known: nan is left out, and stays where there is nothing else."""
    there = np.isfinite(values)
    total = np.where(there, values, 0).sum(axis)
    return np.asarray(np.where(there.any(axis), total / np.maximum(there.sum(axis), 1), np.nan))


def content(eyes: Eyes, drawn: Pictures) -> np.ndarray:
    """Drawn pictures as eyes that read see them, (N, d) float64: once for all measures that read."""
    return drawn.once("content", lambda: embedded(eyes.content, drawn.pictures))
