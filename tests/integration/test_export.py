"""What is handed out is what was judged: read back it predicts the same, in our hands and in diffusers'."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import safetensors
import safetensors.torch
import torch

from portraitist.adapters import files, inject
from portraitist.deploy.programs import A1111, Diffusers
from portraitist.errors import PortraitistError
from portraitist.family import Prompt
from portraitist.project import Project
from portraitist.verbs.export import export, plain
from tests.projects import made
from tests.tiny import KNOWN, PIPELINES

EDIT = "qwen-image-edit"
LOADERS = PIPELINES | {EDIT: diffusers.QwenImageEditPlusPipeline}


@pytest.fixture(scope="module", params=LOADERS)
def trained(request, tmp_path_factory):
    """A project trained on a tiny base, step 2 at strength 0.7 chosen from it."""
    return made(tmp_path_factory.mktemp(request.param), request.param)


@torch.no_grad()
def predicted(family, base, denoiser):
    given = family.load_encoder(base).conditions(Prompt("zorblax on a beach"))
    noisy = torch.randn(1, KNOWN[family.name].channels, 8, 8, generator=torch.Generator().manual_seed(1))
    batched = {name: value[None] for name, value in given.items()}
    return family.predict(denoiser, noisy, torch.tensor([0.6]), batched)


def test_read_back_it_is_the_judged_adapter_and_predicts_exactly_the_same(trained):
    result = export(trained.project)
    assert (result.step, result.strength, result.trigger) == (2, 0.7, "zorblax")
    judged, _ = files.read(trained.run.adapter(2))
    denoiser = trained.family.load_denoiser(trained.base)
    modules = [name for name, _ in denoiser.named_modules()]
    exported = files.from_comfy(files.read(trained.project.folder / result.lora)[0], trained.family, modules)
    assert exported.keys() == judged.keys()
    base = predicted(trained.family, trained.base, denoiser)
    with inject.loaded(denoiser, trained.family, judged, 0.7):
        expected = predicted(trained.family, trained.base, denoiser)
    with inject.loaded(denoiser, trained.family, exported, 0.7):
        assert torch.equal(predicted(trained.family, trained.base, denoiser), expected)
    assert not torch.equal(expected, base)


def test_diffusers_pipeline_loads_the_file_and_its_own_and_predicts_the_same(trained):
    """By its own converters from ComfyUI's names, and from the folder that is made for it, at the chosen strength."""
    kind, result = LOADERS[trained.family.name], export(trained.project, to=Diffusers())
    (own,) = (Path(result.lora).parent / "diffusers").iterdir()
    assert not [name for name in safetensors.torch.load_file(own) if name.endswith(".alpha")]
    judged, _ = files.read(trained.run.adapter(2))
    denoiser = trained.family.load_denoiser(trained.base)
    with inject.loaded(denoiser, trained.family, judged, 0.7):
        expected = predicted(trained.family, trained.base, denoiser)
    unused = {"processor": None} if trained.family.name == EDIT else {}
    pipeline = kind.from_pretrained(trained.base.folder, **unused)
    theirs = getattr(pipeline, KNOWN[trained.family.name].denoiser)
    path = Path(result.lora)
    for name, folder, file in (("maya", path.parent, {"weight_name": path.name}), ("own", own.parent, {})):
        pipeline.load_lora_weights(str(folder), adapter_name=name, **file)
        pipeline.set_adapters(name, 0.7)
        end = f"lora_A.{name}"
        injected = {found.rpartition(".lora_A")[0] for found, _ in theirs.named_modules() if found.endswith(end)}
        assert injected == {found.removesuffix(files.DOWN) for found in judged if found.endswith(files.DOWN)}
        torch.testing.assert_close(predicted(trained.family, trained.base, theirs), expected, rtol=1e-5, atol=1e-6)


def test_a1111_finds_word_weight_and_name_beside_the_file_and_the_card_says_that_nothing_was_measured(trained):
    result = export(trained.project, to=A1111())
    place = Path(result.lora).parent
    assert result.beside == ("zorblax.json",)
    with safetensors.safe_open(place / "zorblax.safetensors", framework="pt") as file:
        alias = file.metadata()["ss_output_name"]
    facts = json.loads((place / f"{alias}.json").read_text())
    assert (facts["activation text"], facts["preferred weight"]) == ("zorblax", 0.7)
    versions = {"sdxl": "SDXL", "flux": "Flux"}
    assert facts["sd version"] == versions.get(trained.family.name, "Unknown")
    card = Path(result.card).read_text()
    assert "Nothing was measured of this checkpoint" in card
    assert str(trained.folder) not in card


def test_its_names_are_those_that_comfyui_loads_and_every_module_has_an_alpha(trained):
    tensors, _ = files.read(trained.project.folder / export(trained.project).lora)
    prefix = KNOWN[trained.family.name].prefix
    halves = ("lora_up", "lora_down") if prefix.endswith("_") else ("lora_B", "lora_A")
    suffixes = (*(f".{half}.weight" for half in halves), ".alpha")
    modules = {name.removesuffix(suffixes[0]) for name in tensors if name.endswith(suffixes[0])}
    assert all(module.startswith(prefix) for module in modules)
    assert tensors.keys() == {module + suffix for module in modules for suffix in suffixes}
    assert {float(tensors[module + ".alpha"]) for module in modules} == {5.0}


def test_trigger_strength_and_origin_are_in_the_metadata_and_no_path_or_caption_is(trained):
    result = export(trained.project)
    with safetensors.safe_open(result.lora, framework="pt") as file:
        facts = file.metadata()
    assert facts["modelspec.trigger_phrase"] == "zorblax"
    assert facts["modelspec.title"] == "Maya Ø"
    assert facts["modelspec.architecture"].endswith("/lora")
    assert facts["modelspec.resolution"] == "64x64"
    assert "0.7" in facts["modelspec.usage_hint"]
    assert facts["portraitist.strength"] == "0.7"
    assert facts["portraitist.chosen_by"] == result.chosen_by == "measures"
    assert facts["ss_steps"] == facts["portraitist.step"] == "2"
    assert (facts["ss_network_dim"], facts["ss_network_alpha"]) == ("3", "5")
    assert json.loads(facts["trained_words"]) == ["zorblax"]
    assert facts["portraitist.base"] == trained.base.digest
    told = json.dumps(facts)
    assert str(trained.folder) not in told
    assert "scene" not in told
    data = Path(result.lora).read_bytes()
    body = data[8 + int.from_bytes(data[:8], "little") :]
    assert facts["sshs_model_hash"] == hashlib.sha256(body).hexdigest()
    assert facts["modelspec.hash_sha256"] == "0x" + facts["sshs_model_hash"]


def test_again_it_is_the_same_file_and_another_choice_replaces_it(trained):
    first = export(trained.project)
    data = Path(first.lora).read_bytes()
    assert export(trained.project) == first
    assert Path(first.lora).read_bytes() == data
    chosen = trained.run.choice.read_text()
    trained.run.choice.write_text("guidance = 2.5\n" + chosen.replace("step = 2", "step = 4").replace("0.7", "1.0"))
    other = export(trained.project, run=trained.run.name)
    trained.run.choice.write_text(chosen)
    assert (other.lora, other.step, other.strength) == (first.lora, 4, 1.0)
    assert Path(other.lora).read_bytes() != data
    with safetensors.safe_open(other.lora, framework="pt") as file:
        assert file.metadata()["portraitist.guidance"] == "2.5"
        assert file.metadata()["modelspec.usage_hint"].endswith("; strength 1; guidance 2.5.")


def test_without_a_choice_a_whole_checkpoint_or_consent_nothing_is_handed_out(trained):
    run, chosen = trained.run, trained.run.choice.read_text()
    for text, says in (("", "names no checkpoint"), ("step = [", "names no checkpoint"), (chosen, "")):
        run.choice.write_text(text)
        if says:
            with pytest.raises(PortraitistError, match=says):
                export(trained.project)
    run.choice.write_text(chosen.replace("step = 2", "step = 3"))
    with pytest.raises(PortraitistError, match="no checkpoint at step 3"):
        export(trained.project)
    run.choice.unlink()
    with pytest.raises(PortraitistError, match="Nothing has been chosen") as caught:
        export(trained.project)
    assert "portraitist choose" in caught.value.remedy
    run.choice.write_text(chosen)
    real = replace(trained.project, facts=trained.project.facts.model_copy(update={"subject": "real"}))
    with pytest.raises(PortraitistError, match="no consent"):
        export(real)
    whole = run.adapter(2).read_bytes()
    run.adapter(2).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(PortraitistError, match="differs from what was written"):
        export(trained.project)
    run.adapter(2).write_bytes(whole)


@pytest.mark.parametrize("name", ["a/../b", "..", "///", "con\0trol", "x" * 300, "Ünï", ".hidden", "a b"])
def test_a_name_never_leads_out_of_its_folder(name):
    made = plain(name)
    assert made
    assert len(made) <= 80
    assert not set(made) & set("/\\\0 ")
    assert not made.startswith(".")


def test_a_project_opened_again_exports_by_name(trained):
    result = export(Project.open(trained.project.folder), run=trained.run.name)
    assert result.run == trained.run.name
    assert result.modules > 0


@pytest.mark.parametrize(("kind", "algo"), [("loha", "hada_w1_a"), ("lokr", "lokr_w1")])
def test_a_kind_of_lycoris_is_handed_out_as_it_was_judged(kind, algo, tmp_path):
    done = made(tmp_path, "sdxl", [f"adapter.kind={kind}", "adapter.modules=attention-mlp"])
    result = export(done.project)
    tensors, metadata = files.read(done.project.folder / result.lora)
    judged, _ = files.read(done.run.adapter(2))
    names = {name.removesuffix(f".{algo}") for name in tensors if name.endswith(f".{algo}")}
    assert len(names) == result.modules
    assert all(name.startswith("lora_unet_") and f"{name}.alpha" in tensors for name in names)
    assert metadata["ss_network_module"] == "lycoris.kohya"
    assert json.loads(metadata["ss_network_args"]) == {"algo": kind}
    with pytest.raises(PortraitistError, match=f"does not load a {kind}"):
        export(done.project, to=Diffusers())
    denoiser = done.family.load_denoiser(done.base)
    back = files.from_comfy(tensors, done.family, [name for name, _ in denoiser.named_modules()])
    base = predicted(done.family, done.base, denoiser)
    with inject.loaded(denoiser, done.family, judged, 0.7):
        expected = predicted(done.family, done.base, denoiser)
    with inject.loaded(denoiser, done.family, back, 0.7):
        assert torch.equal(predicted(done.family, done.base, denoiser), expected)
    assert not torch.equal(expected, base)
