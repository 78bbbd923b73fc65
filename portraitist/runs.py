"""A run's folder: where the lock, the record, the checkpoints and the judgement of one training lie."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.events import Log
from portraitist.project import Project
from portraitist.recipe import TOOLS, Recipe, read_lock

FORMAT = 1
EXACT = ("portraitist", "torch", "threads", "device", "precision")
"""Facts of the lock that have to stay for a continued run to equal an uncut one bit for bit."""

CHECKPOINT = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True, slots=True)
class Choice:
    """What choice.toml says: checkpoint, strength, why in words; `table` is the whole of it.

    guidance  to draw with; 0 is that of the recipe, else of the base
    """

    step: int
    strength: float
    why: str
    table: Mapping[str, Any]
    guidance: float = 0.0

    @property
    def by(self) -> str:
        """What chose: measures, people's votes over them, or a person over both."""
        return str(self.table.get("by", "measures"))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run below a project's `runs/`; everything the run knows about itself is in here."""

    path: Path

    @property
    def name(self) -> str:
        """What people call it: the folder's own name."""
        return self.path.name

    @property
    def lock(self) -> Path:
        """The recipe with every default spelled out, and a [lock] table of what else decides the result."""
        return self.path / "recipe.lock.toml"

    @property
    def log(self) -> Log:
        """The run's record."""
        return Log(self.path / "events.jsonl")

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint."""
        return self.path / "checkpoints"

    @property
    def evaluation(self) -> Path:
        """What judging wrote: scorecards and pictures."""
        return self.path / "evaluation"

    @property
    def scorecards(self) -> Path:
        """One JSON line per checkpoint, strength and stage."""
        return self.evaluation / "scorecards.jsonl"

    @property
    def choice(self) -> Path:
        """The chosen checkpoint and strength, and why."""
        return self.path / "choice.toml"

    @property
    def stop_file(self) -> Path:
        """While this file is there, training saves and ends; its text is the reason."""
        return self.path / "stop"

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint at `step`."""
        return self.checkpoints / f"step-{step:06d}"

    def steps(self) -> list[int]:
        """Steps of whole checkpoints, ascending; one without its manifest does not exist."""
        if not self.checkpoints.is_dir():
            return []
        named = ((CHECKPOINT.fullmatch(p.name), p) for p in self.checkpoints.iterdir())
        return sorted(int(match[1]) for match, p in named if match and (p / "manifest.json").is_file())

    def adapter(self, step: int) -> Path:
        """The adapter file of the checkpoint at `step`: the weights that are judged and exported.

        Raises PortraitistError when there is no such checkpoint.
        """
        if step not in (steps := self.steps()):
            known = ", ".join(map(str, steps)) or "none yet"
            raise PortraitistError(f"Run {self.name} has no checkpoint at step {step}", f"It has: {known}.")
        return self.checkpoint(step) / "adapter.safetensors"

    def recipe(self) -> Recipe:
        """The recipe the run was locked with."""
        return read_lock(self.lock)

    def locked(self) -> dict[str, Any]:
        """The [lock] table: digests, versions and machine facts."""
        try:
            found: dict[str, Any] = tomllib.loads(durable.read_text(self.lock)).get("lock", {})
        except tomllib.TOMLDecodeError as error:
            raise PortraitistError(
                f"{self.lock} is damaged: {error}", "A lock is not edited by hand: start a new run."
            ) from error
        return found

    def chosen(self) -> Choice | None:
        """The run's choice, None before there is one; its checkpoint need not be there any more.

        Raises PortraitistError for a file that names no checkpoint and strength, or another cell that is none.
        """
        if not self.choice.is_file():
            return None
        try:
            table = tomllib.loads(durable.read_text(self.choice))
            guidance = float(table.get("guidance", 0.0))
            others = [table.get(name, {}) for name in ("runner_up", "measured")]
            for other in [*others, *(cell for name in ("ties", "unsure", "front") for cell in table.get(name, []))]:
                _ = int(other.get("step", 0)), [float(other.get(name, 0.0)) for name in ("strength", "guidance")]
            return Choice(int(table["step"]), float(table["strength"]), str(table.get("why", "")), table, guidance)
        except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise PortraitistError(
                f"{self.choice} names no checkpoint and strength: {error}",
                f"Delete it and run: portraitist choose {self.path.parent.parent} --run {self.name}",
            ) from error

    def manifest(self, step: int) -> dict[str, Any]:
        """The manifest of the checkpoint at `step`: its step, its files' SHA-256, the record's length at that time."""
        path = self.checkpoint(step) / "manifest.json"
        found = durable.read_json(path)
        if not isinstance(found, dict) or not isinstance(found.get("files"), dict):
            raise PortraitistError(f"{path} is damaged: it lists no files", f"Delete {path.parent} and train again.")
        return found

    def damage(self, step: int, alone: str = "") -> str:
        """What is wrong with the files of the checkpoint at `step`, or "": each must hold the bytes written into it.

        alone  the name of the one file that is looked at; "" looks at all

        A resume file that was let go (only the newest are kept) is no damage.
        """
        folder = self.checkpoint(step)
        try:
            for name, sha in self.manifest(step)["files"].items():
                if alone and name != alone:
                    continue
                if not (folder / name).exists():
                    if name != "resume.safetensors":
                        return f"{name} is missing"
                elif durable.digest(folder / name) != sha:
                    return f"{name} differs from what was written"
        except PortraitistError as error:
            return error.problem
        return ""


def all_runs(project: Project) -> list[RunFolder]:
    """The project's runs, oldest first by the time they were locked."""
    if not project.runs.is_dir():
        return []
    found = [RunFolder(p) for p in project.runs.iterdir() if (p / "recipe.lock.toml").is_file()]
    return sorted(found, key=lambda run: (run.lock.stat().st_mtime_ns, run.name))


def find(project: Project, name: str = "") -> RunFolder:
    """The run of that name, or the newest one for "". Raises PortraitistError when there is none."""
    found = all_runs(project)
    if not name:
        if not found:
            raise PortraitistError(f"{project.folder} has no run", f"Train one: portraitist train {project.folder}")
        return found[-1]
    for run in found:
        if run.name == name:
            return run
    known = ", ".join(run.name for run in found) or "none"
    raise PortraitistError(f"{project.folder} has no run named {name!r}", f"Its runs: {known}.")


def start_path(project: Project, recipe: Recipe) -> Path:
    """Where the adapter file lies that the recipe starts from."""
    return project.folder / durable.expanded(recipe.adapter.start)


def start_file(project: Project, recipe: Recipe) -> Path:
    """The same. Raises PortraitistError when there is no such file."""
    path = start_path(project, recipe)
    if not path.is_file():
        raise PortraitistError(
            f"adapter.start = {recipe.adapter.start!r}: there is no such file ({path})",
            "Give its path, absolute or from the character's folder.",
        )
    return path


def name_for(recipe: Recipe, family: str, data: str = "") -> str:
    """The name of a new run: family and adapter, then eight digits over all that a run cannot change on its way.

    Equal recipes on equal data (`data`: the digest of the samples) meet in one run, also with more steps in the last
    stage, another interval of saving or other judging; a changed rate, rank or picture makes another run.
    """
    adapter = "full" if recipe.adapter.kind == "full" else f"{recipe.adapter.kind}{recipe.adapter.rank}"
    digest = hashlib.sha256(json.dumps([fixed(recipe), data], sort_keys=True).encode()).hexdigest()
    return f"{family}-{adapter}-{digest[:8]}"


def fixed(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe that cannot change while a run lasts; two recipes that agree in them share a run."""
    aside = dict.fromkeys(("why", "standing", "preset", "judging"), True)
    values = recipe.model_dump(mode="json", exclude={**aside, **TOOLS})
    for name in ("save_every", "keep", "recompute"):
        del values["training"][name]
    for name in ("device", "threads", "offload"):  # it may move to another machine, and says if it is then not exact
        del values["model"][name]
    if not values["model"]["recovery"]:
        del values["model"]["recovery"]
    del values["stages"][-1]["steps"]
    return values


def intended(project: Project, recipe: Recipe, data: str, name: str = "") -> RunFolder:
    """The run that training this recipe on these data would begin or continue; `name` overrules the derived one."""
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise PortraitistError(
            f"{name!r} cannot be the name of a run", "Use letters, digits, dots, dashes and underscores; at most 100."
        )
    return RunFolder(project.runs / (name or name_for(recipe, recipe.model.family, data)))


def enter(run: RunFolder, recipe: Recipe, facts: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Lock a run to a recipe, or check that the recipe continues the run; call it under the run's lock.

    facts    base, data and, if any, recovery adapter and the file it starts from (digests), and what EXACT names
    returns  the horizon (the steps first planned, which schedules run over), and the machine facts that differ
    Raises PortraitistError when the base is another, when the change asks for a run of its own, or when fewer steps
    are wanted than are trained.
    """
    table: dict[str, Any] = {"format": FORMAT, "horizon": recipe.steps, **facts}
    changed: list[str] = []
    if run.lock.is_file():
        table, trained = run.locked(), max(run.steps(), default=0)
        check(run, recipe, table, facts)
        if recipe.steps < trained:
            raise PortraitistError(
                f"Run {run.name} has been trained for {trained} steps, and the recipe now asks for {recipe.steps}",
                "Choose one of its earlier checkpoints, or fork it: --set training.seed=1 begins another run.",
            )
        then = {"precision": run.recipe().model.precision} | table  # locks from before `auto` have the recipe's word
        changed = [f"{k}: {then.get(k)} then, {facts[k]} now" for k in EXACT if then.get(k) != facts[k]]
        if changed and trained:
            table.setdefault("inexact_since", trained)
    durable.write_text(run.lock, recipe.to_toml() + "\n" + tomli_w.dumps({"lock": table}))
    return int(table["horizon"]), changed


def check(run: RunFolder, recipe: Recipe, table: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Refuse what cannot go on in this run; `table` is its [lock]."""
    if table.get("format") != FORMAT or not isinstance(table.get("horizon"), int):
        raise PortraitistError(
            f"{run.lock} has format {table.get('format')}; this version reads {FORMAT}",
            "Install the portraitist that wrote it, or train under another name.",
        )
    if table.get("base") != facts["base"]:
        raise PortraitistError(
            f"Run {run.name} was begun on another base: weights {str(table.get('base'))[:12]} then,"
            f" {str(facts['base'])[:12]} now",
            "Restore that base, or train under another name: an adapter fits the base it was trained on.",
        )
    then, now = fixed(run.recipe()), fixed(recipe)
    differing = [key for key in now if then[key] != now[key]] + ["the pictures"] * (table.get("data") != facts["data"])
    differing += ["the file it starts from"] * (table.get("start", "") != facts.get("start", ""))
    differing += ["the recovery adapter"] * (table.get("recovery", "") != facts.get("recovery", ""))
    if differing:
        raise PortraitistError(
            f"Run {run.name} cannot change {', '.join(differing)} on its way",
            f"Train under another name; to start from its weights, set parent = {run.name!r} in the recipe.",
        )
