"""How cells stand by the choice's own reckoning: their gates, likeness and freedom, as all cells together tell them."""

from collections.abc import Sequence

from portraitist.judge import choosing, settings
from portraitist.judge.candidates import Candidate
from portraitist.judge.dossier import Cell, Dossier
from portraitist.judge.gates import Gate
from portraitist.judge.scorecard import Scorecard, Stage
from portraitist.runs import RunFolder


def field(run: RunFolder, cards: Sequence[Scorecard]) -> tuple[Scorecard | None, list[Scorecard]]:
    """The base's card and those that a run's choice is made among: of checkpoints that are there, all of them where
    there is no folder of checkpoints."""
    steps = run.steps() if run.checkpoints.is_dir() else None
    return choosing.field(cards, steps, settings.read(run).strengths)


def weighed(dossier: Dossier, base: Scorecard | None, cards: Sequence[Scorecard]) -> list[Candidate]:
    """Cells by step, strength and guidance; none without the base beside them."""
    return choosing.weighed(base, cards, settings.read(dossier.run).max_drop) if base is not None and cards else []


def chosen_from(dossier: Dossier) -> list[Candidate]:
    """The cells that the choice is made among: of the full grid, of the screen before that is drawn."""
    return weighed(dossier, *field(dossier.run, dossier.cards))


def gates(dossier: Dossier, stage: Stage) -> dict[Cell, tuple[Gate, ...]]:
    """The gates of every cell of a stage; those that the choice is made among as the choice has them."""
    found = weighed(dossier, *choosing.latest(dossier.cards, stage))
    found += [candidate for candidate in chosen_from(dossier) if candidate.card.stage == stage]
    return {candidate.place: candidate.gates for candidate in found}
