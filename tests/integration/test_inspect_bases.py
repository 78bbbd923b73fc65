"""A base's file is told for what it is by its header: whose part, whole or not, and what it leaves open.

Files have the published sizes and no weights: their headers are written, and the disk holds nothing of the rest.
"""

import json
import math
import re

import pytest
import torch
from diffusers import UNet2DConditionModel

from portraitist.bases.recognising import Known, built
from portraitist.cli import obey
from portraitist.families import zimage
from portraitist.forecast.published import PUBLISHED
from portraitist.show import told
from portraitist.tensorfile import WHOLE
from portraitist.verbs.inspect import inspect
from tests import originals
from tests.originals import below

BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F8_E4M3": 1}
LDM = "model.diffusion_model."


def shapes(family, part):
    """A published part's tensors by its class's names, none of which has memory."""
    known = Known(family, part, PUBLISHED[family].parts[part].kind)
    return {name: tensor.to("meta") for name, tensor in built(*known.facts).state_dict().items()}


def sparse(path, tensors, kind="F16", **words):
    """A file of such tensors."""
    header, end = {"__metadata__": words}, 0
    for name, tensor in tensors.items():
        size = math.prod(tensor.shape) * BYTES[kind]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [end, end + size]}
        end += size
    data = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(data).to_bytes(8, "little") + data)
        file.truncate(8 + len(data) + end)
    return path


def meta(tensors):
    return {name: tensor.to("meta") for name, tensor in tensors.items()}


def sdxl():
    """A checkpoint in Stability's layout."""
    found = below(LDM, originals.unet(shapes("sdxl", "unet")))
    found |= below("first_stage_model.", originals.vae(shapes("sdxl", "vae")))
    found |= below("conditioner.embedders.0.transformer.", meta(originals.clip_l(shapes("sdxl", "text_encoder"))))
    return found | below("conditioner.embedders.1.model.", meta(originals.clip_g(shapes("sdxl", "text_encoder_2"))))


def flux():
    """Transformer and VAE in one file, as ComfyUI saves a checkpoint."""
    found = below(LDM, originals.flux(shapes("flux", "transformer")))
    return found | below("vae.", originals.vae(shapes("flux", "vae")))


def z_image():
    """The transformer in its own layout, qkv fused."""
    fused = {}
    for name, tensor in shapes("z-image", "transformer").items():
        module, _, kind = name.rpartition(".")
        place = zimage.original(module.replace(".norm_q", ".q_norm").replace(".norm_k", ".k_norm"))
        fused.setdefault(f"{place.name}.{kind}".lstrip("."), {})[place.part] = tensor
    return {name: torch.cat([parts[i] for i in sorted(parts)]) for name, parts in fused.items()}


QWENS, ZS = ("qwen-image", "qwen-image-edit"), ("z-image", "z-image-turbo")
FILES = {
    "an SDXL checkpoint": (sdxl, ("sdxl",), {"unet": 0, "vae": 0, "text_encoder": 0, "text_encoder_2": 0}),
    "SDXL's UNet, diffusers' names": (lambda: shapes("sdxl", "unet"), ("sdxl",), {"unet": 1}),
    "SDXL's VAE": (lambda: originals.vae(shapes("sdxl", "vae")), ("sdxl",), {"vae": 0}),
    "SDXL's VAE, diffusers' names": (lambda: shapes("sdxl", "vae"), ("sdxl",), {"vae": 1}),
    "CLIP-L": (lambda: meta(originals.clip_l(shapes("flux", "text_encoder"))), ("sdxl", "flux"), {"text_encoder": 0}),
    "CLIP-G": (lambda: shapes("sdxl", "text_encoder_2"), ("sdxl",), {"text_encoder_2": 1}),
    "a FLUX checkpoint": (flux, ("flux",), {"transformer": 0, "vae": 0}),
    "FLUX's transformer": (lambda: originals.flux(shapes("flux", "transformer")), ("flux",), {"transformer": 0}),
    "FLUX's transformer, diffusers' names": (lambda: shapes("flux", "transformer"), ("flux",), {"transformer": 1}),
    "T5-XXL": (lambda: originals.t5(shapes("flux", "text_encoder_2")), ("flux",), {"text_encoder_2": 1}),
    "FLUX's VAE": (lambda: originals.vae(shapes("flux", "vae")), ("flux", *ZS), {"vae": 0}),
    "Qwen-Image's transformer": (lambda: shapes("qwen-image", "transformer"), QWENS, {"transformer": 1}),
    "the same, prefixed": (lambda: below(LDM, shapes("qwen-image", "transformer")), QWENS, {"transformer": 1}),
    "Qwen-Image's VAE": (lambda: originals.wan_vae(shapes("qwen-image", "vae")), QWENS, {"vae": 0}),
    "Qwen2.5-VL": (lambda: originals.qwen_text(shapes("qwen-image", "text_encoder")), QWENS, {"text_encoder": 0}),
    "Z-Image's transformer": (z_image, ZS, {"transformer": 0}),
    "Z-Image's transformer, diffusers' names": (lambda: shapes("z-image", "transformer"), ZS, {"transformer": 1}),
    "Qwen3-4B": (lambda: below("model.", shapes("z-image", "text_encoder")), ZS, {"text_encoder": 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bases_file_is_told_by_whose_it_is_and_what_of_it_is_there(name, tmp_path, capsys):
    make, families, parts = FILES[name]
    tensors = make()
    path = sparse(tmp_path / "some.safetensors", tensors, "BF16")
    found = inspect(path)
    assert found.families == families
    assert {part: int(facts["own"]) for part, facts in found.parts.items()} == parts
    assert all(facts["fit"] == facts["of"] for facts in found.parts.values())
    assert sum(facts["tensors"] for facts in found.parts.values()) == len(tensors)
    assert found.types == {"bfloat16": len(tensors)}
    assert (found.unmatched, found.findings, found.blocked) == ((), (), False)
    assert any("model.family says it" in line for line in found.unknown) == (len(families) > 1)
    assert ("no adapter: model.base takes it" in told(found)) == (len(parts) > 1)
    assert obey(["inspect", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["what"], said["family"]) == ("base", families[0] if len(families) == 1 else "")


@pytest.mark.parametrize(
    ("more", "words", "says"),
    [
        ({}, {}, ""),
        ({}, {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"v_pred": torch.empty(0, device="meta")}, {}, "v"),
        ({"v_pred": torch.empty(0, device="meta"), "ztsnr": torch.empty(0, device="meta")}, {}, "v, zero terminal SNR"),
    ],
    ids=["nothing", "metadata", "a mark", "two marks"],
)
def test_what_an_sdxl_file_predicts_is_told_where_it_says_so(more, words, says, tmp_path):
    found = inspect(sparse(tmp_path / "a.safetensors", sdxl() | more, **words))
    assert (found.predicts, found.unmatched) == (says, ())
    assert any("what it predicts" in line for line in found.unknown) == (not says)


def test_a_unet_in_its_folder_is_told_what_the_scheduler_beside_it_says(tmp_path):
    path = sparse(tmp_path / "unet" / "diffusion_pytorch_model.safetensors", shapes("sdxl", "unet"))
    scheduler = tmp_path / "scheduler" / "scheduler_config.json"
    scheduler.parent.mkdir()
    facts = {"prediction_type": "v_prediction", "beta_schedule": "scaled_linear", "beta_start": 0.00085}
    scheduler.write_text(json.dumps(facts | {"beta_end": 0.012, "num_train_timesteps": 1000}))
    assert inspect(path).predicts == f"v, says {scheduler}"
    scheduler.write_text(json.dumps(facts | {"beta_end": 1}))
    assert [(f.check, f.severity) for f in inspect(path).findings] == [("prediction", "block")]


def inpainting(tensors):
    tensors[f"{LDM}input_blocks.0.0.weight"] = torch.empty(320, 9, 3, 3, device="meta")


def schnell(tensors):
    for name in [name for name in tensors if "guidance_in" in name]:
        del tensors[name]


WRONG = {
    "a tensor less": (sdxl, lambda t: t.pop(f"{LDM}time_embed.0.weight"), "F16", {"missing"}, "time_embedding"),
    "one of another size": (sdxl, inpainting, "F16", {"shape"}, r"conv_in\.weight \(320, 9, 3, 3\), not \(320, 4"),
    "one too many": (sdxl, lambda t: t.update({f"{LDM}x.weight": t[f"{LDM}out.2.bias"]}), "F16", {"unmatched"}, "1 te"),
    "no guidance": (flux, schnell, "BF16", {"missing"}, "guidance_embedder"),
    "8 bits": (flux, lambda t: None, "F8_E4M3", {"rounded"}, "F8_E4M3"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_training_would_refuse_of_it_blocks(wrong, tmp_path, capsys):
    make, spoil, kind, checks, says = WRONG[wrong]
    tensors = make()
    spoil(tensors)
    path = sparse(tmp_path / "a.safetensors", tensors, kind)
    found = inspect(path)
    assert {remark.check for remark in found.findings if remark.severity == "block"} == checks
    assert re.search(says, found.findings[0].says), found.findings
    assert obey(["inspect", str(path)]) == 1
    assert "no adapter" in capsys.readouterr().out


def test_one_of_several_files_and_a_smaller_model_of_the_same_class_are_told_and_do_not_block(tmp_path):
    tensors = shapes("flux", "transformer")
    names = list(tensors)
    half = {name: tensors[name] for name in names[len(names) // 2 :]}
    one = inspect(sparse(tmp_path / "diffusion_pytorch_model-00002-of-00002.safetensors", half))
    assert ([f.check for f in one.findings], one.blocked, one.families) == (["shard"], False, ("flux",))
    few = {name: tensor for name, tensor in tensors.items() if ".18." not in name}
    one = inspect(sparse(tmp_path / "a.safetensors", few))
    assert [(f.check, f.severity) for f in one.findings] == [("missing", "warn")]
    assert "config.json" in one.findings[0].remedy


def test_the_denoiser_of_a_run_that_trained_all_weights_is_told_as_such(tmp_path):
    found = inspect(sparse(tmp_path / "adapter.safetensors", below(WHOLE, shapes("sdxl", "unet"))))
    assert (found.whole, found.families, found.blocked) == (True, ("sdxl",), False)
    assert "portraitist export" in told(found)


def test_a_model_made_of_the_same_layers_is_not_taken_for_one(tmp_path):
    """Such as a ControlNet, or a handful of tensors."""
    tensors = {name: t for name, t in shapes("flux", "transformer").items() if not name.startswith("single")}
    more = {"controlnet_blocks.0.weight": torch.empty(3072, 3072, device="meta")}
    assert "parts" not in inspect(sparse(tmp_path / "a.safetensors", tensors | more)).as_json()
    few = {name: tensors[name] for name in list(tensors)[:9]}
    assert "parts" not in inspect(sparse(tmp_path / "b.safetensors", few)).as_json()
    own = shapes("flux", "transformer")
    own["x.weight"] = own.pop("proj_out.weight")
    assert {f.check for f in inspect(sparse(tmp_path / "c.safetensors", own)).findings} == {"missing", "unmatched"}
    assert inspect(tmp_path / "c.safetensors").blocked


@pytest.mark.parametrize("turn", [lambda t: t, lambda t: below(LDM, originals.unet(t))], ids=["diffusers", "Stability"])
def test_stable_diffusion_1_is_no_sdxl_and_a_family_that_is_said_is_believed_alone(turn, tmp_path, capsys):
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768).state_dict()
    path = sparse(tmp_path / "a.safetensors", turn(unet), "BF16")
    assert obey(["inspect", str(path)]) == 1
    assert "fits no family that is known here" in capsys.readouterr().out
    path = sparse(tmp_path / "ae.safetensors", originals.vae(shapes("flux", "vae")))
    assert inspect(path, "z-image").families == ("z-image",)
    assert inspect(path, "qwen-image").blocked


def test_what_stands_beside_the_parts_is_named(tmp_path):
    more = {"denoiser.sigmas": torch.empty(1000, device="meta"), "x\x1b[31m": torch.empty(2, device="meta")}
    found = inspect(sparse(tmp_path / "a.safetensors", sdxl() | more))
    assert (found.unmatched, found.blocked) == (("denoiser.sigmas", "x?[31m"), False)
