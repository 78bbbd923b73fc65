"""Bases held in 8 and 4 bits: held to the libraries' own rounding, to linear layers of the rebuilt weights, and to what
lies in memory while they are read."""

import copy
import shutil
from dataclasses import replace

import bitsandbytes
import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn

from portraitist import families, runs
from portraitist.adapters import inject, trees
from portraitist.bases import streaming
from portraitist.dataset.stream import course
from portraitist.errors import PortraitistError
from portraitist.family import Base
from portraitist.forecast import layout, memory
from portraitist.forecast.published import PUBLISHED, Blocks
from portraitist.learn import loop, quantise
from portraitist.learn.quantise import Quantised
from portraitist.learn.state import Trainee
from portraitist.recipe import Recipe
from portraitist.sections import Adapter
from portraitist.verbs import evaluate, train
from tests.integration.test_counting import held as allocated
from tests.integration.test_loop import encoded
from tests.learning import Painter
from tests.projects import made
from tests.tiny import tiny

WAYS = ("int8", "fp8", "nf4", "int3", "int2")
NAMES = ("sdxl", "flux", "qwen-image")


def held(how, rows=96, columns=192, dtype=torch.float32, seed=0):
    """A layer that holds a random weight, its rows of very unlike sizes, and the plain layer it was made of."""
    torch.manual_seed(seed)
    plain = nn.Linear(columns, rows).requires_grad_(False)
    plain.weight *= torch.logspace(-3, 1, rows)[:, None]
    plain.to(dtype)
    layer = Quantised(plain, how)
    layer.take(plain.weight)
    return layer, plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_int8_is_torchs_own_rounding_to_127_steps_a_side(dtype):
    layer, plain = held("int8", dtype=dtype)
    weight, scale = plain.weight.float(), plain.weight.float().abs().amax(1) / 127
    expected = torch.fake_quantize_per_channel_affine(weight, scale, torch.zeros(96, dtype=torch.int32), 0, -127, 127)
    ours, theirs = ((found - weight).abs() / scale[:, None] for found in (layer.rebuilt(torch.float32), expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)  # of what lies halfway between two they may take either
    assert ours.max() <= 0.5001
    assert layer.weight.dtype == torch.int8


def test_fp8_is_the_nearest_of_the_formats_numbers():
    """All 256 of them by torch's own reading, each row's largest at 448."""
    layer, plain = held("fp8")
    known = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    known = known[known.isfinite()].unique()
    scale = plain.weight.abs().amax(1, keepdim=True) / 448
    apart = ((plain.weight / scale).unsqueeze(-1) - known).abs().amin(-1)
    ours = (plain.weight / scale - layer.rebuilt(torch.float32) / scale).abs()
    torch.testing.assert_close(ours, apart, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_nf4_is_what_bitsandbytes_own_layer_holds(dtype):
    layer, plain = held("nf4", dtype=dtype)
    theirs = bitsandbytes.nn.Linear4bit(192, 96, quant_type="nf4", compress_statistics=True)
    theirs.weight = bitsandbytes.nn.Params4bit(
        plain.weight.data.clone(), requires_grad=False, quant_type="nf4", compress_statistics=True
    )
    theirs.to("cpu")
    state = theirs.weight.quant_state
    assert torch.equal(layer.weight, theirs.weight.data)
    assert torch.equal(layer.rebuilt(dtype), bitsandbytes.functional.dequantize_4bit(theirs.weight.data, state))


@pytest.mark.parametrize("how", WAYS)
def test_a_row_of_zeros_stays_one(how):
    layer = Quantised(nn.Linear(64, 2), how)
    layer.take(torch.zeros(2, 64))
    assert not layer.rebuilt(torch.float32).any()


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("autocast", [False, True])
def test_it_computes_what_a_linear_layer_of_the_rebuilt_weight_computes_and_so_does_its_way_back(how, autocast):
    dtype = torch.bfloat16 if autocast else torch.float32
    layer, plain = held(how, dtype=dtype)
    plain.weight.data = layer.rebuilt(dtype)
    given = torch.randn(2, 5, 192, generator=torch.Generator().manual_seed(1))
    found = []
    for one in (layer, plain):
        leaf = given.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = one(leaf)
        out.float().square().sum().backward()
        found.append((out, leaf.grad))
    assert found[0][0].dtype == found[1][0].dtype == dtype
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("how", WAYS)
def test_no_rebuilt_weight_is_kept_for_the_way_back(how):
    layer, _ = held(how)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda one: one):
        layer(torch.randn(3, 192, requires_grad=True)).sum()
    ours = {part.data_ptr() for part in layer.parts() if part is not None}
    assert saved
    assert all(tensor.data_ptr() in ours for tensor in saved)


def test_the_way_back_needs_nothing_of_the_layer_any_more():
    """Blocks that lie in main memory are taken off the card again before it."""
    layer, _ = held("int8")
    leaf = torch.randn(3, 192, requires_grad=True)
    out, weight = layer(leaf).sum(), layer.rebuilt(torch.float32)
    layer.weight, layer.scale = nn.Parameter(torch.zeros(96, 192), requires_grad=False), torch.full((96, 1), torch.nan)
    out.backward()
    torch.testing.assert_close(leaf.grad, weight.sum(0).expand(3, -1))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {name: tiny(name, folder / name, "bfloat16") for name in NAMES}


@pytest.fixture(scope="module")
def pictures(shelf):
    return {name: encoded(families.get(name), replace(shelf[name], precision="float32")) for name in NAMES}


def recipe(name, how, **adapter):
    return Recipe.model_validate(
        {
            "model": {"family": name, "precision": "bfloat16", "quantised": how, "device": "cpu"},
            "adapter": {"rank": 4, **adapter},
            "stages": [{"steps": 3}],
            "training": {"batch": 2, "rate": 1e-2, "save_every": 3},
        }
    )


def plainly(denoiser):
    """The same denoiser with ordinary layers of the rebuilt weights."""
    for path, module in list(denoiser.named_modules()):
        if isinstance(module, Quantised):
            layer = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            layer.weight = nn.Parameter(module.rebuilt(torch.bfloat16), requires_grad=False)
            layer.bias = module.bias
            before, _, name = path.rpartition(".")
            setattr(denoiser.get_submodule(before), name, layer)
    return denoiser


@pytest.mark.parametrize(
    ("name", "how"), [("sdxl", "int8"), ("flux", "fp8"), ("flux", "nf4"), ("qwen-image", "int8"), ("qwen-image", "nf4")]
)
def test_three_steps_are_those_of_the_rebuilt_base_to_the_bit_and_leave_it_as_it_was(name, how, shelf, pictures):
    """Losses, gradient norms and weights in the real loop, beside a base of ordinary layers."""
    family, base = families.get(name), replace(shelf[name], quantised=how)
    asked, ends, told = recipe(name, how), [], []
    for dress in (lambda denoiser: denoiser, plainly):
        denoiser = dress(family.load_denoiser(base))
        assert any(isinstance(module, Quantised) for module in denoiser.modules()) is (len(ends) == 0)
        before = {key: value.clone() for key, value in denoiser.state_dict().items()}
        trainee = Trainee(denoiser, inject.attach(denoiser, asked.adapter, family, 0), asked.training)
        steps = []
        loop.train(
            family, trainee, course(pictures[name], asked), asked, horizon=3, emit=steps.append,
            checkpoint=lambda trainee: None, halt=lambda: "",
        )  # fmt: skip
        frozen = {key.replace(".base_layer", ""): value for key, value in denoiser.state_dict().items()}
        assert all(torch.equal(frozen[key], value) for key, value in before.items())
        ends.append({key: tensor.clone() for key, tensor in trainee.trained.tensors().items()})
        told.append([(step.loss, step.gradient) for step in steps])
    assert told[0] == told[1]
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[1])
    assert any(tensor.any() for key, tensor in ends[0].items() if key.endswith("lora_B.weight"))


@torch.no_grad()
def predicted(family, denoiser, sample):
    given = {name: value[None] for name, value in sample.captions[0].items()}
    noisy = torch.randn(sample.latents[None].shape, generator=torch.Generator().manual_seed(3))
    with torch.autocast("cpu", torch.bfloat16):
        return family.predict(denoiser.eval(), noisy, torch.tensor([0.4]), given)


@pytest.mark.parametrize(("kind", "how"), [("lora", "int8"), ("lora", "nf4"), ("loha", "int8"), ("lokr", "fp8")])
def test_an_adapter_loaded_over_it_is_what_was_trained_and_at_strength_0_it_is_as_it_was(kind, how, shelf, pictures):
    family, base = families.get("flux"), replace(shelf["flux"], quantised=how)
    denoiser, fresh = family.load_denoiser(base), family.load_denoiser(base)
    trained = inject.attach(denoiser, Adapter(kind=kind, rank=2), family, 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in trained.parameters().values():
        parameter.data = parameter.data + 0.2 * torch.randn(parameter.shape, generator=draw)
    assert inject.layers(denoiser) == inject.layers(fresh)
    assert inject.layers(fresh) == inject.layers(family.load_denoiser(shelf["flux"]))
    plain = predicted(family, fresh, pictures["flux"][0])
    with inject.loaded(fresh, family, trained.tensors(), 1.0):
        again = predicted(family, fresh, pictures["flux"][0])
    assert torch.equal(again, predicted(family, denoiser, pictures["flux"][0]))
    assert (again - plain).abs().max() > 1e-3, "the adapter did nothing"
    with inject.loaded(fresh, family, trained.tensors(), 0.0):
        assert torch.equal(predicted(family, fresh, pictures["flux"][0]), plain)
    assert torch.equal(predicted(family, fresh, pictures["flux"][0]), plain)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_linear_layers_are_held_so_and_nothing_else(name, shelf):
    family = families.get(name)
    plain, found = family.load_denoiser(shelf[name]), family.load_denoiser(replace(shelf[name], quantised="int8"))
    there = {path for path, module in found.named_modules() if isinstance(module, Quantised)}
    blocks = ((path, module) for path, module in plain.named_modules() if "transformer_blocks." in path)
    inside = {path for path, module in blocks if type(module) is nn.Linear}
    assert there == inside
    expected = {key: value for key, value in plain.state_dict().items() if key.rpartition(".")[0] not in there}
    ours = found.state_dict()
    assert expected.keys() <= ours.keys()
    assert all(torch.equal(ours[key], value) for key, value in expected.items())
    for path in there:
        bias = plain.get_submodule(path).bias
        assert bias is None or torch.equal(found.get_submodule(path).bias, bias)
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert not found.training


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A FLUX of eight blocks in float32, in several files and in one by its publisher's names."""
    folder = tmp_path_factory.mktemp("deep")
    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        num_layers=2,
        num_single_layers=6,
        num_attention_heads=4,
        attention_head_dim=16,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        in_channels=16,
        patch_size=1,
    )
    model.save_pretrained(folder / "transformer", max_shard_size="100KB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 3
    return Base(folder, "ab" * 32, "bfloat16", family="flux")


@pytest.mark.parametrize("how", WAYS)
def test_it_never_stands_in_memory_as_it_is_stored(how, deep):
    """What torch's allocator held at most, by its profiler: a layer or two beside what is held at last.

    Mapped files count as allocated there: one that is read, and the one before while it is let go.
    """
    read = []

    def work():
        read.append(streaming.read(replace(deep, quantised=how), FluxTransformer2DModel, "transformer"))

    most = allocated(work)
    layers = [module for module in read[0].modules() if isinstance(module, Quantised)]
    last = sum(tensor.nbytes for tensor in read[0].state_dict().values())
    stored = sum(4 * parameter.numel() for parameter in FluxTransformer2DModel.from_config(read[0].config).parameters())
    largest = max(4 * module.in_features * module.out_features for module in layers)
    mapped = 2 * max(path.stat().st_size for path in (deep.folder / "transformer").glob("*.safetensors"))
    assert sum(module.held() for module in layers) < last <= most < last + 3 * largest + mapped < stored / 2


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("shape", [(128, 128), (256, 640), (96, 512)])
def test_the_forecast_knows_the_bytes_that_lie_in_memory(how, shape):
    layer, _ = held(how, *shape)
    blocks = Blocks(shape[0] * shape[1], shape[0], 1, shape[0] * shape[1])
    expected = memory.stored(blocks, how)
    if blocks.numbers % (64 * 256):  # the last block of scales is not full: no published layer is so
        expected += 4 if how == "nf4" else 0
    assert layer.held() == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_published_blocks_are_counted_on_the_classes(name):
    with torch.device("meta"):
        denoiser = trees.TREES[name][0]()
    plain = dict(denoiser.named_modules())
    layers = [plain[path] for path in quantise.prepare(denoiser, "nf4")]
    sizes = [layer.weight.numel() for layer in layers]
    rows = sum(layer.out_features for layer in layers)
    assert PUBLISHED[name].blocks == Blocks(
        sum(sizes), rows, len(layers), max(sizes), sum(layer.in_features for layer in layers)
    )
    assert not any(size % (64 * 256) for size in sizes)
    weighty = {path: layer for path, layer in plain.items() if getattr(layer, "weight", None) is not None}
    shapes = {f"{path}.weight": list(layer.weight.shape) for path, layer in weighty.items()}
    assert layout.in_blocks(shapes) == PUBLISHED[name].blocks, "by the names in files as well"


def test_files_that_are_not_the_classes_are_refused_before_anything_is_held(deep, tmp_path):
    base = replace(deep, quantised="int8", folder=tmp_path)
    shutil.copytree(deep.folder / "transformer", tmp_path / "transformer")
    first, *_, last = sorted((tmp_path / "transformer").glob("*.safetensors"))
    tensors = load_file(last)

    def refused(match):
        with pytest.raises(PortraitistError, match=match):
            streaming.read(base, FluxTransformer2DModel, "transformer")

    last.unlink()
    refused(r"lacks \d+ weights of FluxTransformer2DModel")
    save_file(tensors | {"stranger": torch.zeros(1)}, last)
    refused(r"has 1 unknown weights of FluxTransformer2DModel, such as stranger")
    save_file({key: tensor[:1] for key, tensor in tensors.items()}, last)
    refused("weights of another size")
    save_file({key: tensor.to(torch.float8_e4m3fn) for key, tensor in tensors.items()}, last)
    refused("stores .* as F8_E4M3")
    save_file(tensors | dict(list(load_file(first).items())[:1]), last)
    refused("in two files")
    (tmp_path / "transformer" / "config.json").unlink()
    refused("config.json")


def test_what_cannot_be_is_refused_in_a_line(monkeypatch):
    with pytest.raises(PortraitistError, match=r'does not go with adapter\.kind = "full"'):
        recipe("mini", "int8", kind="full", rank=16)
    for kind in ("loha", "lokr"):
        with pytest.raises(PortraitistError, match=rf'"nf4" does not go with adapter\.kind = "{kind}"'):
            recipe("flux", "nf4", kind=kind)
    denoiser = Painter().load_denoiser(Base(None, "", "float32"))
    denoiser._repeated_blocks = []
    with pytest.raises(PortraitistError, match="UNet2DConditionModel has no blocks"):
        quantise.prepare(denoiser, "int8")
    for how in ("fp8", "nf4"):
        with pytest.raises(PortraitistError, match=rf'model\.quantised = "{how}" does not work on mps') as caught:
            quantise.available(how, torch.device("mps"))
        assert "model.quantised=int8" in caught.value.remedy
    quantise.available("int8", torch.device("mps"))
    monkeypatch.setattr(quantise, "find_spec", lambda name: None)
    quantise.available("int8", torch.device("cpu"))
    with pytest.raises(PortraitistError, match="needs the package bitsandbytes") as caught:
        quantise.available("nf4", torch.device("cpu"))
    assert "pip install 'portraitist[quantised]'" in caught.value.remedy


def test_a_run_is_locked_to_it_and_judged_on_the_same_base(tmp_path):
    done = made(tmp_path, "flux", ['model.quantised="nf4"', 'model.precision="bfloat16"'])
    assert done.run.recipe().model.quantised == "nf4"
    asked = done.run.recipe()
    sitting = evaluate.seated(done.project, asked, done.run, lambda event: None, lambda: False)
    judged = sitting.bench().sampler().denoiser
    trained = train.adapted(done.family, sitting.base, asked, torch.device("cpu"))
    mine = {key.replace(".base_layer", ""): value for key, value in trained.denoiser.state_dict().items()}
    assert all(torch.equal(mine[key], value) for key, value in judged.state_dict().items())
    assert any(isinstance(module, Quantised) for module in judged.modules())
    plain = asked.model_copy(update={"model": asked.model.model_copy(update={"quantised": ""})})
    with pytest.raises(PortraitistError, match=r'trained with model\.quantised = "nf4"') as caught:
        evaluate.seated(done.project, plain, done.run, lambda event: None, lambda: False)
    assert "--set model.quantised=nf4" in caught.value.remedy
    assert runs.name_for(plain, "flux") != runs.name_for(asked, "flux")
    shot, artist = sitting.grid.choosing[0], sitting.artist()
    other = copy.copy(artist)
    other.base = replace(artist.base, quantised="")
    assert artist.mark(shot, "", 0.0) != other.mark(shot, "", 0.0), "its pictures are not taken for another base's"
