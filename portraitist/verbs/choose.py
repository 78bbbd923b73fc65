"""Choose: scorecards, losses and votes to `choice.toml` - a checkpoint, a strength, the second, and why in words."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import tomli_w

from portraitist import durable, runs
from portraitist.errors import PortraitistError
from portraitist.events import Chosen, Emit, Warned, ignore
from portraitist.judge import choosing, people, scorecard, settings, votes
from portraitist.judge.scorecard import BASE
from portraitist.judge.surface import Place
from portraitist.project import Project
from portraitist.runs import Choice, RunFolder

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ChooseResult:
    """The choice.

    by         measures, votes, or person
    passed     whether it keeps to every gate; otherwise it is what fails least, or what a person chose
    runner_up  step, strength and likeness of the second; empty when there was only one to choose from
    """

    run: str
    step: int
    strength: float
    why: str
    by: str
    passed: bool
    prefer: str
    scores: dict[str, float] = field(default_factory=dict)
    runner_up: dict[str, float] = field(default_factory=dict)


def choose(
    project: Project,
    run: str = "",
    prefer: Literal["likeness", "freedom", ""] = "",
    place: Place | None = None,
    why: str = "",
    emit: Emit = ignore,
) -> ChooseResult:
    """Choose from what has been judged, by the full grid, or by the screen where the grid has not been drawn yet.

    prefer  overrules the recipe's `judging.prefer`; the other settings are those the run was last judged with
    place   step, strength and guidance (0: the grid's own) that a person chooses, and `why`, which is kept
    Raises PortraitistError when nothing has been judged, and for a person's choice without a reason or a checkpoint.
    """
    found = runs.find(project, run)
    if place is not None or why:
        why = " ".join(why.split())
        refuse_unfit(found, place, why)
    judging = settings.read(found)
    wanted = prefer or judging.prefer
    cards, losses = scorecard.read(found), scorecard.read_losses(found)
    if found.checkpoints.is_dir():
        gone = {card.step for card in cards} - {BASE, *found.steps()}
        cards = [card for card in cards if card.step not in gone]
    base, candidates = choosing.latest(cards, "grid")
    if base is None or not candidates:
        base, candidates = choosing.latest(cards, "screen")
    if base is None or not candidates:
        raise PortraitistError(
            f"Run {found.name} has not been judged: there is nothing to choose from",
            f"Run: portraitist evaluate {project.folder} --run {found.name}",
        )
    said = votes.read(found)
    measured = choosing.choose(base, candidates, losses, wanted, judging.max_drop)
    verdict = people.weighed(measured, said)
    by = "votes" if verdict.chosen.place != measured.chosen.place else "measures"
    if place is not None:
        verdict, by = people.overruled(verdict, candidates, place, why, judging.max_drop), "person"
    elif given_up := overruling(found):
        emit(
            Warned(
                says=f"A person's choice, step {given_up.step} at strength {given_up.strength:g}, is given up for the"
                " measured one",
                remedy=again(project, found, given_up),
            )
        )
    chosen = verdict.chosen
    values = table(verdict, wanted) | {"by": by}
    if by != "measures":
        values["measured"] = summary(measured.chosen) | {"why": measured.why}
    if by == "person":
        values["reason"] = why
    if told := people.table(said, measured, chosen, candidates):
        values["people"] = told
    durable.write_text(found.choice, tomli_w.dumps(values))
    event = Chosen(step=chosen.card.step, strength=chosen.card.strength, why=verdict.why)
    found.log.append(event)
    emit(event)
    return ChooseResult(
        run=found.name,
        step=chosen.card.step,
        strength=chosen.card.strength,
        why=verdict.why,
        by=by,
        passed=chosen.passed and bool(chosen.card.scores),
        prefer=wanted,
        scores={name: got.mean for name, got in chosen.card.scores.items()},
        runner_up=summary(verdict.second) if verdict.second else {},
    )


def refuse_unfit(run: RunFolder, place: Place | None, why: str) -> None:
    """Refuse a person's choice that lacks a reason, or whose checkpoint is not there."""
    if place is None or not why:
        raise PortraitistError(
            "A choice of your own needs its reason, and a reason its choice",
            'Give all of: --step 300 --strength 0.8 --why "..."; none of them goes by what was measured.',
        )
    step, strength, guidance = place
    run.adapter(step)
    if not 0 < strength <= 2 or not 0 <= guidance < math.inf:
        raise PortraitistError(
            f"Strength {strength:g} and guidance {guidance:g} cannot be chosen",
            "A strength is above 0 and at most 2; guidance 0 is the grid's own.",
        )


def overruling(run: RunFolder) -> Choice | None:
    """The choice that stands, if it is a person's; a damaged one is none: it is about to be written anew."""
    try:
        choice = run.chosen()
    except PortraitistError:
        return None
    return choice if choice is not None and choice.overruled else None


def again(project: Project, run: RunFolder, choice: Choice) -> str:
    """How to make a person's choice again."""
    guided = f" --guidance {choice.table['guidance']:g}" if choice.table.get("guidance") else ""
    words = str(choice.table.get("reason", "")).replace('"', "'")
    return (
        f"To have it again: portraitist choose {project.folder} --run {run.name} --step {choice.step}"
        f' --strength {choice.strength:g}{guided} --why "{words}"'
    )


def table(verdict: choosing.Verdict, prefer: str) -> dict[str, Any]:
    """What `choice.toml` holds. Equal scorecards make equal bytes: nothing of when or where."""
    chosen = verdict.chosen
    values: dict[str, Any] = {
        "format": FORMAT,
        "step": chosen.card.step,
        "strength": chosen.card.strength,
        "why": verdict.why,
        "prefer": prefer,
        "passed": chosen.passed and bool(chosen.card.scores),
        "stage": chosen.card.stage,
        "grid": chosen.card.grid,
        "eyes": chosen.card.eyes,
        "gate": {
            gate.name: {
                "value": round(gate.value, 6),
                "low": round(gate.low, 6),
                "high": round(gate.high, 6),
                "limit": gate.limit,
                "passed": gate.passed,
                "certain": gate.certain,
            }
            for gate in chosen.gates
        },
        "scores": {name: got.mean for name, got in chosen.card.scores.items()},
        "base": {name: got.mean for name, got in verdict.base.scores.items()},
    }
    if verdict.second:
        values["runner_up"] = summary(verdict.second)
    if verdict.ties:
        values["ties"] = [summary(candidate) for candidate in verdict.ties]
    return values


def summary(candidate: choosing.Candidate) -> dict[str, float]:
    """A candidate in short: step, strength, and the measures that decide."""
    found = {
        name: candidate.mean(name) for name in ("likeness", "identity", "agreement") if name in candidate.card.scores
    }
    return {"step": candidate.card.step, "strength": candidate.card.strength, **found}
