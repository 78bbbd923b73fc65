"""The loss is that of whole steps and whole pictures, however they are cut and masked."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from portraitist.dataset.stream import Stream, course, stack
from portraitist.errors import PortraitistError
from portraitist.family import Sample
from portraitist.learn import loop, memory
from portraitist.learn.loss import held_out, picture_losses
from portraitist.learn.noise import Flow, levels, noises
from portraitist.learn.state import Trainee
from portraitist.recipe import Recipe
from portraitist.sections import Training
from tests.learning import PROFILE


class Scale:
    """A family of one number: the prediction is that number times the noisy picture."""

    name = "scale"
    process = Flow()
    profile = PROFILE

    def predict(self, denoiser, noisy, level, given):
        return denoiser(noisy)


class Number(nn.Module):
    def __init__(self, value=0.5):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, noisy):
        return self.value * noisy

    def tensors(self):
        return {"value": self.value.detach()}


class Alone:
    """The number as what is trained."""

    def __init__(self, number):
        self.number = number

    def parameters(self):
        return {"value": self.number.value}

    def tensors(self):
        return self.number.tensors()


def sample(i, size=(2, 3), mask=None, loss_weight=1.0):
    latents = torch.randn(2, *size, generator=torch.Generator().manual_seed(i))
    conditions = {"tokens": torch.zeros(1, 1)}
    return Sample(str(i), latents, (conditions,), conditions, mask=mask, loss_weight=loss_weight)


def test_it_is_hand_arithmetic():
    """In numpy, from the formulas: x_t = (1 - t) x + t n, target n - x, prediction 0.5 x_t."""
    mask = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 0.0, 1.0]]])
    samples = [sample(0), sample(1, mask=mask)]
    batch = stack([(i, s, s.empty) for i, s in enumerate(samples)])
    noise, level = torch.randn(2, 2, 2, 3, generator=torch.Generator().manual_seed(9)), torch.tensor([0.25, 0.7])
    got = picture_losses(Scale(), Number(), batch, noise, level)
    for i, weights in enumerate([np.full((2, 3), 1 / 6), mask[0].numpy() / 2.5]):
        x, n, t = samples[i].latents.numpy(), noise[i].numpy(), float(level[i])
        error = (0.5 * ((1 - t) * x + t * n) - (n - x)) ** 2
        assert float(got[i].detach()) == pytest.approx((error.mean(0) * weights).sum(), rel=1e-5)


@given(st.floats(0.01, 1.0), st.integers(1, 6))
def test_a_small_subject_counts_as_much_as_a_large_one(height, cells):
    """A constant error gives that error, whatever the mask's area and height."""
    mask = torch.zeros(1, 2, 3)
    mask.flatten()[:cells] = height
    batch = stack([(0, sample(0, mask=mask), {"tokens": torch.zeros(1, 1)})])
    batch.latents.zero_()
    noise = torch.full_like(batch.latents, 2.0)
    got = picture_losses(Scale(), Number(0.0), batch, noise, torch.tensor([1.0]))
    assert float(got.detach()) == pytest.approx(4.0, rel=1e-5)


def test_outside_the_mask_nothing_counts_and_a_mask_of_zeros_is_none():
    mask = torch.zeros(1, 2, 3)
    mask[0, 0, 0] = 1
    one, blank = sample(0, mask=mask), sample(0, mask=torch.zeros(1, 2, 3))
    noise, level = torch.randn(1, 2, 2, 3), torch.tensor([0.5])

    def loss(of, latents=None):
        batch = stack([(0, of, of.empty)])
        if latents is not None:
            batch.latents[:] = latents
        return float(picture_losses(Scale(), Number(), batch, noise, level).detach())

    other = one.latents.clone()
    other[:, 1:] += 100
    assert loss(one, other) == loss(one)
    assert loss(blank) == pytest.approx(loss(sample(0)), rel=1e-6)


def settings(batch, accumulate, **training):
    values = {"batch": batch, "accumulate": accumulate, "rate": 0.1, "max_gradient": 0.0, "save_every": 100}
    return Recipe(
        model={"precision": "float32"}, stages=[{"steps": 3}], training=values | training, data={"dropout": 0}
    )


def trained(recipe, samples, scaler=None):
    """The number after the recipe's steps, and what was told of each step."""
    told, number = [], Number()
    trainee = Trainee(number, Alone(number), recipe.training, scaler=scaler or memory.Scaler())
    given = course(samples, recipe)
    loop.train(Scale(), trainee, given, recipe, horizon=3, emit=told.append, checkpoint=lambda t: None, halt=lambda: "")
    return number.value.detach(), told


@pytest.mark.parametrize("sizes", [[(2, 3)], [(2, 3), (3, 2), (2, 3), (4, 4)]], ids=["one shape", "unequal parts"])
def test_micro_batches_of_any_size_are_one_batch(sizes):
    """Six pictures at once, three by two, six by one; with several shapes the parts are unequal as well."""
    samples = [sample(i, sizes[i % len(sizes)], loss_weight=1 + i % 2) for i in range(7)]
    (whole, told), *others = [trained(settings(*cut), samples) for cut in ((6, 1), (2, 3), (4, 2), (1, 6))]
    eight, _ = others.pop(1)  # four by two is eight pictures a step: another training
    assert not torch.allclose(whole, eight)
    for value, steps in others:
        torch.testing.assert_close(value, whole, rtol=1e-5, atol=1e-7)
        for mine, theirs in zip(steps, told, strict=True):
            assert (mine.loss, mine.gradient) == pytest.approx((theirs.loss, theirs.gradient), rel=1e-5)


def test_a_steps_loss_is_the_sum_over_its_pictures_divided_by_their_number():
    samples = [sample(i, [(2, 3), (4, 4)][i % 2], loss_weight=[0.5, 2.0, 1.0][i % 3]) for i in range(5)]
    recipe = settings(2, 3)
    _, told = trained(recipe, samples)
    process, single = Flow(), []
    stream = Stream(samples, 0, 1, 6)
    for batch in stream.step(0):
        noise, level = noises(0, batch.index, batch.latents), levels(0, batch.index, process, Training(), 6)
        single.append(float((picture_losses(Scale(), Number(), batch, noise, level) * batch.weight).detach()))
    assert len(single) == 6
    assert told[0].loss == pytest.approx(sum(single) / 6, rel=1e-5)


@pytest.mark.parametrize("most", [0.0, 1e-3, 1e3])
def test_the_gradient_is_clipped_once_per_step_and_told_as_it_was(most, monkeypatch):
    """The optimiser is handed the whole step's gradient, no longer than it may be."""
    handed, update = [], Trainee.update

    def spying(trainee, rate):
        handed.append(abs(float(trainee.parameters["value"].grad)))
        update(trainee, rate)

    monkeypatch.setattr(Trainee, "update", spying)
    _, told = trained(settings(2, 3, max_gradient=most), [sample(i) for i in range(6)])
    assert all(step.gradient > 1e-3 for step in told)
    expected = [min(most, step.gradient) if most else step.gradient for step in told]
    assert handed == pytest.approx(expected, rel=1e-4)


def test_a_pictures_noise_and_level_do_not_depend_on_its_company():
    like = torch.zeros(3, 2, 2, 3)
    together = noises(0, (5, 6, 7), like), levels(0, (5, 6, 7), Flow(), Training(), 3)
    for row, i in enumerate((5, 6, 7)):
        assert torch.equal(noises(0, (i,), like[:1])[0], together[0][row])
        assert torch.equal(levels(0, (i,), Flow(), Training(), 3)[0], together[1][row])
    assert not torch.equal(together[0][0], together[0][1])
    assert not torch.equal(noises(1, (5,), like[:1]), noises(0, (5,), like[:1]))


def test_held_out_losses_are_the_same_numbers_in_any_company():
    samples = [sample(i, [(2, 3), (4, 4)][i % 2]) for i in range(4)]
    all_of_them = held_out(Scale(), Number(), samples, seed=3)
    assert all_of_them.shape == (4, 8)
    assert torch.equal(held_out(Scale(), Number(), samples[2:], seed=3), all_of_them[2:])
    assert not torch.equal(held_out(Scale(), Number(), samples, seed=4), all_of_them)
    assert held_out(Scale(), Number(), [], seed=3).shape == (0, 8)
    worse = held_out(Scale(), Number(9.0), samples, seed=3)
    assert bool((worse > all_of_them).all())


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_scaling_the_loss_leaves_no_trace(precision):
    """A power of two goes through the gradient exactly."""
    samples = [sample(i) for i in range(4)]
    recipe = Recipe.model_validate(settings(2, 2, max_gradient=0.01).model_dump() | {"model": {"precision": precision}})
    plain, _ = trained(recipe, samples)
    scaled, _ = trained(recipe, samples, memory.Scaler.of("float16"))
    assert torch.equal(plain, scaled)


def test_half_precision_on_a_cpu_is_refused():
    with pytest.raises(PortraitistError, match="does not train on a CPU"):
        memory.autocast(torch.device("cpu"), "float16")
