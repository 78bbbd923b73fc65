"""Every measure of every cell that was judged, as a page shows it: means, intervals, and which gate put a cell out."""

from collections.abc import Sequence
from dataclasses import dataclass

from portraitist.judge import standing
from portraitist.judge.dossier import Dossier
from portraitist.judge.evidence import HELD_OUT, held_out
from portraitist.judge.gates import Gate
from portraitist.judge.measures import MEASURES
from portraitist.judge.scorecard import Score, Scorecard, Stage
from portraitist.judge.surface import place
from portraitist.judge.telling import END, called, span, title, written


@dataclass(frozen=True, slots=True)
class Cell:
    """A mean with its interval; `share` in [0, 1] is how good it is within its column; `failed` marks a gate."""

    value: str
    interval: str
    share: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """A row: a checkpoint at a strength, what it is (chosen, runner-up, base, ""), its cells, and which gates it failed
    in words."""

    name: str
    mark: str
    cells: Sequence[Cell | None]
    failed: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Checkpoints by measures; heads are (name, which end is better)."""

    heads: Sequence[tuple[str, str]]
    rows: Sequence[Judged]
    pictures: int


def matrix(dossier: Dossier, stage: Stage) -> Matrix | None:
    """Everything that was judged at a stage against every measure that could be taken there."""
    cards = dossier.stage(stage)
    if not cards:
        return None
    scored = {card.key: all_scores(dossier, card) for card in cards}
    names = [name for name in MEASURES if any(name in got for got in scored.values())]
    held, column = standing.gates(dossier, stage), list(scored.values())
    rows = [row(dossier, card, names, scored[card.key], column, held.get(place(card), ())) for card in cards]
    heads = [(title(name), END[MEASURES[name].better]) for name in names]
    return Matrix(heads, rows, max(len(card.pictures) for card in cards))


def all_scores(dossier: Dossier, card: Scorecard) -> dict[str, Score]:
    """A cell's scores that could be taken, by measure; in the screen with the held-out loss, which is measured once a
    checkpoint, at full strength."""
    if card.stage == "screen":
        found = {name: score for name, score in card.scores.items() if score.count}
        held = held_out(dossier, card.step)
        return found | ({HELD_OUT: held} if held.count else {})
    return {name: by.scores[name] for name, (by, _) in dossier.scored(card).items()}


def row(
    dossier: Dossier,
    card: Scorecard,
    names: Sequence[str],
    scores: dict[str, Score],
    column: Sequence[dict[str, Score]],
    held: Sequence[Gate],
) -> Judged:
    """One row; `column` holds the scores of all rows, which each cell is set against, `held` the cell's gates."""
    failing = [gate for gate in held if not gate.passed]
    at_fault = {gate.name for gate in failing}
    cells: list[Cell | None] = []
    for name in names:
        score = scores.get(name)
        if score is None:
            cells.append(None)
            continue
        others = [got[name].mean for got in column if name in got]
        wide = max(others) - min(others)
        share = (score.mean - min(others)) / wide if wide else 0.5
        share = share if MEASURES[name].better == "high" else 1 - share
        cells.append(Cell(written(name, score.mean), span(name, score), round(share, 3), name in at_fault))
    return Judged(called(card), dossier.mark(card), cells, "; ".join(gate.says for gate in failing))
