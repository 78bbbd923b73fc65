"""Likeness against freedom: every cell as a point, the front as a line, and what could not be told from the choice."""

from collections.abc import Sequence

from portraitist.judge import charts, choosing, settings
from portraitist.judge.candidates import Candidate
from portraitist.judge.charts import Spot
from portraitist.judge.curves import Curve
from portraitist.judge.dossier import Dossier, same
from portraitist.judge.front import front
from portraitist.judge.scorecard import Stage
from portraitist.judge.telling import called, figure

SAYS = (
    "Each point is a checkpoint at a strength, further up the more it is like the character, further right the more it"
    " still draws what is asked. Filled points pass every gate, hollow ones do not. On the line lies what nothing that"
    " passes beats in both; upright strokes are intervals of likeness."
)


def weighed(dossier: Dossier) -> list[Candidate]:
    """The cells that the choice is made among: of the full grid, of the screen before that is drawn."""
    stages: tuple[Stage, ...] = ("grid", "screen")
    for stage in stages:
        base, cards = choosing.latest(dossier.cards, stage)
        if base is not None and cards:
            return choosing.weighed(base, cards, settings.read(dossier.run).max_drop)
    return []


def plot(dossier: Dossier) -> Curve | None:
    """The plot; None where there are fewer than two cells, or where nothing of freedom was measured."""
    candidates = weighed(dossier)
    if len(candidates) < 2 or any(candidate.freedom is None for candidate in candidates):
        return None
    passing = [candidate.place for candidate in candidates if candidate.passed]
    edge = front({c.place: (c.likeness, c.freedom or 0.0) for c in candidates}, passing)
    spots = [spot(dossier, candidate, candidate.place in edge) for candidate in candidates]
    at = {candidate.place: (candidate.freedom or 0.0, candidate.likeness) for candidate in candidates}
    line = [at[place] for place in edge]
    names = {"x_name": "freedom (1: the base's own)", "y_name": "likeness"}
    chart = charts.scatter(spots, line, says=said(spots), **names)
    return Curve("Likeness against freedom", chart, (), SAYS)


def spot(dossier: Dossier, candidate: Candidate, ahead: bool) -> Spot:
    """One cell; `ahead` says that it is on the front."""
    chosen = same(candidate.place, dossier.cell)
    free = candidate.freedom or 0.0
    says = f"{called(candidate.card)}: likeness {figure(candidate.likeness)}, freedom {figure(free)}"
    kind = "chosen" if chosen else "out" if not candidate.passed else "front" if ahead else ""
    score = candidate.card.scores.get("likeness")
    return Spot(
        free,
        candidate.likeness,
        says + (f"; out: {candidate.faults}" if candidate.faults else ""),
        called(candidate.card).removeprefix("Step ") if chosen or ahead else "",
        kind,
        upright=(score.low, score.high) if score and (chosen or ahead) else (),
    )


def said(spots: Sequence[Spot]) -> str:
    """The plot for who cannot see it: what is labelled."""
    return "Likeness against freedom. " + ". ".join(spot.says for spot in spots if spot.label) + "."


def level(dossier: Dossier) -> list[str]:
    """Cells that pass and whose likeness differs from the chosen's by no more than chance, likest first."""
    candidates = weighed(dossier)
    chosen = next((c for c in candidates if same(c.place, dossier.cell)), None)
    if chosen is None:
        return []
    there = [c for c in candidates if c is not chosen and c.passed and choosing.undecided(chosen, c)]
    return [called(c.card) for c in sorted(there, key=lambda c: (-c.likeness, c.place))]
