"""Evaluate: every checkpoint drawn and measured, the base as zero line; beside a training, or after it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable, families, runs
from portraitist.arithmetic import settled
from portraitist.audit.content import sights
from portraitist.dataset import references
from portraitist.deploy import hiring
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Event, Failed, Finished, Started, Warned, ignore
from portraitist.family import Base
from portraitist.forecast import judging as costs
from portraitist.judge import choosing, settings, walk
from portraitist.judge.candidates import Candidate
from portraitist.judge.design import Design
from portraitist.judge.following import Training
from portraitist.judge.grid import grid
from portraitist.judge.scorecard import BASE, OWN, WHOLE
from portraitist.pictures import open_upright
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.stopping import Stop, never

if TYPE_CHECKING:
    from portraitist.family import Family
    from portraitist.judge.sitting import Sitting

WAIT = 0.5  # seconds between two looks for a new checkpoint


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """What was judged.

    checkpoints  steps that have been screened; contenders: those of them that were drawn in full
    pictures     drawn in this call
    reported     whether the choice has been drawn by the prompts and seeds that nobody chose by
    early        why training was asked to stop; "" when it was not
    """

    run: str
    checkpoints: tuple[int, ...]
    contenders: tuple[int, ...]
    pictures: int
    reported: bool
    seconds: float
    early: str = ""


def evaluate(
    project: Project,
    recipe: Recipe,
    run: str = "",
    follow: bool = False,
    emit: Emit = ignore,
    stop: Stop = never,
) -> EvaluateResult:
    """Judge the checkpoints of a run (the newest for ""), and once there is a choice, the choice by other prompts.

    All are screened; then cells are drawn in full, each by what was seen of those before (judge/walk.py), and the best
    at other guidances. What is drawn keeps to `judging.budget`. What has been judged by the same grid and eyes is not
    judged again. With `follow` it waits for checkpoints until the training is over, and asks for an early end when
    `judging.patience` of them brought no better likeness. It shares nothing with the trainer but files. `stop` is asked
    between two batches: whole files stay, and Interrupted is raised.
    """
    project.require_consent()
    found = runs.find(project, run)
    began = time.monotonic()

    def record(event: Event) -> None:
        found.log.append(event)
        emit(event)

    with durable.lock(found.evaluation):
        durable.sweep(found.evaluation)
        try:
            sitting = seated(project, recipe, found, record, stop)
            settings.write(found, sitting.recipe.judging)
            record(started(sitting, follow))
            sitting.back()
            early = screened(sitting, follow)
            full = contest(sitting)
            reported = report(sitting)
        except PortraitistError as error:
            record(Failed(verb="evaluate", problem=error.problem, remedy=error.remedy))
            raise
        except Interrupted:
            record(Finished(verb="evaluate", seconds=time.monotonic() - began, interrupted=True))
            raise
        seconds = time.monotonic() - began
        record(Finished(verb="evaluate", seconds=seconds, facts={"pictures": sitting.drawn}))
    steps = tuple(sorted({card.step for card in sitting.of_stage("screen")}))
    return EvaluateResult(found.name, steps, tuple(full), sitting.drawn, reported, seconds, early)


def seated(project: Project, recipe: Recipe, run: runs.RunFolder, record: Emit, stop: Stop) -> "Sitting":
    """The panel before its first look: family, base, grid, eyes; no model is loaded yet.

    Judging is cut to its budget by the run's own training, whatever else the recipe now says of that.
    """
    from portraitist.judge.sitting import Sitting
    from portraitist.learn import memory
    from portraitist.sight import eyes

    away = recipe.judging.render == "comfyui"
    family, base = (families.get(recipe.model.family), stood_for(recipe, run)) if away else own(recipe, run, record)
    memory.set_threads(recipe.model.threads)
    pictures = project.read_manifest()
    cost = costs.fitted(
        run.recipe().model_copy(update={"judging": recipe.judging}),
        project.facts,
        family.profile,
        family.pixel_multiple,
        pictures,
        saves(run),  # and not those that are there, lest judging be designed anew while they land
    )
    recipe = recipe.model_copy(update={"judging": cost.recipe.judging})
    shots = grid(project.facts, recipe, family.profile, family.pixel_multiple, pictures)
    shown = [open_upright(path) for path in references.fixed(project, recipe)]
    seen_by = sights(recipe, project.folder)  # refuses before anything is drawn
    shots = replace(shots, references=tuple(opened.digest for opened in shown), models=seen_by.judging)
    easel = None
    if away:
        size, manner = (shots.width, shots.height), (shots.guidance, shots.steps)
        easel = hiring.easel(project.folder, recipe, family, *size, manner, shown, stop)
        shots = replace(shots, drawn_by=easel.name)
        record(Warned(says="ComfyUI draws: losses on held-out pictures are not taken, for they need the base here"))
    looks = eyes.load(family.name) or eyes.Plain()
    return Sitting(project, recipe, run, family, base, shots, looks, record, stop, shown, easel)


def own(recipe: Recipe, run: runs.RunFolder, record: Emit) -> "tuple[Family, Base]":
    """The family and the base on this machine, as the run was trained over it."""
    from portraitist.learn import recovery

    refuse_other_bits(recipe, run)
    family, base = families.pair(recipe.model, record)
    recovery.check(base)
    if run.locked().get("recovery", "") != base.recovered:
        raise PortraitistError(
            f"Run {run.name} was trained over another recovery adapter than {recipe.model.recovery or 'none'}",
            "Judge it as it was trained: give that file as model.recovery.",
        )
    return family, base


def stood_for(recipe: Recipe, run: runs.RunFolder) -> Base:
    """The base that a run was trained on by its digest alone: another program draws, with its own copy.

    Raises PortraitistError for what no LoRA can be judged by there.
    """
    if run.recipe().adapter.kind == "full":
        raise PortraitistError(
            f"Run {run.name} trained a whole denoiser, which ComfyUI cannot be given as a LoRA",
            "Judge it on its own base: judging.render = 'own'.",
        )
    if recipe.judging.companion:
        raise PortraitistError(
            "A second LoRA (judging.companion) is not drawn by ComfyUI", "Leave it out, or judge on the base here."
        )
    return Base(Path(), str(run.locked().get("base", "")), settled(recipe.model.precision, "cuda"))  # not of this CPU


def refuse_other_bits(recipe: Recipe, run: runs.RunFolder) -> None:
    """Refuse to judge a run on a base that is held in other bits than it was trained on: losses would not compare."""
    ours, theirs = recipe.model.quantised, run.recipe().model.quantised
    if ours != theirs:
        raise PortraitistError(
            f'Run {run.name} was trained with model.quantised = "{theirs}", and the recipe says "{ours}"',
            f"Judge it as it was trained: --set model.quantised={theirs or chr(34) * 2}",
        )


def saves(run: runs.RunFolder) -> int:
    """Checkpoints that the whole training saves."""
    trained = run.recipe()
    return -(-trained.steps // trained.training.save_every)


def started(sitting: "Sitting", follow: bool) -> Started:
    """The event of the start: pictures to be drawn in all, if the walk is as long as it may be, and those that are."""
    shots, judging = sitting.grid, sitting.recipe.judging
    checkpoints = max(saves(sitting.run) if follow else 0, len(sitting.run.steps()))
    total = Design.of(judging, shots, checkpoints).pictures(reports=choice(sitting) is not None)
    there = {drawn.path for card in sitting.cards.values() for drawn in card.pictures}
    facts = {"run": sitting.run.name, "grid": shots.digest, "eyes": sitting.looks.digest}
    return Started(verb="evaluate", total=max(total, len(there)), done=len(there), facts=facts)


def screened(sitting: "Sitting", follow: bool) -> str:
    """Screen every checkpoint, and with `follow` those to come; returns why training was asked to end early, or ""."""
    training, early = Training(sitting.run), ""
    for step in sitting.run.steps():
        if sitting.has(step, WHOLE, "screen"):
            sitting.vouch(step)
    sitting.judge(BASE, 0.0, "screen")
    while True:
        over = not follow or training.over()  # asked first: what was saved before the end is then seen below
        waiting = [step for step in sitting.run.steps() if not sitting.has(step, WHOLE, "screen")]
        if waiting:
            sitting.judge(waiting[0], WHOLE, "screen")
            if follow and not over and not early:
                early = enough(sitting)
        elif over:
            break
        else:
            time.sleep(WAIT)
        sitting.heed()
    if follow:
        take_over_threads(sitting)
    return early


def enough(sitting: "Sitting") -> str:
    """Ask the training to end, by its stop file, when likeness has stopped rising; returns the reason, or ""."""
    patience = sitting.recipe.judging.patience
    best = choosing.plateau(sitting.of_stage("screen"), patience)
    if not best or sitting.run.stop_file.is_file():
        return ""
    reason = f"Likeness was best at step {best}; {patience} later checkpoints brought no better."
    durable.write_text(sitting.run.stop_file, reason + "\n")
    return reason


def take_over_threads(sitting: "Sitting") -> None:
    """Once training is over, use the CPU threads that it had as well."""
    from portraitist.learn import memory

    had = sitting.run.locked().get("threads", 0)
    if sitting.recipe.model.threads and isinstance(had, int):
        cores = memory.set_threads(0)
        memory.set_threads(min(sitting.recipe.model.threads + had, cores))


def contest(sitting: "Sitting") -> list[int]:
    """Draw cells in full, one after the other as the walk goes, and the best of them at other guidances; returns the
    steps that were drawn so."""
    judging = sitting.recipe.judging
    there = sitting.run.steps()  # of a whole denoiser not every checkpoint that was judged is kept
    cards = [card for card in sitting.of_stage("screen") if card.step in there]
    if not cards:
        return []
    weighed(sitting, BASE, 0.0)
    steps = walk.stops(cards, judging.in_full)
    at: walk.Cell | None = (steps[0], min(judging.strengths))
    walked: list[walk.Cell] = []
    while at is not None and len(walked) < judging.in_full:
        weighed(sitting, *at)
        walked.append(at)
        at = walk.onward(at, seen(sitting, walked), steps, judging.strengths)
    guided(sitting)
    return sorted({step for step, _ in walked})


def seen(sitting: "Sitting", walked: Sequence[walk.Cell]) -> Candidate:
    """The last cell of a walk, by what was drawn of all its cells and of no others: a walk that goes on after a stop,
    or over cells that were judged before, goes the same way."""
    own = [card for card in sitting.cards.values() if card.guidance == OWN]
    own = [card for card in own if card.step == BASE or (card.step, card.strength) in walked]
    base, cards = choosing.latest(own, "grid")
    assert base is not None  # it is drawn before any cell
    candidates = choosing.weighed(base, cards, sitting.recipe.judging.max_drop)
    return next(one for one in candidates if one.place[:2] == walked[-1])


def guided(sitting: "Sitting") -> None:
    """Try other guidances on the cell that would be chosen so far."""
    judging = sitting.recipe.judging
    others = [guidance for guidance in judging.guidances if guidance != sitting.grid.guidance]
    if not others:
        return
    there = {BASE, *sitting.run.steps()}
    base, cards = choosing.latest([card for card in sitting.cards.values() if card.step in there], "grid")
    cards = [card for card in cards if card.guidance == OWN]
    cards = [card for card in cards if card.strength in judging.strengths] or cards
    if base is None or not cards:
        return
    best = choosing.choose(base, cards, list(sitting.losses.values()), judging.prefer, judging.max_drop).chosen.card
    for guidance in others:
        weighed(sitting, best.step, best.strength, guidance)


def weighed(sitting: "Sitting", step: int, strength: float, guidance: float = OWN) -> None:
    """Draw all that a cell is chosen by: the full grid, and what probes how free it is."""
    sitting.judge(step, strength, "grid", guidance)
    if sitting.grid.probing:
        sitting.judge(step, strength, "probe", guidance)
    sitting.heed()


def report(sitting: "Sitting") -> bool:
    """Draw the choice, and the base beside it, by the prompts and seeds that nobody chose by, and beside a second LoRA
    where the recipe names one; whether there is a choice."""
    chosen = choice(sitting)
    if chosen is None:
        return False
    step, strength, guidance = chosen
    sitting.judge(BASE, 0.0, "report")
    sitting.judge(step, strength, "report", guidance)
    sitting.beside(step, strength, guidance)
    return True


def choice(sitting: "Sitting") -> tuple[int, float, float] | None:
    """Step, strength and guidance that were chosen, if they have been and the checkpoint is there."""
    found = sitting.run.chosen()
    return (found.step, found.strength, found.guidance) if found and found.step in sitting.run.steps() else None
