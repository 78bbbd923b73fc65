"""Likeness against freedom: every cell as a point, the front as a line, and what could not be told from the choice."""

from collections.abc import Sequence

from portraitist.judge import charts, choosing, standing
from portraitist.judge.candidates import Candidate
from portraitist.judge.charts import Spot
from portraitist.judge.curves import Curve
from portraitist.judge.dossier import Dossier, same
from portraitist.judge.front import front
from portraitist.judge.telling import called, figure, title, within

SAYS = (
    "Each point is a checkpoint at a strength, further up the more it is like the character, further right the more it"
    " still draws what is asked. Filled points pass every gate, hollow ones do not. On the line lies what nothing that"
    " passes beats in both, strengths above 1 only where they surely gain. Heights are as all cells together tell them;"
    " upright strokes are intervals of a cell's own pictures."
)


def plot(dossier: Dossier) -> Curve | None:
    """The plot; None where there are fewer than two cells, or where nothing of freedom was measured."""
    candidates = standing.chosen_from(dossier)
    if len(candidates) < 2 or any(candidate.freedom is None for candidate in candidates):
        return None
    passing = [candidate.place for candidate in choosing.admitted(candidates)]
    edge = front({c.place: (c.likeness, c.freedom or 0.0) for c in candidates}, passing)
    spots = [spot(dossier, candidate, candidate.place in edge) for candidate in candidates]
    at = {candidate.place: (candidate.freedom or 0.0, candidate.likeness) for candidate in candidates}
    line = [at[place] for place in edge]
    names = {
        "x_name": "freedom (1: the base's own)",
        "y_name": title(candidates[0].by).lower() + candidates[0].less,
    }
    chart = charts.scatter(spots, line, says=said(spots), **names)
    return Curve("Likeness against freedom", chart, (), SAYS)


def spot(dossier: Dossier, candidate: Candidate, ahead: bool) -> Spot:
    """One cell; `ahead` says that it is on the front."""
    chosen = same(candidate.place, dossier.cell)
    free = candidate.freedom or 0.0
    like = f"{within(candidate.by)}{candidate.less} {figure(candidate.likeness)}"
    says = f"{called(candidate.card)}: {like}, freedom {figure(free)}"
    kind = "chosen" if chosen else "out" if not candidate.passed else "front" if ahead else ""
    score, cost = candidate.card.scores.get(candidate.by), candidate.cost or 0.0
    return Spot(
        free,
        candidate.likeness,
        says + (f"; out: {candidate.faults}" if candidate.faults else ""),
        called(candidate.card).removeprefix("Step ") if chosen or ahead else "",
        kind,
        upright=(score.low - cost, score.high - cost) if score and (chosen or ahead) else (),
    )


def said(spots: Sequence[Spot]) -> str:
    """The plot for who cannot see it: what is labelled."""
    return "Likeness against freedom. " + ". ".join(spot.says for spot in spots if spot.label) + "."


def level(dossier: Dossier) -> tuple[str, list[str]]:
    """Cells that may be chosen and whose likeness differs from the chosen's by no more than chance, likest first, after
    what tells likeness, in words."""
    candidates = standing.chosen_from(dossier)
    chosen = next((c for c in candidates if same(c.place, dossier.cell)), None)
    if chosen is None:
        return "", []
    there = [c for c in choosing.admitted(candidates) if c is not chosen and choosing.undecided(chosen, c)]
    return within(chosen.by) + chosen.less, [
        called(c.card) for c in sorted(there, key=lambda c: (-c.likeness, c.place))
    ]
