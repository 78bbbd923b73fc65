"""The guides' scoring matrix: what a checkpoint is in four respects, each as a word and the interval behind it.

The respects are those of guide G4 (prompt accuracy, visual fidelity, generalisation, signs of overfitting); there a
person writes the words, here they follow from intervals. A respect is as good as the worst of its measures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from portraitist.judge import settings, standing
from portraitist.judge.advising.drawing import BLEEDS, HARD, MISSHAPEN, PLASTIC
from portraitist.judge.dossier import BEST, Dossier
from portraitist.judge.evidence import HELD_OUT, scores
from portraitist.judge.gates import BURNS, COPIES, HEEDS, Gate
from portraitist.judge.measures import MEASURES, difference
from portraitist.judge.scorecard import BASE, Score, Scorecard
from portraitist.judge.strips import one_a_step
from portraitist.judge.surface import place
from portraitist.judge.telling import called, span, title, written

Word = Literal["good", "fair", "weak"]

ORDER: Mapping[Word, int] = {"weak": 0, "fair": 1, "good": 2}

WORDS = (
    "Good is surely within its limit, weak is surely beyond it or put out by a gate; fair is what so few pictures leave"
    " open. Below each word stands what decided it: the worst of the respect's measures."
)
"""What the words mean."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Where good ends for a measure: its own value, or (`to_base`) its difference to the base picture by picture."""

    value: float
    to_base: bool = False

    def says(self, name: str) -> str:
        """In words."""
        if self.to_base and MEASURES[name].better == "high":
            return f"falls by at most {written(name, -self.value)} against the base"
        side = "at most" if MEASURES[name].better == "low" else "at least"
        return f"{side} {written(name, self.value)}" + (" beyond the base's" if self.to_base else "")


def limits(max_drop: float) -> dict[str, Limit]:
    """The limits by measure; those that gates hold (judge/gates.py) are the gates' own.

    Likeness: half of the way from the base to what the references have among each other (judged). Held-out loss: the
    base's own, beyond which it learns by heart. Wordings: matter no more than chance does. Body parts: as prompt
    agreement. A second LoRA: costs a fifth (judged). The others are advice's. A measure without a limit is told in
    numbers alone.
    """
    found = {
        "agreement": Limit(-max_drop, to_base=True),
        "identity": Limit(0.0, to_base=True),
        "copying": Limit(COPIES),
        "saturation": Limit(BURNS, to_base=True),
        "likeness": Limit(0.5),
        HELD_OUT: Limit(1.0),
        "paraphrase": Limit(1.0),
        "companion": Limit(-0.2),
        "bleed": Limit(BLEEDS),
        "contrast": Limit(HARD, to_base=True),
        "skin": Limit(PLASTIC),
        "proportions": Limit(MISSHAPEN),
        "obedience": Limit(-HEEDS, to_base=True),
        "anatomy": Limit(-max_drop, to_base=True),
    }
    return {name: limit for name, limit in found.items() if name in MEASURES}


@dataclass(frozen=True, slots=True)
class Aspect:
    """One of the four respects, and the measures that speak of it, the one that says most first."""

    name: str
    measures: tuple[str, ...]


ASPECTS = (
    Aspect("Prompt accuracy", ("agreement",)),
    Aspect("Visual fidelity", ("likeness", "identity", "proportions", "skin", "anatomy")),
    Aspect("Generalisation", ("obedience", "held_out", "paraphrase", "companion")),
    Aspect("Signs of overfitting", ("copying", "saturation", "contrast", "bleed")),
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
    held, found = {stage: standing.gates(dossier, stage) for stage in BEST}, []
    for card in best_cards(dossier):
        known = marks(dossier, card, held[card.stage].get(place(card), ()))
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


def marks(dossier: Dossier, card: Scorecard, held: Sequence[Gate]) -> dict[str, Mark]:
    """The word on each measure of a cell that has a limit: that of its gate, or by the limit itself."""
    drop, found = settings.read(dossier.run).max_drop, {}
    known = scores(dossier, card)
    apart = {name: difference(by, zero, name) for name, (by, zero) in dossier.scored(card).items() if zero}
    for name, limit in limits(drop).items():
        score = apart.get(name) if limit.to_base else known.get(name)
        if name in known and score and score.count:
            found[name] = Mark(against(name, score, limit.value), told(name, known[name]))
    for gate in held:
        if gate.name in known:
            word: Word = "weak" if not gate.passed else "good" if gate.certain else "fair"
            reason = told(gate.name, known[gate.name])
            found[gate.name] = Mark(word, f"{reason}: {gate.says}" if word == "weak" else reason)
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


def told_limits(dossier: Dossier) -> list[tuple[str, str]]:
    """Each respect with the limits that its words are by."""
    known = limits(settings.read(dossier.run).max_drop)
    return [
        (aspect.name, "; ".join(f"{title(n)}: {known[n].says(n)}" for n in aspect.measures if n in known))
        for aspect in ASPECTS
    ]
