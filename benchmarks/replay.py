"""Judging cell by cell, as `evaluate` does it, played again over a run whose every cell has been judged.

The verb's own code decides what is looked at next; what it asks for is taken from the bank instead of being drawn.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from benchmarks.record import MAX_DROP, Cell, Record
from benchmarks.setups import STRENGTHS
from portraitist.judge import choosing
from portraitist.judge.measures import scores
from portraitist.judge.scorecard import BASE, OWN, WHOLE, Scorecard, Stage
from portraitist.sections import Judging
from portraitist.verbs import evaluate

PROBED = {"unnamed": (0, 4), "paraphrases": (4, 4), "restyled": (8, 8)}
"""Where the probes of each purpose begin in the bank's cards, and how many there are."""


class Replay:
    """A sitting before cards that lie there already; it keeps those that were asked for."""

    def __init__(self, run: Record, **settings: Any) -> None:
        self.whole = {(card.step, card.strength, card.stage): card for card in run.cards}
        base = self.whole[BASE, 0.0, "grid"]
        judging = Judging(**{"strengths": STRENGTHS} | settings)
        probing = self.whole[BASE, 0.0, "probe"].pictures
        self.grid: Any = SimpleNamespace(
            screened=min(judging.screen, len(base.pictures)),
            choosing=base.pictures,
            probing=probing,
            reporting=(),
            guidance=OWN,
        )
        self.recipe = SimpleNamespace(judging=judging)
        self.run = SimpleNamespace(steps=lambda: run.steps)
        self.losses = {one.step: one for one in run.losses}
        self.cards: dict[tuple[int, float, Stage], Scorecard] = {}

    def judge(self, step: int, strength: float, stage: Stage, guidance: float = OWN) -> Scorecard:
        """The card of a cell, or of the first pictures of it."""
        card = self.whole[step, strength, "grid" if stage == "screen" else stage]
        card = fewer(card, {name: getattr(self.recipe.judging, name) for name in PROBED}) if stage == "probe" else card
        if stage == "screen":
            kept = card.pictures[: self.grid.screened]
            card = replace(card, pictures=kept, scores=scores([drawn.scores for drawn in kept]))
        self.cards[step, strength, stage] = replace(card, stage=stage)
        return self.cards[step, strength, stage]

    def of_stage(self, stage: Stage) -> list[Scorecard]:
        """What was judged of the checkpoints in a stage."""
        return [card for card in self.cards.values() if card.stage == stage and card.step != BASE]

    def heed(self) -> None:
        """Nobody asks for an end."""

    @property
    def pictures(self) -> int:
        """How many were looked at; the screen's are the grid's first."""
        grid = {key[:2] for key in self.cards if key[2] == "grid"}
        return sum(len(card.pictures) for key, card in self.cards.items() if key[2] != "screen" or key[:2] not in grid)


def fewer(card: Scorecard, most: Mapping[str, int]) -> Scorecard:
    """A card of probes with the first few of each purpose."""
    places = [i for name, (start, count) in PROBED.items() for i in range(start, start + min(count, most[name]))]
    kept = tuple(card.pictures[i] for i in places if i < len(card.pictures))
    found = scores([drawn.scores for drawn in kept])
    return replace(card, pictures=kept, scores={name: got for name, got in found.items() if name in card.scores})


def walked(run: Record, **settings: Any) -> tuple[Cell, int]:
    """What is chosen of a run that `evaluate` judges by settings of `[judging]`, and by how many pictures."""
    sitting: Any = Replay(run, **settings)
    for step in (BASE, *run.steps):
        sitting.judge(step, 0.0 if step == BASE else WHOLE, "screen")
    evaluate.contest(sitting)
    base, cards = choosing.field(list(sitting.cards.values()), run.steps, STRENGTHS)
    assert base is not None  # it was judged first
    chosen = choosing.choose(base, cards, run.losses, "likeness", MAX_DROP).chosen.card
    return (chosen.step, chosen.strength), sitting.pictures
