"""Choose: scorecards, losses and votes to `choice.toml` - a checkpoint, a strength, the second, and why in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import tomli_w

from portraitist import durable, runs
from portraitist.errors import PortraitistError
from portraitist.events import Chosen, Emit, Warned, ignore
from portraitist.judge import choosing, people, scorecard, settings, standing, telling, votes
from portraitist.judge.candidates import Candidate, Verdict
from portraitist.judge.scorecard import OWN, Scorecard
from portraitist.judge.surface import Place, named
from portraitist.project import Project
from portraitist.runs import Choice, RunFolder

FORMAT = 1

BY = {"measures": "by measures", "votes": "by votes", "person": "by a person"}
"""By what a choice was made, in words."""

BRIEFLY = ("likeness", "identity", "portrayal", "agreement", "copying", "held_out")
"""Scores that a choice is told with; the report has them all."""


@dataclass(frozen=True, slots=True)
class ChooseResult:
    """The choice.

    folder     the project's
    guidance   to draw with; 0 is that of the recipe, else of the base
    by         measures, votes, or person
    passed     whether it keeps to every gate; otherwise it is of what fails least, or what a person chose
    runner_up  the second: step, strength, and as `level` what decides; empty when there was only one to choose from
    unsure     how many others could not be told from it
    """

    folder: Path
    run: str
    step: int
    strength: float
    why: str
    by: str
    passed: bool
    prefer: str
    scores: dict[str, float] = field(default_factory=dict)
    runner_up: dict[str, float] = field(default_factory=dict)
    guidance: float = 0.0
    unsure: int = 0

    def told(self) -> str:
        """In lines: what is chosen and by what, why, its scores in short, the second, and what comes next."""
        cell = named((self.step, self.strength, self.guidance)).capitalize()
        first = f"{cell}, {BY.get(self.by, self.by)}{', freedom first' if self.prefer == 'freedom' else ''}."
        if self.scores and not self.passed:
            first += " It does not keep to every gate."
        lines = [first, self.why]
        if self.scores:
            lines.append(f"Scores: {briefly(self.scores, BRIEFLY)}; the report has all")
        if self.runner_up:
            at = named((int(self.runner_up["step"]), self.runner_up["strength"], self.runner_up.get("guidance", OWN)))
            lines.append("; ".join(filter(None, (f"Second: {at}", briefly(self.runner_up, ("identity", "agreement"))))))
        at = f"{self.folder} --run {self.run}"
        return "\n".join([*lines, f"Next: portraitist export {at}, then portraitist report {at}"])

    def as_json(self) -> dict[str, Any]:
        """For machines, which know the folder that they asked about."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "folder"}


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
    base, cards = judged(project, found)
    measured = choosing.choose(base, cards, scorecard.read_losses(found), wanted, judging.max_drop)
    said = votes.read(found)
    verdict = people.swayed(measured, said)
    if place is not None:
        verdict = people.overruled(verdict, cards, scorecard.usual(place, [base, *cards]), why, judging.max_drop)
    elif given_up := overruling(found):
        emit(again(project, found, given_up))
    chosen = verdict.chosen
    whose = by(measured, verdict, why)
    values = table(verdict, wanted) | whose
    if told := people.table(said, measured, chosen, cards):
        values["people"] = told
    durable.write_text(found.choice, tomli_w.dumps(values))
    event = Chosen(step=chosen.card.step, strength=chosen.card.strength, why=verdict.why)
    found.log.append(event)
    emit(event)
    return ChooseResult(
        folder=project.folder,
        run=found.name,
        step=chosen.card.step,
        strength=chosen.card.strength,
        why=verdict.why,
        by=whose["by"],
        passed=chosen.passed and bool(chosen.card.scores),
        prefer=wanted,
        scores={name: got.mean for name, got in chosen.card.scores.items()},
        runner_up=summary(verdict.second) if verdict.second else {},
        guidance=chosen.card.guidance,
        unsure=len(verdict.unsure),
    )


def briefly(means: Mapping[str, float], names: Sequence[str]) -> str:
    """Some means in a line, as people call them; those that are not there are left out."""
    return ", ".join(f"{telling.within(name)} {telling.written(name, means[name])}" for name in names if name in means)


def judged(project: Project, run: RunFolder) -> tuple[Scorecard, list[Scorecard]]:
    """The base's card and those to choose from, of checkpoints that are there.

    Raises PortraitistError when there are none.
    """
    base, found = standing.field(run, scorecard.read(run))
    if base is None or not found:
        raise PortraitistError(
            f"Run {run.name} has not been judged: there is nothing to choose from",
            f"Run: portraitist evaluate {project.folder} --run {run.name}",
        )
    return base, found


def by(measured: Verdict, verdict: Verdict, why: str) -> dict[str, Any]:
    """By what it was chosen, and where it was not by measures alone, what they would have chosen; `why`: a person's."""
    if not why and verdict.chosen.place == measured.chosen.place:
        return {"by": "measures"}
    found = {"by": "person", "reason": why} if why else {"by": "votes"}
    level = {"ties": measured.ties, "unsure": measured.unsure}
    known: dict[str, Any] = {name: [summary(one) for one in some] for name, some in level.items() if some}
    return {**found, "measured": {**summary(measured.chosen), "why": measured.why, **known}}


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
    return choice if choice is not None and choice.by == "person" else None


def again(project: Project, run: RunFolder, choice: Choice) -> Warned:
    """That a person's choice is given up, and how to have it again."""
    guided = f" --guidance {choice.table['guidance']:g}" if choice.table.get("guidance") else ""
    words = str(choice.table.get("reason", "")).replace('"', "'")
    return Warned(
        says=f"A person's choice, step {choice.step} at strength {choice.strength:g}, is given up: measures choose",
        remedy=f"To have it again: portraitist choose {project.folder} --run {run.name} --step {choice.step}"
        f' --strength {choice.strength:g}{guided} --why "{words}"',
    )


def table(verdict: Verdict, prefer: str) -> dict[str, Any]:
    """What `choice.toml` holds. Equal scorecards make equal bytes: nothing of when or where."""
    chosen = verdict.chosen
    values: dict[str, Any] = {
        "format": FORMAT,
        "step": chosen.card.step,
        "strength": chosen.card.strength,
        "guidance": chosen.card.guidance,
        "why": verdict.why,
        "prefer": prefer,
        "decides": chosen.by,
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
    for name, some in (("ties", verdict.ties), ("unsure", verdict.unsure), ("front", verdict.front)):
        if some:
            values[name] = [summary(candidate) for candidate in some]
    return values


def summary(candidate: Candidate) -> dict[str, float]:
    """A candidate in short: step, strength, guidance, and as `level` what decides, as all pictures together tell it."""
    found = {name: candidate.mean(name) for name in ("identity", "agreement") if name in candidate.card.scores}
    free = {} if candidate.freedom is None else {"freedom": round(candidate.freedom, 6)}
    free |= {} if candidate.cost is None else {"less_for_strain": round(candidate.cost, 6)}
    card = candidate.card
    place = {"step": card.step, "strength": card.strength, "guidance": card.guidance}
    return {**place, "level": round(candidate.likeness, 6), **free, **found}
