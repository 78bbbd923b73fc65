"""Weights in 3 and 2 bits, and the factors that give back what rounding lost: held to a search over all levels, to
linear layers of the rebuilt weights, to torch's SVD, and to the allocations."""

import pytest
import torch
from diffusers import FluxTransformer2DModel
from torch import nn
from torch.nn import functional

from portraitist.bases import recovering
from portraitist.family import Base
from portraitist.learn import packing, recovery
from portraitist.learn.quantise import Quantised
from tests.integration.test_counting import held as allocated

WAYS = {"int3": 3, "int2": 2}


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bits", [2, 3])
def test_every_level_comes_back_out_of_its_bytes(bits):
    levels = torch.randint(2**bits, (5, 7, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    levels[0, 0], levels[0, 1] = 2**bits - 1, torch.arange(64) % 2**bits
    packed = packing.folded(levels, bits)
    assert packed.shape == (5, 7, 8 * bits)
    assert torch.equal(packing.unfolded(packed), levels)


@pytest.mark.parametrize(("how", "most"), [("int3", 0.172), ("int2", 0.33)])
def test_what_is_lost_is_less_than_by_the_whole_range_and_each_number_has_its_nearest_level(how, most):
    bits, weight = WAYS[how], drawn(300, 640)
    packed, step, least = packing.rounded(weight, bits)
    groups = weight.view(300, 10, 64)
    known = torch.arange(2**bits) * step.float() + least.float()  # (300, 10, levels)
    apart = (groups.unsqueeze(-1) - known.unsqueeze(-2)).abs()
    found = packing.restored(640, torch.float32, packed, step, least).view_as(groups)
    torch.testing.assert_close((found - groups).abs(), apart.amin(-1), rtol=1e-4, atol=1e-5)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    size = (high - low) / (2**bits - 1)
    plain = ((groups - low) / size).round() * size + low
    assert ((plain - groups).abs() <= size / 2 + 1e-5).all()
    ours, theirs = ((one - groups).square().sum(-1) for one in (found, plain))
    assert (ours <= theirs * 1.02).all(), "a group is worse off, by more than bfloat16 costs"
    assert (ours.sum() / groups.square().sum()).sqrt() < most


def held(how, rows=96, columns=192, dtype=torch.float32, rank=5):
    """A layer that holds a weight, with a recovery adapter beside it, and the plain layer it was made of."""
    plain = nn.Linear(columns, rows).requires_grad_(False)
    plain.weight.copy_(drawn(rows, columns))
    plain.to(dtype)
    layer = Quantised(plain, how)
    layer.take(plain.weight)
    layer.recover(drawn(rank, columns, seed=1).bfloat16(), drawn(rows, rank, seed=2).bfloat16())
    return layer, plain


@pytest.mark.parametrize(("how", "columns"), [("int3", 192), ("int3", 100), ("int2", 192), ("int2", 100), ("nf4", 192)])
@pytest.mark.parametrize("autocast", [False, True])
def test_it_computes_the_rebuilt_weight_and_beside_it_the_factors_there_and_back(how, columns, autocast):
    dtype = torch.bfloat16 if autocast else torch.float32
    layer, plain = held(how, columns=columns, dtype=dtype)
    plain.weight.data = layer.rebuilt(dtype)
    down, up = layer.inner.to(dtype), layer.outer.to(dtype)
    given, found = drawn(2, 5, columns, seed=3), []
    for compute in (layer, lambda x: plain(x) + functional.linear(functional.linear(x.to(dtype), down), up)):
        leaf = given.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = compute(leaf)
        out.float().square().sum().backward()
        found.append((out, leaf.grad))
    assert found[0][0].dtype == dtype
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=2e-2 if autocast else 1e-5, atol=1e-3)
    assert not torch.equal(found[0][0], plain(given.to(dtype))), "the factors did nothing"
    layer.recovering = False
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert torch.equal(layer(given), plain(given.to(dtype)))


@pytest.mark.parametrize("how", WAYS)
def test_the_whole_rank_gives_the_weight_back(how):
    weight, base = drawn(96, 128), Base(None, "", "float32", quantised=how)
    error = recovering.lost(weight, base)
    assert error.norm() / weight.norm() > 0.1
    inner, outer = recovering.factors(error, 0.1 + drawn(128, seed=5).abs(), 96)
    again = weight - error + outer.float() @ inner.float()
    assert (again - weight).norm() / error.norm() < 2**-7


@pytest.mark.parametrize("rank", [1, 8, 40])
def test_its_factors_leave_least_of_what_is_heard(rank):
    """Eckart and Young's theorem, by torch's own SVD; factors of the error itself leave more."""
    error, sizes = drawn(80, 120), torch.logspace(-2, 1, 120)[drawn(120).argsort()]
    inner, outer = recovering.factors(error, sizes, rank)
    ours = recovering.left(error - outer.float() @ inner.float(), sizes)
    least = torch.linalg.svdvals((error * sizes).double())[rank:].square().sum().item()
    assert least <= ours <= 1.001 * least + 1e-4 * recovering.left(error, sizes)
    u, s, v = torch.linalg.svd(error)
    blind = recovering.left(error - (u[:, :rank] * s[:rank]) @ v[:rank], sizes)
    assert ours < 0.95 * blind


def test_a_feature_that_was_never_heard_divides_nothing():
    inner, outer = recovering.factors(drawn(16, 8), torch.zeros(8), 4)
    assert inner.isfinite().all()
    sizes = torch.ones(8)
    sizes[3] = 0
    inner, outer = recovering.factors(drawn(16, 8), sizes, 4)
    assert inner.isfinite().all()
    assert outer.any()


def test_what_layers_are_given_is_heard_feature_by_feature():
    layer, _ = held("int3", rows=8, columns=64)
    wrap, given = nn.Sequential(layer), [drawn(2, 3, 64), drawn(5, 64, seed=1)]
    with recovery.Heard(wrap) as heard:
        for one in given:
            wrap(one)
    wrap(100 * given[0])  # nobody listens any more
    rows = torch.cat([one.reshape(-1, 64) for one in given])
    torch.testing.assert_close(heard.sizes()["0"], rows.square().mean(0).sqrt())


def test_of_the_base_no_more_than_a_layer_stands_in_memory_while_it_is_made(tmp_path):
    """What torch's allocator held at most: of 64 layers a few copies of one, and of the files two, which are mapped."""
    model = FluxTransformer2DModel(
        num_layers=1, num_single_layers=7, num_attention_heads=4, attention_head_dim=16, joint_attention_dim=32,
        pooled_projection_dim=32, axes_dims_rope=(4, 4, 8), in_channels=16, patch_size=1,
    )  # fmt: skip
    model.save_pretrained(tmp_path / "transformer", max_shard_size="100KB")
    stored = sum(parameter.nbytes for parameter in model.parameters())
    largest = max(8 * layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    mapped = 2 * max(path.stat().st_size for path in (tmp_path / "transformer").glob("*.safetensors"))
    base = Base(tmp_path, "ab" * 32, "bfloat16", family="flux", quantised="int3")
    given, found = [], {}

    def work():
        found.update(
            recovering.distilled(
                base, FluxTransformer2DModel, "transformer", {}, 1, lambda one, done, total: given.append((done, total))
            )
        )

    most = allocated(work)
    assert given == [(i + 1, len(given)) for i in range(len(given))]
    assert len(found) == 2 * len(given) > 80
    assert most < sum(tensor.nbytes for tensor in found.values()) + 5 * largest + mapped < stored / 2
