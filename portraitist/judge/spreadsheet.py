"""Scorecards as rows for other programs: CSV for a spreadsheet, and the same values for JSON."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from portraitist.judge import standing
from portraitist.judge.dossier import BEST, Dossier
from portraitist.judge.measures import MEASURES
from portraitist.judge.surface import place

NUMBERS = ("mean", "low", "high", "count")


def cards(dossier: Dossier) -> list[dict[str, Any]]:
    """Every card that compares, in the order of stage, step, strength and guidance.

    guidance  0 is the grid's own; mark: chosen, runner-up, base or ""; gates: names of those that it fails
    pictures  how many it was taken on; scores: mean, low, high and count by measure, where it could be taken
    """
    found = []
    held = {stage: standing.gates(dossier, stage) for stage in BEST}
    for card in sorted(dossier.cards, key=lambda c: (c.stage, c.step, c.strength, c.guidance, c.beside)):
        found.append(
            {
                "run": dossier.run.name,
                "stage": card.stage,
                "step": card.step,
                "strength": card.strength,
                "guidance": card.guidance,
                "beside": card.beside,
                "mark": dossier.mark(card),
                "gates": [g.name for g in held.get(card.stage, {}).get(place(card), ()) if not g.passed],
                "pictures": len(card.pictures),
                "grid": card.grid,
                "eyes": card.eyes,
                "scores": {
                    name: {number: getattr(score, number) for number in NUMBERS}
                    for name, score in card.scores.items()
                    if score.count
                },
            }
        )
    return found


def text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a line of names: scores become `likeness_mean`, `likeness_low`, ...; several words of one cell
    stand with blanks between them, and what a row lacks is left empty."""
    rows = list(rows)
    plain = dict.fromkeys(name for row in rows for name in row if name != "scores")
    scored = ranked({name for row in rows for name in row.get("scores", {})})
    buffer = io.StringIO(newline="")
    columns = [*plain, *(f"{name}_{number}" for name in scored for number in NUMBERS)]
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {k: " ".join(v) if isinstance(v, list | tuple) else v for k, v in row.items() if k != "scores"}
        scores = row.get("scores", {})
        writer.writerow(cells | {f"{name}_{number}": scores[name][number] for name in scores for number in NUMBERS})
    return buffer.getvalue()


def ranked(names: Iterable[str]) -> list[str]:
    """Measures in the order of their registry; those that this version does not know come last."""
    order = {name: place for place, name in enumerate(MEASURES)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))
