"""The choice in words: what it reached, what it was weighed against, what was out, and what could not be told apart."""

from collections.abc import Sequence

from portraitist.judge.alike import PRICE
from portraitist.judge.candidates import Candidate, Prefer, Verdict
from portraitist.judge.gates import beyond
from portraitist.judge.measures import score
from portraitist.judge.overfit import ratios
from portraitist.judge.scorecard import BASE, WHOLE, Losses, Score

FEWEST = 2
"""Held-out samples that say more than one of chance."""

NAMED = 4
"""Most cells that a sentence names; choice.toml has them all."""


def reason(verdict: Verdict, passing: Sequence[Candidate], failing: Sequence[Candidate], prefer: Prefer) -> str:
    """The choice in words, beside others that pass and those that fail."""
    chosen, said = verdict.chosen, [reached(verdict.chosen, verdict)]
    if verdict.ties:
        top = min(verdict.ties, key=lambda candidate: (-candidate.likeness, candidate.place))
        why = "near-ties go to the earlier step and the lower strength"
        if any(tie.card.step < chosen.card.step and tie.card.strength <= WHOLE for tie in verdict.ties):
            why += ", but not before the loss on held-out pictures has come near its lowest"
        said.append(
            f"{str(top).capitalize()} differs by no more than chance ({chosen.by}{chosen.less} {top.likeness:.3f}"
            f" against {chosen.likeness:.3f}, read off all pictures together); {why}"
        )
    if others := [candidate for candidate in verdict.unsure if candidate not in verdict.ties]:
        less = {candidate.likeness <= chosen.likeness for candidate in others}
        which = "some more, some less" if len(less) > 1 else "less" if True in less else "more"
        said.append(f"Nor can these pictures tell it from {listed(others)}; by all pictures together they are {which}")
    if chosen.passed and not all(gate.certain for gate in chosen.gates):
        names = ", ".join(gate.name for gate in chosen.gates if not gate.certain)
        said.append(f"So few pictures leave it uncertain whether it keeps to the limit of {names}")
    if (second := verdict.second) is not None:
        said.append(
            f"Second is {second} with {second.likeness:.2f} in {chosen.by}{chosen.less} against {chosen.likeness:.2f}"
        )
    said += [*strained(chosen, passing), *traded(verdict, prefer)]
    more = [c for c in failing if c.likeness > chosen.likeness] if chosen.passed else []
    if more:
        top = min(more, key=lambda candidate: (-candidate.likeness, candidate.place))
        said.append(f"{str(top).capitalize()} would be liker ({top.likeness:.2f}) but is out: {top.faults}")
    return ". ".join(said) + "."


def reached(chosen: Candidate, verdict: Verdict) -> str:
    """What the chosen reached in identity, colours and agreement."""
    card, base = chosen.card, verdict.base
    got = card.scores.get("identity", Score(0, 0, 0, 0))
    if chosen.passed:
        said = f"{str(chosen).capitalize()} " + (
            f"is {share(got.mean)} of the way from the base to the references in identity"
            f" ({share(got.low)} to {share(got.high)})"
            if got.count
            else "could not be measured in identity (look for yourself)"
        )
        if "signature" in card.scores:
            said += f" and shows {share(card.scores['signature'].mean)} of the character's own colours"
    else:
        said = f"Nothing passes every gate; {chosen} is the likest of what fails least: {chosen.faults}."
        said += f" Its identity is {share(got.mean)}" if got.count else " Its identity could not be measured"
    if "agreement" not in card.scores or "agreement" not in base.scores:
        return said + ". Prompt agreement was not measured: this family has no eyes that read"
    own = base.scores["agreement"].mean
    said += f", prompt agreement {card.scores['agreement'].mean:.2f} against the base's {own:.2f}"
    less = beyond(base)
    return said + (f"; of the character's own pictures {own - less:.2f} can be read" if less else "")


def strained(chosen: Candidate, others: Sequence[Candidate]) -> list[str]:
    """The cell that would be liker, were strain not taken off, if there is one."""
    more = [c for c in others if c.likeness < chosen.likeness and c.unstrained > chosen.unstrained]
    if not more:
        return []
    top = max(more, key=lambda c: c.unstrained)
    strains = [(candidate.cost or 0.0) / PRICE for candidate in (top, chosen)]
    return [
        f"{str(top).capitalize()} is liker where pictures can tell ({top.unstrained:.2f} in {top.by} against"
        f" {chosen.unstrained:.2f}), but at framings that no picture has it strains the base more"
        f" ({strains[0]:.2f} against {strains[1]:.2f}), as figures do that fall apart"
    ]


def traded(verdict: Verdict, prefer: Prefer) -> list[str]:
    """What the front would give for the other preference, if it is another cell."""
    chosen = verdict.chosen
    if chosen.freedom is None or not verdict.front:
        return []
    if prefer == "likeness":
        end, what = max(verdict.front, key=lambda c: c.freedom or 0.0), "freest"
        more = round(end.freedom or 0.0, 2) > round(chosen.freedom, 2)
    else:
        end, what = verdict.front[0], "likest"
        more = round(end.likeness, 2) > round(chosen.likeness, 2)
    if not more:
        return []
    return [
        f"Of the {len(verdict.front)} that nothing beats in {chosen.by}{chosen.less} and freedom at once, {end} is the"
        f" {what} ({end.likeness:.2f} and {end.freedom:.2f} against {chosen.likeness:.2f} and {chosen.freedom:.2f})"
    ]


def listed(candidates: Sequence[Candidate]) -> str:
    """The first few by name, and how many more."""
    named = ", ".join(str(candidate) for candidate in candidates[:NAMED])
    more = len(candidates) - NAMED
    return f"{named} and {more} more" if more > 0 else named


def share(value: float) -> str:
    """A share in whole percent, without a negative zero."""
    return f"{round(100 * value):d}%"


def alarm(chosen: Candidate, losses: Sequence[Losses]) -> str:
    """A sentence when the chosen checkpoint draws held-out pictures surely worse than the base would; else ""."""
    by_step = {found.step: found for found in losses}
    if BASE not in by_step or chosen.card.step not in by_step:
        return ""
    ratio = score(ratios(by_step[chosen.card.step], by_step[BASE]))
    if ratio.count < FEWEST or ratio.low <= 1:
        return ""
    return (
        f" Overfitting: its loss on held-out pictures is {ratio.mean:.2f} times the base's;"
        " see that its pictures do not repeat training scenes."
    )
