"""What the bank holds of a run, read back: scorecards as the product has them, losses, and the truth of every cell."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from portraitist.judge import choosing, measures
from portraitist.judge.candidates import Verdict
from portraitist.judge.scorecard import BASE, Drawn, Losses, Scorecard

FOLDER = Path(__file__).parent / "runs"
MAX_DROP = 0.05

Cell = tuple[int, float]


@dataclass(frozen=True)
class Record:
    """One run of the bank; `told` is its file."""

    name: str
    told: Mapping[str, Any] = field(repr=False)

    @cached_property
    def cards(self) -> list[Scorecard]:
        """The cards that judging all cells by the full grid gave."""
        return [self.card(one) for one in self.told["cards"]]

    def card(self, one: Mapping[str, Any]) -> Scorecard:
        """A card from its compact form; its pictures are told by their place in the grid."""
        step, strength, guidance, stage = one["cell"]
        count = max(map(len, one["values"].values()), default=0)
        rows = one["values"].items()
        values = [{name: row[i] for name, row in rows if row[i] is not None} for i in range(count)]
        drawn = tuple(Drawn(str(i), str(i), i, "", got) for i, got in enumerate(values))
        scores = measures.scores(values)
        if stage == "probe":
            scores = {name: got for name, got in scores.items() if name in measures.PROBED}
        return Scorecard(step, strength, stage, scores, self.told["grid"], "", drawn, guidance)

    @cached_property
    def losses(self) -> list[Losses]:
        """Losses by step, the base's first."""
        return sorted((Losses(**one) for one in self.told["losses"]), key=lambda one: one.step)

    @cached_property
    def truths(self) -> dict[Cell, Mapping[str, Any]]:
        """The truth of each cell; of the base at (0, 0)."""
        return {(one["step"], one["strength"]): one for one in self.told["truths"]}

    @property
    def cells(self) -> list[Cell]:
        """All cells but the base's."""
        return [cell for cell in self.truths if cell[0] != BASE]

    @property
    def steps(self) -> list[int]:
        """The checkpoints."""
        return sorted({step for step, _ in self.cells})

    @property
    def who(self) -> int:
        """The character's number."""
        return int(self.told["setup"]["who"])

    def verdict(
        self, prefer: Any = "likeness", only: Sequence[float] = (), rule: choosing.Rule = choosing.RULE
    ) -> Verdict:
        """What the product chooses, from all strengths or from some."""
        base, cards = choosing.latest(self.cards, "grid")
        assert base is not None  # every run of the bank has its base judged
        some = [card for card in cards if not only or card.strength in only]
        return choosing.choose(base, some, self.losses, prefer, MAX_DROP, rule)


def read(group: str) -> Iterator[Record]:
    """The runs of a group that have been measured, by name."""
    for path in sorted(FOLDER.glob(f"{group}-*.json")):
        yield Record(path.stem, json.loads(path.read_text(encoding="utf-8")))


def interval(values: Sequence[float], groups: Sequence[int], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean and interval of values by resampling groups (characters, with all their seeds) with replacement."""
    names = sorted(set(groups))
    by = {name: [v for v, group in zip(values, groups, strict=True) if group == name] for name in names}
    draw = np.random.default_rng(0)
    means = []
    for _ in range(4000):
        picked = draw.choice(len(names), len(names))
        means.append(float(np.mean([v for k in picked for v in by[names[k]]])))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(np.mean(values)), float(low), float(high)
