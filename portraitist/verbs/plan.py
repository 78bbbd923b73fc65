"""plan: what training a recipe will do and cost, before anything is spent; loads no torch and writes nothing."""

import math
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from portraitist import durable, families, runs
from portraitist.adapters.modules import reached
from portraitist.audit.terms import reason
from portraitist.dataset import intake
from portraitist.errors import PortraitistError
from portraitist.events import Stepped
from portraitist.forecast import hindrances, memory, pace, room
from portraitist.forecast import judging as costs
from portraitist.forecast import layout as files
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
    shares, encoding       of bases that need an accelerator: the parts of the peak on the card, and of `encode`'s
                           beside it, in the machine's memory; each with what it stands on
    disk                   what checkpoints still to be saved and the cache take
    cards                  whether training fits cards of the usual sizes, and else what would make it fit
    hours                  by card, for the steps left
    promise                whether the hours asked for can hold
    judging                what judging the whole run costs, as a share of training it, and how it is drawn for that
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
    shares: dict[str, str] = field(default_factory=dict)
    encoding: dict[str, str] = field(default_factory=dict)
    disk: str = ""
    cards: dict[str, str] = field(default_factory=dict)
    hours: dict[str, str] = field(default_factory=dict)
    promise: str = ""
    judging: str = ""


def plan(project: Project, recipe: Recipe, card: str = "", price: float = 0.0, hours: float = 0.0) -> PlanResult:
    """What training this recipe on this project would do and cost.

    card   memory in GB or a card's name: the forecast for that one alone
    price  of an hour on the named card, in any currency; 0 tells no cost
    hours  in which the named card is to be done; 0 asks nothing

    Uses the audit when there is one, else the folder as it lies. Raises PortraitistError for an unknown family, set of
    layers or card, for a card where no forecast can be made, and for a price or hours without a card's name.
    """
    family = families.get(recipe.model.family)
    side = recipe.data.resolution or family.profile.resolution
    pictures, notes = seen(project, recipe)
    training = [picture for picture in pictures if picture.split == "train"]
    shares, missing = exposures(training, recipe)
    run = begun(project, recipe)
    trained = max(run.steps(), default=0) if run else 0
    every, left = recipe.training.save_every, max(0, recipe.steps - trained)
    saved = [s for s in range(trained + 1, recipe.steps + 1) if s % every == 0 or s == recipe.steps]
    total, saves = recipe.steps * recipe.pictures_per_step, -(-recipe.steps // every)
    on = reached(recipe.adapter, recipe.model.family, family.targets)
    layout = files.read_layout(files.weights(files.listed(recipe)), recipe, on)
    pictured = 1 + recipe.references  # on the bases that a CPU trains a reference is as large as the picture
    tokens = pictured * (side // layout.cell) ** 2 + family.profile.token_limit if layout else 0
    notes += hindrances.told(project, recipe, family, pictures, begun=run is not None)
    base = published(recipe, notes)
    minutes, minutes_basis, peak = duration(project, recipe, run, layout, tokens, left, base, side)
    needed, needed_basis = peak if peak else held(recipe, layout, tokens)
    steps = f"{recipe.steps:,} steps x batch {recipe.training.batch} x accumulate {recipe.training.accumulate}"
    average = f", {total / len(training):.3g} per picture" if training else ""
    if trained and run and left:
        notes.append(f"{run.name} goes on from step {trained} if pictures and captions are those it was begun with")
    found = PlanResult(
        budget=f"{steps} = {total:,} exposures{average}",
        steps=recipe.steps,
        exposures=total,
        pictures=len(training),
        held_out=len(pictures) - len(training),
        exposures_per_picture=shares,
        run=run.name if run else "",
        trained=trained,
        left=left,
        checkpoints=tuple(saved),
        parameters=layout.added if layout else None,
        minutes=minutes,
        minutes_basis=minutes_basis,
        memory_gb=needed,
        memory_basis=needed_basis,
        notes=(*notes, *missing),
        judging=costs.fitted(recipe, project.facts, family.profile, family.pixel_multiple, pictures, saves).says,
    )
    if recipe.adapter.kind == "full" and layout:
        found = replace(found, disk=room.needed(recipe, layout.parameters, len(saved))[1])
    asked = Asked(card, price, hours)
    return told(found, recipe, base, side, family.pixel_multiple, asked, measured=peak is not None)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wants to know of a card."""

    card: str
    price: float
    hours: float


def told(
    found: PlanResult,
    recipe: Recipe,
    base: memory.Base | None,
    side: int,
    multiple: int,
    asked: Asked,
    *,
    measured: bool,
) -> PlanResult:
    """The plan with the forecast for cards, where there is one. Raises PortraitistError for what cannot be answered."""
    if not (0 <= asked.price < math.inf and 0 <= asked.hours < math.inf):
        raise PortraitistError("A price or a number of hours below 0, or none at all", "Give a number from 0 on.")
    if base is None:
        if asked != Asked("", 0.0, 0.0):
            raise PortraitistError(
                f"No forecast for cards can be made of this recipe (family {recipe.model.family})",
                "It is made of LoRAs on the usual layers of the published bases; leave --card, --price, --hours out.",
            )
        return found
    size, chosen = 0, None
    if asked.card:
        size = int(asked.card) if asked.card.isdecimal() else 0
        chosen = None if size else pace.named(asked.card)
    if chosen is None and (asked.price or asked.hours):
        raise PortraitistError(
            "A price or hours without a card's name", f"Add --card, one of: {', '.join(pace.CARDS)}."
        )
    sizes = (chosen.gb,) if chosen else (size,) if size else memory.CARDS_GB
    some = [chosen] if chosen else [card for card in pace.CARDS.values() if card.gb == size or not size]
    parts = memory.training(base, recipe, side)
    work = pace.batch_work(base, recipe, side) * recipe.training.accumulate * found.left
    name, samples = recipe.model.family, (found.pictures + found.held_out) * recipe.data.crops
    if not measured and recipe.model.device != "cpu":
        found = replace(
            found, memory_gb=round(memory.total(parts), 2), memory_basis="forecast for a card, by its shares"
        )
    return replace(
        found,
        parameters=base.laws.adapter * recipe.adapter.rank,
        shares={part.what: part.says for part in parts},
        encoding={part.what: part.says for part in memory.encoding(base, recipe, side)},
        disk=memory.disk(base, recipe, side, samples, len(found.checkpoints)),
        cards={f"{gb} GB": memory.verdict(base, recipe, side, multiple, gb) for gb in sizes},
        hours={card.name: pace.foretold(name, work, card, asked.price) for card in some} if found.left else {},
        promise=pace.promise(work, found.left, asked.hours, chosen) if chosen and asked.hours and found.left else "",
    )


def published(recipe: Recipe, notes: list[str]) -> memory.Base | None:
    """The published base that the recipe's is one of, with the folder's own numbers; None where laws do not hold.

    A folder whose denoiser is of another size or shape gets a note.
    """
    base = memory.known(recipe.model.family)
    elsewhere = bool(recipe.adapter.targets) or recipe.adapter.modules != "family"
    if base is None or recipe.adapter.kind != "lora" or elsewhere:
        return None
    there, what = files.listed(recipe), base.published
    found, where = files.weights(there), recipe.model.base
    own = {part: sum(map(math.prod, files.shapes(found.get(part, [])).values())) for part in what.parts}
    numbers, config = own.pop(what.denoiser), files.settings(there.get(f"{what.denoiser}/config.json"))
    plain = what.trained.config
    strange = sorted(key for key in plain.keys() & config.keys() if plain[key] != config[key])
    if strange or (numbers and numbers != base.numbers):
        why = f"{strange[0]} is {config[strange[0]]}" if strange else f"it has {numbers:,} numbers"
        notes.append(f"The denoiser in {where} is not {what.name}'s ({why}): no forecast for cards is known")
        return None
    encoders = {part: own[part] or known for part, known in base.encoders.items()}
    source = f"by the headers in {where}" if numbers else base.source
    return replace(base, encoders=encoders, source=source)


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
        open_ = [f["check"] for f in blocks if not reason(project.facts.waived, f["check"], f.get("pictures", ()))]
        notes += [f"The audit blocks: {check}" for check in dict.fromkeys(open_)]
    try:
        project.require_consent()
    except PortraitistError as error:
        notes.append(f"{error.problem}: nothing is trained")
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
    missing += [f"No stage sees the set {name!r}: it is not trained on" for name in intake.unseen(recipe, members)]
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


Measured = tuple[float, str]


def duration(
    project: Project,
    recipe: Recipe,
    run: runs.RunFolder | None,
    layout: files.Layout | None,
    tokens: int,
    left: int,
    base: memory.Base | None,
    side: int,
) -> tuple[float | None, str, Measured | None]:
    """Minutes of the steps left and what they are told from; with them the peak memory, when a run has shown it.

    A run at another resolution or rank tells by the operations of its steps and of ours, where these are known.
    """
    others = [other for other in reversed(runs.all_runs(project)) if run is None or other.path != run.path]
    near: tuple[float, str] | None = None
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
        if theirs.data.resolution != recipe.data.resolution:
            if base is not None and near is None:
                usual = families.get(recipe.model.family).profile.resolution
                asked = ((theirs, theirs.data.resolution or usual), (recipe, side))
                then, now = (pace.batch_work(base, r, s) / r.training.batch for r, s in asked)
                near = (
                    round(minutes * now / then, 2),
                    f"{basis}, at another resolution: x {now / then:.3g} by operations",
                )
            continue
        peak = max(step.memory_gb for step in steps)
        same = theirs.training.batch == recipe.training.batch and peak > 0
        return round(minutes, 2), basis, (round(peak, 2), f"peak of run {known.name}") if same else None
    if near is not None:
        return *near, None
    return *estimated(recipe, layout, tokens, left), None


def estimated(recipe: Recipe, layout: files.Layout | None, tokens: int, left: int) -> tuple[float | None, str]:
    """Minutes on this CPU by the size of the base, where no run tells."""
    if layout is None:
        return None, unknown(recipe)
    if recipe.model.device not in ("auto", "cpu") or (recipe.model.device == "auto" and Path("/dev/nvidia0").exists()):
        return None, "unknown until two steps have been taken on this accelerator"
    passes = 6 if recipe.adapter.kind == "full" else 4
    passes = 2 * passes + 2 if recipe.training.preserve else passes
    work = passes * layout.parameters * tokens * recipe.pictures_per_step * left
    speed = matrix_speed()
    basis = f"estimate, good to a factor of 3: {layout.parameters / 1e6:,.3g} M parameters x {tokens} tokens x {passes}"
    basis += f" operations per picture, at {SHARE:.0%} of the {speed / 1e9:,.0f} GFLOP/s measured here"
    return round(work / (SHARE * speed) / 60, 2), basis


def unknown(recipe: Recipe) -> str:
    """Why nothing can be told from the base's files."""
    if not recipe.model.base and recipe.model.family != "mini":
        return "unknown until model.base names the base"
    where = recipe.model.base or "the package"
    return f"unknown: {where} is not on this disk, or no layer that is trained is found in it by name"


def alike(recipe: Recipe) -> list[Any]:
    """What two recipes must agree in, beside resolution, for one's seconds per picture to tell the other's."""
    model = recipe.model
    preserving = recipe.training.preserve > 0
    held = [model.precision, model.quantised]
    return [model.family, model.base, *held, model.device, recipe.adapter.kind, preserving]


def matrix_speed(side: int = 768, seconds: float = 0.1) -> float:
    """Floating-point operations a second of numpy's matrix product on all cores it uses."""
    a, best, end = np.full((side, side), 0.5, np.float32), math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or best is math.inf:
        began = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - began)
    return float(2 * side**3 / best)


def held(recipe: Recipe, layout: files.Layout | None, tokens: int) -> tuple[float | None, str]:
    """GB at the peak of training, and what they are told from."""
    if layout is None:
        return None, unknown(recipe)
    size = 2 if recipe.model.precision in ("bfloat16", "float16") else 4  # auto may come to float32
    whole = recipe.adapter.kind == "full"
    own = 2 if recipe.adapter.weights == "bfloat16" else 4  # of a trained weight, and of its gradient
    frozen = 0 if whole else layout.frozen(size, recipe)
    states = memory.STATES[recipe.training.optimiser] + int(recipe.training.ema > 0)  # float32: the average is too
    cast = size if whole and size < own else 0  # autocast keeps a copy of a step's weights in half precision
    moved = layout.added * (2 * own + cast + 4 * states)
    kept = KEPT * layout.widths * tokens * recipe.training.batch * size
    parts = [f"{RUNTIME_GB:g} runtime"]
    parts += [
        f"{value / 1e9:.2g} {word}"
        for value, word in ((frozen, "base"), (moved, "what is trained"), (kept, "activations"))
        if value
    ]
    return round(RUNTIME_GB + (frozen + moved + kept) / 1e9, 2), f"estimate in GB: {' + '.join(parts)}"
