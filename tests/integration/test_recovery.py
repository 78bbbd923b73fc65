"""Recovery adapters as files: made by the command, refused for another base, trained over, continued, judged."""

import json
import logging
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from portraitist import cli, families, runs
from portraitist.dataset import cache
from portraitist.errors import PortraitistError
from portraitist.learn import matching, quantise, recovery
from portraitist.project import Project
from portraitist.recipe import Recipe, load
from portraitist.rules import about_memory
from portraitist.sections import Adapter, Model
from portraitist.verbs import evaluate, train
from tests.pictures import saved, scenery
from tests.tiny import tiny

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
    path = tmp_path / "given.safetensors"
    capsys.readouterr()
    obey("recover", shelf / "maya", "--rank", "8", "--steps", "10", "--set", f"model.recovery={path}", "--json")
    told, trained = json.loads(capsys.readouterr().out), load_file(path)
    assert told["steps"] == 10
    assert told["recovered"] < 0.98 * told["closed_form"]
    closed = load_file(shelf / "given.safetensors")
    assert {name: tensor.shape for name, tensor in trained.items()} == {n: t.shape for n, t in closed.items()}
    family, base = based(shelf)
    ours = family.load_denoiser(replace(base, recovery=path))
    recipe, sample = load(shelf / "maya" / "recipe.toml"), cached(shelf, family, base, "held-out")
    questions = matching.spread(sample, 4, 64)  # as many were drawn before
    wanted = matching.answers(
        family, family.load_denoiser(replace(base, quantised="int8", recovery=None)), recipe, questions
    )
    again = matching.error(matching.answers(family, ours, recipe, questions), wanted)
    assert again == pytest.approx(told["recovered"], abs=1e-6), "what was told is what is read back"


def test_what_was_trained_is_what_the_file_holds(shelf):
    """Rounded as it is read back, and before the denoiser is asked how near it is."""
    family, base = based(shelf)
    recipe, samples = load(shelf / "maya" / "recipe.toml"), cached(shelf, family, base, "train")
    denoiser = matching.loosen(family.load_denoiser(base))
    questions, told = matching.drawn(family, recipe, samples, 5), []
    wanted = matching.answers(family, denoiser, recipe, questions)
    before = load_file(shelf / "given.safetensors")
    found = matching.match(family, denoiser, recipe, questions, [2 * one for one in wanted], told.append)
    assert told == [1, 2]
    assert found.keys() == before.keys()
    assert any(not torch.equal(found[name], before[name]) for name in found)
    for name, layer in recovery.held(denoiser).items():
        assert torch.equal(layer.inner, found[name + ".A"].float())
        assert torch.equal(layer.outer, found[name + ".B"].float())
        assert found[name + ".A"].dtype == torch.bfloat16


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
    folder = shutil.copytree(shelf / "maya", tmp_path / "maya")
    obey("train", folder, "--run", "one")
    project, recipe = Project.open(folder), load(folder / "recipe.toml")
    sitting = evaluate.seated(project, recipe, runs.find(project, "one"), lambda event: None, lambda: False)
    judged = recovery.held(sitting.bench().sampler().denoiser)
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
    for how in ("int3", "int2"):
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
