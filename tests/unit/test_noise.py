"""The two noise processes are what diffusers' schedulers and the papers say they are."""

import itertools
import math

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from portraitist.learn.noise import Ddpm, Flow, levels, noises
from portraitist.sections import Training

STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEADING = {**STABLE, "timestep_spacing": "leading", "steps_offset": 1}
PROCESSES = [Flow(), Ddpm(), Ddpm("v")]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn_levels(indices, process, training=None, per_step=4, seed=7):
    return levels(seed, indices, process, training or Training(), per_step)


def pair(count=5):
    return drawn(count, 4, 6, 8), drawn(count, 4, 6, 8, seed=1)


def sampled(process, denoiser, noise, schedule):
    """Sampling by a process alone, with any function as the denoiser."""
    noisy = process.start(noise, schedule)
    for now, then in itertools.pairwise(schedule):
        noisy = process.step(noisy, denoiser(noisy, now), now, then)
    return noisy


def test_flow_mixes_as_the_flow_scheduler_does():
    latents, noise = pair()
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    times = scheduler.timesteps[[0, 10, 500, 990, 999]]
    expected = scheduler.scale_noise(latents, times, noise)
    torch.testing.assert_close(Flow().mix(latents, noise, times / 1000), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_flow_samples_as_the_flow_scheduler_does(steps):
    _, noise = pair()

    def denoiser(noisy, level):
        return torch.tanh(noisy) * (1 + level)

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(steps)
    expected = noise
    for time in scheduler.timesteps:
        expected = scheduler.step(denoiser(expected, time / 1000), time, expected, return_dict=False)[0]
    found = sampled(Flow(), denoiser, noise, scheduler.sigmas)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_ddpm_mixes_and_asks_as_the_ddim_scheduler_does(prediction):
    latents, noise = pair()
    times = torch.tensor([0, 1, 500, 998, 999])
    process, scheduler = Ddpm(prediction), DDIMScheduler(**STABLE, prediction_type="epsilon")
    expected = scheduler.add_noise(latents, noise, times)
    torch.testing.assert_close(process.mix(latents, noise, (times + 1) / 1000), expected)
    asked = noise if prediction == "epsilon" else scheduler.get_velocity(latents, noise, times)
    torch.testing.assert_close(process.target(latents, noise, (times + 1) / 1000), asked)


def leading(steps):
    """The levels of SDXL's configured spacing, from a scheduler of diffusers."""
    scheduler = DDIMScheduler(**LEADING)
    scheduler.set_timesteps(steps)
    return torch.cat([(scheduler.timesteps + 1) / 1000, torch.zeros(1)])


@pytest.mark.parametrize("steps", [2, 7, 30])
@pytest.mark.parametrize(("ours", "theirs"), [("epsilon", "epsilon"), ("v", "v_prediction")])
def test_ddpm_samples_as_the_ddim_scheduler_does(ours, theirs, steps):
    _, noise = pair()

    def denoiser(noisy, level):
        return torch.tanh(noisy) * (0.5 + 0.1 * level)

    scheduler = DDIMScheduler(**LEADING, prediction_type=theirs, clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(steps)
    expected = noise
    for time in scheduler.timesteps:
        expected = scheduler.step(denoiser(expected, (time + 1) / 1000), time, expected, return_dict=False)[0]
    found = sampled(Ddpm(ours), denoiser, noise, leading(steps))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 7, 30])
def test_ddpm_samples_as_the_euler_scheduler_that_sdxl_ships_with(steps):
    """Euler steps along sigma are DDIM steps in other units: x / sqrt(alpha)."""
    _, noise = pair()

    def denoiser(noisy, level):
        return torch.tanh(noisy) * (0.5 + 0.1 * level)

    scheduler = EulerDiscreteScheduler(**LEADING)
    scheduler.set_timesteps(steps)
    expected = noise * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        scaled = scheduler.scale_model_input(expected, time)
        expected = scheduler.step(denoiser(scaled, (time + 1) / 1000), time, expected, return_dict=False)[0]
    found = sampled(Ddpm(), denoiser, noise, leading(steps))
    torch.testing.assert_close(found, expected.double(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@given(many=st.integers(2, 40), seed=st.integers(0, 2**20))
def test_who_predicts_the_target_gets_the_picture_back_whatever_the_steps(process, many, seed):
    """A denoiser that knows the answer makes every step exact: of a noisy picture the picture is left."""
    latents, noise = drawn(1, 4, 4, 4, seed=seed), drawn(1, 4, 4, 4, seed=seed + 1)
    draw = torch.Generator().manual_seed(seed)
    places = (torch.randperm(999, generator=draw)[:many].sort(descending=True).values + 1) / 1000
    schedule = torch.cat([places.double(), torch.zeros(1, dtype=torch.float64)])
    start = process.mix(latents, noise, schedule[:1])
    found = sampled(process, lambda _, level: process.target(latents, noise, level), start, schedule)
    torch.testing.assert_close(found, latents, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
def test_level_zero_is_the_picture_and_one_level_may_serve_the_whole_batch(process):
    latents, noise = pair()
    assert torch.equal(process.mix(latents, noise, torch.zeros(5)), latents)
    one = process.mix(latents, noise, torch.tensor(0.3))
    torch.testing.assert_close(one, process.mix(latents, noise, torch.full((5,), 0.3)))


def test_at_level_one_flow_is_noise_alone_and_ddpm_almost():
    latents, noise = pair()
    assert torch.equal(Flow().mix(latents, noise, torch.ones(5)), noise)
    left = DDIMScheduler(**STABLE).alphas_cumprod[-1].sqrt()
    torch.testing.assert_close(
        Ddpm().mix(latents, torch.zeros_like(noise), torch.ones(5)), left.double() * latents, rtol=1e-6, atol=0
    )


@given(time=st.integers(0, 999))
def test_every_timestep_has_its_level(time):
    assert int(Ddpm().timestep(torch.tensor((time + 1) / 1000))) == time


def test_training_levels_of_ddpm_are_all_timesteps_alike():
    uniform = (torch.arange(100_000) + 0.5) / 100_000
    times = Ddpm().timestep(Ddpm().level(uniform))
    counts = torch.bincount(times, minlength=1000)
    assert counts.shape == (1000,)
    assert int(counts.min()) >= 99
    assert int(counts.max()) <= 101


def test_logit_normal_levels_have_the_densitys_quantiles():
    """arXiv 2403.03206, equation 19: the logit of a level is normal."""
    process = Flow("logit-normal", mean=0.4, spread=0.8)
    normal = torch.distributions.Normal(0.4, 0.8)
    uniform = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    torch.testing.assert_close(torch.logit(process.level(uniform)), normal.icdf(uniform))


@given(shift=st.floats(0.2, 8), level=st.floats(0.001, 0.999))
def test_a_shift_moves_levels_as_the_flow_scheduler_shifts_its_own(shift, level):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=[level])
    found = float(Flow(shift=shift).level(torch.tensor(level)))
    assert math.isclose(found, float(scheduler.sigmas[0]), rel_tol=1e-5)


def test_a_pictures_noise_and_level_do_not_depend_on_its_batch():
    like = torch.zeros(3, 4, 8, 8)
    together, alone = noises(7, (3, 10, 4), like), noises(7, (10,), like[:1])
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])
    process = Flow("logit-normal")
    for training in (Training(), Training(stratified=True), Training(level="logit-normal", level_mean=1.0)):
        assert torch.equal(drawn_levels((3, 10, 4), process, training)[1:2], drawn_levels((10,), process, training))
    assert torch.equal(drawn_levels((10,), process, Training(level="uniform")), drawn_levels((10,), Flow()))


def test_noise_is_of_unit_spread_and_levels_stay_inside():
    noise = noises(0, range(8), torch.zeros(8, 4, 32, 32))
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    for process in (Flow("logit-normal", spread=3), Flow(shift=6), Ddpm()):
        found = drawn_levels(range(2000), process)
        assert float(found.min()) > 0
        assert float(found.max()) <= 1
