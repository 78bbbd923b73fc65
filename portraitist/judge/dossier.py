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
from portraitist.judge.scorecard import BASE, Losses, Scorecard, Stage
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.runs import Choice, RunFolder

FIGURES = "figures.json"


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
        """The cards of a stage, by step and strength."""
        return sorted((c for c in self.cards if c.stage == stage), key=lambda c: (c.step, c.strength))

    def card(self, stage: Stage, step: int, strength: float) -> Scorecard | None:
        """One card of a stage; the base is step 0."""
        found = (c for c in self.cards if c.stage == stage and c.step == step)
        return next((c for c in found if step == BASE or abs(c.strength - strength) < 1e-9), None)

    def judged(self, step: int, strength: float) -> tuple[Scorecard, Scorecard | None] | None:
        """The card of a checkpoint at a strength from the best stage that has one, with the base's of that stage."""
        stages: tuple[Stage, ...] = ("report", "grid", "screen")
        for stage in stages:
            if card := self.card(stage, step, strength):
                return card, self.card(stage, BASE, 0.0)
        return None

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
