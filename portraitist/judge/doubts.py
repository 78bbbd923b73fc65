"""What the pictures of a run leave open."""

from collections.abc import Iterator

from portraitist.judge import settings, tradeoff
from portraitist.judge.dossier import Dossier
from portraitist.judge.gates import gates
from portraitist.judge.measures import MEASURES, difference
from portraitist.judge.telling import title

MOST_LEVEL = 8
"""Cells that are named as not distinguishable from the choice; of more the number is told."""


def doubts(dossier: Dossier) -> Iterator[str]:
    """What the pictures of the chosen cell leave open: what is not distinguishable from it, and it from the base."""
    if level := tradeoff.level(dossier):
        more = f" and {len(level) - MOST_LEVEL} more" if len(level) > MOST_LEVEL else ""
        cells = ", ".join(word.lower() for word in level[:MOST_LEVEL])
        yield f"Not distinguishable from the choice in likeness, by these pictures: {cells}{more}."
    judged = dossier.chosen()
    if judged is None:
        return
    same = []
    for name, (card, base) in dossier.scored(judged[0]).items():
        change = difference(card, base, name) if base else None
        if change and change.count and change.low <= 0 <= change.high and name in MEASURES:
            same.append(title(name).lower())
    if same:
        yield f"Not distinguishable from the base: {', '.join(same)}."
    held = gates(*judged, settings.read(dossier.run).max_drop) if judged[1] else ()
    if unsure := [title(gate.name).lower() for gate in held if not gate.certain]:
        yield f"So few pictures leave it open whether it keeps to the limit of: {', '.join(unsure)}."
