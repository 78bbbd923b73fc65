"""All signs that advice looks for, and the look itself: numbers in, symptoms out. Pure: no torch, no disk."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from portraitist.audit import Finding
from portraitist.events import Event
from portraitist.judge.advising import drawing, learning, training
from portraitist.judge.advising.evidence import Need, Seen, Symptom
from portraitist.judge.scorecard import Losses, Scorecard
from portraitist.pictures import Picture
from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Sign:
    """One symptom that is looked for.

    look   finds it, or not
    needs  what it cannot be seen without: names of measures, or losses, events; one of them is enough
    applies  whether it is to be looked for
    broken  whether what else is measured says nothing where it is found
    """

    name: str
    look: Callable[[Seen], Symptom | None]
    needs: tuple[str, ...]
    broken: bool = False
    applies: Callable[[Seen], bool] = lambda seen: True


SIGNS = (
    Sign("stopped", training.stopped, ("events",), broken=True),
    Sign("diverged", training.diverged, ("losses",), broken=True),
    Sign("dead", learning.dead, ("identity", "losses"), broken=True),
    Sign("memory", training.short_of_memory, ("forecast",)),
    Sign("unsteady", training.unsteady, ("losses",)),
    Sign("spikes", training.spikes, ("events",)),
    Sign("underfit", learning.underfit, ("identity",)),
    Sign("overfit", learning.overfit, ("losses", "copying")),
    Sign("nameless", drawing.nameless, ("identity",)),
    Sign("deaf", learning.deaf, ("agreement",)),
    Sign("drift", drawing.drift, ("identity",)),
    Sign("burnt", drawing.burnt, ("saturation", "contrast")),
    Sign("leak", drawing.leak, ("leak",)),
    Sign("bleed", drawing.bleed, ("bleed",)),
    Sign("partial", drawing.partial, ("strain",), applies=drawing.lacks),
    Sign("misshapen", drawing.misshapen, ("proportions",)),
    Sign("plastic", drawing.plastic, ("skin",)),
)


def symptoms(
    base: Scorecard | None,
    cards: Sequence[Scorecard],
    losses: Sequence[Losses] = (),
    events: Sequence[Event] = (),
    *,
    recipe: Recipe | None = None,
    findings: Sequence[Finding] = (),
    pictures: Sequence[Picture] = (),
    need: Need | None = None,
) -> list[Symptom]:
    """What ails a run by what was measured of it, the worst and surest first; [] where nothing does.

    base   the base's card, or None when the cards hold it already; cards: of one or several stages
    losses of every checkpoint and of the base; events: of the run's record; need: a forecast of memory
    """
    every = [base, *cards] if base is not None else list(cards)
    return look(Seen(recipe or Recipe(), every, losses, events, findings, pictures, need))


def look(seen: Seen) -> list[Symptom]:
    """The symptoms of a run. Of a broken one the others are not told: its pictures and losses mean nothing else."""
    found = [(sign, symptom) for sign in SIGNS if (symptom := sign.look(seen)) is not None]
    if any(sign.broken for sign, _ in found):
        found = [(sign, one) for sign, one in found if sign.broken or sign.name in ("memory", "spikes")]
    return sorted((one for _, one in found), key=rank, reverse=True)


def rank(symptom: Symptom) -> float:
    """What symptoms are ordered by: severity, of which an uncertain one keeps six tenths."""
    return symptom.severity * (1.0 if symptom.certain else 0.6)


def unknown(seen: Seen) -> list[str]:
    """Signs that could not be looked for, since nothing they need was measured."""
    there = {name for card in seen.cards for name, got in card.scores.items() if got.count}
    there |= {"losses"} if seen.losses else set()
    there |= {"events"} if seen.steps() or seen.events else set()
    there |= {"forecast"} if seen.need is not None else set()
    return [sign.name for sign in SIGNS if sign.applies(seen) and not there & set(sign.needs)]
