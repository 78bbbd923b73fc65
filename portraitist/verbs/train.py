"""Train: cached samples to checkpoints in a run folder; cut and continued, it ends in the bytes of the uncut run."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portraitist import __version__, durable, rules, runs
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Event, Failed, Finished, Saved, Started, Stepped, Warned, ignore
from portraitist.project import Project
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor

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
    without samples, on another base than the run's, on a loss that is not finite, and when the disk refuses.
    """
    from portraitist import families
    from portraitist.dataset import cache, stream

    project.require_consent()
    refuse_blocked(project)
    family, base = families.pair(recipe.model, emit)
    data = stream.digest([entry for entry in cache.load_index(project, recipe, base) if entry.split == "train"])
    run = runs.intended(project, recipe, data, run_name)
    with durable.lock(run.path):
        durable.sweep(run.path)
        last: list[Stepped] = []

        def record(event: Event) -> None:
            run.log.append(event)
            emit(event)
            if isinstance(event, Stepped):
                last[:] = [event]

        began = time.monotonic()
        try:
            ending, step = follow(project, recipe, run, family, base, data, record, stop)
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


def follow(
    project: Project,
    recipe: Recipe,
    run: runs.RunFolder,
    family: "Family",
    base: "Base",
    data: str,
    record: Emit,
    stop: Callable[[], bool],
) -> tuple[str, int]:
    """Set the run up, restore it and train; returns the word it was ended with ("" when done) and its step."""
    from portraitist.dataset import cache, stream
    from portraitist.learn import loop, memory, optimise, quantise, state

    device = memory.place(recipe.model.device)
    memory.autocast(device, recipe.model.precision)  # refuses before anything is loaded
    quantise.available(recipe.model.quantised, device)
    optimise.available(recipe.training)
    rules.about_noise(family.profile, recipe)
    machine = memory.facts(device, memory.set_threads(recipe.model.threads))
    free = memory.free_gb(device)  # before the base comes: `run` decides by it whether judging has room beside it
    facts = {"portraitist": __version__, "base": base.digest, "data": data, **machine}
    facts |= {"start": start_digest(project, recipe, run)} if recipe.adapter.start else {}
    horizon, changed = runs.enter(run, recipe, facts)
    samples = cache.load_samples(project, family, base, recipe, "train")
    course = stream.course(samples, recipe)
    trainee = adapted(family, base, recipe, device)
    if recipe.adapter.start:
        trainee.start_from(start_weights(project, recipe, run, family, trainee))
    if recipe.parent:
        trainee.start_from(parent_weights(project, recipe, run, base))
    write = saver(recipe, run, family, base, trainee)
    warned: list[Event] = list(unseen(recipe, {sample.set for sample in samples}))
    state.restore(run, trainee, warned.append)
    if changed and trainee.step:
        remedy = "Nothing to do unless you need the uncut run's very bytes: then continue where it was begun."
        warned.append(Warned(says=f"From here the run is no longer bit-exact: {'; '.join(changed)}", remedy=remedy))
    record(opening(run, family, recipe, trainee, {**free, **machine}))
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

    ending = loop.train(family, trainee, course, recipe, horizon=horizon, emit=record, checkpoint=checkpoint, halt=halt)
    return ending, trainee.step


def opening(
    run: runs.RunFolder, family: "Family", recipe: Recipe, trainee: "Trainee", facts: Mapping[str, object]
) -> Started:
    """What the record of a training begins with; `facts` are of the machine."""
    own = {
        "run": run.name,
        "family": family.name,
        "trained": sum(p.numel() for p in trainee.parameters.values()),
        "exposures": recipe.steps * recipe.pictures_per_step,
        "precision": recipe.model.precision,
    } | ({"quantised": recipe.model.quantised} if recipe.model.quantised else {})
    return Started(verb="train", total=recipe.steps, done=trainee.step, facts={**own, **facts})


def unseen(recipe: Recipe, sets: set[str]) -> Iterator[Warned]:
    """A warning for every set that no stage sees."""
    from portraitist.dataset import intake

    for name in intake.unseen(recipe, sets):
        says = f"No stage sees the set {name!r}: it is not trained on"
        yield Warned(says=says, remedy="Name it in one, if it should be.")


def saver(
    recipe: Recipe, run: runs.RunFolder, family: "Family", base: "Base", trainee: "Trainee"
) -> "Callable[[Trainee], Path]":
    """How a checkpoint is saved, and which are then let go. Refuses a whole denoiser that the disk has no room for."""
    from portraitist.forecast import room
    from portraitist.judge import keeping
    from portraitist.judge.following import Training
    from portraitist.learn import state

    whole, judge = recipe.adapter.kind == "full", Training(run, "evaluate")
    if whole:
        numbers = sum(p.numel() for p in trainee.parameters.values())
        room.refuse_full(recipe, numbers, -(-recipe.steps // recipe.training.save_every), run.checkpoints)

    def save(trainee: "Trainee") -> Path:
        held = keeping.held(run, judge) if whole else None
        return state.save(run, trainee, writer(family, base, recipe, trainee.step), held)

    return save


def adapted(family: "Family", base: "Base", recipe: Recipe, device: "torch.device") -> "Trainee":
    """The base's denoiser on the device, with the recipe's adapter in it."""
    from portraitist.adapters import inject
    from portraitist.learn import memory, offload
    from portraitist.learn.state import Trainee

    offload.check(device, recipe.model.offload)
    denoiser = family.load_denoiser(base)
    offload.recompute(denoiser, recipe)
    trained = inject.attach(denoiser, recipe.adapter, family, recipe.training.seed)
    offload.settle(denoiser, recipe.model.offload, device)
    return Trainee(denoiser, trained, recipe.training, scaler=memory.Scaler.of(recipe.model.precision))


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
) -> "dict[str, Tensor]":
    """The raw weights of the adapter file that the recipe starts from, copied into the run so that they stay.

    Raises PortraitistError when the file does not fit the base or the recipe.
    """
    from portraitist import tensorfile
    from portraitist.adapters import inject, start

    path = run.path / START
    if not path.is_file():
        found = start.weights(runs.start_file(project, recipe), recipe.adapter, family, inject.layers(trainee.denoiser))
        tensorfile.write(path, {f"raw/{name}": tensor for name, tensor in found.items()})
    return tensorfile.read(path)


def parent_weights(project: Project, recipe: Recipe, run: runs.RunFolder, base: "Base") -> dict[str, "Tensor"]:
    """The raw weights that a fork starts from: its parent's newest, copied into the fork so that they stay.

    Raises PortraitistError when the parent is of another base, or has nothing to resume from.
    """
    from portraitist import tensorfile
    from portraitist.learn import state

    path = run.path / START
    if path.is_file():
        return tensorfile.read(path)
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
            raw = {name: tensor for name, tensor in state.saved_state(source.parent).items() if name.startswith("raw/")}
            tensorfile.write(path, raw)
            return tensorfile.read(path)
    raise PortraitistError(
        f"Parent {parent.name} has no checkpoint with resume.safetensors", f"Train it first: --run {parent.name}"
    )


def refuse_blocked(project: Project) -> None:
    """Refuse pictures whose audit found what blocks, unless it is waived by name in project.toml."""
    if not project.findings.is_file():
        return
    value: Any = durable.read_json(project.findings)
    found = value.get("findings", []) if isinstance(value, dict) else value
    blocking = [f for f in found if f.get("severity") == "block" and f.get("check") not in project.facts.waived]
    if blocking:
        more = f" (and {len(blocking) - 1} more)" if len(blocking) > 1 else ""
        raise PortraitistError(
            f"The audit blocks training: {blocking[0].get('says', blocking[0].get('check'))}{more}",
            f"{blocking[0].get('remedy', '')} Or let it pass by name, with a reason, under [waived] in project.toml.",
        )
