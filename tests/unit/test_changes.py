"""What each kind of adapter adds to a weight: by the papers' formulas, LyCORIS' einsums, and peft's own layers."""

import peft
import pytest
import torch
from torch import nn

from portraitist.adapters import changes, factoring
from portraitist.errors import PortraitistError


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def test_factors_and_their_scale():
    up, down = drawn(6, 2), drawn(2, 5)
    got = changes.change("x", {"up": up, "down": down, "alpha": torch.tensor(1.0)}, (6, 5))
    torch.testing.assert_close(got.dense(), 0.5 * up @ down)
    torch.testing.assert_close(changes.change("x", {"up": up, "down": down}, (6, 5)).dense(), up @ down)


def test_a_convolution_with_a_core_is_lycoris_einsum():
    down, mid, up = drawn(3, 5, 1, 1), drawn(4, 3, 3, 3), drawn(6, 4, 1, 1)
    got = changes.change("x", {"up": up, "mid": mid, "down": down}, (6, 5, 3, 3)).dense()
    wanted = torch.einsum("i j k l, j r, p i -> p r k l", mid, down[..., 0, 0], up[..., 0, 0])
    torch.testing.assert_close(got, wanted.flatten(1))


def test_loha_and_lokr_with_and_without_cores():
    a1, b1, a2, b2 = drawn(6, 2), drawn(2, 45), drawn(6, 2, seed=1), drawn(2, 45, seed=1)
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2, "alpha": torch.tensor(1.0)}
    got = changes.change("x", parts, (6, 5, 3, 3)).dense()
    torch.testing.assert_close(got, 0.5 * (a1 @ b1) * (a2 @ b2))
    a1, b1, t1, a2, b2, t2 = (drawn(*s, seed=i) for i, s in enumerate([(2, 6), (2, 5), (2, 2, 3, 3)] * 2))
    parts = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_t1": t1, "hada_w2_a": a2, "hada_w2_b": b2, "hada_t2": t2}
    halves = [
        torch.einsum("i j k l, j r, i p -> p r k l", t, b, a).flatten(1) for t, b, a in ((t1, b1, a1), (t2, b2, a2))
    ]
    torch.testing.assert_close(changes.change("x", parts, (6, 5, 3, 3)).dense(), halves[0] * halves[1])
    one, two = drawn(2, 3), drawn(3, 4)
    torch.testing.assert_close(
        changes.change("x", {"lokr_w1": one, "lokr_w2": two, "alpha": torch.tensor(9.0)}, (6, 12)).dense(),
        torch.kron(one, two),
        msg="no factors, no alpha",
    )
    a, b, t = drawn(2, 3), drawn(2, 4), drawn(2, 2, 3, 3)
    got = changes.change("x", {"lokr_w1": one, "lokr_w2_a": a, "lokr_w2_b": b, "lokr_t2": t}, (6, 12, 3, 3)).dense()
    whole = torch.einsum("i j k l, j r, i p -> p r k l", t, b, a)
    torch.testing.assert_close(got, torch.kron(one[:, :, None, None], whole.contiguous()).flatten(1))


def test_dora_is_what_pefts_layer_merges():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 5, bias=False))
    before = model[0].weight.detach().clone()
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=["0"], use_dora=True, init_lora_weights=False)
    adapted = peft.get_peft_model(model, config)
    layer = adapted.base_model.model[0]
    size = layer.lora_magnitude_vector["default"].weight
    size.data *= torch.linspace(0.5, 2, 5)
    parts = {
        "down": layer.lora_A["default"].weight.detach(),
        "up": layer.lora_B["default"].weight.detach(),
        "alpha": torch.tensor(4.0),
        "magnitude": size.detach(),
    }
    got = changes.change("x", parts, (5, 7), before).dense()
    torch.testing.assert_close(before + got, adapted.merge_and_unload()[0].weight.detach())
    with pytest.raises(PortraitistError, match="depends on the base"):
        changes.change("x", parts, (5, 7))
    columns = {**{r: p for r, p in parts.items() if r != "magnitude"}, "dora_scale": torch.linspace(1, 2, 7)[None]}
    merged = before + changes.change("x", columns, (5, 7), before).dense()
    torch.testing.assert_close(merged.norm(dim=0), torch.linspace(1, 2, 7))


def test_sums_products_and_what_is_beside():
    one = changes.Change(drawn(6, 2), drawn(2, 5))
    other = changes.Change(drawn(6, 3, seed=2), drawn(3, 5, seed=2))
    whole = changes.Change(whole=other.dense())
    for second in (other, whole):
        torch.testing.assert_close(changes.added([one, second], [2, -1]).dense(), 2 * one.dense() - other.dense())
        assert changes.inner(one, second) == pytest.approx(float((one.dense() * other.dense()).sum()), rel=1e-5)
    assert changes.added([one, other], [1, 1]).rank == 5
    got = changes.beside([{"diff_b": torch.ones(3)}, {}, {"diff_b": torch.ones(3)}], [1, 5, 2])
    torch.testing.assert_close(got, {"diff_b": torch.full((3,), 3.0)})
    assert changes.change("x", {"diff_b": torch.ones(3)}, (3, 2)) is None


def test_a_product_is_split_without_multiplying_it_out():
    for up, down in ((drawn(40, 6), drawn(6, 30)), (drawn(4, 6), drawn(6, 30)), (drawn(40, 6), drawn(6, 30) * 0)):
        found = factoring.product(up, down)
        u, s, v = torch.linalg.svd(up @ down, full_matrices=False)
        torch.testing.assert_close(found.sizes.float(), s[: found.rank], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.up @ found.down, up @ down, atol=1e-5, rtol=1e-5)
        best = u[:, :2] * s[:2] @ v[:2]
        torch.testing.assert_close(found.up[:, :2] @ found.down[:2], best, atol=1e-5, rtol=1e-5)


def test_what_is_no_sum_is_refused():
    with pytest.raises(PortraitistError, match="no sum"):
        changes.change("x", {"oft_blocks": torch.ones(2, 3, 3)}, (6, 6))
