"""The optimiser, the schedules, the averages and the clip: against their formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from portraitist.learn.optimise import average, clip, decay, optimiser, rate
from portraitist.sections import Training


def parameters(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {f"p{i}": nn.Parameter(torch.randn(2, i + 1, generator=draw, dtype=torch.float64)) for i in range(3)}


def test_adamw_is_the_papers_algorithm_2():
    """In numpy, with decoupled decay (arXiv 1711.05101) and both bias corrections."""
    training = Training(rate=0.01, beta1=0.8, beta2=0.95, weight_decay=0.1)
    given = parameters()
    found = optimiser(given, training)
    value, m, v = given["p2"].detach().numpy().copy(), 0.0, 0.0
    for t in range(1, 6):
        for i, parameter in enumerate(given.values()):
            parameter.grad = torch.full_like(parameter, 0.3 * t - i)
        found.step()
        g = 0.3 * t - 2
        m, v = 0.8 * m + 0.2 * g, 0.95 * v + 0.05 * g * g
        value = value - 0.01 * 0.1 * value
        value = value - 0.01 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)
    np.testing.assert_allclose(given["p2"].detach().numpy(), value, rtol=1e-12)


SCHEDULES = st.sampled_from(["constant", "linear", "cosine"])


@given(SCHEDULES, st.integers(0, 20), st.integers(1, 100), st.floats(0, 1), st.integers(0, 300))
def test_the_rate_is_between_floor_and_height_and_never_zero_when_warming_up(schedule, warmup, horizon, floor, step):
    training = Training(rate=0.5, schedule=schedule, warmup=warmup, floor=floor)
    got = rate(training, step, horizon)
    assert 0 <= got <= 0.5 + 1e-12
    if step < warmup:
        assert got == pytest.approx(0.5 * (step + 1) / warmup)
    else:
        assert got >= 0.5 * floor - 1e-12


@pytest.mark.parametrize(("schedule", "half"), [("linear", 0.55), ("cosine", 0.55), ("constant", 1.0)])
def test_a_schedule_goes_from_height_to_floor(schedule, half):
    training = Training(rate=1.0, schedule=schedule, warmup=10, floor=0.1)
    assert rate(training, 9, 110) == rate(training, 10, 110) == 1.0
    assert rate(training, 60, 110) == pytest.approx(half)
    quarter = {"linear": 0.775, "cosine": 0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2, "constant": 1.0}
    assert rate(training, 35, 110) == pytest.approx(quarter[schedule])
    end = 1.0 if schedule == "constant" else 0.1
    assert rate(training, 110, 110) == rate(training, 5000, 110) == pytest.approx(end)


@given(st.floats(0.1, 0.9999), st.integers(0, 100_000))
def test_the_average_forgets_fast_at_first_and_never_faster_than_it_may(most, t):
    assert decay(most, t) == min(most, (1 + t) / (10 + t))
    assert decay(most, t) <= decay(most, t + 1) <= most


def test_the_average_is_a_weighted_mean_of_what_the_weights_were():
    averages, weights = {"a": torch.zeros(3)}, {"a": torch.zeros(3, dtype=torch.bfloat16)}
    expected = 0.0
    for t in range(50):
        weights["a"] = torch.full((3,), float(t), dtype=torch.bfloat16)
        keep = decay(0.9, t)
        average(averages, weights, keep)
        expected = keep * expected + (1 - keep) * t
    assert averages["a"].dtype == torch.float32
    assert averages["a"].tolist() == pytest.approx([expected] * 3, rel=1e-5)


@pytest.mark.parametrize("most", [0.0, 0.5, 1e6])
def test_the_gradient_keeps_its_direction_and_gets_the_norm_it_may_have(most):
    given = parameters()
    for i, parameter in enumerate(given.values()):
        parameter.grad = torch.full_like(parameter, i - 1.5)
    before = torch.cat([p.grad.flatten() for p in given.values()])
    told = clip(given, most)
    after = torch.cat([p.grad.flatten() for p in given.values()])
    assert float(told) == pytest.approx(float(before.norm()))
    if most == 0.5:
        torch.testing.assert_close(after, before * 0.5 / before.norm(), rtol=1e-5, atol=0)
    else:
        assert torch.equal(after, before)


def test_parameters_without_a_gradient_are_left_out():
    given = parameters()
    given["p0"].grad = torch.ones_like(given["p0"])
    assert float(clip(given, 1.0)) == pytest.approx(2**0.5)
    assert given["p1"].grad is None


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_shows_in_its_norm(poison):
    given = parameters()
    for parameter in given.values():
        parameter.grad = torch.ones_like(parameter)
    given["p1"].grad[0, 0] = poison
    assert not math.isfinite(float(clip(given, 1.0)))


@pytest.mark.parametrize(("wide", "at_once"), [(2**13, None), (2**15, False)])
def test_adamw_takes_many_numbers_one_parameter_at_a_time(wide, at_once):
    """All at once it takes as much memory again as they do."""
    with torch.device("meta"):
        parameters = {"a": nn.Parameter(torch.empty(2**14, wide))}
    assert optimiser(parameters, Training()).param_groups[0]["foreach"] is at_once
