"""The gates: what no longer does what is asked, copies, burns colours or is no more like the character than the base.

What a gate holds against a limit is the mean; how certain that is, its interval says. Agreement is out of bounds only
where it is no chance that any of it was lost: on a dozen pictures a mean alone goes beyond the limit too easily, and
weaker LoRAs would be taken for it (benchmarks/demo.md). Pure; no torch.
"""

from dataclasses import dataclass

from portraitist.judge.measures import READABLE, difference
from portraitist.judge.scorecard import Score, Scorecard

COPIES = 0.5
"""Most copying: half the way from the character's own other pictures to a training picture itself. Judged."""

HEEDS = 0.15
"""Most of what it heeds the less than the base of asks beyond the captions, as a share. Measured: runs of forty
pictures lose nothing, of a dozen in one place up to a third (benchmarks/chooser.md), which this limit was set by."""

BURNS = 8.0
"""Most saturation beyond the base's own, Lab units. Judged: about the difference of a vivid from a plain print."""

EXCESS = 2.0
"""Times the limit: beyond it chance excuses nothing. Prompts lose so unevenly that on ten of them even a loss three
times the limit is not evident (narrow data, benchmarks/chooser.md)."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: `value` (low to high) may be at most `limit`; over is by how much of its scale it fails.

    evident  it is not broken either while `low` is no more than this, and the mean no more than EXCESS times the limit
    costs    whether it is of what a LoRA costs, which grows with its steps and its strength; likeness grows as well
    """

    name: str
    value: float
    low: float
    high: float
    limit: float
    says: str
    scale: float = 1.0
    evident: float = float("-inf")
    costs: bool = True

    @property
    def passed(self) -> bool:
        """Whether the mean keeps to the limit, or what goes beyond it is not evident."""
        return self.value <= self.limit or (self.low <= self.evident and self.value <= EXCESS * self.limit)

    @property
    def certain(self) -> bool:
        """Whether the whole interval is on the mean's side of the limit."""
        return self.high <= self.limit or self.low > self.limit

    @property
    def broken(self) -> bool:
        """Whether it is broken, and no chance: the whole interval lies beyond half the limit."""
        return not self.passed and self.low > self.limit / 2

    @property
    def over(self) -> float:
        """How far beyond the limit, in units that compare between gates; 0 when passed."""
        return 0.0 if self.passed else (self.value - self.limit) / self.scale


def gates(card: Scorecard, base: Scorecard, max_drop: float) -> tuple[Gate, ...]:
    """The conditions on one card; those whose measure could not be taken are left out.

    A card that all cells together have told (`surface.pooled`) is held to them with the power of all.

    Agreement is held to the base's, or to what can be read of the character's own pictures where that is less: a LoRA
    that draws like them would else seem to lose what the base's plainer pictures show.
    """
    found = []

    def condition(name: str, got: Score, limit: float, says: str, scale: float, evident: float = float("-inf")) -> None:
        if got.count:
            found.append(Gate(name, got.mean, got.low, got.high, limit, says, scale, evident, name != "identity"))

    lost = negative(difference(card, base, "agreement"))
    less = beyond(base)
    drop = Score(lost.mean - less, lost.low - less, lost.high - less, lost.count)
    against = "what is read of its own pictures" if less else "the base"
    condition("agreement", drop, max_drop, f"prompt agreement falls by {drop.mean:.2f} against {against}", 0.1, 0.0)
    unheeded = negative(difference(card, base, "obedience"))
    condition("obedience", unheeded, HEEDS, f"it heeds {unheeded.mean:.0%} less of what no caption asks", 0.2)
    worse = negative(difference(card, base, "identity"))
    condition("identity", worse, 0.0, "it is no more like the character than the base", 0.5)
    copying = card.scores.get("copying", Score(0, 0, 0, 0))
    condition("copying", copying, COPIES, f"it copies training pictures ({copying.mean:.2f})", 0.5)
    burnt = difference(card, base, "saturation")
    condition("saturation", burnt, BURNS, f"its colours leave the references' range by {burnt.mean:.0f} Lab units", 10)
    return tuple(found)


def beyond(base: Scorecard) -> float:
    """By how much the base agrees with its prompts more than the character's own pictures are read to agree."""
    both = [
        (d.scores["agreement"], d.scores[READABLE]) for d in base.pictures if {"agreement", READABLE} <= {*d.scores}
    ]
    return max(0.0, sum(own - readable for own, readable in both) / len(both)) if both else 0.0


def negative(found: Score) -> Score:
    """A score's negative."""
    return Score(-found.mean, -found.high, -found.low, found.count)
