"""Bases in 3 and 2 bits and the adapters that give back what rounding lost: held to torch's SVD, to linear layers of
the rebuilt weights, and to a training that is cut and goes on."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from portraitist import cli, families
from portraitist.bases import recovering
from portraitist.dataset import cache
from portraitist.errors import PortraitistError
from portraitist.family import Base
from portraitist.learn import matching, packing, quantise, recovery
from portraitist.learn.quantise import Quantised
from portraitist.project import Project
from portraitist.recipe import Recipe, load
from portraitist.rules import about_memory
from portraitist.sections import Adapter, Model
from portraitist.verbs import evaluate
from tests.integration.test_counting import held as allocated
from tests.pictures import saved, scenery
from tests.tiny import tiny

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
        num_layers=1, num_single_layers=10, num_attention_heads=4, attention_head_dim=16, joint_attention_dim=32,
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
    assert len(found) == 2 * len(given) > 100
    assert most < sum(tensor.nbytes for tensor in found.values()) + 5 * largest + mapped < stored / 2


RECIPE = """preset = "flux"
[model]
family = "flux"
base = "{base}"
precision = "bfloat16"
quantised = "int3"
recovery = "{file}"
device = "cpu"
threads = 1
[data]
resolution = 64
held_out = 0.25
[adapter]
rank = 2
[[stages]]
steps = 2
[training]
batch = 2
accumulate = 1
rate = 1e-2
save_every = 1
"""


def obey(*words, code=0):
    """One command line in this process, which must leave with `code`."""
    with pytest.raises(SystemExit) as left:
        cli.main([*map(str, words)])
    assert left.value.code == code, words


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A project on a tiny FLUX in 3 bits, encoded, with its recovery adapter."""
    folder = tmp_path_factory.mktemp("shelf")
    base = tiny("flux", folder / "base")
    for i in range(8):
        saved(folder / "from" / f"{i}.png", scenery(i, 64, 64))
        (folder / "from" / f"{i}.txt").write_text(f"zorblax, scene {i}")
    obey("new", folder / "maya", "--trigger", "zorblax", "--subject", "fictional")
    obey("add", folder / "maya", folder / "from")
    (folder / "maya" / "recipe.toml").write_text(RECIPE.format(base=base.folder, file=folder / "given.safetensors"))
    obey("audit", folder / "maya")
    obey("encode", folder / "maya")
    obey("train", folder / "maya", code=2)  # no file yet
    assert not (folder / "maya" / "runs").exists()
    obey("recover", folder / "maya", "--rank", "8")
    yield folder
    logging.disable(logging.NOTSET)  # the command line sets it for a whole process


def based(folder, how="int3"):
    recipe = load(folder / "maya" / "recipe.toml", [f"model.quantised={how}"])
    return families.pair(recipe.model)


def test_it_is_made_for_the_base_and_gives_back_part_of_what_the_denoiser_lost(shelf, capsys):
    capsys.readouterr()
    obey("recover", shelf / "maya", "--rank", "8", code=2)
    assert "is there already" in capsys.readouterr().err
    before = (shelf / "given.safetensors").read_bytes()
    obey("recover", shelf / "maya", "--rank", "8", "--overwrite", "--json")
    told = json.loads(capsys.readouterr().out)
    assert (shelf / "given.safetensors").read_bytes() == before, "the same twice"
    assert 0 < told["recovered"] == told["closed_form"] < told["without"] < 1
    assert told["steps"] == 0
    assert told["measured_on"].split()[1] == "held-out"
    family, base = based(shelf)
    layers = recovery.held(family.load_denoiser(base))
    assert told["layers"] == len(layers) > 20
    assert told["given_back"]["all"].endswith(f"in {len(layers)} layers")
    assert "single_transformer_blocks.attn.to_q" in told["given_back"]
    assert all(layer.inner.shape[0] == 8 for layer in layers.values())


def test_steps_bring_it_nearer_to_what_the_base_says(shelf, tmp_path, capsys):
    ends = []
    for i in range(2):
        path = tmp_path / f"{i}.safetensors"
        capsys.readouterr()
        obey("recover", shelf / "maya", "--rank", "8", "--steps", "40", "--set", f"model.recovery={path}", "--json")
        ends.append((json.loads(capsys.readouterr().out), path.read_bytes()))
    told, trained = ends[0][0], load_file(tmp_path / "0.safetensors")
    assert ends[0][1] == ends[1][1], "the same twice"
    assert told["steps"] == 40
    assert told["recovered"] < 0.95 * told["closed_form"]
    closed = load_file(shelf / "given.safetensors")
    assert {name: tensor.shape for name, tensor in trained.items()} == {n: t.shape for n, t in closed.items()}
    family, base = based(shelf)
    ours = family.load_denoiser(replace(base, recovery=tmp_path / "0.safetensors"))
    recipe, sample = load(shelf / "maya" / "recipe.toml"), cached(shelf, family, base, "held-out")
    questions = matching.spread(sample, 4, 80)  # as many were drawn before
    wanted = matching.answers(
        family, family.load_denoiser(replace(base, quantised="int8", recovery=None)), recipe, questions
    )
    again = matching.error(matching.answers(family, ours, recipe, questions), wanted)
    assert again == pytest.approx(told["recovered"], abs=1e-6), "what was told is what is read back"


def test_steps_that_do_not_help_are_not_kept(shelf, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(matching, "RATE", 10.0)
    path = tmp_path / "given.safetensors"
    obey("recover", shelf / "maya", "--rank", "8", "--steps", "2", "--set", f"model.recovery={path}", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 0
    assert told["recovered"] == told["closed_form"]
    assert path.read_bytes() == (shelf / "given.safetensors").read_bytes()


def cached(folder, family, base, split):
    recipe = load(folder / "maya" / "recipe.toml")
    return cache.load_samples(Project.open(folder / "maya"), family, base, recipe, split)[:8]


def test_a_training_over_it_that_was_cut_ends_in_the_bytes_of_the_uncut_one(shelf, tmp_path, capsys):
    ends = []
    for name, lengths in (("cut", (1, 2)), ("whole", (2,))):
        folder = shutil.copytree(shelf / "maya", tmp_path / name / "maya")
        for steps in lengths:
            obey("train", folder, "--run", "one", "--set", f"stages.0.steps={steps}")
        ends.append((folder / "runs" / "one" / "checkpoints" / "step-000002" / "adapter.safetensors").read_bytes())
    assert ends[0] == ends[1]
    tensors = load_file(folder / "runs" / "one" / "checkpoints" / "step-000002" / "adapter.safetensors")
    assert all(".lora_" in name or name.endswith(".alpha") for name in tensors), "of the recovery adapter nothing"
    other = tmp_path / "other.safetensors"
    save_file(
        {name: tensor * 2 for name, tensor in load_file(shelf / "given.safetensors").items()}, other,
        {**recovery.facts(based(shelf)[1])},
    )  # fmt: skip
    lock = folder / "runs" / "one" / "recipe.lock.toml"
    was = lock.read_bytes()
    obey("train", folder, "--run", "one", "--set", f"model.recovery={other}", code=2)
    here = shutil.copy(shelf / "given.safetensors", tmp_path / "kept.safetensors")
    shutil.copy(other, shelf / "given.safetensors")
    capsys.readouterr()
    try:
        obey("train", folder, "--run", "one", code=2)
        assert "cannot change the recovery adapter" in capsys.readouterr().err
        obey("evaluate", folder, "--run", "one", code=2)
        assert "trained over another recovery adapter" in capsys.readouterr().err
    finally:
        shutil.copy(here, shelf / "given.safetensors")
    assert lock.read_bytes() == was


def test_it_is_judged_over_the_same_base(shelf, tmp_path):
    from portraitist import runs
    from portraitist.verbs import train

    folder = shutil.copytree(shelf / "maya", tmp_path / "maya")
    obey("train", folder, "--run", "one")
    project, recipe = Project.open(folder), load(folder / "recipe.toml")
    sitting = evaluate.seated(project, recipe, runs.find(project, "one"), lambda event: None, lambda: False)
    judged = recovery.held(sitting.sampler().denoiser)
    trained = train.adapted(sitting.family, sitting.base, recipe, torch.device("cpu"))
    ours = {name.replace(".base_layer", ""): layer for name, layer in recovery.held(trained.denoiser).items()}
    assert ours.keys() == judged.keys()
    for name, layer in judged.items():
        assert torch.equal(layer.inner, ours[name].inner)
        assert torch.equal(layer.weight, ours[name].weight)
        assert not ours[name].inner.requires_grad
    shot, artist = sitting.grid.choosing[0], sitting.artist()
    mark = artist.mark(shot, "", 0.0)
    artist.base = replace(artist.base, recovered="other")
    assert artist.mark(shot, "", 0.0) != mark


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"base": "0" * 64}, "for another base"),
        ({"quantised": "int2"}, "held as 'int2'"),
        ({"family": "qwen-image"}, "base of family 'qwen-image'"),
        ({"rounding": "0"}, "rounded in way '0'"),
        ({"format": "9"}, "in a format '9'"),
        ({"kind": "lora"}, "is no recovery adapter"),
        ("lacking", "lacks 1 tensors, such as"),
        ("unknown", "has no place for 1 tensors, such as stranger.A"),
        ("narrow", "of another shape or type"),
        ("float32", "of another shape or type"),
        ("none", "not finite"),
        ("cut", "is damaged"),
        ("gone", "there is no such file"),
    ],
)
def test_a_file_for_something_else_is_refused_in_a_line(change, says, shelf, tmp_path):
    family, base = based(shelf)
    path = tmp_path / "given.safetensors"
    tensors, told = load_file(shelf / "given.safetensors"), recovery.facts(base)
    first = min(tensors)
    if isinstance(change, dict):
        told |= change
    elif change == "lacking":
        del tensors[first]
    elif change == "unknown":
        tensors["stranger.A"] = torch.zeros(1)
    elif change == "narrow":
        tensors[first] = tensors[first][:, :-1].contiguous()
    elif change == "float32":
        tensors[first] = tensors[first].float()
    elif change == "none":
        tensors[first][0, 0] = torch.nan
    save_file(tensors, path, told)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif change == "gone":
        path.unlink()
    with pytest.raises(PortraitistError) as caught:
        family.load_denoiser(replace(base, recovery=path))
    assert says in caught.value.problem
    assert "portraitist recover" in caught.value.remedy


def test_fewer_than_4_bits_want_it_and_others_have_no_use_for_it(tmp_path):
    for how in WAYS:
        with pytest.raises(PortraitistError, match=f'"{how}" needs a recovery adapter') as caught:
            Recipe(model=Model(quantised=how))
        assert "portraitist recover" in caught.value.remedy
        with pytest.raises(PortraitistError, match=f'"{how}" does not go with adapter.kind = "loha"'):
            Recipe(model=Model(quantised=how, recovery="file"), adapter=Adapter(kind="loha"))
        about_memory(Recipe(model=Model(quantised=how, recovery="file")))
    with pytest.raises(PortraitistError, match=r"means nothing with model\.quantised"):
        Recipe(model=Model(quantised="int8", recovery="file"))
    about_memory(Recipe(model=Model(quantised="nf4", recovery="file")))
    quantise.available("int3", torch.device("mps"))


def test_the_command_refuses_what_asks_for_nothing(shelf, capsys):
    nothing = ["--set", "model.quantised=int8", "--set", 'model.recovery=""']
    obey("recover", shelf / "maya", *nothing, code=2)
    assert "asks for no recovery adapter" in capsys.readouterr().err
    obey("recover", shelf / "maya", "--rank", "0", "--overwrite", code=2)
    assert "--rank 0 is not from 1 to 1024" in capsys.readouterr().err
    obey("recover", shelf / "maya", "--steps", "-1", "--overwrite", code=2)
    assert "--steps -1 is not from 0" in capsys.readouterr().err
