"""Sets of layers by name: as many as other trainers take, of the published trees and in the denoiser itself."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import nn

from portraitist import families
from portraitist.adapters import inject, trees
from portraitist.adapters.modules import SETS, reached
from portraitist.errors import PortraitistError
from portraitist.registry import said
from portraitist.sections import Adapter
from tests.learning import BASE, Painter, Weaver

COUNTS = {
    ("sdxl", "family"): 560,
    ("sdxl", "attention"): 560,
    ("sdxl", "attention-mlp"): 722,  # sd-scripts without conv_dim
    ("sdxl", "blocks"): 739,
    ("sdxl", "locon"): 788,  # sd-scripts with conv_dim
    ("sdxl", "all-linear"): 743,
    ("flux", "family"): 190,
    ("flux", "attention"): 266,
    ("flux", "attention-mlp"): 418,
    ("flux", "blocks"): 494,  # sd-scripts' 304 with qkv and linear1 taken apart
    ("flux", "all-linear"): 504,
    ("qwen-image", "family"): 720,
    ("qwen-image", "attention"): 480,
    ("qwen-image", "attention-mlp"): 720,
    ("qwen-image", "blocks"): 840,  # musubi-tuner and ai-toolkit
    ("qwen-image", "all-linear"): 846,
}


def on_tree(family, name):
    tree = trees.shapes(family)
    on = reached(Adapter(modules=name), family, families.get(family).targets)
    return {module for module in trees.layers(family) if on(module, len(tree[module]))}


@pytest.mark.parametrize(("family", "name"), COUNTS)
def test_a_set_has_as_many_layers_of_the_published_tree_as_other_trainers_take(family, name):
    assert len(on_tree(family, name)) == COUNTS[family, name]


def test_sets_grow_from_attention_to_all():
    for family in ("sdxl", "flux", "qwen-image"):
        chain = [on_tree(family, name) for name in ("attention", "attention-mlp", "blocks", "all-linear")]
        assert all(less < more for less, more in pairwise(chain))
    assert {m for m in on_tree("sdxl", "locon") if len(trees.shapes("sdxl")[m]) == 4}, "convolutions too"
    assert on_tree("sdxl", "blocks") < on_tree("sdxl", "locon")


def test_the_sets_are_of_families_that_exist_and_of_names_that_a_recipe_takes():
    known = {name: SETS.get(name) or said(name, "sets", {}) for name in families.FAMILIES}
    assert SETS.keys() <= families.FAMILIES.keys()
    assert all(known.values())
    assert all(Adapter(modules=name).modules == name for sets in known.values() for name in sets)


@dataclass(frozen=True)
class Sdxl(Painter):
    name = "sdxl"


@dataclass(frozen=True)
class Qwen(Weaver):
    name = "qwen-image"


@pytest.mark.parametrize(
    ("family", "name"), [(Sdxl(), "locon"), (Sdxl(), "all-linear"), (Qwen(), "blocks"), (Qwen(), "all-linear")]
)
def test_the_denoiser_gets_factors_on_these_layers_and_no_others(family, name):
    denoiser = family.load_denoiser(BASE)
    layers = {n: m for n, m in denoiser.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    wanted = {
        "locon": {n for n in layers if "block" in n},
        "blocks": {n for n in layers if n.startswith("transformer_blocks.")},
        "all-linear": {n for n, m in layers.items() if isinstance(m, nn.Linear)},
    }[name]
    trained = inject.attach(denoiser, Adapter(rank=2, modules=name), family, 0)
    assert {n.rpartition(".lora_")[0] for n in trained.parameters()} == wanted
    shapes = {n: tuple(p.shape) for n, p in trained.parameters().items()}
    for module in wanted:
        weight = layers[module].weight
        assert shapes[f"{module}.lora_A.weight"] == (2, *weight.shape[1:])
        assert shapes[f"{module}.lora_B.weight"] == (weight.shape[0], 2, *(1,) * (weight.ndim - 2))


def test_a_locon_comes_back_from_its_file_as_it_was_trained():
    family = Sdxl()
    denoiser, fresh = family.load_denoiser(BASE), family.load_denoiser(BASE)
    trained = inject.attach(denoiser, Adapter(rank=2, alpha=3, modules="locon"), family, 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in trained.parameters().values():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=draw)
    noisy, level = torch.randn(1, 4, 8, 8, generator=draw), torch.tensor([0.4])
    given = {"tokens": torch.randn(1, 5, 8, generator=draw)}
    with torch.no_grad(), inject.loaded(fresh, family, trained.tensors(), 1.0):
        again = family.predict(fresh, noisy, level, given)
        assert torch.equal(again, family.predict(denoiser, noisy, level, given))


def test_a_set_that_a_family_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(PortraitistError, match="flux has no such set") as caught:
        reached(Adapter(modules="locon"), "flux", ())
    assert "attention-mlp" in caught.value.remedy
    with pytest.raises(PortraitistError, match="stranger has no such set"):
        reached(Adapter(modules="attention"), "stranger", ())
