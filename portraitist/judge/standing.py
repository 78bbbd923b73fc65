"""How cells stand by the choice's own reckoning: their gates, likeness and freedom, as all cells together tell them."""

from portraitist.judge import choosing, settings
from portraitist.judge.candidates import Candidate
from portraitist.judge.dossier import Cell, Dossier
from portraitist.judge.gates import Gate
from portraitist.judge.scorecard import Stage


def candidates(dossier: Dossier, stage: Stage) -> list[Candidate]:
    """The cells of a stage, by step, strength and guidance; none without the base beside them."""
    base, cards = choosing.latest(dossier.cards, stage)
    return choosing.weighed(base, cards, settings.read(dossier.run).max_drop) if base is not None and cards else []


def chosen_from(dossier: Dossier) -> list[Candidate]:
    """The cells that the choice is made among: of the full grid, of the screen before that is drawn."""
    return candidates(dossier, "grid") or candidates(dossier, "screen")


def gates(dossier: Dossier, stage: Stage) -> dict[Cell, tuple[Gate, ...]]:
    """The gates of every cell of a stage."""
    return {candidate.place: candidate.gates for candidate in candidates(dossier, stage)}
