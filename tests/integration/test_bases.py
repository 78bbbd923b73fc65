"""Bases as publishers write them: to the bit the weights in diffusers' layout, and one line for what is wrong."""

import os
import shutil
import socket
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    FluxTransformer2DModel,
    QwenImageTransformer2DModel,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, Qwen2_5_VLForConditionalGeneration, T5EncoderModel

from portraitist import configs, families, run
from portraitist.adapters.modules import reached
from portraitist.bases import forms
from portraitist.bases.layouts import of
from portraitist.errors import PortraitistError
from portraitist.family import Prompt
from portraitist.forecast import layout
from portraitist.judge.render import Sampler
from portraitist.pictures import Crop
from portraitist.recipe import Recipe
from portraitist.sections import Adapter, Model
from tests import originals
from tests.tiny import tiny

NAMES = ("sdxl", "flux", "qwen-image", "qwen-image-edit")
CLASSES = {
    "sdxl": {
        "unet": UNet2DConditionModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
    },
    "flux": {
        "transformer": FluxTransformer2DModel,
        "vae": AutoencoderKL,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": T5EncoderModel,
    },
    "qwen-image": {
        "transformer": QwenImageTransformer2DModel,
        "vae": AutoencoderKLQwenImage,
        "text_encoder": Qwen2_5_VLForConditionalGeneration,
    },
}
TEXT = "zorblax, a fox, waving, in a forest at night"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Tiny bases in diffusers' layout, their weights as published, their sizes where published ones are read."""
    folder, patch = tmp_path_factory.mktemp("bases"), pytest.MonkeyPatch()
    for name in NAMES:
        tiny(name, folder / name)
        if name.startswith("qwen"):  # as deep as the published one: its layers are numbered through
            torch.manual_seed(1)
            found = AutoencoderKLQwenImage(base_dim=4, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2)
            found.save_pretrained(folder / name / "vae")
    for name, classes in CLASSES.items():
        (folder / "configs" / name).mkdir(parents=True)
        for part in classes:
            shutil.copy(folder / name / part / "config.json", folder / "configs" / name / f"{part}.json")
    patch.setattr(configs, "FOLDER", folder / "configs")
    originals.sdxl_file(folder / "sdxl", folder / "published" / "sdxl.safetensors")
    originals.flux_files(folder / "flux", folder / "published" / "flux")
    for name in NAMES[2:]:
        originals.qwen_files(folder / name, folder / "published" / name)
    yield folder
    patch.undo()


def published(shelf, name, **other):
    """The recipe's words for a base as published."""
    base = shelf / "published" / (f"{name}.safetensors" if name == "sdxl" else name)
    return Model(
        **{"family": name, "base": str(base), "tokenizers": str(shelf / name), "precision": "float32", **other}
    )


def own(shelf, name, **other):
    """The same base in diffusers' layout."""
    return Model(**{"family": name, "base": str(shelf / name), "precision": "float32", **other})


def models(model):
    """Every model of a base by its part, as the family holds it."""
    family, base = families.pair(model)
    encoder = family.load_encoder(base)
    found = {"denoiser": family.load_denoiser(base), "vae": encoder.vae}
    if hasattr(encoder, "text"):
        return found | {"text": encoder.text}
    return found | dict(enumerate(encoder.clips if hasattr(encoder, "clips") else (encoder.clip, encoder.t5)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", NAMES)
def test_published_files_hold_the_same_weights(shelf, name, precision):
    theirs, ours = models(own(shelf, name, precision=precision)), models(published(shelf, name, precision=precision))
    assert theirs.keys() == ours.keys()
    for part, model in theirs.items():
        expected = dict(model.state_dict()) | dict(model.named_buffers())
        found = dict(ours[part].state_dict()) | dict(ours[part].named_buffers())
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            assert found[key].dtype == tensor.dtype, (part, key)
            assert torch.equal(found[key], tensor), (part, key)
        assert len([*ours[part].parameters()]) == len([*model.parameters()]), "weights used twice are held once"
        assert not any(parameter.requires_grad for parameter in ours[part].parameters())
        assert not ours[part].training


@pytest.mark.parametrize("name", NAMES)
def test_pictures_drawn_from_published_files_are_the_same(shelf, name):
    drawn = []
    for model in (own(shelf, name), published(shelf, name)):
        family, base = families.pair(model)
        encoder, denoiser = family.load_encoder(base), family.load_denoiser(base)
        pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
        noise = encoder.latents(pixels)
        given = encoder.conditions(Prompt(TEXT, Crop(64, 64, 0, 0, 64, 64, 64, 64)))
        sampler = Sampler(family, denoiser, noise.shape[1:], 64, 64, 2, 3.0, "float32")
        drawn.append(encoder.pixels(sampler.latents([given], encoder.conditions(Prompt("")), noise)))
    assert torch.equal(*drawn)
    assert drawn[0].std() > 1e-3


def test_flux_is_cut_as_diffusers_cuts_it():
    """At the published width, which diffusers' converter takes for granted; rows alone are cut: one column will do."""
    with torch.device("meta"):
        model = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
    thin = {name: torch.randn(shape[0]) for name, shape in ((n, t.shape) for n, t in model.state_dict().items())}
    file = originals.flux(thin)
    expected = convert_flux_transformer_checkpoint_to_diffusers(dict(file))
    found = forms.black_forest(file, model)
    assert found.keys() == expected.keys() == thin.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert torch.equal(found[name], thin[name]), name


def test_flux_is_put_together_from_files_given_one_by_one(shelf):
    """A transformer's file alone names what is missing and how to give it; so does a folder that one part replaces."""
    folder = shelf / "published" / "flux"
    alone = Model(family="flux", base=str(folder / "diffusion_models" / "flux1-dev.safetensors"), precision="float32")
    with pytest.raises(PortraitistError, match=r"lacks parts .* vae \(ae\.safetensors\), text_encoder") as caught:
        families.resolve(alone)
    assert "t5xxl_fp16.safetensors), tokenizer, tokenizer_2" in caught.value.problem
    assert "model.parts.vae" in caught.value.remedy
    assert "model.tokenizers" in caught.value.remedy
    files = {
        "vae": str(folder / "vae" / "ae.safetensors"),
        "text_encoder": str(folder / "text_encoders" / "clip_l.safetensors"),
        "text_encoder_2": str(shelf / "flux" / "text_encoder_2"),  # a folder will do as well
    }
    whole = alone.model_copy(update={"parts": Model(parts=files).parts, "tokenizers": str(shelf / "flux")})
    for part, model in models(own(shelf, "flux")).items():
        again = models(whole)[part].state_dict()
        assert all(torch.equal(again[key], tensor) for key, tensor in model.state_dict().items()), part


def test_a_part_given_goes_before_the_bases_own(shelf, tmp_path):
    tensors = {name: tensor + 1 for name, tensor in originals.weights(shelf / "flux", "transformer").items()}
    path = originals.saved(tmp_path / "mine.safetensors", originals.flux(tensors))
    plain, changed = own(shelf, "flux"), own(shelf, "flux", parts={"transformer": str(path)})
    family, base = families.pair(changed)
    found = family.load_denoiser(base).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert base.digest != families.resolve(plain).digest
    moved = path.rename(tmp_path / "renamed.safetensors")
    assert families.resolve(own(shelf, "flux", parts={"transformer": str(moved)})).digest == base.digest
    copy = shutil.copytree(shelf / "flux", tmp_path / "copy")
    shutil.rmtree(copy / "transformer")  # is not read, and does not count
    assert (
        families.resolve(Model(family="flux", base=str(copy), parts={"transformer": str(moved)})).digest == base.digest
    )


def test_the_digest_of_a_file_is_of_its_bytes_and_not_of_its_name(shelf, tmp_path):
    path = shutil.copy(shelf / "published" / "sdxl.safetensors", tmp_path / "another name.safetensors")
    first = families.resolve(published(shelf, "sdxl")).digest
    assert families.resolve(published(shelf, "sdxl", base=str(path))).digest == first
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert families.resolve(published(shelf, "sdxl", base=str(path))).digest != first
    (shelf / "published" / "beside.safetensors").write_bytes(b"x")
    assert families.resolve(published(shelf, "sdxl")).digest == first


def test_captions_are_counted_by_the_tokenizers_given(shelf):
    counted = [families.token_counter(model)(TEXT) for model in (own(shelf, "sdxl"), published(shelf, "sdxl"))]
    assert counted[0] == counted[1]
    assert families.token_counter(published(shelf, "sdxl", base="nowhere"))(TEXT) == families.get("sdxl").count_tokens(
        TEXT
    )


def test_a_plan_sees_the_denoiser_in_a_published_file(shelf, tmp_path):
    on = reached(Adapter(), "sdxl", families.get("sdxl").targets)
    layouts = [
        layout.read_layout(layout.weights(layout.listed(recipe)), recipe, on)
        for recipe in (Recipe(model=own(shelf, "sdxl")), Recipe(model=published(shelf, "sdxl")))
    ]
    assert layouts[0] == layouts[1]
    assert layouts[0].added > 0
    assert layout.listed(Recipe(model=published(shelf, "sdxl", base="nowhere"))) == {}


def test_a_run_sees_that_a_published_file_was_exchanged(shelf, tmp_path):
    path = shutil.copy(shelf / "published" / "sdxl.safetensors", tmp_path / "sdxl.safetensors")
    recipe = Recipe(model=published(shelf, "sdxl", base=str(path)))
    before = run.files(recipe)
    assert before
    os.utime(path, (1, 1))
    assert run.files(recipe) != before
    path.unlink()
    assert run.files(recipe) == []


def test_a_cached_model_goes_by_its_name_and_nothing_is_asked_of_the_network(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    asked = []

    def refused(*where, **_):
        asked.append(where)
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    with pytest.raises(PortraitistError, match="the Hugging Face cache has no such model") as caught:
        families.resolve(Model(family="sdxl", base="maker/tiny-sdxl"))
    assert "portraitist encode downloads it, and so does hf download maker/tiny-sdxl" in caught.value.remedy
    with pytest.raises(PortraitistError, match=r"model\.tokenizers = 'maker/tiny-sdxl'"):
        families.resolve(published(shelf, "sdxl", tokenizers="maker/tiny-sdxl"))
    cached = tmp_path / "models--maker--tiny-sdxl"
    shutil.copytree(shelf / "sdxl", cached / "snapshots" / ("a" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("a" * 40)
    expected = families.resolve(own(shelf, "sdxl"))
    found = families.resolve(Model(family="sdxl", base="maker/tiny-sdxl"))
    assert found.digest == expected.digest
    named = families.resolve(published(shelf, "sdxl", tokenizers="maker/tiny-sdxl"))
    assert named.digest == families.resolve(published(shelf, "sdxl")).digest
    assert not asked


def rewritten(path, to, change):
    """A copy of a file whose tensors were changed."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, to)
    return to


def rounded(tensors):
    name = "model.diffusion_model.input_blocks.0.0.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)


UNET = "model.diffusion_model.middle_block.1.norm"
CHANGES = {
    "stores 1 weights as F8_E4M3": rounded,
    "lacks 1 weights of UNet2DConditionModel": lambda t: t.pop(f"{UNET}.weight"),
    "has 1 unknown weights of UNet2DConditionModel, such as strange": lambda t: t.update(
        {"model.diffusion_model.strange.weight": torch.ones(3)}
    ),
    "has 1 unknown weights of AutoencoderKL, such as strange": lambda t: t.update(
        {"first_stage_model.strange.weight": torch.ones(3)}
    ),
    "has 1 unknown weights of CLIPTextModelWithProjection, such as strange": lambda t: t.update(
        {"conditioner.embedders.1.model.strange": torch.ones(3)}
    ),
    "of another size than UNet2DConditionModel's": lambda t: t.update({f"{UNET}.weight": torch.ones(5)}),
    "lacks parts of a base of sdxl: vae": lambda t: [t.pop(n) for n in list(t) if n.startswith("first_stage_model")],
}


@pytest.mark.parametrize("match", CHANGES)
def test_a_file_with_other_weights_is_refused_in_a_line(shelf, tmp_path, match):
    path = rewritten(shelf / "published" / "sdxl.safetensors", tmp_path / "sdxl.safetensors", CHANGES[match])
    with pytest.raises(PortraitistError, match=match) as caught:
        models(published(shelf, "sdxl", base=str(path)))
    assert "\n" not in caught.value.problem + caught.value.remedy
    assert str(path) in caught.value.problem


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b + b"0", lambda b: b"", lambda b: b[:100]])
def test_a_file_that_is_damaged_is_named(shelf, tmp_path, damage):
    whole = (shelf / "published" / "sdxl.safetensors").read_bytes()
    path = tmp_path / "sdxl.safetensors"
    path.write_bytes(damage(whole))
    with pytest.raises(PortraitistError, match=r"sdxl\.safetensors cannot be read: .*(bytes of|cut short)"):
        families.resolve(published(shelf, "sdxl", base=str(path)))


@pytest.mark.parametrize(
    "header", [b"[1]", b"[" * 200_000, b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 0]}}']
)
def test_a_header_that_says_the_impossible_is_told_in_a_line(tmp_path, header):
    path = tmp_path / "sdxl.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(PortraitistError, match=r"sdxl\.safetensors cannot be read"):
        families.resolve(Model(family="sdxl", base=str(path)))


def test_weights_in_eight_bits_are_refused_in_folders_too(shelf, tmp_path):
    """diffusers would read them without their scales, and say nothing."""
    copy = shutil.copytree(shelf / "flux", tmp_path / "flux")
    path = next((copy / "transformer").glob("*.safetensors"))
    rewritten(path, path, lambda t: t.update({n: x.to(torch.float8_e5m2) for n, x in t.items() if x.ndim == 2}))
    family, base = families.pair(Model(family="flux", base=str(copy)))
    with pytest.raises(PortraitistError, match="weights as F8_E5M2"):
        family.load_denoiser(base)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"base": "PICKLE.ckpt"}, "is a pickle"),
        ({"base": "MODEL.gguf"}, r"is not a \.safetensors file"),
        ({"base": "FOLDER"}, "is a pickle"),
        ({"base": "~nobody-at-all/base"}, "no such user's home"),
        ({"tokenizers": "~nobody-at-all/base"}, "no such user's home"),
        ({"parts": {"vae": "~nobody-at-all/vae.safetensors"}}, "no such user's home"),
        ({"family": "flux"}, "holds no part of a base of flux"),
        ({"tokenizers": ""}, "lacks parts of a base of sdxl: tokenizer, tokenizer_2"),
        ({"tokenizers": "FOLDER"}, "has no folder tokenizer"),
        ({"parts": {"transformer": "PICKLE.ckpt"}}, "no such part"),
        ({"parts": {"vae": "PICKLE.ckpt"}}, "is a pickle"),
        ({"parts": {"vae": "FOLDER"}}, r"without config\.json"),
        ({"parts": {"vae": "nowhere.safetensors"}}, "no such file"),
        ({"parts": {"vae": "UNET.safetensors"}}, "holds another part: unet"),
        ({"family": "mini", "tokenizers": ""}, "one folder in diffusers' layout alone"),
        ({"family": "mini", "base": "", "tokenizers": "FOLDER"}, "one folder in diffusers' layout alone"),
    ],
)
def test_what_cannot_be_a_base_is_told_with_a_remedy(shelf, tmp_path, words, match):
    (tmp_path / "PICKLE.ckpt").write_bytes(b"x")
    (tmp_path / "MODEL.gguf").write_bytes(b"x")
    (tmp_path / "FOLDER" / "unet").mkdir(parents=True)
    (tmp_path / "FOLDER" / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"x")
    originals.saved(tmp_path / "UNET.safetensors", {"input_blocks.0.0.weight": torch.ones(2, 2)})

    def put(value):
        if isinstance(value, dict):
            return {key: put(inner) for key, inner in value.items()}
        return str(tmp_path / value) if (tmp_path / value).exists() and value else value

    with pytest.raises(PortraitistError, match=match) as caught:
        families.resolve(published(shelf, "sdxl", **put(words)))
    assert caught.value.remedy
    assert "\n" not in caught.value.problem + caught.value.remedy


def test_of_several_files_for_a_part_the_person_says_which(shelf, tmp_path):
    folder = shutil.copytree(shelf / "published" / "flux", tmp_path / "models")
    kept = folder / "vae" / "ae.safetensors"
    shutil.copy(kept, folder / "vae" / "another.safetensors")
    wanted = published(shelf, "flux", base=str(folder))
    with pytest.raises(
        PortraitistError, match=r"2 files that can be the vae: vae/ae\.safetensors, vae/another"
    ) as caught:
        families.resolve(wanted)
    assert f'--set model.parts.vae="{kept}"' in caught.value.remedy
    families.resolve(published(shelf, "flux", base=str(folder), parts={"vae": str(kept)}))


def test_every_part_of_a_layout_has_its_sizes_and_its_form():
    folder = Path(configs.__file__).parent
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    layouts = [layout for layout in map(of, families.FAMILIES) if layout]
    parts = [(layout, part, how) for layout in layouts for part, how in layout.weights.items()]
    assert there == {f"{layout.configs}/{part}.json" for layout, part, how in parts if how.config is None}
    assert {how.form for _, _, how in parts if isinstance(how.form, str)} == set(forms.FORMS)
