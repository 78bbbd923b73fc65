"""plan: what training a recipe will do and cost, before anything is spent; loads no torch and writes nothing."""

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import portraitist
from portraitist import durable, families, runs
from portraitist.adapters.modules import Reached, parameters, reached
from portraitist.dataset import intake
from portraitist.errors import PortraitistError
from portraitist.events import Stepped
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.recipe import Recipe

RUNTIME_GB = 0.6
"""What Python with torch, diffusers and peft holds before any weight: measured 0.5-0.6 on Linux x86."""

KEPT = 2.0
"""Activations that going back needs, as a multiple of the inputs of all matrix products."""

SHARE = 0.5
"""Of numpy's speed at large matrix products, what training reaches on a CPU: small layers, norms and attention cost."""


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What would happen.

    budget                 steps and exposures in one line
    exposures              pictures shown over all steps, each repetition counted
    pictures, held_out     trained on, and kept from training
    exposures_per_picture  by set ("pictures" is the top folder): how often each picture of it is shown
    run, trained, left     the run of this recipe if there is one, the steps it has, the steps still to take
    checkpoints            steps at which one is still to be saved
    parameters             trained numbers; None when the base is not at hand
    minutes, memory_gb     of what is left; None when there is nothing to tell them from, with `..._basis` saying why
    notes                  what would stop it, or should be known
    """

    budget: str
    steps: int
    exposures: int
    pictures: int
    held_out: int
    exposures_per_picture: dict[str, float]
    run: str
    trained: int
    left: int
    checkpoints: tuple[int, ...]
    parameters: int | None
    minutes: float | None
    minutes_basis: str
    memory_gb: float | None
    memory_basis: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A denoiser by its files' headers.

    parameters  all numbers in it
    widths      the inputs of its matrix products, together
    added       numbers that are trained
    cell        pixels along the side of what a matrix product sees once: 16 in transformers (a VAE by 8, packing by 2);
                in a UNet 32, since most of its weights lie where the picture is smallest
    """

    parameters: int
    widths: int
    added: int
    cell: int


def plan(project: Project, recipe: Recipe) -> PlanResult:
    """What training this recipe on this project would do and cost.

    Uses the audit when there is one, else the folder as it lies. Raises PortraitistError for an unknown
    family or set of layers alone.
    """
    family = families.get(recipe.model.family)
    side = recipe.data.resolution or family.profile.resolution
    pictures, notes = seen(project, recipe)
    training = [picture for picture in pictures if picture.split == "train"]
    shares, missing = exposures(training, recipe)
    run = begun(project, recipe)
    trained = max(run.steps(), default=0) if run else 0
    every, left = recipe.training.save_every, max(0, recipe.steps - trained)
    saves = (s for s in range(trained + 1, recipe.steps + 1) if s % every == 0 or s == recipe.steps)
    total = recipe.steps * recipe.pictures_per_step
    layout = read_layout(weights(recipe), recipe, reached(recipe.adapter, recipe.model.family, family.targets))
    tokens = (side // layout.cell) ** 2 + family.profile.token_limit if layout else 0
    minutes, minutes_basis, peak = duration(project, recipe, run, layout, tokens, left)
    memory, memory_basis = peak if peak else held(recipe, layout, tokens)
    steps = f"{recipe.steps:,} steps x batch {recipe.training.batch} x accumulate {recipe.training.accumulate}"
    average = f", {total / len(training):.3g} per picture" if training else ""
    if trained and run and left:
        notes.append(f"{run.name} goes on from step {trained} if pictures and captions are those it was begun with")
    return PlanResult(
        budget=f"{steps} = {total:,} exposures{average}",
        steps=recipe.steps,
        exposures=total,
        pictures=len(training),
        held_out=len(pictures) - len(training),
        exposures_per_picture=shares,
        run=run.name if run else "",
        trained=trained,
        left=left,
        checkpoints=tuple(saves),
        parameters=layout.added if layout else None,
        minutes=minutes,
        minutes_basis=minutes_basis,
        memory_gb=memory,
        memory_basis=memory_basis,
        notes=(*notes, *missing),
    )


def seen(project: Project, recipe: Recipe) -> tuple[list[Picture], list[str]]:
    """The pictures as the audit left them, or as they lie in the folder; and what stands against training them."""
    if not project.manifest.is_file():
        listed = intake.listed(project.pictures).pictures if project.pictures.is_dir() else ()
        found = [Picture(s.name, "", 0, 0, set=s.set, repeats=intake.repeats(s.set)) for s in listed]
        where = "Not audited yet: no picture counts as held out or broken" if found else "There are no pictures yet"
        return found, [where]
    found, notes = project.read_manifest(), []
    if not any(picture.split == "held-out" for picture in found) and recipe.data.held_out > 0:
        notes.append("No picture is held out: there are too few, or all are each other's twins")
    if project.findings.is_file():
        record = durable.read_json(project.findings)
        blocks = [f for f in record.get("findings", []) if f.get("severity") == "block"]
        open_ = [f["check"] for f in blocks if f.get("check") not in project.facts.waived]
        notes += [f"The audit blocks: {check}" for check in dict.fromkeys(open_)]
    if project.facts.subject == "real" and project.facts.consent is None:
        notes.append("A real person without a recorded consent is not trained")
    return found, notes


def exposures(pictures: list[Picture], recipe: Recipe) -> tuple[dict[str, float], list[str]]:
    """How often each picture of a set is shown over all stages, by set; and stages that have no picture to show."""
    shown: dict[str, float] = {}
    missing = []
    weighed = [(intake.bare(p.set), intake.weigh(p, recipe.data.crops, recipe)[0]) for p in pictures]
    members = Counter(name for name, _ in weighed)
    for stage in recipe.stages:
        wanted = {intake.bare(name) for name in stage.sets}
        chosen = [(name, weight) for name, weight in weighed if not wanted or name in wanted]
        whole = sum(weight for _, weight in chosen)
        if not whole:
            missing.append(f"Stage {stage.name!r} has no picture to show")
            continue
        for name, weight in chosen:
            part = stage.steps * recipe.pictures_per_step * weight / whole / members[name]
            shown[name] = shown.get(name, 0.0) + part
    return {name or "pictures": round(count, 2) for name, count in sorted(shown.items())}, missing


def begun(project: Project, recipe: Recipe) -> runs.RunFolder | None:
    """The newest run that this recipe would continue, as far as the recipe tells."""
    for run in reversed(runs.all_runs(project)):
        try:
            if runs.fixed(run.recipe()) == runs.fixed(recipe):
                return run
        except PortraitistError:
            continue  # a damaged lock is told by what needs it
    return None


def weights(recipe: Recipe) -> Path:
    """Where the base's files lie, if they do."""
    return Path(recipe.model.base or Path(portraitist.__file__).parent / "weights" / recipe.model.family)


def read_layout(folder: Path, recipe: Recipe, on: Reached) -> Layout | None:
    """The base's denoiser by its headers: the part of the folder that holds most of what the adapter is on."""
    best: Layout | None = None
    for part in sorted(path for path in folder.glob("*") if path.is_dir()) if folder.is_dir() else []:
        shapes = dict(shape for path in sorted(part.glob("*.safetensors")) for shape in header(path))
        total, widths, added = sum(map(math.prod, shapes.values())), 0, 0
        folded = sum(math.prod(shape) for shape in shapes.values() if len(shape) == 4)
        for name, shape in shapes.items():
            module, _, kind = name.rpartition(".")
            if kind != "weight" or len(shape) not in (2, 4):
                continue
            widths += math.prod(shape[1:])
            if on(module, len(shape)):
                added += parameters(recipe.adapter, shape)
        trained = total if recipe.adapter.kind == "full" and added else added
        layout = Layout(total, widths, trained, 32 if folded > total / 10 else 16)
        if added and (best is None or layout.parameters > best.parameters):
            best = layout
    return best


def header(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Names and shapes in a safetensors file; none when it is damaged or cannot be read."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            value: Any = json.loads(file.read(size)) if size < 100_000_000 else {}
    except (OSError, ValueError):
        return
    for name, facts in value.items():
        if isinstance(facts, dict) and isinstance(facts.get("shape"), list):
            yield name, facts["shape"]


Measured = tuple[float, str]


def duration(
    project: Project, recipe: Recipe, run: runs.RunFolder | None, layout: Layout | None, tokens: int, left: int
) -> tuple[float | None, str, Measured | None]:
    """Minutes of the steps left and what they are told from; with them the peak memory, when a run has shown it."""
    others = [other for other in reversed(runs.all_runs(project)) if run is None or other.path != run.path]
    for known in ([run] if run else []) + others:
        try:
            theirs = known.recipe()
        except PortraitistError:
            continue
        steps = [event for event in known.log.events() if isinstance(event, Stepped)][-200:]
        if len(steps) < 2 or alike(theirs) != alike(recipe):
            continue
        middle = statistics.median(step.seconds for step in steps[1:])
        minutes = middle / theirs.pictures_per_step * recipe.pictures_per_step * left / 60
        basis = f"median of the last {len(steps) - 1} steps of run {known.name}, {middle:.3g} s each"
        peak = max(step.memory_gb for step in steps)
        same = theirs.training.batch == recipe.training.batch and peak > 0
        return round(minutes, 2), basis, (round(peak, 2), f"peak of run {known.name}") if same else None
    if layout is None:
        return None, f"unknown: no weights of this family in {weights(recipe)}", None
    if recipe.model.device not in ("auto", "cpu") or (recipe.model.device == "auto" and Path("/dev/nvidia0").exists()):
        return None, "unknown until two steps have been taken on this accelerator", None
    passes = 6 if recipe.adapter.kind == "full" else 4
    work = passes * layout.parameters * tokens * recipe.pictures_per_step * left
    speed = matrix_speed()
    basis = f"estimate, good to a factor of 3: {layout.parameters / 1e6:,.3g} M parameters x {tokens} tokens x {passes}"
    basis += f" operations per picture, at {SHARE:.0%} of the {speed / 1e9:,.0f} GFLOP/s measured here"
    return round(work / (SHARE * speed) / 60, 2), basis, None


def alike(recipe: Recipe) -> list[Any]:
    """What two recipes must agree in for one's seconds per picture to tell the other's."""
    data, model = recipe.data, recipe.model
    return [model.family, model.base, model.precision, model.device, data.resolution, recipe.adapter.kind]


def matrix_speed(side: int = 768, seconds: float = 0.1) -> float:
    """Floating-point operations a second of numpy's matrix product on all cores it uses."""
    a, best, end = np.full((side, side), 0.5, np.float32), math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or best is math.inf:
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return float(2 * side**3 / best)


def held(recipe: Recipe, layout: Layout | None, tokens: int) -> tuple[float | None, str]:
    """GB at the peak of training, and what they are told from."""
    if layout is None:
        return None, f"unknown: no weights of this family in {weights(recipe)}"
    size = 4 if recipe.model.precision == "float32" else 2
    frozen = layout.parameters * (8 if recipe.adapter.kind == "full" else size)
    moved = layout.added * 4 * (5 if recipe.training.ema else 4)  # weight, gradient, two moments, average
    kept = KEPT * layout.widths * tokens * recipe.training.batch * size
    parts = [f"{RUNTIME_GB:g} runtime"]
    parts += [
        f"{value / 1e9:.2g} {word}"
        for value, word in ((frozen, "base"), (moved, "adapter and optimiser"), (kept, "activations"))
    ]
    return round(RUNTIME_GB + (frozen + moved + kept) / 1e9, 2), f"estimate in GB: {' + '.join(parts)}"
