"""A training starts from any program's adapter file with its very weights, and from nothing that does not fit."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch

from portraitist import families, runs
from portraitist.adapters import content, dialects, files, inject, start
from portraitist.errors import Interrupted, PortraitistError
from portraitist.recipe import load
from portraitist.sections import Adapter
from portraitist.verbs.export import export
from portraitist.verbs.train import train, writer
from tests.adapters import singles
from tests.projects import made
from tests.tiny import KNOWN, tiny

ROLES = {files.DOWN: "down", files.UP: "up", files.ALPHA: "alpha"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """Each family with the denoiser of its tiny base."""
    folder = tmp_path_factory.mktemp("bases")
    found = {}
    for name in KNOWN:
        family = families.get(name)
        found[name] = family, family.load_denoiser(tiny(name, folder / name))
    return found


def trained(base, adapter, dtype=torch.float32):
    """The layers of a denoiser, and an adapter on it away from zero, by canonical names."""
    family, denoiser = base
    layers, own = inject.layers(denoiser), deepcopy(denoiser)
    held = inject.attach(own, adapter, family, 0)
    assert inject.layers(own) == layers
    draw = torch.Generator().manual_seed(1)
    for parameter in held.parameters().values():
        parameter.data = torch.randn(parameter.shape, generator=draw).to(dtype).float()
    return layers, {name: tensor.to(dtype) for name, tensor in held.tensors().items()}


def said(tensors):
    """The same as layers of parts, as dialects write them."""
    parts = {}
    for name, tensor in tensors.items():
        suffix = next((s for s in ROLES if name.endswith(s)), "." + name.rpartition(".")[2])
        parts.setdefault(name.removesuffix(suffix), {})[ROLES.get(suffix, suffix[1:])] = tensor
    return parts


def saved(path, tensors, row, layers, more=None):
    named = content.write(singles(row.family, said(tensors)), row, layers)
    path.write_bytes(safetensors.torch.save({k: v.contiguous() for k, v in (named | (more or {})).items()}))
    return path


ROWS = [(name, row) for name in KNOWN for row in dialects.of(dialects.tree_of(name)) if row.written]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: getattr(value, "name", value))
def test_in_every_dialect_a_file_gives_the_weights_that_were_written_into_it(name, row, bases, tmp_path):
    adapter = Adapter(rank=3, alpha=6, modules="attention-mlp")
    layers, tensors = trained(bases[name], adapter)
    path = saved(tmp_path / "a.safetensors", tensors, row, layers)
    found = start.weights(path, adapter, bases[name][0], layers)
    assert found.keys() == {key for key in tensors if not key.endswith(".alpha")}
    assert all(torch.equal(found[key], tensors[key]) for key in found)


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_checkpoint_of_ones_own_training_gives_its_weights_in_every_family(name, kind, bases, tmp_path):
    adapter = Adapter(kind=kind, rank=3, alpha=6)
    layers, tensors = trained(bases[name], adapter)
    path = tmp_path / "adapter.safetensors"
    base = SimpleNamespace(digest="00")
    writer(bases[name][0], base, SimpleNamespace(adapter=adapter), 2)(path, tensors)
    before = path.read_bytes()
    found = start.weights(path, adapter, bases[name][0], layers)
    assert found.keys() == {key for key in tensors if not key.endswith(".alpha")}
    assert all(torch.equal(found[key], tensors[key]) for key in found)
    assert path.read_bytes() == before
    with pytest.raises(PortraitistError, match="alpha 6 on"):
        start.weights(path, adapter.model_copy(update={"alpha": 3.0}), bases[name][0], layers)


@pytest.mark.parametrize("kind", ["loha", "lokr"])
def test_lycoris_kinds_and_half_precision_come_back_too(kind, bases, tmp_path):
    adapter = Adapter(kind=kind, rank=1, alpha=0.7)  # which float16 rounds
    layers, tensors = trained(bases["sdxl"], adapter, torch.float16)
    path = saved(tmp_path / "a.safetensors", tensors, dialects.get("sdxl", "kohya"), layers)
    found = start.weights(path, adapter, bases["sdxl"][0], layers)
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    assert all(torch.equal(found[key], tensors[key].float()) for key in found)


WRITTEN = Adapter(rank=3, alpha=6, modules="attention-mlp")
WRONG = {
    "rank": ({"rank": 4}, "rank 3 on .* adapter.rank = 4", "adapter.rank=3"),
    "alpha": ({"alpha": 3}, "alpha 6 on .* the recipe 3", "adapter.alpha=6"),
    "alpha by default": ({"alpha": 0}, "alpha 6 on .* the recipe 3", "adapter.alpha=6"),
    "kind": ({"kind": "loha"}, 'is a LoRA, and adapter.kind = "loha"', "adapter.kind=lora"),
    "layers": ({"modules": "attention"}, "unlike the recipe", "adapter.modules=family"),
    "more layers": ({"modules": "all-linear"}, "it is not on", "adapter.modules=family"),
    "suffixes": ({"modules": "family", "targets": ("to_q",)}, "unlike the recipe", "=family --set adapter.targets=[]"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_differs_from_the_recipe_is_refused_with_the_setting_that_fits(wrong, bases, tmp_path):
    layers, tensors = trained(bases["qwen-image"], WRITTEN)
    path = saved(tmp_path / "a.safetensors", tensors, dialects.get("qwen-image"), layers)
    changes, says, remedy = WRONG[wrong]
    with pytest.raises(PortraitistError, match=says) as caught:
        start.weights(path, WRITTEN.model_copy(update=changes), bases["qwen-image"][0], layers)
    assert remedy in caught.value.remedy


def refused(tensors, bases, tmp_path, says, more=None, name="sdxl", row=None):
    layers, _ = trained(bases[name], WRITTEN)
    path = saved(tmp_path / "a.safetensors", tensors, row or dialects.get(name), layers, more)
    with pytest.raises(PortraitistError, match=says) as caught:
        start.weights(path, WRITTEN, bases[name][0], layers)
    return caught.value


def test_text_encoders_strangers_and_dead_files_are_refused(bases, tmp_path):
    _, tensors = trained(bases["sdxl"], WRITTEN)
    text = "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
    more = {f"{text}.lora_down.weight": torch.ones(3, 768), f"{text}.lora_up.weight": torch.ones(768, 3)}
    told = refused(tensors, bases, tmp_path, "also changes 1 layers of text encoders, which stay frozen", more)
    assert "011-frozen-text-encoders" in told.remedy
    refused(tensors, bases, tmp_path, "belongs to no layer of this base", {"lora_unet_nowhere.alpha": torch.ones(())})
    dead = {key: torch.zeros_like(t) if key.endswith(files.UP) else t for key, t in tensors.items()}
    refused(dead, bases, tmp_path, "changes nothing")
    odd = {key: torch.ones(2) if key.endswith(files.ALPHA) else t for key, t in tensors.items()}
    refused(odd, bases, tmp_path, "is no number")
    first = next(key for key in tensors if key.endswith(files.UP))
    scaled = {**tensors, first.replace(files.UP, ".dora_scale"): torch.ones(3, 1)}
    refused(scaled, bases, tmp_path, "is a DoRA, which is not trained here")


def test_a_file_of_another_size_of_model_is_refused_by_the_weights_it_does_not_fit(bases, tmp_path):
    family, _ = bases["qwen-image"]
    layers, tensors = trained(bases["qwen-image"], WRITTEN)
    first = next(key for key in tensors if key.endswith(files.DOWN))
    path = saved(
        tmp_path / "a.safetensors", {**tensors, first: tensors[first][:, :-1]}, dialects.get("qwen-image"), layers
    )
    with pytest.raises(PortraitistError, match="fits no weight of this base"):
        start.weights(path, WRITTEN, family, layers)


def test_a_run_started_from_a_file_keeps_it_and_ends_in_the_same_bytes_without_it(tmp_path):
    """The file of a first training, as it was handed out; the second is stopped, and goes on when the file is gone."""
    first = made(tmp_path / "first", "sdxl")
    file = tmp_path / "given.safetensors"
    file.write_bytes((first.project.folder / export(first.project).lora).read_bytes())
    changes = [f"adapter.start={file}", "training.seed=3"]
    recipe = load(first.project.recipe, changes)
    train(first.project, recipe, "whole")
    asked = iter([False, False, False, True])
    with pytest.raises(Interrupted):
        train(first.project, recipe, "cut", stop=lambda: next(asked))
    whole, cut = runs.find(first.project, "whole"), runs.find(first.project, "cut")
    raw = safetensors.torch.load_file(cut.path / "start.safetensors")
    judged, _ = files.read(first.run.adapter(2))
    assert raw.keys() == {f"raw/{name}" for name in judged if not name.endswith(".alpha")}
    assert all(torch.equal(tensor, judged[name.removeprefix("raw/")]) for name, tensor in raw.items())
    assert cut.locked()["start"] == whole.locked()["start"] != ""
    kept = file.read_bytes()
    file.write_bytes((first.run.adapter(4)).read_bytes())
    with pytest.raises(PortraitistError, match="cannot change the file it starts from"):
        train(first.project, recipe, "cut")
    file.unlink()
    train(first.project, recipe, "cut")
    for step in (2, 4):
        assert cut.adapter(step).read_bytes() == whole.adapter(step).read_bytes()
    with pytest.raises(PortraitistError, match="there is no such file"):
        train(first.project, recipe, "another")
    file.write_bytes(kept)
    plain = load(first.project.recipe, ["training.seed=3"])
    train(first.project, plain, "afresh")
    assert runs.find(first.project, "afresh").adapter(4).read_bytes() != whole.adapter(4).read_bytes()
