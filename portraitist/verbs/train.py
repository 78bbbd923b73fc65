"""Train: cached samples to checkpoints in a run folder; cut and continued, it ends in the bytes of the uncut run."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portraitist import __version__, durable, rules, runs
from portraitist.audit.terms import reason
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Event, Failed, Finished, Saved, Started, Stepped, Warned, ignore
from portraitist.project import Project
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from portraitist.dataset.stream import Course
    from portraitist.family import Base, Family
    from portraitist.learn.state import Trainee

INTERRUPTED = "interrupted"
START = "start.safetensors"  # in a run: the raw weights that it began with, when not afresh


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What came of it: the run's name and folder, steps taken of those asked for, checkpoints, seconds of this call.

    loss   of the last step taken in this call; 0 when there was none to take
    early  why a stop file ended the run before its steps were done; "" when they are
    """

    run: str
    folder: str
    step: int
    steps: int
    checkpoints: tuple[int, ...]
    loss: float
    seconds: float
    early: str = ""


def train(
    project: Project,
    recipe: Recipe,
    run_name: str = "",
    emit: Emit = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> TrainResult:
    """Train the recipe on the project's encoded pictures, from the newest whole checkpoint of its run if there is one.

    The run is the one that recipe and pictures name, or `run_name`. `stop` is asked before every step: when it says
    so, a checkpoint is saved and Interrupted raised. Raises PortraitistError without consent, with blocking findings,
    without samples, on another base than the run's, on a loss that is not finite, and when the disk refuses. Where that
    is before the first step of a new run, there is then no folder of it; a run that was there records it.
    """
    from portraitist import families
    from portraitist.dataset import cache, stream

    project.require_consent()
    refuse_blocked(project)
    family, base = families.pair(recipe.model, emit)
    data = stream.digest([entry for entry in cache.load_index(project, recipe, base) if entry.split == "train"])
    job = Job(project, recipe, runs.intended(project, recipe, data, run_name), family, base, data)
    run = job.run
    # all that can be refused of a new run is refused before anything of it is written
    ready = None if run.lock.is_file() else prepared(job, required(job))
    with durable.lock(run.path):
        if ready and run.lock.is_file():
            raise PortraitistError(f"Another process has begun run {run.name} meanwhile", "The same command goes on.")
        durable.sweep(run.path)
        last: list[Stepped] = []

        def record(event: Event) -> None:
            run.log.append(event)
            emit(event)
            if isinstance(event, Stepped):
                last[:] = [event]

        began = time.monotonic()
        try:
            ending, step = follow(job, ready, record, stop)
        except PortraitistError as error:
            record(Failed(verb="train", problem=error.problem, remedy=error.remedy))
            raise
        seconds, early = time.monotonic() - began, "" if ending == INTERRUPTED else ending
        facts = {"step": step} | ({"early": early} if early else {})
        record(Finished(verb="train", seconds=seconds, interrupted=ending == INTERRUPTED, facts=facts))
    if ending == INTERRUPTED:
        raise Interrupted(f"Stopped at step {step} of {recipe.steps}; the same command goes on from there.")
    loss = last[0].loss if last else 0.0
    return TrainResult(run.name, str(run.path), step, recipe.steps, tuple(run.steps()), loss, seconds, early)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be trained: the recipe, on the samples whose digest is `data`, in a run that may not exist yet."""

    project: Project
    recipe: Recipe
    run: runs.RunFolder
    family: "Family"
    base: "Base"
    data: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it will be trained.

    facts   what the run's lock holds
    told    what the record of its beginning says
    """

    device: "torch.device"
    facts: Mapping[str, Any]
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ready:
    """A training that nothing stands against.

    began   raw weights that it starts from; none afresh
    warned  what a person should know of it
    """

    machine: Machine
    course: "Course"
    trainee: "Trainee"
    began: "Mapping[str, Tensor]"
    warned: tuple[Warned, ...]


def required(job: Job) -> Machine:
    """What the training needs of this machine, of the recipe and of other files, looked at before the base is loaded.

    Raises PortraitistError for what is not there or does not go together.
    """
    from portraitist.adapters.modules import reached
    from portraitist.learn import memory, offload, optimise, quantise, recovery

    recipe, family = job.recipe, job.family
    device = memory.place(recipe.model.device)
    memory.autocast(device, recipe.model.precision)
    quantise.available(recipe.model.quantised, device)
    recovery.check(job.base)
    offload.check(device, recipe.model.offload)
    optimise.available(recipe.training)
    reached(recipe.adapter, family.name, family.targets)
    rules.about_noise(family.profile, recipe)
    machine = memory.facts(device, memory.set_threads(recipe.model.threads))
    free = memory.free_gb(device)  # before the base comes: `run` decides by it whether judging has room beside it
    machine |= {"precision": job.base.dtype}
    facts = {"portraitist": __version__, "base": job.base.digest, "data": job.data, **machine}
    facts |= {"recovery": job.base.recovered} if recipe.model.recovery else {}
    facts |= {"start": start_digest(job.project, recipe, job.run)} if recipe.adapter.start else {}
    return Machine(device, facts, {**free, **machine})


def prepared(job: Job, machine: Machine) -> Ready:
    """Samples and trainee in memory; nothing is written. Raises PortraitistError for what cannot be trained."""
    from portraitist.dataset import cache, stream

    project, recipe, run = job.project, job.recipe, job.run
    samples = cache.load_samples(project, job.family, job.base, recipe, "train")
    course = stream.course(samples, recipe)
    began = parent_weights(project, recipe, run, job.base) if recipe.parent else {}
    trainee = adapted(job.family, job.base, recipe, machine.device)
    if recipe.adapter.start:
        began = start_weights(project, recipe, run, job.family, trainee)
    if began:
        trainee.start_from(began)
    if recipe.adapter.kind == "full":
        refuse_full(recipe, run, trainee)
    warned = (*imitated(recipe, machine.device), *unseen(recipe, {sample.set for sample in samples}))
    return Ready(machine, course, trainee, began, warned)


def follow(job: Job, ready: Ready | None, record: Emit, stop: Callable[[], bool]) -> tuple[str, int]:
    """Enter the run, restore it and train; returns the word it was ended with ("" when done) and its step.

    ready  None for a run that is there already: whether it can go on is asked before its base is loaded
    """
    from portraitist.learn import loop, state

    recipe, run = job.recipe, job.run
    machine = ready.machine if ready else required(job)
    horizon, changed = runs.enter(run, recipe, machine.facts)
    ready = ready or prepared(job, machine)
    trainee = ready.trainee
    keep(run, ready.began)
    write = saver(job)
    warned: list[Event] = list(ready.warned)
    state.restore(run, trainee, warned.append)
    if changed and trainee.step:
        remedy = "Nothing to do unless you need the uncut run's very bytes: then continue where it was begun."
        warned.append(Warned(says=f"From here the run is no longer bit-exact: {'; '.join(changed)}", remedy=remedy))
    record(opening(job, trainee, machine.told))
    for event in warned:
        record(event)

    def checkpoint(trainee: "Trainee") -> None:
        began = time.monotonic()
        path = write(trainee)
        name = str(path.relative_to(run.path))
        record(Saved(step=trainee.step, path=name, seconds=time.monotonic() - began))

    def halt() -> str:
        if stop():
            return INTERRUPTED
        return (durable.read_text(run.stop_file).strip() or "stop file") if run.stop_file.is_file() else ""

    ending = loop.train(
        job.family, trainee, ready.course, recipe, horizon=horizon, emit=record, checkpoint=checkpoint, halt=halt
    )
    return ending, trainee.step


def opening(job: Job, trainee: "Trainee", facts: Mapping[str, object]) -> Started:
    """What the record of a training begins with; `facts` are of the machine."""
    recipe = job.recipe
    own = {
        "run": job.run.name,
        "family": job.family.name,
        "trained": sum(p.numel() for p in trainee.parameters.values()),
        "exposures": recipe.steps * recipe.pictures_per_step,
    } | ({"quantised": recipe.model.quantised} if recipe.model.quantised else {})
    return Started(verb="train", total=recipe.steps, done=trainee.step, facts={**own, **facts})


def imitated(recipe: Recipe, device: "torch.device") -> Iterator[Warned]:
    """A warning of bfloat16 on a CPU that has no arithmetic for it."""
    from portraitist.arithmetic import native

    if recipe.model.precision == "bfloat16" and device.type == "cpu" and not native():
        says = "model.precision = 'bfloat16': this CPU has no arithmetic for it and imitates it, many times slower"
        whole = " --set adapter.weights=float32" if recipe.adapter.weights == "bfloat16" else ""
        yield Warned(says=says, remedy=f"Another run goes as this machine likes: --set model.precision=auto{whole}")


def unseen(recipe: Recipe, sets: set[str]) -> Iterator[Warned]:
    """A warning for every set that no stage sees."""
    from portraitist.dataset import intake

    for name in intake.unseen(recipe, sets):
        says = f"No stage sees the set {name!r}: it is not trained on"
        yield Warned(says=says, remedy="Name it in one, if it should be.")


def refuse_full(recipe: Recipe, run: runs.RunFolder, trainee: "Trainee") -> None:
    """Refuse a whole denoiser whose checkpoints the disk has no room for."""
    from portraitist.forecast import room

    numbers = sum(p.numel() for p in trainee.parameters.values())
    room.refuse_full(recipe, numbers, -(-recipe.steps // recipe.training.save_every), run.checkpoints)


def saver(job: Job) -> "Callable[[Trainee], Path]":
    """How a checkpoint is saved, and which are then let go."""
    from portraitist.judge import keeping
    from portraitist.judge.following import Training
    from portraitist.learn import state

    recipe, run, judge = job.recipe, job.run, Training(job.run, "evaluate")

    def save(trainee: "Trainee") -> Path:
        held = keeping.held(run, judge) if recipe.adapter.kind == "full" else None
        return state.save(run, trainee, writer(job.family, job.base, recipe, trainee.step), held)

    return save


def adapted(family: "Family", base: "Base", recipe: Recipe, device: "torch.device") -> "Trainee":
    """The base's denoiser on the device, with the recipe's adapter in it."""
    from portraitist.adapters import inject
    from portraitist.learn import memory, offload
    from portraitist.learn.state import Trainee

    denoiser = family.load_denoiser(base)
    offload.recompute(denoiser, recipe)
    trained = inject.attach(denoiser, recipe.adapter, family, recipe.training.seed)
    offload.settle(denoiser, recipe.model.offload, device)
    return Trainee(denoiser, trained, recipe.training, scaler=memory.Scaler.of(base.dtype))


def writer(family: "Family", base: "Base", recipe: Recipe, step: int) -> Callable[[Path, "Mapping[str, Tensor]"], None]:
    """How a checkpoint's adapter file is written: its metadata say what it is of, and nothing of when or where."""
    from portraitist.adapters import files

    metadata = {
        "format": "1",
        "family": family.name,
        "base": base.digest,
        "kind": recipe.adapter.kind,
        "step": str(step),
    }
    return lambda path, tensors: files.write(path, dict(tensors), metadata)


def start_digest(project: Project, recipe: Recipe, run: runs.RunFolder) -> str:
    """SHA-256 of the file that the recipe starts from; where it is gone, what the run that has a copy says of it."""
    if (run.path / START).is_file() and run.lock.is_file() and not runs.start_path(project, recipe).is_file():
        return str(run.locked().get("start", ""))
    return durable.digest(runs.start_file(project, recipe))


def start_weights(
    project: Project, recipe: Recipe, run: runs.RunFolder, family: "Family", trainee: "Trainee"
) -> "Mapping[str, Tensor]":
    """The raw weights of the adapter file that the recipe starts from: the run's copy, where it has one.

    Raises PortraitistError when the file does not fit the base or the recipe.
    """
    from portraitist import tensorfile
    from portraitist.adapters import inject, start

    if (run.path / START).is_file():
        return tensorfile.read(run.path / START)
    found = start.weights(runs.start_file(project, recipe), recipe.adapter, family, inject.layers(trainee.denoiser))
    return {f"raw/{name}": tensor for name, tensor in found.items()}


def parent_weights(project: Project, recipe: Recipe, run: runs.RunFolder, base: "Base") -> "Mapping[str, Tensor]":
    """The raw weights that a fork starts from: its own copy, where it has one, else its parent's newest.

    Raises PortraitistError when the parent is of another base, or has nothing to resume from.
    """
    from portraitist import tensorfile
    from portraitist.learn import state

    if (run.path / START).is_file():
        return tensorfile.read(run.path / START)
    parent = runs.find(project, recipe.parent)
    if parent.path == run.path:
        raise PortraitistError(f"Run {run.name} cannot be its own parent", "Give the fork another name.")
    if parent.locked().get("base") != base.digest:
        raise PortraitistError(
            f"Parent {parent.name} was trained on another base", "Fork it on its own base: an adapter fits no other."
        )
    for step in reversed(parent.steps()):
        source = parent.checkpoint(step) / state.RESUME
        if source.is_file() and not parent.damage(step):
            return {name: t for name, t in state.saved_state(source.parent).items() if name.startswith("raw/")}
    raise PortraitistError(
        f"Parent {parent.name} has no checkpoint with resume.safetensors", f"Train it first: --run {parent.name}"
    )


def keep(run: runs.RunFolder, began: "Mapping[str, Tensor]") -> None:
    """Copy what a training starts from into its run, so that it stays."""
    from portraitist import tensorfile

    if began and not (run.path / START).is_file():
        tensorfile.write(run.path / START, began)


def refuse_blocked(project: Project) -> None:
    """Refuse pictures whose audit found what blocks, unless it is waived by name in project.toml."""
    if not project.findings.is_file():
        return
    value: Any = durable.read_json(project.findings)
    found = value.get("findings", []) if isinstance(value, dict) else value
    waived = project.facts.waived
    blocks = [f for f in found if f.get("severity") == "block"]
    blocking = [f for f in blocks if not reason(waived, f.get("check", ""), f.get("pictures", ()))]
    if blocking:
        more = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
        raise PortraitistError(
            f"The audit blocks training: {blocking[0].get('says', blocking[0].get('check'))}{more}",
            f"{blocking[0].get('remedy', '')} Or let it pass by name, with a reason, under [waived] in project.toml.",
        )
