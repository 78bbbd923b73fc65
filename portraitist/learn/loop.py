"""The training loop: one for every family, adapter and budget."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from portraitist.dataset.stream import Course
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Overflowed, Stepped
from portraitist.family import Batch, Family
from portraitist.learn import memory
from portraitist.learn.loss import picture_losses, to
from portraitist.learn.noise import agree, levels, noises, number, snr_weights
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
    agree(family.process, settings)
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
            raise PortraitistError(
                f"Step {step + 1}: loss {loss:.3g}, gradient norm {gradient:.3g}; the weights were not touched",
                "Train with a lower rate, or a wider precision: --set training.rate=... or model.precision=float32",
            )
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


def backward(family: Family, trainee: Trainee, batches: Sequence[Batch], recipe: Recipe) -> Tensor:
    """The loss of a step's micro-batches, a scalar, with its gradients put down; on their way they are scaled."""
    pictures, scale = sum(len(batch.index) for batch in batches), trainee.scaler.scale
    loss = torch.zeros((), device=trainee.device)
    for batch in batches:
        share = batch_loss(family, trainee, batch, recipe) / pictures
        torch.autograd.backward(share * scale)
        loss += share.detach()
    for parameter in trainee.parameters.values():
        if parameter.grad is not None and scale != 1:
            parameter.grad /= scale
    return loss


def batch_loss(family: Family, trainee: Trainee, batch: Batch, recipe: Recipe) -> Tensor:
    """Weighted losses of a micro-batch's pictures, summed; noise and level belong to the pictures, not to the batch."""
    training, process, device = recipe.training, family.process, trainee.device
    noise = noises(training.seed, batch.index, batch.latents).to(device)
    level = levels(training.seed, batch.index, process, training, recipe.pictures_per_step).to(device)
    batch = to(batch, device)
    with memory.autocast(device, recipe.model.precision):
        losses = picture_losses(family, trainee.denoiser, batch, noise, level)
    return (losses * batch.weight * snr_weights(process, level, training.snr_gamma)).sum()
