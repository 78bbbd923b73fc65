"""Leak: whether the character comes where nobody called it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.definition import Case, Measure, Pictures, known_mean
from portraitist.judge.measuring.likeness import Likeness

LEAST = 0.1
"""Least likeness gained that leaks are told as shares of: less is hardly a character."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Likeness that unnamed pictures have gained."""

    about: ClassVar[Measure] = Measure(
        "leak",
        "Leak",
        "Likeness gained by pictures whose prompt has the noun in the trigger's place, against the base's from the "
        "same noise, as a share of what the pictures with the trigger have gained: 0 is the base, 1 is as like the "
        "character as when it is named.",
        (0, 1),
        "low",
        "It sees what likeness sees. A base that draws something like the character by itself leaves little to gain, "
        "and one picture's share says little: four are the least.",
        "SceneWorks' and PortOS' control pictures without the trigger; the scale is ours.",
    )
    likeness: Likeness

    @classmethod
    def of(cls, case: Case) -> "Leak | None":
        """Where likeness can be taken."""
        found = case.taken(Likeness)
        return cls(found) if found else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [0, 1]; nan for pictures of another purpose, and where no picture is named."""
        gained = drawn.value(self.likeness) - drawn.of_base.value(self.likeness)
        return shared(drawn, gained, LEAST)


def shared(drawn: Pictures, changes: np.ndarray, least: float) -> np.ndarray:
    """Changes (N,) of the unnamed pictures over the mean change of the named ones, which counts as at least `least`."""
    unnamed = np.asarray([shot.purpose == "unnamed" for shot in drawn.shots])
    twins = {(shot.twin, shot.seed) for shot in drawn.shots if shot.purpose == "unnamed"}
    named = [shot.purpose == "named" and (shot.noise, shot.seed) in twins for shot in drawn.shots]
    if not any(named):
        return np.full(len(drawn.shots), np.nan)
    return np.where(unnamed, changes / np.maximum(known_mean(changes[named]), least), np.nan)
