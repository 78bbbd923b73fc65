"""Rounded by chance a weight is on average what it would have been; to the nearest, small steps would all be lost."""

import math

import pytest
import torch
from torch import nn

from portraitist.dataset.draws import number
from portraitist.learn import rounding
from portraitist.learn.optimise import optimiser, take
from portraitist.sections import Training

COUNT = 1 << 18


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("value", [1.001, -1.001, 3.14159e-3, -2.5e8, 1e-30, 0.9999999, 1e-40])
def test_the_mean_over_draws_is_the_value(value):
    """Each draw is one of the two neighbours, h apart, the upper with probability p: the mean of n draws lies within
    five standard deviations h sqrt(p (1 - p) / n) of the value."""
    exact = torch.full((COUNT,), value)
    found = rounding.rounded(exact, draws())
    assert found.dtype == torch.bfloat16
    low, high = float(found.float().min()), float(found.float().max())
    here = float(exact[0])
    assert low <= here <= high
    assert found.unique().numel() == 2
    assert torch.nextafter(torch.tensor(low).bfloat16(), torch.tensor(math.inf).bfloat16()).item() == high
    share = (here - low) / (high - low)
    error = (high - low) * math.sqrt(share * (1 - share) / COUNT)
    assert abs(float(found.double().mean()) - here) < 5 * error


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.5, 2.0**-130, 3.3895313892515355e38])
def test_what_bfloat16_can_say_is_said_as_it_is(value):
    found = rounding.rounded(torch.full((1000,), value), draws())
    assert (found.double() == value).all()
    assert (found.signbit() == (math.copysign(1, value) < 0)).all()


@pytest.mark.parametrize("kind", ["adamw", "adafactor", "adamw8bit"])
def test_it_is_the_optimisers_own_float32_step_rounded(kind):
    """The widened parameter goes through the very same step that a float32 one takes; only then is it rounded."""
    if kind == "adamw8bit":
        pytest.importorskip("bitsandbytes")
    training = Training(optimiser=kind, rate=1e-3)
    start, slopes = torch.randn(64, 96, generator=draws(1)).bfloat16(), torch.randn(3, 64, 96, generator=draws(2))
    ours, theirs = {"a": nn.Parameter(start.clone())}, {"a": nn.Parameter(start.float())}
    one, other = optimiser(ours, training), optimiser(theirs, training)
    for count, slope in enumerate(slopes):
        theirs["a"].data = ours["a"].detach().float()
        ours["a"].grad, theirs["a"].grad = slope.bfloat16(), slope.bfloat16().float()
        take(one, 1e-3, lambda count=count: rounding.step(one, ours, 5, count))
        take(other, 1e-3)
        chance = torch.Generator().manual_seed(number(5, "rounding a", count))
        assert torch.equal(ours["a"], rounding.rounded(theirs["a"].detach(), chance))
    assert ours["a"].dtype == torch.bfloat16


def test_steps_too_small_for_bfloat16_count_on_average_and_to_the_nearest_never():
    """At 4e-6 a step of Adam's is a thousandth of the distance between two numbers next to 1."""
    nearest, chance = (nn.Parameter(torch.ones(20_000, dtype=torch.bfloat16)) for _ in range(2))
    training = Training(rate=4e-6, weight_decay=0.0)
    plain = optimiser({"a": nearest}, training)
    rounds = optimiser({"a": chance}, training)
    for count in range(100):
        nearest.grad, chance.grad = torch.ones_like(nearest), torch.ones_like(chance)
        take(plain, 4e-6)
        take(rounds, 4e-6, lambda count=count: rounding.step(rounds, {"a": chance}, 0, count))
    assert (nearest == 1).all()
    moved = 1 - float(chance.double().mean().detach())
    assert 0.9 < moved / 4e-4 < 1.1


def test_the_chance_is_of_seed_weight_and_step_alone():
    def stepped(names, seed=0, count=3):
        torch.manual_seed(len(names))
        weights = {name: nn.Parameter(torch.ones(4096, dtype=torch.bfloat16)) for name in names}
        found = optimiser(weights, Training())
        for parameter in weights.values():
            parameter.grad = torch.ones_like(parameter)
        take(found, 1e-3, lambda: rounding.step(found, weights, seed, count))
        return {name: parameter.detach() for name, parameter in weights.items()}

    alone = stepped("b")["b"]
    assert torch.equal(alone, stepped("ab")["b"])
    assert not torch.equal(alone, stepped("ab")["a"])
    assert not torch.equal(alone, stepped("b", seed=1)["b"])
    assert not torch.equal(alone, stepped("b", count=4)["b"])
