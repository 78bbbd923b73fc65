"""Cells that may be chosen: checkpoints at strengths and guidances, with what is known of each; and the verdict."""

from dataclasses import dataclass
from typing import Literal

from portraitist.judge.gates import Gate
from portraitist.judge.scorecard import Scorecard
from portraitist.judge.surface import Place, named, place

Prefer = Literal["likeness", "freedom"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell, with its gates.

    likeness  as all cells together tell it (judge/surface.py), by the measure `by`
    freedom   against the base's, 1 (judge/front.py); None where nothing of it was measured
    cost      what has been taken off likeness for strain; None where strain does not count
    """

    card: Scorecard
    gates: tuple[Gate, ...]
    likeness: float = 0.0
    freedom: float | None = None
    by: str = "likeness"
    cost: float | None = None

    @property
    def passed(self) -> bool:
        """Whether it keeps to every limit."""
        return all(gate.passed for gate in self.gates)

    @property
    def bearable(self) -> bool:
        """Whether it keeps to every limit of what it may cost."""
        return all(gate.passed for gate in self.gates if gate.costs)

    @property
    def too_dear(self) -> bool:
        """Whether it evidently breaks one of those."""
        return any(gate.broken for gate in self.gates if gate.costs)

    @property
    def over(self) -> float:
        """How far beyond its limits in all."""
        return sum(gate.over for gate in self.gates)

    @property
    def place(self) -> Place:
        """Step, strength and guidance: what near-ties go by."""
        return place(self.card)

    @property
    def unstrained(self) -> float:
        """Likeness with nothing taken off."""
        return self.likeness + (self.cost or 0.0)

    @property
    def less(self) -> str:
        """What stands behind the name of the measure that tells likeness, in words."""
        return "" if self.cost is None else " less strain"

    @property
    def faults(self) -> str:
        """What it is out for, in words."""
        return "; ".join(gate.says for gate in self.gates if not gate.passed)

    def mean(self, measure: str) -> float:
        """The mean of a measure on its own pictures; 0 when it was not taken."""
        found = self.card.scores.get(measure)
        return found.mean if found else 0.0

    def __str__(self) -> str:
        return named(self.place)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chosen and why.

    second  the best of the others
    ties    near-tied with the chosen, by size and by chance
    front   what nothing that passes beats in likeness and freedom at once, likest first
    passing all that may be chosen, `chosen` among them; none where nothing passes
    unsure  all that pass and whose likeness differs from the chosen's by no more than chance, however much it is
    """

    chosen: Candidate
    second: Candidate | None
    ties: tuple[Candidate, ...]
    base: Scorecard
    why: str
    front: tuple[Candidate, ...] = ()
    unsure: tuple[Candidate, ...] = ()
    passing: tuple[Candidate, ...] = ()
