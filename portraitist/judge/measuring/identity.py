"""Identity: how near a picture is to the character's own in the eyes' identity space. Learned."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures, embedded

NEAREST = 5
"""References that a picture is compared with: a mean over the best few, so that one odd reference decides nothing."""


def closeness(found: np.ndarray, references: np.ndarray, *, themselves: bool = False) -> np.ndarray:
    """Mean cosine of each unit vector (N, d) with its nearest references (M, d); (N,).

    themselves  `found` are the references: none is compared with itself
    """
    cosines = found @ references.T
    if themselves:
        np.fill_diagonal(cosines, -np.inf)
    count = min(NEAREST, len(references) - themselves)
    return np.sort(cosines, axis=1)[:, -count:].mean(1) if count > 0 else np.ones(len(found))


@dataclass(frozen=True, slots=True)
class Scale:
    """The identity scale of one character: 0 is the base on the same prompts, 1 the references among themselves."""

    references: np.ndarray
    floor: float
    ceiling: float

    @classmethod
    def of(cls, references: np.ndarray, base: np.ndarray) -> "Scale":
        """From unit embeddings of the references (M, d) and of the base's pictures (N, d).

        Where the base is as close as the references are to each other there is no scale; the eyes then see no
        difference, and one hundredth of a cosine is taken for the whole range.
        """
        floor = float(closeness(base, references).mean())
        ceiling = float(closeness(references, references, themselves=True).mean())
        return cls(references, floor, max(ceiling, floor + 0.01))

    def __call__(self, found: np.ndarray) -> np.ndarray:
        """Identity of pictures by their embeddings (N, d): (N,), usually in [0, 1]."""
        return np.asarray((closeness(found, self.references) - self.floor) / (self.ceiling - self.floor))


@dataclass(frozen=True, slots=True)
class Identity:
    """The family's eyes, with their scale of this character."""

    about: ClassVar[Measure] = Measure(
        "identity",
        "Identity",
        "Closeness of a picture to the five nearest reference pictures in the eyes' identity space, on a scale "
        "where 0 is what the base draws for the same prompts and 1 is what the references have to each other.",
        (0, 1),
        "high",
        "It is learned: it sees only what its eyes were taught, and a copy of a training picture scores highest "
        "(copying is there for that). It says nothing about the rest of the picture.",
        "Ours; cosines to references as DINO-I and CLIP-I (DreamBooth, arXiv 2208.12242).",
    )
    case: Case
    scale: Scale

    @classmethod
    def of(cls, case: Case) -> "Identity":
        """By what the eyes see in the references and in the base's pictures."""
        shown = embedded(case.looks.pictures, case.references.shown)
        return cls(case, Scale.of(shown, embedded(case.looks.pictures, case.base.pictures)))

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [0, 1]."""
        return self.scale(embedded(self.case.looks.pictures, drawn.pictures))
