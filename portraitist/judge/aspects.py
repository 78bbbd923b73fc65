"""The guides' scoring matrix: what a checkpoint is in four respects, each as a word and the interval behind it.

The respects are those of guide G4 (prompt accuracy, visual fidelity, generalisation, signs of overfitting); there a
person writes the words, here they follow from intervals. A respect is as good as the worst of its measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from portraitist.judge import settings
from portraitist.judge.dossier import Dossier
from portraitist.judge.evidence import HELD_OUT, held_out
from portraitist.judge.gates import gates
from portraitist.judge.measures import MEASURES
from portraitist.judge.scorecard import BASE, Score, Scorecard
from portraitist.judge.strips import one_a_step
from portraitist.judge.telling import called, figure, span, title, written

Word = Literal["good", "fair", "weak"]

ORDER: Mapping[Word, int] = {"weak": 0, "fair": 1, "good": 2}

WORDS = (
    "Good is surely within its limit, weak is surely beyond it or put out by a gate; fair is what so few pictures leave"
    " open. Below each word stands what decided it: the worst of the respect's measures."
)
"""What the words mean."""

LIMITS: Mapping[str, float] = {"likeness": 0.5, HELD_OUT: 1.0}
"""Where good ends for a measure that no gate holds to a limit. Likeness: half of the way from the base to what the
references have among each other (judged); held-out loss: the base's own, beyond which it learns by heart.
"""


@dataclass(frozen=True, slots=True)
class Aspect:
    """One of the four respects, and the measures that speak of it, the one that says most first."""

    name: str
    measures: tuple[str, ...]


ASPECTS = (
    Aspect("Prompt accuracy", ("agreement", "light")),
    Aspect("Visual fidelity", ("likeness", "identity", "proportions", "skin", "anatomy")),
    Aspect("Generalisation", ("obedience", "held_out", "paraphrase", "companion")),
    Aspect("Signs of overfitting", ("copying", "saturation", "contrast", "bleed", "leak", "diversity")),
)


@dataclass(frozen=True, slots=True)
class Mark:
    """A word on one respect, and the measure that decided it, in numbers."""

    word: Word
    because: str


@dataclass(frozen=True, slots=True)
class Marked:
    """A checkpoint: its cell, what it is (chosen, runner-up, ""), how it was judged, and its marks by respect."""

    name: str
    mark: str
    note: str
    marks: Sequence[Mark | None]


def matrix(dossier: Dossier) -> list[Marked]:
    """Every checkpoint in the four respects, by the best that was judged of it; a respect nothing speaks of is None."""
    found = []
    for card in best_cards(dossier):
        known = marks(dossier, card)
        note = f"{card.stage}, {len(card.pictures)} pictures"
        words = [of_aspect(aspect, known) for aspect in ASPECTS]
        found.append(Marked(called(card), dossier.mark(card), note, words))
    return found


def best_cards(dossier: Dossier) -> list[Scorecard]:
    """One card a checkpoint: the chosen cell's, else that of the full grid at its usual strength, else the screen's."""
    found = {card.step: card for card in one_a_step(dossier, "screen")}
    found |= {card.step: card for card in one_a_step(dossier, "grid")}
    if chosen := dossier.chosen():
        found[chosen[0].step] = chosen[0]
    return [found[step] for step in sorted(found) if step != BASE]


def marks(dossier: Dossier, card: Scorecard) -> dict[str, Mark]:
    """The word on each measure of a cell that has a limit: a gate's, or one of LIMITS."""
    base, found = dossier.base(card), {}
    known = {name: by.scores[name] for name, (by, _) in dossier.scored(card).items()}
    if (held := held_out(dossier, card.step)).count:
        known[HELD_OUT] = held
    for gate in gates(card, base, settings.read(dossier.run).max_drop) if base else ():
        word: Word = "weak" if not gate.passed else "good" if gate.certain else "fair"
        if gate.name in known:
            reason = told(gate.name, known[gate.name])
            found[gate.name] = Mark(word, f"{reason}: {gate.says}" if word == "weak" else reason)
    for name, limit in LIMITS.items():
        if name in known and name not in found:
            found[name] = Mark(against(name, known[name], limit), told(name, known[name]))
    return found


def against(name: str, score: Score, limit: float) -> Word:
    """The word on a score that is to keep to its side of a limit."""
    low, high = score.low - limit, score.high - limit
    if MEASURES[name].better == "low":
        low, high = -high, -low
    return "good" if low >= 0 else "weak" if high < 0 else "fair"


def told(name: str, score: Score) -> str:
    """A measure with its interval."""
    return f"{title(name)} {written(name, score.mean)} ({span(name, score)})"


def of_aspect(aspect: Aspect, known: Mapping[str, Mark]) -> Mark | None:
    """The worst mark of the measures that speak of a respect; of equals the one named first."""
    there = [known[name] for name in aspect.measures if name in known]
    return min(there, key=lambda mark: ORDER[mark.word], default=None)


def limits(dossier: Dossier) -> list[tuple[str, str]]:
    """Each respect with the limits that its words are by."""
    drop = settings.read(dossier.run).max_drop
    said = {
        "agreement": f"falls by at most {figure(drop)} against the base",
        "identity": "no less than the base's",
        "likeness": f"at least {figure(LIMITS['likeness'])}",
        HELD_OUT: "no more than the base's",
    }
    return [(a.name, "; ".join(f"{title(n)}: {said[n]}" for n in a.measures if n in said)) for a in ASPECTS]
