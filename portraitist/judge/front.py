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

    Only parts that are known of every cell count, so that no cell is freer for not having been asked. Empty where
    none is.
    """
    lost = {place(card): 0.0 for card in cards}
    known = {part: level(cards, part, fit) for part in LOSES if part in MEASURES}
    parts = {part: levels for part, levels in known.items() if levels.keys() == lost.keys()}
    for part, levels in parts.items():
        measure = MEASURES[part]
        least, most = measure.range
        sign = 1 if measure.better == "high" else -1
        own = base.scores[part].mean if part in base.scores else measure.range[sign > 0]
        for at, found in levels.items():
            ours, theirs = (min(max(value, least), most) for value in (found, own))
            lost[at] += sign * (theirs - ours) / (most - least) / len(parts)
    return {at: 1 - value for at, value in lost.items()} if parts else {}


def level(cards: Sequence[Scorecard], measure: str, fit: Fit) -> dict[Place, float]:
    """A measure of each cell of which it is known: by the surface where it is taken picture by picture.

    What was probed at one strength alone counts for the weaker ones of that checkpoint too: a LoRA loses no more at
    less of itself.
    """
    if all(any(measure in drawn.scores for drawn in card.pictures) for card in cards):
        surface = Surface.of(cards, measure, fit)
        return {at: surface.mean(at) for at in surface.places}
    own = {place(card): card.scores[measure].mean for card in cards if measure in card.scores}
    found = dict(own)
    for at in map(place, cards):
        above = [cell for cell in own if cell[0] == at[0] and cell[1] >= at[1]]
        if at not in own and above:
            found[at] = own[min(above, key=lambda cell: (cell[1], cell[2] != at[2], cell))]
    return found


def front(both: dict[Place, tuple[float, float]], allowed: Collection[Place]) -> list[Place]:
    """The allowed cells that none of them equals or exceeds in likeness and freedom at once (Pareto), likest first."""
    found: list[Place] = []
    freest = float("-inf")
    for at in sorted(allowed, key=lambda at: (-both[at][0], -both[at][1], at)):
        if both[at][1] > freest:
            found.append(at)
            freest = both[at][1]
    return found
