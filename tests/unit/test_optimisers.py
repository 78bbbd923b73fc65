"""The optimisers beside AdamW do what their papers say, and go on from a file to the bit."""

import numpy as np
import pytest
import torch
from torch import nn

from portraitist.errors import PortraitistError
from portraitist.learn import optimise
from portraitist.learn.optimise import at_rest, load_state, optimiser, state_of, take
from portraitist.learn.state import Trainee
from portraitist.sections import Training

KINDS = ["adamw", "adafactor", "adamw8bit", "prodigy", "schedulefree"]


def settings(kind, **more):
    pytest.importorskip(optimise.PACKAGES.get(kind, "torch"))
    return Training(optimiser=kind, **({"rate": 1.0} if kind == "prodigy" else {"rate": 0.01}) | more)


def parameters(shape=(4, 3), seed=0):
    draw = torch.Generator().manual_seed(seed)
    return {"a": nn.Parameter(torch.randn(shape, generator=draw)), "b": nn.Parameter(torch.zeros(3, 2))}


def slope(given, t):
    """Gradients that are a function of weights and step."""
    for i, parameter in enumerate(given.values()):
        parameter.grad = parameter.detach() - 1 + 0.3 * torch.sin(parameter.detach() * 9 + t + i)


def test_adafactor_is_the_papers_algorithm_4():
    """In numpy and float64, with decoupled decay and the rate as it is given (arXiv 1804.04235)."""
    given = {"a": nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3))}
    found, x = optimiser(given, settings("adafactor", rate=0.05, weight_decay=0.1)), given["a"].detach().numpy().copy()
    rows, columns = np.zeros(4), np.zeros(3)
    for t in range(1, 7):
        slope(given, t)
        g = given["a"].grad.numpy().copy()
        take(found, 0.05)
        keep = 1 - t**-0.8
        rows = keep * rows + (1 - keep) * (g**2 + 1e-30).mean(1)
        columns = keep * columns + (1 - keep) * (g**2 + 1e-30).mean(0)
        u = g / np.sqrt(np.outer(rows, columns) / rows.mean())
        u = u / max(1.0, np.sqrt((u**2).mean()))
        x = x - 0.05 * 0.1 * x - 0.05 * u
    np.testing.assert_allclose(given["a"].detach().numpy(), x, rtol=1e-9)


def test_adafactor_keeps_rows_and_columns_alone():
    given = parameters((40, 30))
    found = optimiser(given, settings("adafactor"))
    slope(given, 0)
    take(found, 0.01)
    kept = sum(t.numel() for name, t in state_of(found, given, "adafactor").items() if name.endswith("/a"))
    assert kept <= 40 + 30 + 3


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e2])
def test_prodigy_finds_the_rate_whatever_the_size_of_the_problem(scale):
    """Least |x - c| from 0: its estimate stays below the distance (arXiv 2306.06101, 3), and it gets there."""
    target = scale * torch.tensor([1.0, -2.0, 0.5])
    given = {"x": nn.Parameter(torch.zeros(3))}
    found, moved = optimiser(given, settings("prodigy", weight_decay=0.0)), []
    for _ in range(300):
        given["x"].grad = (given["x"].detach() - target).sign()
        moved.append(take(found, 1.0))
    assert moved[0] == pytest.approx(1e-6)
    assert 0.02 * scale < moved[-1] <= 2 * scale
    assert (given["x"].detach() - target).abs().max() < 0.3 * scale


def test_schedule_free_weights_at_rest_are_the_mean_of_its_iterates():
    """x is the mean of the z by the squares of the highest rate so far (arXiv 2405.15682, equation 23)."""
    given = {"a": nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3))}
    trainee = Trainee(nn.Linear(1, 1), Held(given), settings("schedulefree", beta1=0.8, weight_decay=0.0))
    total, weights = torch.zeros(4, 3, dtype=torch.float64), 0.0
    for t in range(1, 8):
        slope(given, t)
        rate = 0.1 * min(1.0, t / 3)
        trainee.update(rate)
        z = trainee.optimiser.state[given["a"]]["z"]
        total, weights = total + rate**2 * z, weights + rate**2
        y = given["a"].detach().clone()
        with trainee.averaged():
            torch.testing.assert_close(given["a"].detach(), total / weights, rtol=1e-9, atol=1e-12)
            torch.testing.assert_close(y, 0.8 * given["a"].detach() + 0.2 * z, rtol=1e-9, atol=1e-12)
        assert torch.equal(given["a"], y), "the way back is exact"


class Held:
    """Parameters at hand, as something that is trained."""

    def __init__(self, given):
        self.given = given

    def parameters(self):
        return self.given

    def tensors(self):
        return self.given


def test_a_schedule_free_warm_up_from_outside_is_its_own():
    pytest.importorskip("schedulefree")
    from schedulefree import AdamWScheduleFree

    ours, theirs = parameters(), parameters()
    found = optimiser(ours, settings("schedulefree", beta1=0.9, beta2=0.99, weight_decay=0.02))
    other = AdamWScheduleFree(theirs.values(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.02, warmup_steps=4)
    other.train()
    for t in range(8):
        slope(ours, t), slope(theirs, t)
        take(found, 0.01 * min(1.0, (t + 1) / 4)), other.step()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("after", [20, 200])  # while Prodigy's estimate grows, and when it has grown
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_all_that_the_next_step_depends_on(kind, after):
    training = settings(kind)
    whole = parameters((64, 65) if kind == "adamw8bit" else (4, 3))  # its states are in 8 bits from 4096 numbers on
    found = optimiser(whole, training)
    for t in range(after):
        slope(whole, t)
        take(found, training.rate)
    saved = {name: tensor.clone() for name, tensor in state_of(found, whole, kind).items()}
    other = {name: nn.Parameter(p.detach().clone()) for name, p in whole.items()}
    again = optimiser(other, training)
    load_state(again, other, kind, saved)
    for t in range(after, after + 20):
        slope(whole, t), slope(other, t)
        assert take(found, 0.5 * training.rate) == take(again, 0.5 * training.rate)
        assert all(torch.equal(whole[name], other[name]) for name in whole)
    if kind == "prodigy" and after == 200:
        assert saved["prodigy.group/d"] > 1e-3, "it has found a rate"
    if kind == "adamw8bit":
        assert {saved[f"adamw8bit.state{i}/a"].dtype for i in (1, 2)} == {torch.uint8}
        assert sum(tensor.nbytes for name, tensor in saved.items() if name.endswith("/a")) < 3.6 * 64 * 65
    assert state_of(found, whole, kind).keys() == state_of(again, other, kind).keys() == saved.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_the_decay_is_the_recipes(kind):
    """With no gradient but zeros, weights shrink by rate times decay and by nothing else."""
    given, training = parameters(), settings(kind, weight_decay=0.5)
    found, before = optimiser(given, training), given["a"].detach().clone()
    given["a"].grad, given["b"].grad = torch.zeros(4, 3), torch.full((3, 2), 0.3)
    if kind == "prodigy":
        found.param_groups[0]["d"] = 0.1  # as if it had found a rate: at its first, 1e-6, a decay cannot be seen
    moved = take(found, training.rate)
    torch.testing.assert_close(given["a"].detach(), before * (1 - moved * 0.5), rtol=1e-6, atol=0)


def test_prodigy_says_nothing_where_machines_read(capsys):
    optimiser(parameters(), settings("prodigy", weight_decay=0.1))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["adamw8bit", "prodigy", "schedulefree"])
def test_without_its_package_it_is_refused_with_what_to_install(kind, monkeypatch):
    monkeypatch.setattr(optimise, "find_spec", lambda name: None)
    with pytest.raises(PortraitistError, match="is not installed") as caught:
        optimiser(parameters(), Training(optimiser=kind))
    assert "portraitist[optimisers]" in caught.value.remedy


def test_at_rest_changes_nothing_where_nothing_is_averaged():
    given = parameters()
    found = optimiser(given, settings("adamw"))
    slope(given, 0)
    take(found, 0.01)
    before = given["a"].detach().clone()
    with at_rest(found):
        assert torch.equal(given["a"], before)
