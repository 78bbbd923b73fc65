"""Factors of low rank against torch's own singular values, and the errors that are told against those measured."""

import pytest
import torch

from portraitist.adapters import factoring, ranks
from portraitist.adapters.ranks import Ranks
from portraitist.errors import PortraitistError

SHAPES = [(300, 700), (700, 300), (400, 400), (260, 2000)]


def spectrum(rows, columns, fall, noise=0.1, seed=0):
    """A matrix of falling singular values and noise, as fine-tuning makes them."""
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.arange(1, 121, dtype=torch.float32) ** -fall
    signal = (torch.randn(rows, 120, generator=draw) * sizes) @ torch.randn(120, columns, generator=draw)
    rest = torch.randn(rows, columns, generator=draw)
    return signal / signal.norm() + noise * rest / rest.norm()


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (20, 20), (10, 54)])
@pytest.mark.parametrize("rank", [1, 5, 10])
def test_exact_factors_leave_the_smaller_singular_values_and_no_more(shape, rank):
    """Eckart & Young 1936, against torch's own SVD."""
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(rank), dtype=torch.float64) * 1e-3
    found = factoring.split(matrix, rank, "exact")
    values = torch.linalg.svdvals(matrix)
    torch.testing.assert_close(found.sizes, values[:rank])
    assert found.energy == pytest.approx(float(values.square().sum()))
    assert found.left(rank) == pytest.approx(float(values[rank:].square().sum()), rel=1e-9, abs=1e-18)
    assert factoring.missed(matrix, found.up, found.down) == pytest.approx(
        found.left(rank), rel=1e-5, abs=1e-10 * found.energy
    )
    torch.testing.assert_close(found.up.norm(dim=0), found.down.norm(dim=1), msg="halves are balanced")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("fall", "noise"), [(0.7, 0.1), (0.3, 0.5), (2.0, 0.01), (0.0, 1.0)])
def test_quick_factors_err_a_thousandth_more_than_the_best_and_say_what_they_leave(shape, fall, noise):
    matrix, rank = spectrum(*shape, fall, noise), 32
    found = factoring.split(matrix, rank, "fast")
    values = torch.linalg.svdvals(matrix.double())
    least = float(values[rank:].square().sum())
    assert float(factoring.optima(matrix, rank)[-1]) == pytest.approx(least, abs=2e-6 * found.energy)
    really = factoring.missed(matrix, found.up, found.down)
    assert really == pytest.approx(found.left(rank), rel=2e-5, abs=1e-6 * found.energy), (
        "the certificate is the true error"
    )
    assert (really / least) ** 0.5 - 1 < 1e-3
    again = factoring.split(matrix.clone(), rank, "auto")
    assert torch.equal(again.up, found.up)
    assert torch.equal(again.down, found.down)


@pytest.mark.parametrize("fall", [1.3, 1.7])
def test_where_next_to_nothing_is_left_steps_go_on_until_it_is_the_least(fall):
    """Of steep spectra, whose last gains are small beside all that is held already."""
    draw = torch.Generator().manual_seed(1)
    left, right = (torch.linalg.qr(torch.randn(640, 640, generator=draw, dtype=torch.float64))[0] for _ in range(2))
    sizes = torch.arange(1, 641, dtype=torch.float64) ** -fall
    matrix = (left * sizes @ right).float()
    found = factoring.split(matrix, 64)
    really = factoring.missed(matrix, found.up, found.down)
    assert (really / float(sizes[64:].square().sum())) ** 0.5 - 1 < 1e-3
    least = float(factoring.optima(matrix, 64)[-1])
    assert least == pytest.approx(float(sizes[64:].square().sum()), rel=0.02)


def test_of_a_matrix_that_is_spent_at_once_little_is_left_by_the_best_alone():
    """Of rank 65, of which 64 are asked for: nothing is left to grow into, and two millionths beside the factors."""
    draw = torch.Generator().manual_seed(2)
    left, right = (torch.linalg.qr(torch.randn(640, 65, generator=draw, dtype=torch.float64))[0] for _ in range(2))
    sizes = torch.cat([torch.ones(5, dtype=torch.float64), torch.logspace(-1.5, -2.5, 60, dtype=torch.float64)])
    matrix = (left * sizes @ right.T).float()
    found = factoring.split(matrix, 64)
    assert (factoring.missed(matrix, found.up, found.down) / float(sizes[-1] ** 2)) ** 0.5 - 1 < 1e-3


def test_a_change_that_is_of_low_rank_comes_back_whole():
    draw = torch.Generator().manual_seed(1)
    matrix = torch.randn(500, 7, generator=draw) @ torch.randn(7, 600, generator=draw)
    for method in ("fast", "exact"):
        found = factoring.split(matrix, 32, method)
        assert factoring.missed(matrix, found.up, found.down) < 1e-9 * found.energy
        assert found.left(32) < 1e-5 * found.energy
        assert torch.isfinite(found.up).all()
        assert torch.isfinite(found.down).all()


def test_what_rounding_loses_is_told():
    matrix = spectrum(300, 500, 1.0)
    found = factoring.split(matrix, 40)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        up, down, lost = found.rounded(dtype)
        assert up.dtype == dtype
        really = factoring.missed(matrix, up[:, :24], down[:24])
        assert really == pytest.approx(found.left(24) + float(lost[:24].sum()), rel=1e-4)


def test_of_nothing_and_of_what_is_not_finite_the_factors_are_zero():
    empty = factoring.split(torch.zeros(300, 300), 8)
    assert (empty.energy, empty.rank, bool(empty.up.any())) == (0, 8, False)
    broken = torch.ones(300, 300)
    broken[3, 4] = float("nan")
    found = factoring.split(broken, 8)
    assert not found.up.any()
    assert not found.energy < float("inf")


@pytest.mark.parametrize("clamp", [1.0, 0.99])
def test_like_kohya_is_what_their_script_computes(clamp):
    """Their steps: all singular vectors, S into U, one quantile of the signed entries of both for both."""
    matrix, rank = spectrum(80, 200, 0.7), 16
    u, s, vh = torch.linalg.svd(matrix)
    u, vh = u[:, :rank] @ torch.diag(s[:rank]), vh[:rank]
    high = torch.quantile(torch.cat([u.flatten(), vh.flatten()]), clamp)
    theirs = u.clamp(-high, high).half().float() @ vh.clamp(-high, high).half().float()
    up, down = factoring.kohya(matrix, rank, clamp)
    ours = up.half().float() @ down.half().float()
    assert float((ours - theirs).norm() / theirs.norm()) < 2e-3
    if clamp < 1:
        assert factoring.missed(matrix, up, down) > 1.05 * factoring.split(matrix, rank).left(rank)


def test_ranks_by_a_share_are_the_fewest_that_hold_it():
    assert ranks.enough([3.0, 2.0, 1.0], 14.0, 9 / 14) == 1
    assert ranks.enough([3.0, 2.0, 1.0], 14.0, 0.9) == 2
    assert ranks.enough([3.0, 2.0], 14.0, 0.99) == 3


def test_ranks_by_size_hold_the_most_that_fits():
    """Against every choice that fits."""
    from itertools import product

    sizes = {"a": [5.0, 3.0, 1.0], "b": [4.0, 2.0], "c": [1.5, 1.0, 0.5]}
    for costs in ({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 1, "c": 1}):
        for budget in range(9):
            found = ranks.within(sizes, costs, budget)
            spent = sum(costs[name] * rank for name, rank in found.items())
            assert spent <= budget

            def held(choice):
                return sum(sum(v * v for v in sizes[name][:rank]) for name, rank in choice.items())

            every = (dict(zip(sizes, c, strict=True)) for c in product(range(4), range(3), range(4)))
            best = max(held(c) for c in every if sum(costs[n] * r for n, r in c.items()) <= budget)
            rest = [sizes[n][r] ** 2 for n, r in found.items() if r < len(sizes[n]) and costs["a"] > 1]
            assert best - max(rest, default=0) <= held(found) <= best


@pytest.mark.parametrize(
    "asked", [Ranks(0, -1), Ranks(2000), Ranks(energy=1.5), Ranks(energy=-0.1), Ranks(size=-1), Ranks(0, 0, 0.9, 100)]
)
def test_ranks_that_no_adapter_has_are_refused(asked):
    with pytest.raises(PortraitistError):
        asked.check()


def test_ranks_of_a_layer():
    assert Ranks().of((320, 640)) == 64
    assert Ranks(32, 8).of((320, 640, 1, 1)) == 32
    assert Ranks(32, 8).of((320, 640, 3, 3)) == 8
    assert Ranks(energy=0.9).of((320, 4)) == 4
