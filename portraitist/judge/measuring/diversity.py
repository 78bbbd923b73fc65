"""Diversity: whether one prompt still gives different pictures from different seeds."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures, embedded
from portraitist.sight.eyes import Eyes, Looks

LEAST = 1e-4
"""Least spread of the base's own, as one minus a cosine, that another is told by."""


@dataclass(frozen=True, slots=True)
class Diversity:
    """The spread over seeds within each prompt, the base's own being 1."""

    about: ClassVar[Measure] = Measure(
        "diversity",
        "Diversity",
        "One minus the cosine of a picture with the other seeds' pictures of its prompt, in the eyes' space of "
        "contents (that of looks for eyes that do not read), over the mean of the same in the base's pictures: 1 is "
        "as different as the base's own are, 0 is always the same picture.",
        (0, 1.5),
        "high",
        "A character that is always itself is less various than strangers are, and rightly: read it as an alarm below "
        "about 0.8 of what a healthy checkpoint has. With two seeds a prompt it is coarse.",
        "Same-prompt spread, as in DreamBooth's DIV (arXiv 2208.12242), there by LPIPS.",
    )
    looks: Looks

    @classmethod
    def of(cls, case: Case) -> "Diversity":
        """For every character."""
        return cls(case.looks)

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,) from 0; nan for unnamed, reworded and restyled pictures, and for prompts of a single seed."""
        usual = np.nanmean(found) if np.isfinite(found := self.spread(drawn.of_base)).any() else np.nan
        return self.spread(drawn) / usual if usual > LEAST else np.full(len(drawn.shots), np.nan)

    def spread(self, drawn: Pictures) -> np.ndarray:
        """(N,) the mean of one minus the cosine with each other seed of the prompt; nan without one."""
        eye, name = (self.looks.content, "content") if isinstance(self.looks, Eyes) else (self.looks.pictures, "looks")
        rows = drawn.once(name, lambda: embedded(eye, drawn.pictures))
        apart = np.where(siblings(drawn), 1 - rows @ rows.T, np.nan)
        return np.asarray([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in apart])


def siblings(drawn: Pictures) -> np.ndarray:
    """(N, N) whether two pictures are of one prompt and of different seeds, both named."""
    named = [(shot.prompt.text, shot.seed) if shot.purpose == "named" else None for shot in drawn.shots]
    return np.asarray([[bool(a and b and a[0] == b[0] and a[1] != b[1]) for b in named] for a in named])
