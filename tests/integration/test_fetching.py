"""A base by its id on the Hub: fetched once, in one copy, by huggingface_hub's own client from a server of ours."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from portraitist import families
from portraitist.bases import fetching
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Fetched
from portraitist.recipe import load
from portraitist.sections import Model
from tests.hub import serving
from tests.tiny import tiny

NAME, TOKEN = "publisher/tiny-flux", "hf_abcdefghijklmnopqrstuvwxyz"
PARTS = {"model_index.json", "scheduler", "transformer", "vae", "text_encoder", "text_encoder_2", "tokenizer"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model as people publish it: half and whole precision, pickles, pictures and other programs' files beside."""
    folder = tmp_path_factory.mktemp("published") / "flux"
    tiny("flux", folder)
    for path in sorted(folder.rglob("*.safetensors")):
        shutil.copy(path, path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
        path.with_suffix(".bin").write_bytes(b"a pickle")
    for other in ("README.md", "flux1-dev.safetensors", "vae_onnx/model.onnx", "text_encoder/model.msgpack"):
        (folder / other).parent.mkdir(exist_ok=True)
        (folder / other).write_bytes(b"not of the parts")
    return folder


def direct(patch, url):
    """What HF_ENDPOINT does, which the client reads once."""
    patch.setattr(constants, "ENDPOINT", url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    with serving({NAME: published}) as hub:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        direct(monkeypatch, hub.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "DEFAULT_DOWNLOAD_TIMEOUT", 2)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def model(**other):
    return Model(**{"family": "flux", "base": NAME, "precision": "float32", **other})


def snapshot():
    (folder,) = (Path(constants.HF_HUB_CACHE) / "models--publisher--tiny-flux" / "snapshots").iterdir()
    return folder


def test_what_the_family_reads_comes_once_and_is_then_found_without_the_network(hub, published):
    events = []
    family, base = families.pair(model(), events.append)
    here = {path.relative_to(snapshot()).as_posix() for path in snapshot().rglob("*") if path.is_file()}
    there = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    assert {path.split("/")[0] for path in here} == PARTS | {"tokenizer_2"}
    assert not [path for path in here if ".fp16." in path or path.endswith((".bin", ".msgpack", ".md"))]
    assert here == {p for p in there if p.split("/")[0] in PARTS | {"tokenizer_2"} and p in here}
    assert all(p in here for p in there if p.endswith((".json", ".txt", ".model", "pytorch_model.safetensors")))
    family.load_encoder(base), family.load_denoiser(base)
    assert all(isinstance(event, Fetched) and event.name == NAME for event in events)
    assert events[-1].done == pytest.approx(events[-1].total, abs=1)
    before = len(hub.asked)
    assert families.pair(model(), events.append)[1].digest == base.digest == families.resolve(model()).digest
    assert len(hub.asked) == before, "the network was asked for what is there"


def test_nothing_is_downloaded_but_by_who_may(hub):
    with pytest.raises(PortraitistError, match="has no such model") as caught:
        families.pair(model())
    assert "portraitist encode downloads it" in caught.value.remedy
    assert hub.asked == []


def test_parts_and_tokenizers_given_otherwise_are_not_fetched(hub, published):
    own = model(parts={"transformer": str(published / "transformer")}, tokenizers=str(published))
    fetching.fetch(own, lambda event: None)
    assert {path.name for path in snapshot().iterdir()} == PARTS - {"transformer", "tokenizer"}


def test_half_precision_comes_where_there_is_no_other_and_shards_with_their_index():
    weights = ["unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors"]
    assert fetching.chosen([*weights, "unet/config.json"], ["unet", "vae"]) == ["unet/config.json", *weights]
    shards = [f"a/model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = ["a/model.safetensors.index.json", "a/pytorch_model.bin.index.json", "a/model.fp16.safetensors.index.json"]
    assert fetching.chosen([*shards, *index, "a/openvino.safetensors"], ["a"]) == [index[0], *shards]


def test_a_line_that_breaks_is_taken_up_where_it_broke(hub, published, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # of 10 MB in truth: what of one came is lost
    big = published / "transformer" / "diffusion_pytorch_model.safetensors"
    half = big.stat().st_size // 2
    hub.cut[big.relative_to(published).as_posix()] = half
    families.pair(model(), lambda event: None)
    asked = [(way, span) for way, path, span, _ in hub.asked if path.endswith(f"transformer/{big.name}")]
    begins = [int(span.removeprefix("bytes=").partition("-")[0]) for way, span in asked if way == "GET" and span]
    assert begins
    assert half - 1000 < begins[0] <= half
    assert (snapshot() / "transformer" / big.name).read_bytes() == big.read_bytes()


def test_a_download_that_a_person_stopped_goes_on_with_what_is_lacking(hub):
    count = iter(range(100))

    def emit(event):
        if next(count) > 12:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        families.pair(model(), emit)
    before = len(hub.asked)
    came = {path for way, path, *_ in hub.asked if way == "GET" and "/resolve/" in path}
    families.pair(model(), lambda event: None)
    again = [path for way, path, *_ in hub.asked[before:] if way == "GET" and "/resolve/" in path]
    assert came
    assert again
    assert came.isdisjoint(again)


def test_a_gated_model_wants_a_token_and_takes_it_from_the_environment(hub, monkeypatch):
    hub.gated, hub.token = {NAME}, TOKEN
    with pytest.raises(PortraitistError, match="is gated") as caught:
        families.pair(model(), print)
    assert "hf auth login" in caught.value.remedy
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    families.pair(model(), lambda event: None)
    assert any(authorization == f"Bearer {TOKEN}" for *_, authorization in hub.asked)


def refused(says, remedy, **other):
    with pytest.raises(PortraitistError, match=says) as caught:
        families.pair(model(**other), print)
    assert remedy in caught.value.remedy
    assert "\n" not in caught.value.problem + caught.value.remedy
    return caught.value


def test_what_hinders_is_told_in_a_line_each(hub, published, tmp_path, monkeypatch):
    refused("The Hub has no model 'publisher/nothing'", "hf auth login", base="publisher/nothing")
    hub.models["publisher/sdxl"] = published
    refused("has no .safetensors file of its part unet", "model.parts.unet", base="publisher/sdxl", family="sdxl")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
        refused("needs 0.0 GB more .* 0.0 GB are free", "HF_HUB_CACHE")
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        patch.delenv(fetching.MAY, raising=False)
        refused("HF_HUB_OFFLINE forbids", "hf download publisher/tiny-flux")
    with monkeypatch.context() as patch:
        direct(patch, "http://127.0.0.1:9")
        refused("the Hub cannot be asked for it", "goes on from there")
    assert not any((tmp_path / "cache").rglob("*.safetensors"))
    disk = OSError(28, "No space left on device")
    assert "disk is full" in fetching.refusal(NAME, disk).problem


def test_a_token_in_a_recipe_is_refused_and_not_repeated(hub, tmp_path):
    for key in ("base", "tokenizers"):
        told = refused(f"model.{key} holds an access token", "hf auth login", **{key: f"https://{TOKEN}@host/{NAME}"})
        assert TOKEN not in str(told)
    with pytest.raises(PortraitistError, match="token"):
        load(tmp_path / "recipe.toml", [f"model.token={TOKEN}"])
    assert hub.asked == []


ALONE = """
import sys
from portraitist.replies import quiet_libraries
quiet_libraries()
from portraitist import families
from portraitist.sections import Model
from huggingface_hub import constants
families.fetch(Model(family="flux", base="publisher/tiny-flux"), lambda event: None)
print(constants.HF_HUB_OFFLINE, families.resolve(Model(family="flux", base="publisher/tiny-flux")).folder)
print([heavy for heavy in ("torch", "diffusers", "transformers") if heavy in sys.modules])
"""


@pytest.mark.parametrize("forbidden", [False, True])
def test_commands_may_fetch_unless_a_person_forbids_and_libraries_may_not(hub, tmp_path, forbidden):
    """By the environment alone, as at a terminal."""
    env = {name: value for name, value in os.environ.items() if name not in ("HF_HUB_OFFLINE", fetching.MAY)}
    env |= {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "other"), "HF_TOKEN": TOKEN}
    hub.gated, hub.token = {NAME}, TOKEN
    env |= {"HF_HUB_OFFLINE": "1"} if forbidden else {}
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, env=env, check=False)
    if forbidden:
        assert "HF_HUB_OFFLINE forbids" in done.stderr
        assert hub.asked == []
        return
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith(f"True {tmp_path / 'other'}")
    assert done.stdout.splitlines()[1] == "[]"
