"""What tells likeness on some cells, how like each is by it, and by how much two differ.

It is one measure, and less strain where the character's pictures lack framings that are asked for: of those no
reference tells anything, and figures that fall apart there would count for nothing (benchmarks/chooser.md). Pure.
"""

from collections.abc import Sequence
from math import hypot

from portraitist.judge.measures import difference
from portraitist.judge.scorecard import Score, Scorecard
from portraitist.judge.surface import Fit, Place, Surface, place

TELLS = ("portrayal", "likeness")
"""What tells likeness: the first of these that every cell has on FEWEST pictures, else the last."""

FEWEST = 4
"""Pictures of each cell on which a measure must have been taken to count."""

DRIVEN = ("portrayal",)
"""Measures that see a LoRA overdriven: the others rise with every strength, also where the truth has fallen."""

STRAIN, PRICE = "strain", 0.2
"""What a unit of strain costs of likeness. On mini prices from 0.1 to 0.2 choose alike, and larger ones worse
(benchmarks/chooser.md)."""


def deciding(cards: Sequence[Scorecard], among: Sequence[str] = TELLS) -> str:
    """The measure that tells likeness on these cards."""
    return next((by for by in among if known(cards, by)), among[-1])


def known(cards: Sequence[Scorecard], measure: str) -> bool:
    """Whether every card has a measure on pictures enough."""
    nothing = Score(0.0, 0.0, 0.0, 0)
    return all(card.scores.get(measure, nothing).count >= FEWEST for card in cards)


def levels(cards: Sequence[Scorecard], by: str, fit: Fit) -> dict[Place, tuple[float, float | None]]:
    """How like each cell is, as all of them together tell it, and what has been taken off for strain; None where strain
    does not count, for want of pictures in any of them."""
    surface = Surface.of(cards, by, fit, slopes=True)
    if not known(cards, STRAIN):
        return {place(card): (surface.mean(place(card)), None) for card in cards}
    strain = Surface.of(cards, STRAIN, fit, slopes=True)
    costs = {place(card): PRICE * strain.mean(place(card)) for card in cards}
    return {at: (surface.mean(at) - cost, cost) for at, cost in costs.items()}


def apart(one: Scorecard, other: Scorecard, by: str, strained: bool) -> Score:
    """One cell's likeness minus another's, over pictures of equal prompt and seed; count 0 when they share none.

    strained  whether strain counts: it does for two cells where it does for all that are weighed
    """
    found = difference(one, other, by)
    return less(found, difference(one, other, STRAIN)) if strained else found


def less(gained: Score, strain: Score) -> Score:
    """A gain in likeness, less what it costs in strain, as if the chance of one were none of the other's: they are of
    other pictures, but for likeness without portrayal, where the interval is somewhat too wide or too narrow."""
    mean = gained.mean - PRICE * strain.mean
    down = hypot(gained.mean - gained.low, PRICE * (strain.high - strain.mean))
    up = hypot(gained.high - gained.mean, PRICE * (strain.mean - strain.low))
    return Score(mean, mean - down, mean + up, gained.count)
