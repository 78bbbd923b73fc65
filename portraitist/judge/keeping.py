"""Which older checkpoints of a whole denoiser stay on disk beside the newest: those that judging has a use for."""

from portraitist.errors import PortraitistError
from portraitist.judge import choosing, scorecard, settings, walk
from portraitist.judge.following import Training
from portraitist.runs import RunFolder


def held(run: RunFolder, judge: Training) -> set[int]:
    """Steps of checkpoints that are not to be let go.

    judge  the last judging that the run's record tells of
    They are those that a judging under way has not yet looked at, those that it may come to by what it has seen, and
    the one that was chosen.
    """
    steps, how = set(run.steps()), settings.read(run)
    _, cards = choosing.latest(scorecard.read(run), "screen")
    there = [card for card in cards if card.step in steps]
    found = set(walk.stops(there, how.in_full)) if there else set()
    if not judge.over():
        found |= steps - {card.step for card in cards}
    return (found | chosen(run)) & steps


def chosen(run: RunFolder) -> set[int]:
    """The step that the run's choice names, if there is one, and where a person overruled it, that which measures
    chose: one may go back to it. A damaged choice is told by what needs it."""
    try:
        choice = run.chosen()
    except PortraitistError:
        return set()
    if choice is None:
        return set()
    measured = choice.table.get("measured")
    step = measured.get("step") if isinstance(measured, dict) else None
    return {choice.step} | ({step} if isinstance(step, int) else set())
