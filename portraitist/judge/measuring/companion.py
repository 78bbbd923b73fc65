"""Companion: whether the character holds beside a second LoRA, such as one of a style."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from portraitist.judge.measuring.agreement import Agreement
from portraitist.judge.measuring.definition import Case, Measure, Pictures
from portraitist.judge.measuring.likeness import Likeness


@dataclass(frozen=True, slots=True)
class Companion:
    """What of likeness and agreement is lost beside another LoRA."""

    about: ClassVar[Measure] = Measure(
        "companion",
        "Beside a second LoRA",
        "Likeness beside the second LoRA less that of the same picture without it, and agreement less the smaller of "
        "what either LoRA has alone; the mean of both: 0 loses nothing, -1 all.",
        (-1, 0.2),
        "high",
        "A style that draws another way is less like the references and rightly so: compare checkpoints and strengths "
        "by it, beside one second LoRA.",
        "G4 (style 0.6 to 0.8 beside character 0.8 to 1.0); the scale is ours.",
    )
    likeness: Likeness
    agreement: Agreement | None

    @classmethod
    def of(cls, case: Case) -> "Companion | None":
        """Where likeness can be taken."""
        found = case.taken(Likeness)
        return cls(found, case.taken(Agreement)) if found else None

    def __call__(self, drawn: Pictures) -> np.ndarray:
        """(N,), usually in [-1, 0]; nan for pictures that were not drawn beside a second LoRA."""
        alone = drawn.alone
        if alone is None:
            return np.full(len(drawn.shots), np.nan)
        lost = drawn.value(self.likeness) - alone.value(self.likeness)
        if self.agreement is None:
            return np.asarray(lost)
        either = np.fmin(alone.value(self.agreement), drawn.of_base.value(self.agreement))
        apart = drawn.value(self.agreement) - either
        return np.asarray(np.where(np.isfinite(apart), (lost + apart) / 2, lost))
