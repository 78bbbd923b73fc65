"""recover: the adapter that lets a base be held in fewer bits, made from the base and the project's samples."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from portraitist import families
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Recovered, Started, ignore
from portraitist.project import Project
from portraitist.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from portraitist.bases.recovering import Given
    from portraitist.family import Base, Family
    from portraitist.learn.matching import Question

PASSES = 64
"""Noisy samples that the base is shown at least, to hear how large its layers' inputs are."""

SHOWN, LEVELS = 8, 4
"""Pictures that the outcome is measured on, and the noise levels of each."""


@dataclass(frozen=True, slots=True)
class RecoverResult:
    """The adapter, and what it gives back.

    file         its path
    given_back   by kind of layer: the share of the rounding error's energy, as far as inputs make it heard, that the
                 closed form gives back
    without      the denoiser's error with its weights in few bits, against the same held in int8: root mean square of
                 the difference over that of the output
    closed_form  the same with the adapter in closed form
    recovered    the same with the adapter as it is in the file
    steps        that it was trained for; 0 where that did not help, and the closed form is in the file
    measured_on  the pictures that this was measured on
    """

    file: str
    quantised: str
    rank: int
    layers: int
    megabytes: float
    given_back: dict[str, str]
    without: float
    closed_form: float
    recovered: float
    steps: int
    measured_on: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What the base is asked: questions that the adapter is made by, and others that the outcome is measured on."""

    family: "Family"
    recipe: Recipe
    making: "Sequence[Question]"
    measuring: "Sequence[Question]"


@dataclass(frozen=True, slots=True)
class Said:
    """What the base, held in int8, answered; sizes of its layers' inputs, and its denoiser's class."""

    making: "Sequence[Tensor]"
    measuring: "Sequence[Tensor]"
    sizes: "Mapping[str, Tensor]"
    kind: Any


def recover(
    project: Project, recipe: Recipe, rank: int = 32, steps: int = 0, overwrite: bool = False, emit: Emit = ignore
) -> RecoverResult:
    """Make the recovery adapter that the recipe names as `model.recovery`, for its base and its `model.quantised`.

    The base, held in int8, is shown the project's encoded training samples at random noise levels; then its weights are
    read one by one, rounded, and what that lost is given back in closed form. At no time does it stand in memory as it
    is stored. With `steps`, the adapter is then trained to what the base said, and kept where that helps. Raises
    PortraitistError for a recipe that names no such file or no fewer bits, a file that is there already, a rank that
    none has, and without consent or samples.
    """
    from portraitist.bases import recovering
    from portraitist.learn import memory, recovery

    refuse(recipe, rank, steps)
    project.require_consent()
    began = time.monotonic()
    family, base = families.pair(recipe.model, emit)
    path = base.recovery
    if path is None or (path.exists() and not overwrite):
        raise PortraitistError(f"{path} is there already", "Name another as model.recovery, or say --overwrite.")
    memory.set_threads(recipe.model.threads)
    asked, measured_on = questions(project, family, base, recipe, steps)
    emit(Started(verb="recover", total=len(asked.making)))
    said = listened(asked, replace(base, quantised="int8", recovery=None, recovered=""), emit)
    part = next(name for name in families.DENOISERS if base.place(name).exists())
    given: list[Given] = []

    def tell(one: "Given", done: int, total: int) -> None:
        given.append(one)
        emit(Recovered(what="layers", done=done, total=total))

    told = {"rank": str(rank)}
    tensors = recovering.distilled(base, said.kind, part, said.sizes, rank, tell)
    recovery.write(path, base, tensors, {**told, "method": "closed form"})
    without, closed, trained, better = outcome(asked, base, said, steps, emit)
    if better:
        recovery.write(path, base, better, {**told, "method": f"closed form, then {steps} steps"})
    seconds = round(time.monotonic() - began, 1)
    emit(Finished(verb="recover", seconds=seconds, facts={"layers": len(given)}))
    shares = recovering.by_kind(given).items()
    return RecoverResult(
        file=str(path),
        quantised=base.quantised,
        rank=rank,
        layers=len(given),
        megabytes=round(path.stat().st_size / 1e6, 3),
        given_back={name: f"{share:.1%} in {count} layers" for name, (share, count) in shares},
        without=round(without, 6),
        closed_form=round(closed, 6),
        recovered=round(trained if better else closed, 6),
        steps=steps if better else 0,
        measured_on=measured_on,
        seconds=seconds,
    )


def questions(project: Project, family: "Family", base: "Base", recipe: Recipe, steps: int) -> tuple[Asked, str]:
    """What the base will be asked, and in words on what the outcome is measured."""
    from portraitist.dataset import cache
    from portraitist.learn import matching

    samples, held = (cache.load_samples(project, family, base, recipe, split) for split in ("train", "held-out"))
    if not samples:
        raise PortraitistError("There is no picture to learn from: all are held out", "Lower data.held_out.")
    shown = (held or samples)[:SHOWN]
    making = matching.drawn(family, recipe, samples, max(PASSES, matching.BATCH * steps))
    words = f"{len(shown)} {'held-out' if held else 'training'} pictures at {LEVELS} noise levels"
    return Asked(family, recipe, making, matching.spread(shown, LEVELS, len(making))), words


def refuse(recipe: Recipe, rank: int, steps: int) -> None:
    """Refuse a recipe that asks for no recovery adapter, and what no adapter can be made with."""
    from portraitist.learn import memory, offload, quantise

    if not recipe.model.recovery:
        raise PortraitistError(
            "The recipe asks for no recovery adapter",
            "Say what it is for and where it goes: --set model.quantised=int3 --set model.recovery=FILE",
        )
    if not 1 <= rank <= 1024:
        raise PortraitistError(f"--rank {rank} is not from 1 to 1024", "32 is usual.")
    if not 0 <= steps <= 100_000:
        raise PortraitistError(f"--steps {steps} is not from 0 to 100000", "200 are a start.")
    if steps and recipe.model.precision == "float16":
        raise PortraitistError(
            "Steps of a recovery adapter are not taken in float16",
            "Use model.precision=bfloat16, or leave out --steps.",
        )
    device = memory.place(recipe.model.device)
    memory.autocast(device, recipe.model.precision)
    offload.check(device, recipe.model.offload)
    quantise.available(recipe.model.quantised, device)


def listened(asked: Asked, base: "Base", emit: Emit) -> Said:
    """Ask a base everything, and hear what its layers are given."""
    from portraitist.learn import matching, memory, recovery

    denoiser = settled(asked, base)
    said = []
    with recovery.Heard(denoiser) as heard:
        for question in asked.making:
            said += matching.answers(asked.family, denoiser, asked.recipe, [question])
            emit(Recovered(what="samples", done=len(said), total=len(asked.making)))
    measured = matching.answers(asked.family, denoiser, asked.recipe, asked.measuring)
    found = Said(said, measured, heard.sizes(), type(denoiser))
    del denoiser, heard
    if memory.place(asked.recipe.model.device).type == "cuda":
        memory.empty()
    return found


def settled(asked: Asked, base: "Base", *, loose: bool = False) -> "nn.Module":
    """A base's denoiser where the recipe puts it; with `loose` its recovery adapter can be trained."""
    from portraitist.learn import matching, memory, offload

    denoiser = asked.family.load_denoiser(base).eval()
    offload.recompute(denoiser, asked.recipe)
    denoiser = matching.loosen(denoiser) if loose else denoiser
    return offload.settle(denoiser, asked.recipe.model.offload, memory.place(asked.recipe.model.device))


def outcome(
    asked: Asked, base: "Base", said: Said, steps: int, emit: Emit
) -> "tuple[float, float, float, dict[str, Tensor]]":
    """Errors of the base as it will be trained on: without its recovery adapter, with it, and with it trained.

    Last the trained adapter's tensors; none where it was not trained, or is no better.
    """
    from portraitist.learn import matching, recovery

    denoiser, found = settled(asked, base, loose=steps > 0), []
    for on in (False, True):
        recovery.switch(denoiser, on=on)
        answers = matching.answers(asked.family, denoiser, asked.recipe, asked.measuring)
        found.append(matching.error(answers, said.measuring))
    if not steps:
        return found[0], found[1], found[1], {}
    count = matching.BATCH * steps

    def tell(done: int) -> None:
        emit(Recovered(what="steps", done=done, total=steps))

    tensors = matching.match(asked.family, denoiser, asked.recipe, asked.making[:count], said.making[:count], tell)
    answers = matching.answers(asked.family, denoiser, asked.recipe, asked.measuring)
    trained = matching.error(answers, said.measuring)
    return found[0], found[1], trained, tensors if trained < found[1] else {}
