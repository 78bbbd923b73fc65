"""The orchestrator: what is not yet done, in order, from pictures to report.

Verbs that hold torch run in processes of their own, so that their memory ends with them; `evaluate` follows the
checkpoints of `train` as they land, and cannot touch its random numbers.
"""

import hashlib
import json
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from portraitist import __version__, children, durable, families, runs
from portraitist.children import Child, Peak
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Event, Started, Warned, ignore
from portraitist.project import Project
from portraitist.recipe import Recipe, load
from portraitist.runs import RunFolder
from portraitist.stopping import Stop, never

NOTES = "done.json"


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of the whole job; `blocked` when the audit stopped it, and then only `findings` is filled.

    lora, report    paths of what is handed out
    minutes         wall time of this call
    peak_memory_gb  largest sum of resident memory over this process and its children
    skipped         verbs whose output was current already, and that were not started
    """

    blocked: bool = False
    run: str = ""
    checkpoint: int = 0
    strength: float = 0.0
    why: str = ""
    lora: str = ""
    report: str = ""
    minutes: float = 0.0
    peak_memory_gb: float = 0.0
    skipped: tuple[str, ...] = ()
    findings: tuple[Any, ...] = field(default=())


def run(
    project: Project,
    recipe: Recipe,
    emit: Emit = ignore,
    stop: Stop = never,
    until: Literal["train", "report"] = "report",
) -> RunResult:
    """Do the whole job; called again, it goes on where it was stopped and skips what is current.

    until  train ends when it is trained, with what was judged beside it: nothing is chosen, exported or reported yet
    Raises PortraitistError with the problem and remedy of the verb that met one, and Interrupted when `stop` says so:
    the children have then saved and ended.
    """
    from portraitist.verbs.choose import choose
    from portraitist.verbs.report import report

    def heeding(event: Event) -> None:
        emit(event)
        if stop():  # verbs of this process write whole files: they may be left at any event
            raise Interrupted

    project.require_consent()
    began = time.monotonic()
    with Peak() as peak:
        audited = examine(project, recipe, heeding)
        if audited.blocked:
            return RunResult(blocked=True, findings=tuple(audited.findings), peak_memory_gb=round(peak.gb, 3))
        job = Job(project, recipe, emit, stop)
        families.fetch(recipe.model, heeding)  # first, since what is current is known by the base's files
        job.encode()
        found = job.train()
        if until == "train":
            return job.trained(found, began, peak.gb, audited.findings)
        job.judge(found)
        if settled(found):
            job.skipped.append("choose")
        else:
            choose(project, run=found.name, emit=heeding)
        job.judge(found)  # the choice, by prompts and seeds that nobody chose by
        lora = job.export(found)
        page = report(project, run=found.name, emit=heeding)
    choice = tomllib.loads(durable.read_text(found.choice))
    return RunResult(
        run=found.name,
        checkpoint=int(choice["step"]),
        strength=float(choice["strength"]),
        why=str(choice["why"]),
        lora=lora,
        report=str(page.report),
        minutes=round((time.monotonic() - began) / 60, 3),
        peak_memory_gb=round(peak.gb, 3),
        skipped=job.untouched(),
        findings=tuple(audited.findings),
    )


def examine(project: Project, recipe: Recipe, emit: Emit) -> Any:
    """Audit; caption what has no caption, and then audit again, since captions are judged too.

    A trigger that no caption holds blocks, and is just what captioning mends where there are no captions.
    """
    from portraitist.audit import terms
    from portraitist.verbs.audit import audit
    from portraitist.verbs.caption import caption

    audited = audit(project, recipe, emit=emit)
    blocks = {found.check for found in terms.standing(project.facts.waived, audited.findings)}
    if blocks <= {"trigger_missing"} and any(not picture.caption for picture in project.read_manifest()):
        caption(project, recipe, emit=emit)
        audited = audit(project, recipe, emit=emit)
    return audited


@dataclass(slots=True)
class Job:
    """One call of `run` at work: starts verbs as children, passes their events on, and notes what is done."""

    project: Project
    recipe: Recipe
    emit: Emit
    stop: Stop
    skipped: list[str] = field(default_factory=list)
    started: set[str] = field(default_factory=set)
    crowded: bool = False  # judging follows after training, for want of room

    def untouched(self) -> tuple[str, ...]:
        """Verbs that this call found done and never started."""
        return tuple(verb for verb in dict.fromkeys(self.skipped) if verb not in self.started)

    def trained(self, run: RunFolder, began: float, peak_gb: float, findings: Sequence[Any]) -> RunResult:
        """What came of a job that ends with training: the run, and its newest checkpoint."""
        return RunResult(
            run=run.name,
            checkpoint=run.steps()[-1],
            minutes=round((time.monotonic() - began) / 60, 3),
            peak_memory_gb=round(peak_gb, 3),
            skipped=self.untouched(),
            findings=tuple(findings),
        )

    def child(self, verb: str, arguments: Sequence[str]) -> Child:
        """A verb of this project, started as a child."""
        self.started.add(verb)
        return Child(verb, self.project.folder, arguments)

    def encode(self) -> None:
        """Fill the cache, unless pictures, captions, recipe and base are those it was last filled for."""
        inputs = fingerprint(
            durable.read_text(self.project.manifest),
            self.recipe.model_dump(mode="json", include={"model", "data", "judging"}),
            self.project.facts.model_dump(mode="json"),
            files(self.recipe),
        )
        if self.noted("encode", inputs) is not None and self.project.cache.is_dir():
            self.skipped.append("encode")
            return
        self.alone("encode", self.settings(children.cores()))
        self.note("encode", inputs)

    def train(self) -> RunFolder:
        """Train to the recipe's last step while a second process judges what lands, where there is room for it."""
        inputs = fingerprint(self.notes().get("encode"), self.recipe.digest())
        noted = self.noted("train", inputs)
        if noted is not None and over(run := RunFolder(self.project.runs / noted["run"]), self.recipe):
            self.skipped.append("train")
            return run
        shared = max(1, children.cores() - 1)
        with ExitStack() as stack:
            training = stack.enter_context(self.child("train", self.settings(shared)))
            working = [training]
            while any(child.running() for child in working):
                self.look_after(working)
                if training.started and training.running() and len(working) == 1 and self.beside(training.started):
                    beside = self.settings(max(1, children.cores() - shared))
                    named = ["--run", str(training.started.facts["run"]), "--follow", *beside]
                    working.append(stack.enter_context(self.child("evaluate", named)))
            results = self.results(working)
        run = runs.find(self.project, str(results[0]["run"]))
        self.note("train", inputs, run=run.name)
        if len(results) > 1:
            self.note("evaluate", self.judged_by(run))
        return run

    def beside(self, training: Started) -> bool:
        """Whether to judge while this training goes on; where its card has no room for both, that is told, once."""
        wanted, free = self.recipe.judging.beside, training.facts.get("free_gb")
        if wanted != "auto" or free is None or self.crowded:
            return wanted != "never" and not self.crowded
        from portraitist.forecast import memory
        from portraitist.verbs.plan import published

        family = families.get(self.recipe.model.family)
        side = self.recipe.data.resolution or family.profile.resolution
        why = memory.crowded(published(self.recipe, []), self.recipe, side, free)
        if why:
            self.crowded = True
            late = ", so that patience cannot end it early" if self.recipe.judging.patience else ""
            remedy = "To have both at once all the same: --set judging.beside=always"
            self.emit(Warned(says=f"{why}: judging follows after training{late}", remedy=remedy))
        return not why

    def judge(self, run: RunFolder) -> None:
        """Judge all that is not yet judged: checkpoints nobody followed, and, once there is a choice, the choice."""
        inputs = self.judged_by(run)
        if self.noted("evaluate", inputs) is not None and run.scorecards.is_file():
            self.skipped.append("evaluate")
            return
        self.alone("evaluate", ["--run", run.name, *self.settings(children.cores())])
        self.note("evaluate", inputs)

    def judged_by(self, run: RunFolder) -> str:
        """What an evaluation depends on: the checkpoints, how they are to be judged, and the choice."""
        choice = durable.read_text(run.choice) if run.choice.is_file() else ""
        return fingerprint(run.name, run.steps(), self.recipe.judging.model_dump(mode="json"), choice)

    def export(self, run: RunFolder) -> str:
        """Hand out the chosen LoRA; returns its path."""
        inputs = fingerprint(run.name, durable.read_text(run.choice), self.project.facts.model_dump(mode="json"))
        noted = self.noted("export", inputs)
        if noted is not None and Path(noted["lora"]).is_file():
            self.skipped.append("export")
            return str(noted["lora"])
        lora = str(self.alone("export", ["--run", run.name])["lora"])
        self.note("export", inputs, lora=lora)
        return lora

    def alone(self, verb: str, arguments: Sequence[str]) -> dict[str, Any]:
        """One verb as a child, from start to end; returns its result."""
        with self.child(verb, arguments) as child:
            while child.running():
                self.look_after([child])
            return self.results([child])[0]

    def look_after(self, working: Sequence[Child]) -> None:
        """Look once at children at work: pass on what they tell; when one failed or a stop is asked, end them all."""
        for child in working:
            for event in child.events():
                self.emit(event)
        if self.stop() or any(child.failed() for child in working):
            for child in working:
                child.end()
        children.beat()

    def results(self, working: Sequence[Child]) -> list[dict[str, Any]]:
        """The results of children that have ended; the problem of one that met it goes before another's stop for it."""
        for child in working:
            for event in child.events():
                self.emit(event)
        for child in sorted(working, key=lambda child: child.interrupted()):
            child.result()
        return [child.result() for child in working]

    def settings(self, threads: int) -> list[str]:
        """The command line's `--set` for this recipe, with CPU threads shared out unless the recipe names a number."""
        given = self.recipe
        if given.model.threads == 0:
            given = given.model_copy(update={"model": given.model.model_copy(update={"threads": threads})})
        return [word for change in changes(self.project.recipe, given) for word in ("--set", change)]

    def notes(self) -> dict[str, Any]:
        """What has been done, by verb: a digest of what it depended on, and where its output went."""
        path = self.project.folder / NOTES
        found: Any = durable.read_json(path) if path.is_file() else {}
        return found if isinstance(found, dict) and found.get("version") == __version__ else {"version": __version__}

    def noted(self, verb: str, inputs: str) -> dict[str, str] | None:
        """The note of a verb when it was last done from the same inputs."""
        found = self.notes().get(verb, {})
        return found if found.get("inputs") == inputs else None

    def note(self, verb: str, inputs: str, **outputs: str) -> None:
        """Remember that a verb is done."""
        durable.write_json(self.project.folder / NOTES, {**self.notes(), verb: {"inputs": inputs, **outputs}})


def over(run: RunFolder, recipe: Recipe) -> bool:
    """Whether a run is trained to its end: the recipe's last step, or an earlier one by a stop file."""
    return run.lock.is_file() and bool(steps := run.steps()) and (steps[-1] >= recipe.steps or run.stop_file.is_file())


def settled(run: RunFolder) -> bool:
    """Whether a person has chosen, and their checkpoint is there: that is not measured over."""
    choice = run.chosen()
    return choice is not None and choice.by == "person" and choice.step in run.steps()


def files(recipe: Recipe) -> list[tuple[str, int, int]]:
    """Name, size and time of every file of a recipe's base: enough to see that it was exchanged.

    None when the base is not at hand: the verb that reads it tells why.
    """
    try:
        named = families.listed(families.found(recipe.model))
    except PortraitistError:
        return []
    return [(name, path.stat().st_size, path.stat().st_mtime_ns) for name, path in named]


def fingerprint(*parts: Any) -> str:
    """SHA-256 over values of JSON's types."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def changes(path: Path, recipe: Recipe) -> list[str]:
    """The `section.key=value` words that turn the recipe file at `path` into `recipe`."""
    start = [f"preset={inline(recipe.preset)}", f"model.family={inline(recipe.model.family)}"]  # they go together
    try:
        plain = load(path)
        start = [] if (plain.preset, plain.model.family) == (recipe.preset, recipe.model.family) else start
    except PortraitistError:
        pass  # what is wrong in the file, the changes have mended
    before, after = (r.model_dump(mode="json", exclude={"standing"}) for r in (load(path, start), recipe))
    return start + [f"{key}={inline(value)}" for key, value in differing(before, after)]


def differing(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys whose values differ, with the later value; tables are gone into, lists are taken whole."""
    for name, value in after.items():
        if isinstance(value, dict) and isinstance(before.get(name), dict) and set(before[name]) <= set(value):
            yield from differing(before[name], value, f"{prefix}{name}.")
        elif before.get(name) != value:
            yield f"{prefix}{name}", value


def inline(value: Any) -> str:
    """A value as TOML on one line. JSON's strings and numbers are TOML's too, but for one control character."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inline(key)} = {inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(inner) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
