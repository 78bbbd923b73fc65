"""LoHa and LoKr: what peft computes, what LyCORIS' formulas say, names that ComfyUI loads, a base left as it was."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from peft.tuners.lokr.layer import factorization

from portraitist import families
from portraitist.adapters import facts, files, inject, trees
from portraitist.adapters.modules import divide, parameters
from portraitist.adapters.products import Product
from portraitist.errors import PortraitistError
from portraitist.family import Base
from portraitist.learn.loss import held_out
from portraitist.sections import Adapter
from tests.learning import BASE, Painter, Weaver, drawn, job


@dataclass(frozen=True)
class Sdxl(Painter):
    name = "sdxl"


FAMILIES = [Sdxl(), Weaver()]
KINDS = [
    Adapter(kind="loha", rank=2, alpha=3),
    Adapter(kind="lokr", rank=1, alpha=0.7),
    Adapter(kind="lokr", rank=1, factor=2),
    Adapter(kind="lokr", rank=64, alpha=3),  # both matrices whole
]
by_name = {"ids": lambda value: getattr(value, "name", None) or f"{value.kind}{value.rank}-{value.factor}"}


def wide(family, adapter):
    """On convolutions as well, where there are some."""
    return adapter.model_copy(update={"modules": "locon"}) if family.name == "sdxl" else adapter


@torch.no_grad()
def predicted(family, denoiser):
    draw = torch.Generator().manual_seed(3)
    noisy = torch.randn(2, 4, 8, 8, generator=draw)
    given = {"tokens": torch.randn(2, 5, 8, generator=draw)}
    return family.predict(denoiser, noisy, torch.tensor([0.3, 0.8]), given)


def fitted(family, adapter, base=BASE):
    denoiser = family.load_denoiser(base)
    trained = inject.attach(denoiser, wide(family, adapter), family, 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in trained.parameters().values():
        parameter.data = parameter.data + 0.2 * torch.randn(parameter.shape, generator=draw)
    return denoiser, trained, {name: tensor.clone() for name, tensor in trained.tensors().items()}


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize("adapter", KINDS, **by_name)
def test_loaded_again_it_is_what_peft_computes_and_off_it_is_the_base_bit_for_bit(family, adapter):
    denoiser, _, tensors = fitted(family, adapter)
    fresh = family.load_denoiser(BASE)
    base = predicted(family, fresh)
    with inject.loaded(fresh, family, tensors, 1.0):
        again = predicted(family, fresh)
    assert torch.equal(again, predicted(family, denoiser))
    assert (again - base).abs().max() > 1e-3, "the adapter did nothing"
    with inject.loaded(fresh, family, tensors, 0.0):
        assert torch.equal(predicted(family, fresh), base)
    assert torch.equal(predicted(family, fresh), base)
    assert not any(module._forward_hooks for module in fresh.modules())


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize("adapter", KINDS[:2], **by_name)
def test_in_half_precision_it_stays_float32_and_is_the_same_again(family, adapter):
    half = Base(BASE.folder, BASE.digest, "bfloat16")
    denoiser, trained, tensors = fitted(family, adapter, half)
    assert {p.dtype for p in trained.parameters().values()} == {torch.float32}
    fresh = family.load_denoiser(half)
    with torch.autocast("cpu", torch.bfloat16), inject.loaded(fresh, family, tensors, 1.0):
        assert torch.equal(predicted(family, fresh), predicted(family, denoiser))


def change(module, tensors):
    """A module's change by LyCORIS' formulas, in numpy and float64; a LoKr that is stored whole has the scale 1."""
    parts = {n.rpartition(".")[2]: t.double().numpy() for n, t in tensors.items() if n.rpartition(".")[0] == module}
    alpha = parts.pop("alpha")
    if "hada_w1_a" in parts:
        one, two = (np.einsum("ir,rj->ij", parts[f"hada_w{i}_a"], parts[f"hada_w{i}_b"]) for i in (1, 2))
        return one * two * alpha / len(parts["hada_w1_b"])
    if "lokr_w2" in parts:
        two = parts["lokr_w2"]
        return cells(parts["lokr_w1"], two if two.ndim == 4 else two[:, :, None, None])
    two = parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    return np.kron(parts["lokr_w1"], two) * alpha / len(parts["lokr_w2_b"])


def cells(one, two):
    """Kronecker's product, each cell of the kernel by itself."""
    out = np.zeros((one.shape[0] * two.shape[0], one.shape[1] * two.shape[1], *two.shape[2:]))
    for i in range(two.shape[2]):
        for j in range(two.shape[3]):
            out[:, :, i, j] = np.kron(one, two[:, :, i, j])
    return out


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize("adapter", KINDS, **by_name)
def test_its_strength_is_a_factor_on_weights_merged_by_lycoris_formulas(family, adapter):
    _, _, tensors = fitted(family, adapter)
    denoiser, merged = family.load_denoiser(BASE), family.load_denoiser(BASE)
    modules = {name.removesuffix(".alpha") for name in tensors if name.endswith(".alpha")}
    for module in modules:
        weight = merged.get_submodule(module).weight
        delta = change(module, tensors).reshape(weight.shape)
        weight.data += 0.6 * torch.from_numpy(delta).float()
    with inject.loaded(denoiser, family, tensors, 0.6):
        torch.testing.assert_close(predicted(family, denoiser), predicted(family, merged), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize("adapter", KINDS, **by_name)
def test_fresh_it_changes_nothing_and_is_drawn_from_its_seed_alone(family, adapter):
    first, base = family.load_denoiser(BASE), predicted(family, family.load_denoiser(BASE))
    torch.manual_seed(1)
    one = inject.attach(first, wide(family, adapter), family, 5).tensors()
    assert torch.equal(predicted(family, first), base)
    torch.manual_seed(2)
    two, other = (inject.attach(family.load_denoiser(BASE), wide(family, adapter), family, s).tensors() for s in (5, 6))
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)
    zero = "hada_w2_b" if adapter.kind == "loha" else "lokr_w1"
    for name, tensor in one.items():
        if name.endswith((zero, ".alpha")):
            assert name.endswith(".alpha") or not tensor.any()
        else:
            assert not torch.equal(tensor, other[name])
            assert tensor.abs().max() <= tensor[0].numel() ** -0.5
    names = [name for name in one if name.endswith("hada_w1_a")]
    assert all(not torch.equal(one[n], one[n.replace("w1_a", "w2_a")]) for n in names), "two factors, two draws"


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_it_learns_in_half_precision(family, kind, tmp_path):
    """On the pictures it saw: the last losses are below the first, on the same noise."""
    work = job(
        tmp_path, family, drawn(2), adapter__kind=kind, stages=[{"steps": 20}], training__save_every=20,
        training__rate=1e-1, data__dropout=0.0, model__precision="bfloat16",
    )  # fmt: skip
    before = held_out(family, work.trainee().denoiser, work.samples, 0).mean()
    after = held_out(family, work.go().denoiser, work.samples, 0).mean()
    assert after < 0.97 * before


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize("adapter", KINDS, **by_name)
def test_what_it_adds_is_what_a_plan_counts(family, adapter):
    _, trained, _ = fitted(family, adapter)
    modules = {name.rpartition(".")[0] for name in trained.parameters()}
    fresh = family.load_denoiser(BASE)
    shapes = [fresh.get_submodule(module).weight.shape for module in modules]
    assert sum(p.numel() for p in trained.parameters().values()) == sum(parameters(adapter, s) for s in shapes)


def test_sides_are_divided_as_peft_divides_them():
    for factor in (0, 1, 4, 8, 12):
        for side in (*range(1, 130), 320, 640, 1280, 2048, 3072, 12288):
            assert divide(side, factor) == factorization(side, factor or -1), (side, factor)


@pytest.mark.parametrize("name", ["sdxl", "flux", "qwen-image"])
@pytest.mark.parametrize("kind", ["LoHa", "LoKr"])
def test_exported_names_are_those_of_the_published_tree_and_the_way_back_is_exact(name, kind):
    family, tree, draw = families.get(name), trees.shapes(name), torch.Generator().manual_seed(0)
    wanted = [m for m in trees.layers(name) if m.endswith(("to_q", "to_out.0", "conv1"))][:40]
    tensors = {}
    for module in wanted:
        rows, rest = tree[module][0], int(np.prod(tree[module][1:]))
        shapes = {f"hada_w{i}_{h}": (rows, 1) if h == "a" else (1, rest) for i in (1, 2) for h in "ab"}
        if kind == "LoKr":
            shapes = {"lokr_w1": (4, 4), "lokr_w2_a": (rows // 4, 1), "lokr_w2_b": (1, rest // 4)}
        tensors |= {f"{module}.{part}": torch.randn(shape, generator=draw) for part, shape in shapes.items()}
        tensors[f"{module}.alpha"] = torch.tensor(0.5)
    there = files.to_comfy(tensors, family)
    assert all(n.startswith(("lora_unet_", "transformer.", "diffusion_model.")) for n in there)
    known = facts.recognise(there, {"portraitist.family": name})
    assert (known.family, known.content.strangers) == (name, ())
    assert {module for layer in known.content.layers for module in layer.entry.modules} == set(wanted)
    for layer in known.content.layers:
        said = facts.facts(layer.tensors, facts.fits(layer, tree))
        assert (said.kind, said.rank, said.alpha, said.lacks, said.fits, said.dead) == (kind, 1, 0.5, "", True, False)
        assert layer.entry.loads
    back = files.from_comfy(there, family, trees.layers(name))
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[n], tensors[n]) for n in tensors)


@pytest.mark.parametrize("adapter", KINDS[:2], **by_name)
def test_what_changes_nothing_is_never_written(adapter, tmp_path):
    family = Weaver()
    fresh = inject.attach(family.load_denoiser(BASE), adapter, family, 0).tensors()
    with pytest.raises(PortraitistError, match="all zero"):
        files.write(tmp_path / "a.safetensors", fresh, {})
    _, _, tensors = fitted(family, adapter)
    files.write(tmp_path / "a.safetensors", tensors, {})
    back, _ = files.read(tmp_path / "a.safetensors")
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a.hada_w1_a": torch.ones(3, 2), "a.hada_w1_b": torch.ones(2, 3), "a.hada_w2_a": torch.ones(3, 2)},
        {f"a.hada_w{i}_{h}": torch.ones(3, 2) for i in (1, 2) for h in "ab"},
        {"a.lokr_w1": torch.ones(2, 2)},
        {"a.lokr_w1": torch.ones(2, 2), "a.lokr_w2": torch.ones(2, 2), "a.lokr_w2_a": torch.ones(2, 2)},
        {"a.lokr_w1": torch.ones(2, 2), "a.lokr_w2": torch.ones(2, 2), "a.hada_w1_a": torch.ones(2, 2)},
        {"a.lokr_w1": torch.ones(2, 2), "a.lokr_w2": torch.ones(2, 2), "a.alpha": torch.ones(2)},
        {"a.lokr_w1": torch.ones(2), "a.lokr_w2": torch.ones(2, 2)},
    ],
    ids=["a half missing", "halves that do not fit", "no w2", "w2 twice", "both kinds", "alpha of two", "a vector"],
)
def test_parts_that_make_no_product_are_no_adapter(tensors):
    with pytest.raises(PortraitistError, match="Not an adapter"):
        files.products(tensors)


def test_one_of_another_model_is_refused_before_anything_is_touched():
    sdxl, weaver = FAMILIES
    _, _, tensors = fitted(weaver, KINDS[0])
    denoiser = sdxl.load_denoiser(BASE)
    with pytest.raises(PortraitistError, match="does not fit this base"), inject.loaded(denoiser, sdxl, tensors, 1):
        pass
    short = {n: t[:-1] if n.endswith("w1_a") or n.endswith("w2_a") else t for n, t in tensors.items()}
    own = weaver.load_denoiser(BASE)
    with pytest.raises(PortraitistError, match="does not fit this base"), inject.loaded(own, weaver, short, 1):
        pass
    assert not any(module._forward_hooks for model in (denoiser, own) for module in model.modules())


def test_a_product_takes_the_shape_of_its_weight_alone():
    product = Product({"lokr_w1": torch.ones(2, 3), "lokr_w2": torch.ones(4, 5)}, 1.0)
    assert product.fits(torch.Size((8, 15)))
    assert not product.fits(torch.Size((15, 8)))
    assert json.dumps(list(product.delta(torch.Size((8, 15))).shape)) == "[8, 15]"
