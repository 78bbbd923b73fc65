"""What a person can get wrong with bases, adapters and devices: two lines, exit code 2, and nothing half written."""

import json
import logging
import re
import shutil

import pytest
import tomli_w
import torch
from diffusers import FluxTransformer2DModel

from portraitist import cli, families
from portraitist.adapters import files, inject
from portraitist.families.flux import Flux
from portraitist.sections import Adapter
from tests.pictures import saved, scenery
from tests.tiny import tiny

RECIPE = {
    "preset": "flux",
    "model": {"family": "flux", "base": "base", "precision": "float32", "device": "cpu", "threads": 1},
    "data": {"resolution": 64},
    "adapter": {"rank": 2},
    "stages": [{"steps": 2}],
    "training": {"batch": 1, "accumulate": 1, "save_every": 2},
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A project whose pictures are encoded on a tiny FLUX, that base in several shards, and a LoRA of SDXL."""
    folder = tmp_path_factory.mktemp("shelf")
    tiny("flux", folder / "base")
    transformer = FluxTransformer2DModel.from_pretrained(folder / "base" / "transformer")
    shutil.rmtree(folder / "base" / "transformer")
    transformer.save_pretrained(folder / "base" / "transformer", max_shard_size="20KB")
    assert len(shards(folder)) > 2
    family, other = families.get("sdxl"), tiny("sdxl", folder / "sdxl")
    held = inject.attach(family.load_denoiser(other), Adapter(rank=2), family, 0)
    tensors = {name: torch.ones_like(tensor) for name, tensor in held.tensors().items()}
    files.write(folder / "sdxl.safetensors", files.to_comfy(tensors, family), {})
    for i in range(3):
        saved(folder / "from" / f"{i}.png", scenery(i, 64, 64))
        (folder / "from" / f"{i}.txt").write_text(f"zorblax, scene {i}")
    obey("new", folder / "maya", "--trigger", "zorblax", "--subject", "fictional")
    obey("add", folder / "maya", folder / "from")
    write(folder)
    obey("audit", folder / "maya")
    obey("encode", folder / "maya")
    yield folder
    logging.disable(logging.NOTSET)  # the command line sets it for a whole process


def write(folder):
    (folder / "maya" / "recipe.toml").write_text(
        tomli_w.dumps(RECIPE | {"model": RECIPE["model"] | {"base": str(folder / "base")}})
    )


def obey(*words, code=0):
    """One command line in this process, which must leave with `code`."""
    with pytest.raises(SystemExit) as left:
        cli.main([*map(str, words)])
    assert left.value.code == code, words


def shards(folder):
    return sorted((folder / "base" / "transformer").glob("*.safetensors"))


def cut(folder):
    path = shards(folder)[1]
    path.write_bytes(path.read_bytes()[:-5])


def lose(folder):
    shards(folder)[1].unlink()


def strip(folder):
    shutil.rmtree(folder / "base" / "tokenizer_2")


def swap(folder):
    """Another FLUX in its place, of the same classes and sizes."""
    path = shards(folder)[0]
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def forget(folder):
    """A cached sample."""
    min((folder / "maya" / "cache").rglob("*.safetensors")).unlink()


def nothing(folder):
    pass


WRONG = {
    "a LoRA of another base": (nothing, ["train", 'adapter.start="{folder}/sdxl.safetensors"'], "belongs to no layer"),
    "a family that is not the preset's": (nothing, ["encode", 'model.family="sdxl"'], "Set preset to one of: sdxl"),
    "a family that is not the base's": (
        nothing, ["audit", "encode", 'preset="sdxl"', 'model.family="sdxl"'], "Set model.family to flux",
    ),
    "a base that was exchanged": (swap, ["train"], "portraitist encode"),
    "a shard cut short": (cut, ["audit", "encode", "train"], "Copy this file again"),
    "a shard cut short, read in fewer bits": (cut, ["audit", "encode", "train", 'model.quantised="int8"'], "again"),
    "a shard that is not there": (lose, ["audit", "encode", "train"], "again"),
    "no tokenizer": (strip, ["audit", "encode"], "tokenizer_2"),
    "no arithmetic in float16": (nothing, ["train", 'model.precision="float16"'], "model.precision=auto"),
    "no card to spare": (nothing, ["train", "model.offload=0.5"], "Set model.offload = 0"),
    "a card that is not there": (nothing, ["train", 'model.device="cuda:63"'], "no such device"),
    "bits that Apple's devices cannot rebuild": (
        nothing, ["train", 'model.quantised="fp8"', 'model.device="mps"'], "model.quantised=int8",
    ),
    "bits that LoHa does not go with": (
        nothing, ["train", 'model.quantised="nf4"', 'adapter.kind="loha"'], 'model.quantised = "int8"',
    ),
    "3 bits and nothing that gives back": (nothing, ["train", 'model.quantised="int3"'], "portraitist recover"),
    "a recovery adapter that is not there": (
        nothing, ["train", 'model.quantised="int2"', 'model.recovery="nowhere"'], "portraitist recover",
    ),
    "a recovery adapter that is none": (
        nothing, ["train", 'model.quantised="int2"', 'model.recovery="{folder}/sdxl.safetensors"'],
        "is no recovery adapter",
    ),
    "layers that this family has not": (nothing, ["train", 'adapter.modules="locon"'], "attention-mlp"),
    "noise of another kind of family": (nothing, ["train", "training.snr_gamma=5.0"], "is of denoising diffusion"),
    "layers that no base has": (nothing, ["train", 'adapter.targets=["to_nowhere"]'], "adapter.targets"),
    "a start that is not there": (nothing, ["train", 'adapter.start="nowhere.safetensors"'], "no such file"),
    "a parent that is not there": (nothing, ["train", 'parent="nobody"'], "no run named 'nobody'"),
    "a sample that is not there": (forget, ["train"], "portraitist encode"),
    "references that it cannot see": (nothing, ["encode", 'data.references=["from/0.png"]'], "no reference pictures"),
}  # fmt: skip


def state(folder):
    """Every file below a folder and its bytes, but for locks."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


@pytest.mark.parametrize("wrong", WRONG)
def test_it_is_told_in_two_lines_and_leaves_nothing_half_written(wrong, shelf, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    folder = shutil.copytree(shelf, tmp_path / "shelf")
    write(folder)
    damage, (*before, verb, changes), says = normal(WRONG[wrong])
    damage(folder)
    sets = [word for change in changes for word in ("--set", change.format(folder=folder))]
    for first in before:
        obey(first, folder / "maya", *sets)
    was = state(folder)
    capsys.readouterr()
    obey(verb, folder / "maya", *sets, code=2)
    out, told = capsys.readouterr()
    assert out == ""
    lines = [line for line in told.splitlines() if not re.fullmatch(r"encoding: 0 of \d+", line)]
    assert [line.split(":")[0] for line in lines] == ["Problem", "Remedy"], told
    assert says in told, told
    assert state(folder) == was
    assert not (folder / "maya" / "runs").exists(), "a run that is none"


def test_what_an_existing_run_is_refused_stands_in_its_record(shelf, tmp_path, monkeypatch, capsys):
    read, denoiser = [], Flux.load_denoiser
    monkeypatch.setattr(Flux, "load_denoiser", lambda self, base: read.append(base) or denoiser(self, base))
    folder = shutil.copytree(shelf, tmp_path / "shelf")
    write(folder)
    obey("train", folder / "maya", "--run", "one")
    run, was = folder / "maya" / "runs" / "one", state(folder)
    record = run / "events.jsonl"
    for i, (change, says) in enumerate(
        [
            ("model.offload=0.5", "no card whose memory"),  # it may change on the way
            ("adapter.rank=3", "cannot change adapter"),
            ("adapter.modules=locon", "no such set of layers"),
        ],
        1,
    ):
        obey("train", folder / "maya", "--run", "one", "--set", change, code=2)
        assert says in capsys.readouterr().err
        told = [json.loads(line) for line in record.read_text().splitlines()[-i:]]
        assert [event["kind"] for event in told] == ["failed"] * i
        assert says in told[-1]["problem"]
    name = str(record.relative_to(folder))
    assert state(folder) | {name: b""} == was | {name: b""}
    assert len(read) == 1, "weights were read twice, or for a refusal"


def test_a_run_that_another_process_begins_meanwhile_is_left_to_it(shelf, tmp_path, monkeypatch, capsys):
    folder, denoiser = shutil.copytree(shelf, tmp_path / "shelf"), Flux.load_denoiser
    write(folder)
    lock = folder / "maya" / "runs" / "one" / "recipe.lock.toml"

    def meanwhile(self, base):
        lock.parent.mkdir(parents=True)
        lock.write_text("theirs")
        return denoiser(self, base)

    monkeypatch.setattr(Flux, "load_denoiser", meanwhile)
    obey("train", folder / "maya", "--run", "one", code=2)
    assert "Another process has begun run one meanwhile" in capsys.readouterr().err
    assert state(lock.parent) == {lock.name: b"theirs"}


def normal(row):
    """Damage, the commands to give and the changes to each, what is said."""
    damage, words, says = row
    return damage, (*(w for w in words if "=" not in w), [w for w in words if "=" in w]), says
