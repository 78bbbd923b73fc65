"""Choose: scorecards and losses to `choice.toml` - a checkpoint, a strength, what was second, and why in words."""

from dataclasses import dataclass, field
from typing import Any, Literal

import tomli_w

from portraitist import durable, runs
from portraitist.errors import PortraitistError
from portraitist.events import Chosen, Emit, ignore
from portraitist.judge import choosing, scorecard, settings
from portraitist.judge.candidates import Candidate, Verdict
from portraitist.judge.scorecard import BASE
from portraitist.project import Project

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ChooseResult:
    """The choice.

    guidance   to draw with; 0 is that of the recipe, else of the base
    passed     whether it keeps to every gate; otherwise it is what fails least
    runner_up  step, strength and likeness of the second; empty when there was only one to choose from
    unsure     how many others could not be told from it
    """

    run: str
    step: int
    strength: float
    why: str
    passed: bool
    prefer: str
    scores: dict[str, float] = field(default_factory=dict)
    runner_up: dict[str, float] = field(default_factory=dict)
    guidance: float = 0.0
    unsure: int = 0


def choose(
    project: Project, run: str = "", prefer: Literal["likeness", "freedom", ""] = "", emit: Emit = ignore
) -> ChooseResult:
    """Choose from what has been judged, by the full grid, or by the screen where the grid has not been drawn yet.

    prefer  overrules the recipe's `judging.prefer`; the other settings are those the run was last judged with
    Raises PortraitistError when nothing has been judged.
    """
    found = runs.find(project, run)
    judging = settings.read(found)
    wanted = prefer or judging.prefer
    cards, losses = scorecard.read(found), scorecard.read_losses(found)
    if found.checkpoints.is_dir():
        gone = {card.step for card in cards} - {BASE, *found.steps()}
        cards = [card for card in cards if card.step not in gone]
    base, candidates = choosing.latest(cards, "grid")
    candidates = [card for card in candidates if card.strength in judging.strengths] or candidates
    if base is None or not candidates:
        base, candidates = choosing.latest(cards, "screen")
    if base is None or not candidates:
        raise PortraitistError(
            f"Run {found.name} has not been judged: there is nothing to choose from",
            f"Run: portraitist evaluate {project.folder} --run {found.name}",
        )
    verdict = choosing.choose(base, candidates, losses, wanted, judging.max_drop)
    chosen = verdict.chosen
    durable.write_text(found.choice, tomli_w.dumps(table(verdict, wanted)))
    event = Chosen(step=chosen.card.step, strength=chosen.card.strength, why=verdict.why)
    found.log.append(event)
    emit(event)
    return ChooseResult(
        run=found.name,
        step=chosen.card.step,
        strength=chosen.card.strength,
        why=verdict.why,
        passed=chosen.passed,
        prefer=wanted,
        scores={name: got.mean for name, got in chosen.card.scores.items()},
        runner_up=summary(verdict.second) if verdict.second else {},
        guidance=chosen.card.guidance,
        unsure=len(verdict.unsure),
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
        "passed": chosen.passed,
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
    """A candidate in short: step, strength, guidance, and what decides; likeness as all pictures together tell it."""
    found = {name: candidate.mean(name) for name in ("identity", "agreement") if name in candidate.card.scores}
    free = {} if candidate.freedom is None else {"freedom": round(candidate.freedom, 6)}
    card = candidate.card
    place = {"step": card.step, "strength": card.strength, "guidance": card.guidance}
    return {**place, "likeness": round(candidate.likeness, 6), **free, **found}
