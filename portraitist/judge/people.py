"""What people add to a verdict of measures: certain votes move it among what may be chosen, and a word overrules it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from portraitist.judge import choosing
from portraitist.judge.candidates import Candidate, Verdict
from portraitist.judge.preference import Preference
from portraitist.judge.scorecard import Scorecard
from portraitist.judge.surface import Place
from portraitist.judge.votes import Votes


def eligible(verdict: Verdict) -> list[Candidate]:
    """What votes may choose: what passes the gates and is on the front, near-tied, not told apart, or second."""
    known = [verdict.chosen, *verdict.ties, *verdict.front, *verdict.unsure]
    known += [verdict.second] if verdict.second else []
    return list({one.place: one for one in known if one.passed}.values())


def swayed(verdict: Verdict, votes: Votes) -> Verdict:
    """The verdict with people's votes: the cell that they certainly prefer is chosen, and the measured one is second.

    What they said stands first in the reason where it decided, else last.
    """
    if not verdict.chosen.passed and votes.comparisons:
        return replace(verdict, why=f"{verdict.why} What people said decides nothing where nothing passes every gate.")
    allowed = {candidate.place: candidate for candidate in eligible(verdict)}
    measured = verdict.chosen.place
    said = votes.words(measured, list(allowed))
    if not said:
        return verdict
    chosen = votes.moved(measured, list(allowed))
    if chosen == measured:
        return replace(verdict, why=f"{verdict.why} {said}.")
    why = f"{said}. By measures alone: {verdict.why}"
    return moved(verdict, allowed[chosen], why)


def moved(verdict: Verdict, chosen: Candidate, why: str) -> Verdict:
    """The verdict with another cell chosen: the one before is second to it. Near-ties are of what measures chose; what
    cannot be told from it is looked for anew."""
    if chosen.place == verdict.chosen.place:
        return replace(verdict, chosen=chosen, why=why)
    others = [one for one in verdict.passing if one.place != chosen.place and chosen.card.scores]
    unsure = tuple(one for one in others if choosing.undecided(chosen, one))
    return replace(verdict, chosen=chosen, second=verdict.chosen, ties=(), unsure=unsure, why=why)


def overruled(verdict: Verdict, cards: Sequence[Scorecard], at: Place, why: str, max_drop: float) -> Verdict:
    """The verdict with a person's choice in place of its own, which becomes the second.

    cards  of the verdict's stage; a cell that none is of has no scores and no gates
    """
    known = {one.place: one for one in choosing.weighed(verdict.base, cards, max_drop)}
    if at not in known:
        step, strength, guidance = at
        stage, grid, eyes = verdict.base.stage, verdict.base.grid, verdict.base.eyes
        known[at] = Candidate(Scorecard(step, strength, stage, {}, grid, eyes, guidance=guidance), ())
    theirs = known[at]
    said = f"A person chose {theirs}: {why.rstrip('.')}"
    words = f"{said}. It has not been judged. By measures" if not theirs.card.scores else f"{said}. By measures"
    return moved(verdict, theirs, f"{words}: {verdict.why}")


def table(votes: Votes, measured: Verdict, chosen: Candidate, cards: Sequence[Scorecard]) -> dict[str, Any]:
    """What choice.toml holds of people, {} where nobody said anything.

    measured  the verdict of measures alone; chosen: what is chosen in the end, whose pictures people were asked about
    """
    said: dict[str, Any] = {}
    if votes.comparisons:
        said = {
            "votes": len(votes.votes),
            "comparisons": len(votes.comparisons),
            "agreement": {
                name: shares(one) | {"count": count} for name, (one, count) in votes.agreement(cards).items()
            },
        }
        at = measured.chosen.place
        known = [(one.place, votes.preference(one.place, at)) for one in eligible(measured) if one.place != at]
        against = [dict(zip(CELL, cell, strict=True)) | shares(one) for cell, one in known if one is not None]
        said |= {"over_measured": against} if against else {}
    asked = {name: {"yes": yes, "of": of} for name, (yes, of) in votes.sights(chosen.place).items()}
    return said | ({"asked": asked} if asked else {})


CELL = ("step", "strength", "guidance")
"""What choice.toml names a cell by."""


def shares(found: Preference) -> dict[str, Any]:
    """A preference as choice.toml has it."""
    return {"share": round(found.share, 4), "low": round(found.low, 4), "high": round(found.high, 4)}
