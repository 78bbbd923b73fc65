"""recover: the adapter that lets a base be held in fewer bits, made from the base and the project's samples."""

import time
from collections.abc import Sequence
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
    from portraitist.family import Base, Family, Sample

PASSES = 64
"""Noisy samples that the base is shown to hear how large its layers' inputs are."""

SHOWN, LEVELS = 8, 4
"""Pictures that the outcome is measured on, and the noise levels of each."""


@dataclass(frozen=True, slots=True)
class RecoverResult:
    """The adapter, and what it gives back.

    file         its path
    given_back   by kind of layer: the share of the rounding error's energy, as far as inputs make it heard, that is
                 given back
    without      the denoiser's error with its weights in few bits, against the same held in int8: root mean square of
                 the difference over that of the output; `recovered` is the same with the adapter
    measured_on  the pictures that this was measured on
    """

    file: str
    quantised: str
    rank: int
    layers: int
    megabytes: float
    given_back: dict[str, str]
    without: float
    recovered: float
    measured_on: str
    seconds: float


def recover(
    project: Project, recipe: Recipe, rank: int = 32, overwrite: bool = False, emit: Emit = ignore
) -> RecoverResult:
    """Make the recovery adapter that the recipe names as `model.recovery`, for its base and its `model.quantised`.

    The base, held in int8, is shown the project's encoded training samples at random noise levels; then its weights are
    read one by one, rounded, and what that lost is given back in closed form. At no time does it stand in memory as it
    is stored. Raises PortraitistError for a recipe that names no such file or no fewer bits, a file that is there
    already, a rank that none has, and without consent or samples.
    """
    from portraitist.bases import recovering
    from portraitist.dataset import cache
    from portraitist.learn import memory, recovery

    refuse(recipe, rank)
    project.require_consent()
    began = time.monotonic()
    family, base = families.pair(recipe.model, emit)
    path = base.recovery
    if path is None or (path.exists() and not overwrite):
        raise PortraitistError(f"{path} is there already", "Name another as model.recovery, or say --overwrite.")
    memory.autocast(memory.place(recipe.model.device), recipe.model.precision)
    memory.set_threads(recipe.model.threads)
    samples, held = (cache.load_samples(project, family, base, recipe, split) for split in ("train", "held-out"))
    if not samples:
        raise PortraitistError("There is no picture to learn from: all are held out", "Lower data.held_out.")
    shown = (held or samples)[:SHOWN]
    emit(Started(verb="recover", total=PASSES))
    near = replace(base, quantised="int8", recovery=None, recovered="")
    heard, wanted, kind = listened(family, near, recipe, samples, shown, emit)
    part = next(name for name in families.DENOISERS if base.place(name).exists())
    given: list[Given] = []

    def tell(one: "Given", done: int, total: int) -> None:
        given.append(one)
        emit(Recovered(layer=one.layer, done=done, total=total))

    tensors = recovering.distilled(base, kind, part, heard, rank, tell)
    recovery.write(path, base, tensors, {"rank": str(rank), "method": "L2QER", "samples": str(len(samples))})
    del tensors
    without, recovered = errors(family, base, recipe, shown, wanted)
    seconds = time.monotonic() - began
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
        recovered=round(recovered, 6),
        measured_on=f"{len(shown)} {'held-out' if held else 'training'} pictures at {LEVELS} noise levels",
        seconds=round(seconds, 1),
    )


def refuse(recipe: Recipe, rank: int) -> None:
    """Refuse a recipe that asks for no recovery adapter, and a rank that no adapter has."""
    if not recipe.model.recovery:
        raise PortraitistError(
            "The recipe asks for no recovery adapter",
            "Say what it is for and where it goes: --set model.quantised=int3 --set model.recovery=FILE",
        )
    if not 1 <= rank <= 1024:
        raise PortraitistError(f"--rank {rank} is not from 1 to 1024", "32 is usual.")


def listened(
    family: "Family",
    base: "Base",
    recipe: Recipe,
    samples: "Sequence[Sample]",
    shown: "Sequence[Sample]",
    emit: Emit,
) -> "tuple[dict[str, Tensor], list[Tensor], type[Any]]":
    """Show a base the samples: sizes of its layers' inputs, what it predicts of those `shown`, its denoiser's class."""
    from portraitist.learn import memory, recovery
    from portraitist.learn.noise import levels

    device, training = memory.place(recipe.model.device), recipe.training
    denoiser = settled(family, base, recipe)
    with recovery.Heard(denoiser) as heard:
        for i in range(PASSES):
            level = levels(training.seed, [i], family.process, training, 1)
            predicted(family, denoiser, samples[i % len(samples)], i, level, recipe)
            emit(Recovered(layer="", done=i + 1, total=PASSES))
    found = heard.sizes(), predictions(family, denoiser, recipe, shown), type(denoiser)
    del denoiser, heard
    if device.type == "cuda":
        memory.empty()
    return found


def settled(family: "Family", base: "Base", recipe: Recipe) -> "nn.Module":
    """A base's denoiser where the recipe puts it, to be looked at alone."""
    from portraitist.learn import memory, offload

    device = memory.place(recipe.model.device)
    offload.check(device, recipe.model.offload)
    return offload.settle(family.load_denoiser(base).eval(), recipe.model.offload, device)


def predicted(
    family: "Family", denoiser: "nn.Module", sample: "Sample", draw: int, level: "Tensor", recipe: Recipe
) -> "Tensor":
    """What a denoiser says to a sample in the noise of a draw at a level (1,), float32 on the CPU."""
    import torch

    from portraitist.dataset.stream import stack
    from portraitist.learn import memory
    from portraitist.learn.loss import to
    from portraitist.learn.noise import noises

    device = memory.place(recipe.model.device)
    batch = to(stack([(draw, sample, sample.captions[draw % len(sample.captions)])]), device)
    noise, level = noises(recipe.training.seed, [draw], batch.latents).to(device), level.to(device)
    with torch.no_grad(), memory.autocast(device, recipe.model.precision):
        found = family.predict(denoiser, family.process.mix(batch.latents, noise, level), level, batch.given)
    return found.float().cpu()


def predictions(family: "Family", denoiser: "nn.Module", recipe: Recipe, shown: "Sequence[Sample]") -> "list[Tensor]":
    """What it says to pictures at fixed noise levels, in draws that `listened` makes none of."""
    import torch

    return [
        predicted(family, denoiser, sample, PASSES + LEVELS * i + j, torch.tensor([(j + 0.5) / LEVELS]), recipe)
        for i, sample in enumerate(shown)
        for j in range(LEVELS)
    ]


def errors(
    family: "Family", base: "Base", recipe: Recipe, shown: "Sequence[Sample]", wanted: "Sequence[Tensor]"
) -> tuple[float, float]:
    """Relative errors of the base as it will be trained on, without and with its recovery adapter."""
    from portraitist.learn import recovery

    denoiser, found = settled(family, base, recipe), []
    for on in (False, True):
        recovery.switch(denoiser, on=on)
        pairs = zip(predictions(family, denoiser, recipe, shown), wanted, strict=True)
        off = sum(float((ours - theirs).double().square().sum()) for ours, theirs in pairs)
        found.append((off / sum(float(theirs.double().square().sum()) for theirs in wanted)) ** 0.5)
    return found[0], found[1]
