"""A dossier as one page of HTML that needs nothing else: pictures, charts and style are inside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portraitist.judge import (
    aspects,
    curves,
    doubts,
    evidence,
    material,
    matrix,
    settings,
    spreadsheet,
    strips,
    telling,
    templates,
    tradeoff,
)
from portraitist.judge.album import Album
from portraitist.judge.dossier import Dossier
from portraitist.judge.scorecard import OWN

TRUTHS = {
    "identity_truth": ("Identity, by the truth", "0 is other characters, 1 is true drawings"),
    "identity_eyes": ("Identity, by the eyes", "as the chooser saw it, on pictures it never saw"),
    "agreement": ("Prompt agreement", "share of the asked attributes that a separate probe reads right"),
    "signature": ("The character's own colours", "share of them that is on the subject"),
    "background_distance": ("Background", "how far its colours are from true drawings', Lab units; less is better"),
}
"""Ground-truth figures that have a base and a chosen value, with what they mean."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One ground-truth figure: base beside chosen, and what it means."""

    name: str
    base: str
    chosen: str
    note: str


def page(dossier: Dossier) -> str:
    """The page of a dossier."""
    return templates.fitted("report.html", lambda album: told(dossier, album))


def told(dossier: Dossier, album: Album) -> dict[str, Any]:
    """Everything the template shows."""
    pairs, from_where = evidence.pairs(dossier, album)
    facts, choice = dossier.project.facts, dossier.choice
    values: dict[str, Any] = {
        "name": facts.name,
        "trigger": facts.trigger,
        "noun": facts.noun,
        "run": dossier.run.name,
        "date": material.dated(dossier),
        "choice": choice,
        "guidance": dossier.cell[2] if dossier.cell else OWN,
        "by": choice.table.get("by", "measures") if choice else "",
        "why": evidence.in_two(choice.why) if choice else [],
        "lora": dossier.lora.name if dossier.lora else "",
        "lora_folder": dossier.lora.parent.name if dossier.lora else "",
        "waits": "" if choice else waits(dossier)[0],
        "command": "" if choice else waits(dossier)[1],
        "failed_gates": [n for n, g in gate_table(dossier).items() if not g.get("passed", True)],
        "pairs": pairs,
        "from_where": from_where,
        "ailing": doubts.ailing(dossier),
        "advise": f"portraitist advise {dossier.project.folder.name} --run {dossier.run.name}",
        "doubts": list(doubts.doubts(dossier)),
        "people": list(doubts.people(dossier)),
        "asked": doubts.asked(dossier),
        "vote": f"portraitist vote {dossier.project.folder.name} --run {dossier.run.name}",
        "tiles": evidence.tiles(dossier),
        "taken_on": evidence.taken_on(dossier),
        "interval_words": material.interval_words(),
        "truths": truths(dossier.figures),
        "costs": costs(dossier.figures),
        "strip": strips.strengths(dossier, album),
        "guidances": strips.guidances(dossier, album),
        "checkpoints": strips.checkpoints(dossier, album),
        "aspects": [aspect.name for aspect in aspects.ASPECTS],
        "marked": aspects.matrix(dossier),
        "aspect_words": aspects.WORDS,
        "limits": aspects.told_limits(dossier),
        "tradeoff": tradeoff.plot(dossier),
        "grid": matrix.matrix(dossier, "grid"),
        "screen": matrix.matrix(dossier, "screen"),
        "max_drop": settings.read(dossier.run).max_drop,
        "curves": curves.curves(dossier),
        "numbers": list(curves.numbers(dossier)),
        "sheet": material.sheet(dossier, album),
        "audited": dossier.audited,
        "findings": material.findings(dossier),
        "recipe": material.recipe_facts(dossier),
        "recipe_toml": dossier.recipe.to_toml(),
        "warnings": material.warnings(dossier),
        "provenance": material.provenance(dossier),
        "measures": material.measures(),
        "unmeasured": list(evidence.unmeasured(dossier)),
    }
    if album.missing:  # asked for last: the sections above have shown their pictures by now
        these = ", ".join(album.missing[:5]) + (f" and {len(album.missing) - 5} more" if len(album.missing) > 5 else "")
        values["unmeasured"].append(f"Pictures that could not be read and are not shown: {these}.")
    return values


def gate_table(dossier: Dossier) -> Mapping[str, Any]:
    """The gates that choice.toml tells of, by name."""
    table = dossier.choice.table.get("gate") if dossier.choice else None
    return table if isinstance(table, dict) else {}


def waits(dossier: Dossier) -> tuple[str, str]:
    """Why there is no verdict yet, and the command that brings it nearer."""
    folder, run = dossier.project.folder.name, dossier.run
    if not run.steps():
        return "No checkpoint has been saved yet.", f"portraitist train {folder}"
    if not dossier.cards:
        return "The checkpoints have not been judged yet.", f"portraitist evaluate {folder} --run {run.name}"
    return "The checkpoints are judged; none has been chosen yet.", f"portraitist choose {folder} --run {run.name}"


def truths(figures: Mapping[str, Any]) -> list[Truth]:
    """Figures with a base and a chosen value: those of the demo first, others as they come."""
    names = [*(name for name in TRUTHS if name in figures), *(name for name in figures if name not in TRUTHS)]
    found = []
    for name in names:
        value = figures[name]
        ends = [value.get(end) for end in ("base", "chosen")] if isinstance(value, Mapping) else []
        if ends and all(isinstance(end, int | float) for end in ends):
            label, note = TRUTHS.get(name, (name.replace("_", " ").capitalize(), ""))
            if "drop" in value:
                note += f"; it falls by {amount(value['drop'])}"
            found.append(Truth(label, amount(ends[0]), amount(ends[1]), note))
    return found


def costs(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the whole job took, as a demo measured it."""
    units = {"minutes": "min", "cpu_minutes": "CPU-min", "peak_memory_gb": "GB"}
    labels = {"minutes": "Whole job", "cpu_minutes": "Processor time", "peak_memory_gb": "Peak memory"}
    return [(labels[name], f"{figures[name]:g} {units[name]}") for name in units
            if isinstance(figures.get(name), int | float)]  # fmt: skip


def amount(value: Any) -> str:
    """A figure as people read it."""
    return telling.figure(value) if isinstance(value, int | float) else str(value)


def summary(dossier: Dossier) -> dict[str, Any]:
    """The page for machines: what report.json holds.

    figures  as figures.json has them, with checkpoint and strength; scores: the chosen's by measure beside the base's
    words    the scoring matrix: by checkpoint and respect a word and what decided it; open: what is left open
    cards    all that was judged: the rows of scorecards.csv; guidance 0 is the grid's own
    """
    choice, judged = dossier.choice, dossier.chosen()
    scores: dict[str, Any] = {}
    if judged is not None:
        for name, (card, base) in (evidence.decided(dossier) | dossier.scored(judged[0])).items():
            score, zero = card.scores[name], base.scores.get(name) if base else None
            held = {"base": zero.mean} if zero and zero.count else {}
            scores[name] = {**held, "chosen": score.mean, "low": score.low, "high": score.high}
        if (loss := evidence.held_out(dossier, judged[0].step)).count:
            scores[evidence.HELD_OUT] = {"base": 1.0, "chosen": loss.mean, "low": loss.low, "high": loss.high}
    figures = dict(dossier.figures)
    if choice is not None:
        figures = {**figures, "checkpoint": choice.step, "strength": choice.strength}
    return {
        "format": 1,
        "project": dossier.project.facts.name,
        "run": dossier.run.name,
        "checkpoint": choice.step if choice else 0,
        "strength": choice.strength if choice else 0.0,
        "guidance": dossier.cell[2] if dossier.cell else OWN,
        "why": choice.why if choice else waits(dossier)[0],
        "stage": judged[0].stage if judged else "",
        "scores": scores,
        "figures": figures,
        "words": {
            row.name: {
                aspect.name: {"word": mark.word, "because": mark.because}
                for aspect, mark in zip(aspects.ASPECTS, row.marks, strict=True)
                if mark
            }
            for row in aspects.matrix(dossier)
        },
        "open": [*doubts.doubts(dossier), *doubts.people(dossier)],
        "cards": spreadsheet.cards(dossier),
    }
