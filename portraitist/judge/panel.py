"""The panel: every measure, set up for one character by its references and by what the base draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from portraitist.judge.measures import TAKEN
from portraitist.judge.measuring.definition import Case, Pictures, Taken


@dataclass(frozen=True, slots=True)
class Panel:
    """The measures that can be taken of a character, each on the scale that its own file defines.

    notes  what cannot be taken of it, or not be trusted, in sentences
    """

    taken: tuple[Taken, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, case: Case, kinds: Sequence[type[Taken]] = TAKEN) -> "Panel":
        """Set up by a character's case; measures that cannot be taken of it are left out."""
        found = [case.taken(kind) for kind in kinds]
        return cls(tuple(taken for taken in found if taken is not None), tuple(case.notes))

    def measure(self, drawn: Pictures) -> list[dict[str, float]]:
        """The values of each picture by measure; what cannot be measured on a picture is absent."""
        columns = {taken.about.name: drawn.value(taken) for taken in self.taken}
        return [
            {name: round(float(column[i]), 6) for name, column in columns.items() if np.isfinite(column[i])}
            for i in range(len(drawn.pictures))
        ]
