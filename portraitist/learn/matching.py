"""A denoiser in few bits, taught to say what its base says, by training the factors of its recovery adapter.

The base's answers are taken beforehand, so that one of the two is in memory at a time.
Held to what it promises by tests/integration/test_recovery.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from portraitist.dataset.stream import stack
from portraitist.family import Family, Sample
from portraitist.learn import memory, recovery
from portraitist.learn.loss import to
from portraitist.learn.noise import levels, noises
from portraitist.learn.recovery import INNER, OUTER
from portraitist.recipe import Recipe

BATCH, RATE = 2, 5e-4
"""Questions of a step, and the rate that falls to nothing over all steps; of Adam (arXiv 1412.6980)."""


@dataclass(frozen=True, slots=True)
class Question:
    """A sample in the noise of a draw at a level (1,) in [0, 1]; of its captions the draw takes one."""

    sample: Sample
    draw: int
    level: Tensor


def drawn(family: Family, recipe: Recipe, samples: Sequence[Sample], count: int) -> list[Question]:
    """So many questions about samples, in turn, at the levels that training draws."""
    seed, training = recipe.training.seed, recipe.training
    return [
        Question(samples[i % len(samples)], i, levels(seed, [i], family.process, training, 1)) for i in range(count)
    ]


def spread(samples: Sequence[Sample], count: int, first: int) -> list[Question]:
    """So many questions about each sample, at levels evenly spread; their draws count from `first`."""
    return [
        Question(sample, first + count * i + j, torch.tensor([(j + 0.5) / count]))
        for i, sample in enumerate(samples)
        for j in range(count)
    ]


def answer(family: Family, denoiser: nn.Module, recipe: Recipe, question: Question) -> Tensor:
    """What a denoiser predicts, (1, C, h, w) float32, where the recipe computes."""
    device, sample, draw = memory.place(recipe.model.device), question.sample, question.draw
    batch = to(stack([(draw, sample, sample.captions[draw % len(sample.captions)])]), device)
    noise, level = noises(recipe.training.seed, [draw], batch.latents).to(device), question.level.to(device)
    with memory.autocast(device, recipe.model.precision):
        return family.predict(denoiser, family.process.mix(batch.latents, noise, level), level, batch.given).float()


@torch.no_grad()
def answers(family: Family, denoiser: nn.Module, recipe: Recipe, questions: Sequence[Question]) -> list[Tensor]:
    """The same of each question, on the CPU."""
    return [answer(family, denoiser, recipe, question).cpu() for question in questions]


def error(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """Root mean square of the answers' difference, over that of the wanted ones."""
    off = sum(float((ours - theirs).double().square().sum()) for ours, theirs in zip(found, wanted, strict=True))
    return float((off / sum(float(theirs.double().square().sum()) for theirs in wanted)) ** 0.5)


def loosen(denoiser: nn.Module) -> nn.Module:
    """Make the factors of a denoiser's recovery adapter trainable, in float32; returns the denoiser.

    To be called before its blocks are laid away from a card: what is trained stays there.
    """
    for layer in recovery.held(denoiser).values():
        if layer.inner is not None and layer.outer is not None:
            layer.inner, layer.outer = nn.Parameter(layer.inner.float()), nn.Parameter(layer.outer.float())
    return denoiser


def match(
    family: Family,
    denoiser: nn.Module,
    recipe: Recipe,
    questions: Sequence[Question],
    wanted: Sequence[Tensor],
    tell: Callable[[int], None],
) -> dict[str, Tensor]:
    """Train a loosened denoiser's factors to the wanted answers, each question once; returns them as a file has them.

    wanted  answers of the base, on the CPU
    tell    is told of each step
    Afterwards the denoiser has the factors as they will be read back, rounded to bfloat16.
    """
    factors = {
        f"{name}{end}": factor
        for name, layer in recovery.held(denoiser).items()
        for end, factor in ((INNER, layer.inner), (OUTER, layer.outer))
        if isinstance(factor, nn.Parameter)
    }
    optimiser = torch.optim.Adam(factors.values(), betas=(0.9, 0.99))
    steps = len(questions) // BATCH
    for step in range(steps):
        for i in range(BATCH * step, BATCH * (step + 1)):
            found = answer(family, denoiser, recipe, questions[i])
            loss = (found - wanted[i].to(found)).square().mean() / BATCH
            torch.autograd.backward(loss)  # before the next question: one graph at a time
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        tell(step + 1)
    rounded = {name: factor.detach().bfloat16() for name, factor in factors.items()}
    for name, factor in factors.items():
        factor.data = rounded[name].float()
    return {name: factor.cpu() for name, factor in rounded.items()}
