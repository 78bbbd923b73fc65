"""Advise: what ails a run by what was measured of it, and what to change next; written to `advice.json`."""

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from portraitist import durable, families, runs, tables
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.forecast import memory
from portraitist.judge.advising import changes, cures, seeing, signs
from portraitist.judge.advising.advice import Advice
from portraitist.judge.advising.evidence import Need, Seen
from portraitist.project import Project
from portraitist.recipe import Recipe, load, made
from portraitist.runs import RunFolder

FORMAT = 1
BEFORE = "recipe.before-advice.toml"
"""In the run's folder: recipe.toml as it was before advice was written into it."""

NOTHING = "Nothing measured calls for a change."


@dataclass(frozen=True, slots=True)
class AdviseResult:
    """What was advised, the first thing first.

    advice   one for each symptom, ranked by how much it spoils and how certain it is
    unknown  symptoms that could not be looked for, since nothing that shows them was measured
    file     advice.json, where it all stands
    applied  keys that were written into recipe.toml, with their values
    back     the command that takes that back
    """

    run: str
    says: str
    advice: tuple[Advice, ...]
    unknown: tuple[str, ...]
    file: Path
    applied: Mapping[str, Any]
    back: str = ""

    def told(self) -> str:
        """In lines: each advice with its reasons, then what was not looked for, and what was applied."""
        lines = [self.says]
        for number, advice in enumerate(self.advice, 1):
            lines += [f"{number}. {line}" if i == 0 else line for i, line in enumerate(advice.told())]
        if self.unknown:
            lines.append(f"Not looked for, since it was not measured: {', '.join(self.unknown)}")
        if self.applied:
            what = ", ".join(f"{key} = {value}" for key, value in self.applied.items())
            lines += [f"recipe.toml now says {what}", f"    to go back: {self.back}"]
        return "\n".join([*lines, f"See {self.file}"])


def advise(project: Project, run: str = "", apply: bool = False, emit: Emit = ignore) -> AdviseResult:
    """What to change after a run (the newest for ""), by its scorecards, losses, record and audit.

    apply  writes the first change of a recipe into recipe.toml, and keeps the file as it was beside the advice
    Raises PortraitistError when there is no run, for damaged files, and, with `apply`, when no recipe helps or when
    recipe.toml is no longer what the run was trained by.
    """
    began = time.monotonic()
    found = runs.find(project, run)
    emit(Started(verb="advise", total=1, facts={"run": found.name}))
    seen = gather(project, found)
    advice = tuple(cures.advise(signs.look(seen), seen, found.name))
    unknown = tuple(signs.unknown(seen))
    file = found.path / "advice.json"
    says = f"Of {found.name}: {len(advice)} to change, the first thing first." if advice else NOTHING
    table = {"format": FORMAT, "run": found.name, "says": says, "advice": [one.as_json() for one in advice]}
    durable.write_json(file, {**table, "unknown": list(unknown)})
    result = AdviseResult(found.name, says, advice, unknown, file, {})
    if apply:
        result = replace(result, **applied(project, found, seen.recipe, advice))
    emit(Finished(verb="advise", seconds=time.monotonic() - began))
    return result


def gather(project: Project, run: RunFolder) -> Seen:
    """All that advice rests on, read from disk, and what training takes of the card it was on."""
    found = seeing.seen(project, run)
    facts = [event.facts for event in found.events if isinstance(event, Started) and event.verb == "train"]
    return replace(found, need=needed(run.recipe(), facts))


def needed(recipe: Recipe, facts: Sequence[Mapping[str, Any]]) -> Need | None:
    """What training takes by the forecast and what the run's card had free; None on a CPU, and for a base or layers
    that the laws do not hold for."""
    base = memory.known(recipe.model.family)
    free = [one["free_gb"] for one in facts if one.get("free_gb")]
    elsewhere = bool(recipe.adapter.targets) or recipe.adapter.modules != "family"
    if base is None or not free or recipe.adapter.kind != "lora" or elsewhere:
        return None
    family = families.get(recipe.model.family)
    side = recipe.data.resolution or family.profile.resolution
    gb, room = memory.total(memory.training(base, recipe, side)), float(free[-1])
    if gb > room:
        for words, less, low in memory.changes(recipe, side, family.pixel_multiple):
            if memory.total(memory.training(base, less, low)) <= room:
                keys: dict[str, Any] = {}
                for word in words.split():
                    key, _, _ = word.partition("=")
                    nested: dict[str, Any] = {}
                    tables.apply(nested, word)
                    keys[key] = tables.value_at(nested, key)
                return Need(gb, room, tuple(keys.items()))
    return Need(gb, room)


def applied(project: Project, run: RunFolder, recipe: Recipe, advice: Sequence[Advice]) -> dict[str, Any]:
    """Write the first change of a recipe into recipe.toml; returns what the result says of it.

    Raises PortraitistError where there is none, and where the file is no longer what the run was trained by.
    """
    chosen = next((one for one in advice if one.recipe), None)
    if chosen is None:
        why = (
            "asks for other pictures or captions, which no recipe is"
            if advice
            else "is not there: nothing ails the run"
        )
        raise PortraitistError(f"There is nothing to write into {project.recipe}: the advice {why}", "See advice.json.")
    there = load(project.recipe)
    values = there.model_dump(mode="json")
    for change in chosen.recipe:
        now = changes.value(values, change.key)
        if now not in (change.before, change.after):
            raise PortraitistError(
                f"{project.recipe} has {change.key} = {now!r}, and {run.name} was trained with {change.before!r}",
                f"Set it by hand if it is still right, or run this recipe first. Advised: {change.after!r}",
            )
    text = durable.read_text(project.recipe) if project.recipe.is_file() else ""
    edited, kept = tables.rewritten(text, in_file(tables.parse(text, str(project.recipe)), there, chosen.settings))
    made(tables.parse(edited, str(project.recipe)), str(project.recipe))  # refused before it is written
    before = run.path / BEFORE
    there_already = all(changes.value(values, change.key) == change.after for change in chosen.recipe)
    if not (there_already and before.is_file()):  # else what it wrote itself would be kept as the file before
        durable.write_text(before, text)
        durable.write_text(project.recipe, edited)
    back = f"cp {shlex.quote(str(before))} {shlex.quote(str(project.recipe))}"
    return {"applied": chosen.settings, "back": back if kept else f"{back} (with its comments)"}


def in_file(values: Mapping[str, Any], there: Recipe, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Changes as a file takes them: stages that come from its preset are written whole, since lists are."""
    own = values.get("stages", [])
    staged = {key: value for key, value in wanted.items() if key.startswith("stages.")}
    if not staged or (isinstance(own, list) and len(own) == len(there.stages)):
        return dict(wanted)
    plain = [stage.model_dump(mode="json", exclude_defaults=True) for stage in changes.changed(there, staged).stages]
    return {key: value for key, value in wanted.items() if key not in staged} | {"stages": plain}
