"""The registry: which families there are, where bases lie, what is wrong with them, and how captions are counted."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer, Qwen2Tokenizer, T5Tokenizer

from portraitist import families
from portraitist.errors import PortraitistError
from portraitist.sections import Model
from tests.tiny import KNOWN, OUTSIDE, tiny
from tests.vocabularies import CAPTIONS

NAMES = OUTSIDE


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    for name in NAMES:
        tiny(name, folder / name)
    return folder


@pytest.fixture(params=NAMES)
def base(request, shelf, tmp_path):
    """A base of a family that a test may damage."""
    shutil.copytree(shelf / request.param, tmp_path / request.param)
    return tiny(request.param, tmp_path / request.param)


def model(base, **other):
    return Model(family=base.folder.name, base=str(base.folder), precision="float32", **other)


@pytest.mark.parametrize("name", families.FAMILIES)
def test_every_registered_family_is_what_a_family_is(name):
    family = families.get(name)
    assert family.name == name
    assert family.pixel_multiple > 0
    assert family.profile.resolution % family.pixel_multiple == 0
    levels = family.levels(4, 256, 256)
    assert levels.shape == (5,)
    assert (levels.diff() < 0).all()
    assert levels[-1] == 0
    assert levels[0] <= 1
    assert hash(family) == hash(families.get(name))


@pytest.mark.parametrize(
    ("wrong", "near"), [("sdlx", "sdxl"), ("flx", "flux"), ("qwen", "qwen-image"), ("Mini", "mini")]
)
def test_an_unknown_family_is_refused_with_its_neighbour(wrong, near):
    with pytest.raises(PortraitistError, match="no such family") as caught:
        families.get(wrong)
    assert f"Did you mean {near}?" in caught.value.remedy
    with pytest.raises(PortraitistError) as caught:
        families.get("zzzzzzzz")
    assert "Did you mean" not in caught.value.remedy
    assert ", ".join(sorted(families.FAMILIES)) in caught.value.remedy


def test_an_installed_package_may_bring_a_family_but_not_replace_ours(tmp_path, monkeypatch):
    info = tmp_path / "painters-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: painters\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[portraitist.families]\noil = painters_oil:Oil\nsdxl = painters_oil:Oil\n", encoding="utf-8"
    )
    (tmp_path / "painters_oil.py").write_text("class Oil:\n    name = 'oil'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert families.get("oil").name == "oil"
    assert families.get("sdxl").name == "sdxl"


@pytest.mark.parametrize("wanted", ["", "nowhere/at/all", "stabilityai/stable-diffusion-xl-base-1.0"])
def test_a_base_that_is_not_there_is_named(wanted):
    with pytest.raises(PortraitistError, match="no such folder") as caught:
        families.resolve(Model(family="sdxl", base=wanted))
    assert wanted in caught.value.problem
    assert "model.base=FOLDER" in caught.value.remedy


def test_an_empty_folder_is_no_base(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PortraitistError, match="holds no weights"):
        families.resolve(Model(family="sdxl", base=str(tmp_path / "empty")))


def test_the_digest_is_of_names_and_bytes_and_of_nothing_else(base, tmp_path):
    before = families.resolve(model(base))
    assert before == base
    part = base.folder / KNOWN[base.folder.name].denoiser
    weights = part / "diffusion_pytorch_model.safetensors"
    (base.folder / "README.md").write_text("words")
    (base.folder / "whole_model.safetensors").write_bytes(b"beside the parts, and never read")
    (part / ".cache").mkdir()
    (part / ".cache" / "a.json").write_text("{}")
    weights.touch()
    assert families.resolve(model(base)).digest == base.digest
    moved = shutil.copytree(base.folder, tmp_path / "elsewhere" / base.folder.name)
    assert families.resolve(Model(family=moved.name, base=str(moved))).digest == base.digest
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    flipped = families.resolve(model(base)).digest
    assert flipped != base.digest
    (part / "config.json").write_text((part / "config.json").read_text() + " ")
    assert families.resolve(model(base)).digest not in (flipped, base.digest)


def test_the_precision_is_the_recipes_and_not_part_of_the_digest(base):
    half = families.resolve(Model(family=base.folder.name, base=str(base.folder), precision="bfloat16"))
    assert (half.dtype, half.digest) == ("bfloat16", base.digest)


def read_all(base):
    family = families.get(base.folder.name)
    family.load_encoder(base)
    family.load_denoiser(base)


def parts(base):
    index = json.loads((base.folder / "model_index.json").read_text())
    return [name for name in index if (base.folder / name).is_dir() and name != "scheduler"]


def test_a_part_that_is_missing_is_named(base):
    for name in parts(base):
        (base.folder / name).rename(base.folder / "away")
        with pytest.raises(PortraitistError, match=f"no part '{name}'"):
            read_all(base)
        (base.folder / "away").rename(base.folder / name)
    read_all(base)


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b"", lambda b: b"\xff" * 100, lambda b: b"[]"])
def test_a_part_that_is_damaged_is_named_whichever_of_its_files_it_is(base, damage):
    """Cut short, emptied, overwritten: one problem and one remedy, whatever the libraries raise."""
    for path in sorted(base.folder.rglob("*")):
        # tokenizers' settings have defaults for all that is in them, and of how to generate text nothing is used, nor
        # of how to chat where the family has its own template
        unread = ["tokenizer_config.json", "generation_config.json"]
        unread += ["chat_template.jinja"] if base.family.startswith("qwen") else []
        if path.parent.name not in parts(base) or path.name in unread:
            continue
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        with pytest.raises(PortraitistError, match=path.parent.name) as caught:
            read_all(base)
        assert "\n" not in caught.value.problem, path
        path.write_bytes(whole)
    read_all(base)


def test_weights_that_are_missing_are_not_made_up_at_random(base):
    """The libraries fill gaps with fresh random numbers and a warning."""
    for path in sorted(base.folder.rglob("*.safetensors")):
        tensors = load_file(path)
        dropped = sorted(tensors)[len(tensors) // 2]
        save_file({n: t for n, t in tensors.items() if n != dropped}, path, metadata={"format": "pt"})
        with pytest.raises(PortraitistError, match=r"lacks 1 weights|cannot be read"):
            read_all(base)
        save_file(tensors, path, metadata={"format": "pt"})
    read_all(base)


def test_weights_that_the_configuration_has_no_place_for_are_not_passed_over(base):
    """The libraries leave them out: of a model whose config.json says too few layers the rest would be missing."""
    for path in sorted(base.folder.rglob("*.safetensors")):
        tensors = load_file(path)
        save_file({**tensors, "strange.weight": torch.ones(2)}, path, metadata={"format": "pt"})
        with pytest.raises(PortraitistError, match=r"has 1 weights that its config.json has no place for, such as str"):
            read_all(base)
        unused = {"text_model.embeddings.position_ids": torch.arange(3)} if path.parent.name == "text_encoder" else {}
        save_file(tensors | unused, path, metadata={"format": "pt"})
    read_all(base)


@pytest.mark.parametrize("name", ["sdxl", "flux"])
def test_a_denoiser_that_wants_more_than_the_picture_is_refused(shelf, name, tmp_path):
    """SDXL for inpainting takes 9 channels, FLUX.1-Fill 384: words alone are no input of theirs."""
    folder = shutil.copytree(shelf / name, tmp_path / name)
    family, base = families.get(name), tiny(name, folder)
    made = family.load_denoiser(base)
    told = {**made.config, "in_channels": made.config.in_channels + 5, "out_channels": made.config.in_channels}
    type(made).from_config(told).save_pretrained(base.place("unet" if name == "sdxl" else "transformer"))
    with pytest.raises(PortraitistError, match=r"takes \d+ channels and gives \d+"):
        family.load_denoiser(base)


def test_nothing_beside_the_base_is_of_it_whatever_its_index_says(shelf, tmp_path):
    copy = shutil.copytree(shelf / "flux", tmp_path / "flux")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.json").write_text("{}")
    before, path = tiny("flux", copy).digest, copy / "model_index.json"
    index = json.loads(path.read_text())
    for name in ("../other", str(tmp_path / "other"), "", ".."):
        path.write_text(json.dumps({**index, name: ["x", "y"]}))
        assert tiny("flux", copy).digest == before


def test_a_base_of_another_family_is_told_apart(shelf):
    with pytest.raises(PortraitistError, match="no part 'unet'") as caught:
        families.get("sdxl").load_denoiser(tiny("flux", shelf / "flux"))
    assert "another family" in caught.value.remedy


def test_half_precision_files_are_taken_where_there_are_no_others(base):
    family = families.get(base.folder.name)
    before = {n: p.clone() for n, p in family.load_denoiser(base).named_parameters()}
    for path in sorted(base.folder.rglob("*.safetensors")):
        save_file({n: t.half() for n, t in load_file(path).items()}, path, metadata={"format": "pt"})
        path.rename(path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")))
    read_all(base)
    for name, parameter in family.load_denoiser(base).named_parameters():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, before[name].half().float()), name


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_asked_its_facts_without_torch(name, shelf):
    """Audits count tokens; they must not wait for torch."""
    script = f"""
import sys
from portraitist import families
from portraitist.sections import Model
family = families.get({name!r})
base = families.resolve(Model(family={name!r}, base={str(shelf / name)!r}))
count = families.token_counter(Model(family={name!r}, base=str(base.folder)))
print(family.count_tokens("zorblax, smiling"), count("zorblax, smiling"), family.profile.token_limit)
print([heavy for heavy in ("torch", "diffusers", "transformers", "peft") if heavy in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


TEXTS = st.one_of(st.sampled_from(CAPTIONS), st.text(max_size=60), st.text("abc 'st,.12é\t\n<|>", max_size=40))


@given(text=TEXTS)
def test_captions_are_counted_as_the_bases_own_tokenizers_count(shelf, text):
    counts = {name: families.token_counter(Model(family=name, base=str(shelf / name)))(text) for name in NAMES}
    clip = CLIPTokenizer.from_pretrained(shelf / "sdxl" / "tokenizer")
    t5 = T5Tokenizer.from_pretrained(shelf / "flux" / "tokenizer_2")
    assert counts["sdxl"] == len(clip(text, add_special_tokens=False).input_ids)
    assert counts["flux"] == len(t5(text, add_special_tokens=False).input_ids)
    qwen2 = Qwen2Tokenizer.from_pretrained(shelf / "qwen-image" / "tokenizer")
    assert counts["qwen-image"] == counts["qwen-image-edit"] == len(qwen2(text).input_ids)


def test_clips_older_files_are_read_as_its_new_one(shelf, tmp_path):
    """The published SDXL has vocab.json and merges.txt, and no tokenizer.json."""
    folder = tmp_path / "sdxl" / "tokenizer"
    folder.mkdir(parents=True)
    saved = json.loads((shelf / "sdxl" / "tokenizer" / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(saved["vocab"]))
    merges = "\n".join(" ".join(pair) for pair in saved["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    old = families.token_counter(Model(family="sdxl", base=str(tmp_path / "sdxl")))
    new = families.token_counter(Model(family="sdxl", base=str(shelf / "sdxl")))
    for text in (*CAPTIONS[::7], CAPTIONS[1].upper(), "Zorblax's café, 12 o'clock <|endoftext|> 🌸", ""):
        assert old(text) == new(text), text


def test_a_damaged_vocabulary_is_told_and_an_absent_one_estimated(tmp_path):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    wanted = Model(family="sdxl", base=str(tmp_path))
    assert families.token_counter(wanted)("abcd efgh") == families.get("sdxl").count_tokens("abcd efgh") == 2
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(PortraitistError, match="cannot be read"):
        families.token_counter(wanted)


@pytest.mark.parametrize(
    ("text", "true"),
    [
        ("close-up of zorblax, smiling, front view, beach background, soft light", 18),
        ("1girl, solo, long hair, blue eyes, school uniform, serafuku, thighhighs, cowboy shot, best quality", 27),
        ("a photo of sks man sitting cross-legged on a wooden dock at sunset, golden hour", 17),
    ],
)
def test_the_estimate_errs_high_by_little(text, true):
    """The true counts are CLIP's own (bpe_simple_vocab_16e6 of github.com/openai/CLIP)."""
    assert true <= families.estimate(text) <= 1.6 * true
