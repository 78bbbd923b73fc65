"""A model is read off the disk a few tensors at a time, however it was stored, and a LoRA taken out of two such."""

import json
import shutil

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from portraitist import configs, families
from portraitist.adapters import dialects, files
from portraitist.adapters.factoring import Room
from portraitist.adapters.ranks import Ranks
from portraitist.bases import stored
from portraitist.errors import PortraitistError
from portraitist.verbs.extract import How, extract_files
from tests import originals
from tests.tiny import tiny

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CLIP = "encoder.layers.0.mlp.fc1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A tiny SDXL base and one that was tuned from it, as folders and as publishers' files."""
    folder, patch = tmp_path_factory.mktemp("pair"), pytest.MonkeyPatch()
    tiny("sdxl", folder / "base")
    shutil.copytree(folder / "base", folder / "tuned")
    (folder / "configs" / "sdxl").mkdir(parents=True)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        shutil.copy(folder / "base" / part / "config.json", folder / "configs" / "sdxl" / f"{part}.json")
    patch.setattr(configs, "FOLDER", folder / "configs")
    draw = torch.Generator().manual_seed(3)
    unet = UNet2DConditionModel.from_pretrained(folder / "base" / "unet")
    for name, parameter in unet.named_parameters():
        if name.startswith((LAYER, "conv_in", "time_embedding", "mid_block.resnets.0.norm1")):
            parameter.data += 0.02 * torch.randn(parameter.shape, generator=draw)
    unet.save_pretrained(folder / "tuned" / "unet", max_shard_size="100KB")
    (folder / "tuned" / "unet" / "diffusion_pytorch_model.safetensors").unlink(missing_ok=True)
    clip = CLIPTextModel.from_pretrained(folder / "base" / "text_encoder")
    weight = clip.get_submodule(CLIP).weight
    weight.data += 0.02 * torch.randn(weight.shape, generator=draw)
    clip.save_pretrained(folder / "tuned" / "text_encoder")
    for name in ("base", "tuned"):
        whole = folder / f"{name}-whole"
        shutil.copytree(folder / name, whole)
        UNet2DConditionModel.from_pretrained(folder / name / "unet").save_pretrained(whole / "unet")
        for old in (whole / "unet").glob("*-of-*"):
            old.unlink()
        originals.sdxl_file(whole, folder / f"{name}.safetensors")
    yield folder
    patch.undo()


def test_shards_and_a_file_give_the_tensors_of_the_class(pair):
    real = UNet2DConditionModel.from_pretrained(pair / "tuned" / "unet").state_dict()
    assert len(list((pair / "tuned" / "unet").glob("*-of-*.safetensors"))) > 2
    for place in (pair / "tuned" / "unet", pair / "tuned.safetensors"):
        found = stored.stored(place, "sdxl", "unet")
        assert found.shapes == {name: tuple(tensor.shape) for name, tensor in real.items()}
        room = Room()
        for name in real:
            assert torch.equal(found.take(name), real[name])
            pieces = [piece.clone() for piece in found.pieces(name, 7, room)]
            assert torch.equal(torch.cat(pieces).view(real[name].shape), real[name])
    clip = stored.stored(pair / "tuned" / "text_encoder", "sdxl", "text_encoder")
    assert CLIP in clip.layers


def test_of_files_and_folders_the_same_comes_out_text_encoder_and_all(pair, tmp_path):
    how = How(Ranks(4), dtype="float32")
    extract_files(pair / "tuned", pair / "base", tmp_path / "a.safetensors", "sdxl", how)
    said = extract_files(pair / "tuned.safetensors", pair / "base.safetensors", tmp_path / "b.safetensors", "sdxl", how)
    one, other = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    before, after = (
        load_file(pair / f"{name}-whole" / "unet" / "diffusion_pytorch_model.safetensors") for name in ("base", "tuned")
    )
    place = "lora_unet_input_blocks_0_0"
    assert torch.equal(one[f"{place}.diff"], after["conv_in.weight"] - before["conv_in.weight"]), "carried exactly"
    assert torch.equal(one[f"{place}.diff_b"], after["conv_in.bias"] - before["conv_in.bias"])
    norm = "mid_block.resnets.0.norm1"
    assert torch.equal(
        one["lora_unet_middle_block_0_in_layers_0.diff"], after[f"{norm}.weight"] - before[f"{norm}.weight"]
    )
    name = dialects.get("sdxl").place(LAYER).name
    change = (after[f"{LAYER}.weight"] - before[f"{LAYER}.weight"]).double()
    made = one[f"{name}.lora_up.weight"].double() @ one[f"{name}.lora_down.weight"].double()
    u, s, v = torch.linalg.svd(change)
    torch.testing.assert_close(made, u[:, :4] * s[:4] @ v[:4], rtol=0, atol=1e-6)
    assert "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight" in one
    assert {name.partition(".")[0] for name in one} == {
        name, place, "lora_unet_time_embed_0", "lora_unet_time_embed_2", "lora_unet_middle_block_0_in_layers_0",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
    }  # fmt: skip
    assert said.carried > 0.5
    assert said.beside == 0
    plain = extract_files(pair / "tuned", pair / "base", tmp_path / "c.safetensors", "sdxl", How(Ranks(4), rest=False))
    assert plain.beside > 0.001
    got = files.from_comfy(
        {n: t for n, t in files.read(tmp_path / "c.safetensors")[0].items() if "_te1_" not in n},
        families.get("sdxl"), stored.stored(pair / "base" / "unet", "sdxl", "unet").layers,
    )  # fmt: skip
    assert set(files.factors(got)) == {LAYER, "conv_in", "time_embedding.linear_1", "time_embedding.linear_2"}


def test_eight_bit_floats_are_values_and_eight_bit_integers_are_refused(pair, tmp_path):
    whole = load_file(pair / "tuned.safetensors")
    small = {n: t.to(torch.float8_e4m3fn) if t.ndim > 1 else t for n, t in whole.items() if "diffusion_model" in n}
    save_file(small, tmp_path / "fp8.safetensors")
    said = extract_files(
        tmp_path / "fp8.safetensors", pair / "base.safetensors", tmp_path / "out.safetensors", "sdxl", How(Ranks(4))
    )
    assert said.layers > 20, "rounding to eight bits changes every layer"
    ints = {n: t.to(torch.int8) if t.ndim > 1 else t for n, t in small.items()}
    save_file(ints, tmp_path / "int8.safetensors")
    with pytest.raises(PortraitistError, match="as I8"):
        extract_files(
            tmp_path / "int8.safetensors", pair / "base.safetensors", tmp_path / "no.safetensors", "sdxl", How(Ranks(4))
        )
    assert not (tmp_path / "no.safetensors").exists()


def test_like_kohya_takes_its_layers_and_clamps(pair, tmp_path):
    how = How(Ranks(4), rest=False, kohya=True, clamp=0.9, least=1.0)
    said = extract_files(pair / "tuned", pair / "base", tmp_path / "k.safetensors", "sdxl", how)
    found = load_file(tmp_path / "k.safetensors")
    name = dialects.get("sdxl").place(LAYER).name
    assert {n.partition(".")[0] for n in found} == {name}, "no text encoder below the least difference, nothing outside"
    assert said.layers == 1
    how = How(Ranks(4), rest=False, kohya=True, clamp=0.9, least=0.001)
    said = extract_files(pair / "tuned", pair / "base", tmp_path / "k2.safetensors", "sdxl", how)
    assert said.layers == 2


def test_two_sets_of_files_in_a_folder_are_refused(pair, tmp_path):
    shutil.copytree(pair / "tuned" / "unet", tmp_path / "unet")
    UNet2DConditionModel.from_pretrained(pair / "base" / "unet").save_pretrained(tmp_path / "plain")
    for file in (tmp_path / "plain").glob("*.safetensors"):
        shutil.copy(file, tmp_path / "unet")
    with pytest.raises(PortraitistError, match="in two files"):
        stored.stored(tmp_path / "unet", "sdxl", "unet")


def test_a_file_that_the_library_refuses_is_told_in_a_line(pair, tmp_path):
    header = json.dumps({"x": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}).encode()
    shutil.copytree(pair / "tuned-whole" / "unet", tmp_path / "unet")
    (path,) = (tmp_path / "unet").glob("*.safetensors")
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(PortraitistError, match="cannot be read"):
        stored.stored(tmp_path / "unet", "sdxl", "unet")


def test_like_kohya_takes_no_ranks_that_are_chosen(pair, tmp_path):
    how = How(Ranks(size=1), kohya=True)
    with pytest.raises(PortraitistError, match="no singular values"):
        extract_files(pair / "tuned", pair / "base", tmp_path / "a.safetensors", "sdxl", how)
