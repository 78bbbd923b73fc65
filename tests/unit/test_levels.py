"""The policies of noise levels are the distributions they are called by, and the weights diffusers' and the paper's."""

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_snr

from portraitist import rules
from portraitist.dataset.stream import course
from portraitist.errors import PortraitistError
from portraitist.learn.loop import batch_loss
from portraitist.learn.noise import Ddpm, Flow, levels, snr_weights
from portraitist.sections import Training
from tests.learning import Painter, Weaver, drawn, job

COUNT = 4096
POLICIES = {
    "uniform": Training(level="uniform"),
    "logit-normal": Training(level="logit-normal", level_mean=-0.4, level_spread=0.7),
    "shifted": Training(level="logit-normal", level_shift=3.0),
}


def found(training, process=None, per_step=8, count=COUNT, seed=5):
    return levels(seed, range(count), process or Flow(), training, per_step)


def expected(training):
    """Draws of diffusers' own, in its own random numbers; a shift as its flow scheduler's formula has it."""
    torch.manual_seed(0)
    drawn = compute_density_for_timestep_sampling(
        training.level.replace("-", "_"), COUNT, training.level_mean, training.level_spread
    )
    return training.level_shift * drawn / (1 + (training.level_shift - 1) * drawn)


def apart(one, other):
    """Kolmogorov and Smirnov's distance of two samples."""
    at = torch.cat([one, other]).sort().values
    shares = [torch.searchsorted(sample.sort().values, at, right=True) / len(sample) for sample in (one, other)]
    return float((shares[0] - shares[1]).abs().max())


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("name", POLICIES)
def test_levels_are_distributed_as_diffusers_draws_them(name, stratified):
    """Of two samples of 4096 from one distribution the distance is above 0.036 once in a hundred times."""
    training = POLICIES[name]
    drawn = found(training.model_copy(update={"stratified": stratified}))
    assert apart(drawn, expected(training)) < 0.036
    assert all(apart(drawn, expected(other)) > 0.05 for key, other in POLICIES.items() if key != name)


def test_without_a_policy_levels_are_the_familys_and_today_s():
    for process in (Flow(shift=2.0), Flow("logit-normal"), Ddpm()):
        plain = found(Training(level="uniform"), Flow(), count=64)
        assert torch.equal(found(Training(), process, count=64), process.level(plain))


@pytest.mark.parametrize("per_step", [2, 5, 8])
def test_stratified_levels_of_a_step_lie_one_in_each_share(per_step):
    drawn = found(Training(level="uniform", stratified=True), per_step=per_step, count=40 * per_step)
    shares = (drawn.reshape(40, per_step) * per_step).floor().long()
    assert torch.equal(shares.sort(dim=1).values, torch.arange(per_step).expand(40, -1))
    assert len({tuple(row) for row in shares.tolist()}) > 1, "in an order of its own"


def test_stratified_means_stray_less():
    """The variance of a step's mean falls from 1 / 12 n to 1 / 12 n^3."""
    spread, plain = (found(Training(level="uniform", stratified=s)).reshape(-1, 8).mean(1).var() for s in (True, False))
    assert float(plain) == pytest.approx(1 / (12 * 8), rel=0.2)
    assert float(spread) == pytest.approx(1 / (12 * 8**3), rel=0.2)


def test_a_level_does_not_depend_on_how_its_step_is_cut():
    training = Training(stratified=True)
    whole = levels(3, range(8, 16), Flow(), training, 8)
    assert torch.equal(torch.cat([levels(3, (i,), Flow(), training, 8) for i in range(8, 16)]), whole)


def test_on_timesteps_a_logit_normal_is_dense_in_the_middle_and_lies_on_them():
    drawn = found(Training(level="logit-normal", level_spread=0.5), Ddpm()) * 1000
    torch.testing.assert_close(drawn, drawn.round(), rtol=0, atol=1e-3)
    assert float(((drawn > 350) & (drawn < 650)).float().mean()) == pytest.approx(0.785, abs=0.03)


@pytest.mark.parametrize("gamma", [1.0, 5.0])
@pytest.mark.parametrize(("prediction", "zero_snr"), [("epsilon", False), ("v", False), ("v", True)])
def test_min_snr_weights_are_those_of_diffusers_training_script(prediction, zero_snr, gamma):
    """examples/text_to_image/train_text_to_image.py: min(SNR, gamma) / SNR, for v over SNR + 1."""
    times = torch.arange(1000)
    scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=zero_snr
    )
    snr = compute_snr(scheduler, times)
    smaller = torch.stack([snr, gamma * torch.ones_like(snr)], dim=1).min(dim=1)[0]
    theirs = smaller / (snr if prediction == "epsilon" else snr + 1)
    ours = snr_weights(Ddpm(prediction, zero_snr=zero_snr), (times + 1) / 1000, gamma)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-7)


def test_the_loss_is_weighted_picture_by_picture(tmp_path):
    """A batch's loss is the sum of its pictures', each times its weight: the mean of the weights would be another."""
    plain, weighted = (job(tmp_path / str(g), Painter(), training__snr_gamma=g) for g in (0.0, 1.0))
    trainee, (batch, *_) = plain.trainee(), course(plain.samples, plain.recipe).step(0)
    single = [batch_part(batch, i) for i in range(len(batch.index))]
    losses = [float(batch_loss(Painter(), trainee, one, plain.recipe).detach()) for one in single]
    at = levels(0, batch.index, Ddpm(), plain.recipe.training, plain.recipe.pictures_per_step)
    factors = snr_weights(Ddpm(), at, 1.0).tolist()
    assert len(set(factors)) > 1
    total = sum(loss * factor for loss, factor in zip(losses, factors, strict=True))
    assert float(batch_loss(Painter(), trainee, batch, weighted.recipe).detach()) == pytest.approx(total, rel=1e-4)


def batch_part(batch, i):
    from dataclasses import replace

    return replace(
        batch,
        latents=batch.latents[i : i + 1],
        given={name: value[i : i + 1] for name, value in batch.given.items()},
        mask=batch.mask[i : i + 1],
        weight=batch.weight[i : i + 1],
        index=batch.index[i : i + 1],
    )


@pytest.mark.parametrize(
    ("family", "settings", "says"),
    [
        (Weaver(), {"training__snr_gamma": 5.0}, "this family is a flow"),
        (Painter(), {"training__level": "uniform", "training__level_shift": 2.0}, "level_shift = 2 is of flows"),
    ],
)
def test_a_policy_of_another_process_is_refused(family, settings, says, tmp_path):
    with pytest.raises(PortraitistError, match=says):
        rules.about_noise(family.profile, job(tmp_path, family, drawn(4), **settings).recipe)
