"""Everything that a report tells of one run, read from disk; what is not there yet is empty, not an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import durable, runs
from portraitist.audit import Finding
from portraitist.audit.survey import read_findings
from portraitist.events import Event
from portraitist.judge import scorecard
from portraitist.judge.scorecard import BASE, OWN, Losses, Scorecard, Stage
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.runs import Choice, RunFolder

FIGURES = "figures.json"

BEST: tuple[Stage, ...] = ("report", "grid", "screen")
"""Stages of pictures that name the character, the one that says most of a cell first."""

BESIDE: tuple[Stage, ...] = ("probe", "companion")
"""Stages of pictures for other purposes: what they measure stands beside a cell's own scores."""

Cell = tuple[int, float, float]
"""Step, strength and guidance."""


@dataclass(frozen=True, slots=True)
class Dossier:
    """A run and its project as they lie on disk.

    lock      the [lock] table: digests, versions, machine
    cards     of one yardstick a stage: the newest grid and eyes
    outdated  cards left out because they were made with another grid or other eyes
    losses    at fixed noise levels by step, of the newest yardstick
    figures   ground truth of a demo, {} where there is none
    audited   whether there is an audit; its findings, worst first
    lora      the exported file, None before
    """

    project: Project
    run: RunFolder
    recipe: Recipe
    lock: Mapping[str, Any]
    events: Sequence[Event]
    cards: Sequence[Scorecard]
    outdated: int
    losses: Sequence[Losses]
    choice: Choice | None
    figures: Mapping[str, Any]
    pictures: Sequence[Picture]
    audited: bool
    findings: Sequence[Finding]
    lora: Path | None

    def stage(self, stage: Stage) -> list[Scorecard]:
        """The cards of a stage, by step, strength and guidance."""
        return sorted((c for c in self.cards if c.stage == stage), key=lambda c: (c.step, c.strength, c.guidance))

    def card(self, stage: Stage, step: int, strength: float, guidance: float = OWN) -> Scorecard | None:
        """One card of a stage; the base is step 0 at any strength."""
        found = (c for c in self.cards if c.stage == stage and c.step == step and near(c.guidance, guidance))
        return next((c for c in found if step == BASE or near(c.strength, strength)), None)

    def base(self, card: Scorecard) -> Scorecard | None:
        """The base's card beside a card: of its stage, drawn at its guidance, or at the grid's own."""
        return self.card(card.stage, BASE, 0.0, card.guidance) or self.card(card.stage, BASE, 0.0)

    def judged(self, step: int, strength: float, guidance: float = OWN) -> tuple[Scorecard, Scorecard | None] | None:
        """The card of a checkpoint at a strength from the best stage that has one, with the base's of that stage."""
        for stage in BEST:
            if card := self.card(stage, step, strength, guidance):
                return card, self.base(card)
        return None

    def chosen(self) -> tuple[Scorecard, Scorecard | None] | None:
        """The chosen cell's card from the best stage that has one, with the base's; None before there is a choice."""
        return self.judged(*self.cell) if self.cell else None

    @property
    def cell(self) -> Cell | None:
        """Step, strength and guidance of the choice."""
        return cell(self.choice.table) if self.choice else None

    def scored(self, card: Scorecard) -> dict[str, tuple[Scorecard, Scorecard | None]]:
        """By measure the card that has it, and the base's: the card itself, else that of the same cell which judged
        what the card's pictures cannot tell, as what is drawn without the trigger."""
        found: dict[str, tuple[Scorecard, Scorecard | None]] = {}
        for other in (card, *(self.card(stage, card.step, card.strength, card.guidance) for stage in BESIDE)):
            for name, score in other.scores.items() if other else ():
                if other and score.count and name not in found:
                    found[name] = other, self.base(other)
        return found

    def mark(self, card: Scorecard) -> str:
        """What a card's cell is: base, chosen, runner-up, or "" for nothing of these."""
        here = (card.step, card.strength, card.guidance)
        if card.step == BASE:
            return "base"
        if same(here, self.cell):
            return "chosen"
        second = self.choice.table.get("runner_up") if self.choice else None
        return "runner-up" if isinstance(second, Mapping) and second and same(here, cell(second)) else ""

    def of(self, kind: type[Event], verb: str = "") -> list[Any]:
        """The run's events of a kind, and of a verb where the kind has one."""
        return [e for e in self.events if isinstance(e, kind) and (not verb or getattr(e, "verb", "") == verb)]


def gather(project: Project, name: str = "") -> Dossier:
    """All that is known of a run, the newest one for "". Raises PortraitistError when there is no run, and for a file
    of ours that is damaged or of a newer format."""
    run = runs.find(project, name)
    cards, outdated = one_yardstick(scorecard.read(run))
    losses = scorecard.read_losses(run)
    if losses:
        newest = losses[-1].yardstick
        losses = [one for one in losses if one.yardstick == newest]
    return Dossier(
        project=project,
        run=run,
        recipe=run.recipe(),
        lock=run.locked(),
        events=run.log.events(),
        cards=cards,
        outdated=outdated,
        losses=losses,
        choice=run.chosen(),
        figures=figures(project),
        pictures=project.read_manifest() if project.manifest.is_file() else (),
        audited=project.findings.is_file(),
        findings=read_findings(project) if project.findings.is_file() else (),
        lora=exported(project, run),
    )


def cell(table: Mapping[str, Any]) -> Cell:
    """The cell that a table of choice.toml names."""
    return int(table.get("step", 0)), float(table.get("strength", 0.0)), float(table.get("guidance", OWN))


def same(one: Cell, other: Cell | None) -> bool:
    """Whether two cells are one."""
    return other is not None and one[0] == other[0] and near(one[1], other[1]) and near(one[2], other[2])


def near(one: float, other: float) -> bool:
    """Whether two strengths or guidances are one, however they were rounded."""
    return abs(one - other) < 1e-9


def one_yardstick(cards: Sequence[Scorecard]) -> tuple[list[Scorecard], int]:
    """The cards whose grid and eyes are those of their stage's last one, and how many others there are."""
    newest = {card.stage: (card.grid, card.eyes) for card in cards}
    kept = [card for card in cards if newest[card.stage] == (card.grid, card.eyes)]
    return kept, len(cards) - len(kept)


def figures(project: Project) -> Mapping[str, Any]:
    """The project's figures.json: what a demo measured against the truth; {} without one."""
    path = project.folder / FIGURES
    found = durable.read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def exported(project: Project, run: RunFolder) -> Path | None:
    """The newest adapter file that was exported from this run."""
    if not project.exports.is_dir():
        return None
    found = [p for p in project.exports.glob("*/*.safetensors") if p.parent.name.endswith(run.name)]
    return max(found, key=lambda p: (p.stat().st_mtime_ns, p.name), default=None)
