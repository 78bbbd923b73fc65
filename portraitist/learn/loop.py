"""The training loop: one for every family, adapter and budget."""

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from portraitist.arithmetic import settled
from portraitist.dataset.stream import Course
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Overflowed, Stepped
from portraitist.family import Batch, Family
from portraitist.learn import memory
from portraitist.learn.loss import picture_losses, to
from portraitist.learn.noise import levels, noises, number, snr_weights
from portraitist.learn.optimise import clip, rate
from portraitist.learn.state import Trainee
from portraitist.recipe import Recipe


def train(
    family: Family,
    trainee: Trainee,
    course: Course,
    recipe: Recipe,
    *,
    horizon: int,
    emit: Emit,
    checkpoint: Callable[[Trainee], None],
    halt: Callable[[], str],
) -> str:
    """Take optimiser steps until the recipe's are done, checkpointing at its interval and at the end.

    A step's loss is the sum over its pictures divided by their number, however they were cut into micro-batches.
    `halt` is asked before every step: a word ends training after a checkpoint, and is returned ("" when all is done).
    In float16 a gradient that overflows is not applied: the same step is done again, on the same pictures and draws, at
    half the scale.
    Raises PortraitistError before the weights change if the loss or the gradient is not finite: a poisoned adapter is
    worse than a stopped run.
    """
    settings, saved, ending = recipe.training, trainee.step, ""
    trainee.denoiser.train()
    while trainee.step < recipe.steps and not (ending := halt()):
        began, step = time.monotonic(), trainee.step
        torch.manual_seed(number(settings.seed, "global", step))  # adapter dropout draws from the global generators
        loss = backward(family, trainee, course.step(step), recipe)
        gradient = clip(trainee.parameters, settings.max_gradient)
        if not torch.isfinite(loss + gradient):
            if torch.isfinite(loss) and trainee.scaler.overflowed():
                trainee.optimiser.zero_grad(set_to_none=True)
                emit(Overflowed(step=step + 1, scale=trainee.scaler.scale))
                continue
            raise not_finite(step, loss, gradient, recipe)
        height = rate(settings, step, horizon) * course.factor(step)
        moved = trainee.update(height)
        emit(
            Stepped(
                step=trainee.step,
                loss=loss.item(),
                gradient=gradient.item(),
                rate=moved,
                seconds=time.monotonic() - began,
                memory_gb=memory.peak_gb(trainee.device),
            )
        )
        if trainee.step % settings.save_every == 0:
            checkpoint(trainee)
            saved = trainee.step
    if trainee.step > saved:
        checkpoint(trainee)
    return ending


def not_finite(step: int, loss: Tensor, gradient: Tensor, recipe: Recipe) -> PortraitistError:
    """The refusal of a step; no rate is to blame for the first one."""
    narrow = settled(recipe.model.precision, recipe.model.device) != "float32"
    remedy = "Train with a lower rate: --set training.rate=..."
    if step == 0:
        start = " or adapter.start" if recipe.adapter.start else " or the parent's" if recipe.parent else ""
        remedy = f"Nothing was trained yet: copy the base{start} again, or take another, and encode anew."
    if narrow:
        remedy += " Or use a wider precision: --set model.precision=float32"
    return PortraitistError(
        f"Step {step + 1}: loss {loss:.3g}, gradient norm {gradient:.3g}; the weights were not touched", remedy
    )


def backward(family: Family, trainee: Trainee, batches: Sequence[Batch], recipe: Recipe) -> Tensor:
    """The loss of a step's micro-batches, a scalar, with its gradients put down; on their way they are scaled."""
    pictures, scale = sum(len(batch.index) for batch in batches), trainee.scaler.scale
    loss = torch.zeros((), device=trainee.device)
    with memory.attention(trainee.device):
        for part in (part for batch in batches for part in parts(family, trainee, batch, recipe)):
            share = part / pictures
            torch.autograd.backward(share * scale)  # before the next part is computed: one graph at a time
            loss += share.detach()
    for parameter in trainee.parameters.values():
        if parameter.grad is not None and scale != 1:
            parameter.grad /= scale
    return loss


def parts(family: Family, trainee: Trainee, batch: Batch, recipe: Recipe) -> Iterator[Tensor]:
    """What a micro-batch adds to the step's loss: that of its pictures, and that of straying from the base."""
    yield batch_loss(family, trainee, batch, recipe)
    if batch.nouns is not None:
        yield recipe.training.preserve * straying(family, trainee, batch.nouns, recipe)


def batch_loss(family: Family, trainee: Trainee, batch: Batch, recipe: Recipe) -> Tensor:
    """Weighted losses of a micro-batch's pictures, summed; noise and level belong to the pictures, not to the batch."""
    batch, noise, level = drawn(family, trainee, batch, recipe)
    with memory.autocast(trainee.device, recipe.model.precision):
        losses = picture_losses(family, trainee.denoiser, batch, noise, level)
    return (losses * batch.weight * snr_weights(family.process, level, recipe.training.snr_gamma)).sum()


def straying(family: Family, trainee: Trainee, batch: Batch, recipe: Recipe) -> Tensor:
    """How far predictions stray from the base's on captions that name nobody: weighted squares, summed over pictures.

    The mean is over the whole picture, whatever its mask. Noise and level are those that the same exposures are
    trained at, since they are functions of seed and index; base and adapter see the same.
    """
    batch, noise, level = drawn(family, trainee, batch, recipe)
    noisy, device = family.process.mix(batch.latents, noise, level), trainee.device
    # each under an autocast of its own: it keeps half-precision copies of weights, and those are not the same in both
    with torch.no_grad(), trainee.trained.off(), memory.autocast(device, recipe.model.precision):
        held = family.predict(trainee.denoiser, noisy, level, batch.given)
    with memory.autocast(device, recipe.model.precision):
        found = family.predict(trainee.denoiser, noisy, level, batch.given)
    losses = (found.float() - held.float()).square().mean((1, 2, 3))
    return (losses * batch.weight * snr_weights(family.process, level, recipe.training.snr_gamma)).sum()


def drawn(family: Family, trainee: Trainee, batch: Batch, recipe: Recipe) -> tuple[Batch, Tensor, Tensor]:
    """A batch with its noise and levels, on the trainee's device."""
    training, device = recipe.training, trainee.device
    noise = noises(training.seed, batch.index, batch.latents).to(device)
    level = levels(training.seed, batch.index, family.process, training, recipe.pictures_per_step).to(device)
    return to(batch, device), noise, level
