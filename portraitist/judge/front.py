"""Likeness against freedom: what each cell has of both, and which cells no other beats in the two at once. Pure."""

from collections.abc import Collection, Sequence

from portraitist.judge.measures import MEASURES
from portraitist.judge.scorecard import Scorecard
from portraitist.judge.surface import Fit, Place, Surface, place

LOSES = ("agreement", "obedience", "leak", "diversity", "copying", "bleed")
"""What a LoRA may cost the base's freedom: to draw what is asked, what is asked beyond the captions, others than the
character, one prompt in several ways, and scenes other than those trained on."""


def freedom(base: Scorecard, cards: Sequence[Scorecard], fit: Fit) -> dict[Place, float]:
    """How free each cell is, 1 as the base: one less the mean of what it loses of each part, on the measure's range.

    Only parts that were taken of every cell count, so that no cell is freer for not having been asked. Empty where
    none was.
    """
    parts = [part for part in LOSES if part in MEASURES and all(part in card.scores for card in cards)]
    lost = {place(card): 0.0 for card in cards}
    for part in parts:
        measure, levels = MEASURES[part], level(cards, part, fit)
        least, most = measure.range
        own = base.scores[part].mean if part in base.scores else measure.range[measure.better == "high"]
        sign = 1 if measure.better == "high" else -1
        for at, found in levels.items():
            ours, theirs = (min(max(value, least), most) for value in (found, own))
            lost[at] += sign * (theirs - ours) / (most - least) / len(parts)
    return {at: 1 - value for at, value in lost.items()} if parts else {}


def level(cards: Sequence[Scorecard], measure: str, fit: Fit) -> dict[Place, float]:
    """A measure of each cell: by the surface where it is taken picture by picture, else as the card has it."""
    if all(any(measure in drawn.scores for drawn in card.pictures) for card in cards):
        surface = Surface.of(cards, measure, fit)
        return {at: surface.mean(at) for at in surface.places}
    return {place(card): card.scores[measure].mean for card in cards}


def front(both: dict[Place, tuple[float, float]], allowed: Collection[Place]) -> list[Place]:
    """The allowed cells that none of them equals or exceeds in likeness and freedom at once (Pareto), likest first."""
    found: list[Place] = []
    freest = float("-inf")
    for at in sorted(allowed, key=lambda at: (-both[at][0], -both[at][1], at)):
        if both[at][1] > freest:
            found.append(at)
            freest = both[at][1]
    return found
