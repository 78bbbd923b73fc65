"""What an export writes for ComfyUI beside the LoRA: filled in from project, choice and base, and refused in a line."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from portraitist import families
from portraitist.adapters import files
from portraitist.cli import obey
from portraitist.deploy.graphs import facts
from portraitist.deploy.graphs.handout import Comfyui
from portraitist.deploy.graphs.setting import shifted
from portraitist.errors import PortraitistError
from portraitist.events import Warned
from portraitist.judge import dossier, measures, scorecard, settings
from portraitist.judge.scorecard import Drawn, Scorecard
from portraitist.project import Project
from portraitist.verbs.export import export
from portraitist.verbs.new import new
from tests import originals
from tests.comfy_told import as_told, telling
from tests.pictures import saved, scenery
from tests.projects import made


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project trained on a tiny Qwen-Image-Edit; of its choice three pictures were judged."""
    done = made(tmp_path_factory.mktemp("edit"), "qwen-image-edit")
    folder = scorecard.renders(done.run, 2, 0.7)
    drawn = [
        Drawn("p", f"zorblax, place {i}", 1000 + i, str(path.relative_to(done.run.path)), {"likeness": likeness})
        for i, likeness in enumerate((0.3, 0.9, 0.5))
        for path in [saved(folder / f"report-p-{i}.png", scenery(i, 64, 64))]
    ]
    scores = measures.scores([one.scores for one in drawn])
    scorecard.append(done.run, Scorecard(2, 0.7, "report", scores, "g", "e", drawn))
    return done


def read(result, name):
    """A JSON file beside an exported one."""
    return json.loads(Path(result.lora).with_name(name).read_text())


def inputs(graph, title):
    """The inputs of the one node with a title."""
    (found,) = (node["inputs"] for node in graph.values() if node["_meta"]["title"] == title)
    return found


def test_the_workflow_has_what_was_judged_in_it(trained):
    result = export(trained.project, to=Comfyui(references=1))
    graph = read(result, "zorblax-api.json")
    assert facts.complaints(graph, facts.frozen()) == []
    assert inputs(graph, "Character LoRA")["lora_name"] == Path(result.lora).name == "zorblax.safetensors"
    assert inputs(graph, "Character LoRA")["strength_model"] == 0.7
    assert inputs(graph, "Prompt")["prompt"] == "zorblax, place 1"
    assert inputs(graph, "Negative")["prompt"] == " "
    sampler = inputs(graph, "Sampler")
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (1001, 20, 3.0)
    assert (inputs(graph, "Size")["width"], inputs(graph, "Size")["height"]) == (64, 64)
    assert inputs(graph, "Reference 1")["image"] == "example.png"
    shown = read(result, "zorblax-workflow.json")
    notes = " ".join(node["widgets_values"][0] for node in shown["nodes"] if node["type"] == "MarkdownNote")
    for words in ("Maya Ø", "`zorblax`", "Strength 0.7, step 2", "chosen by measures", "`qwen_image_vae.safetensors`"):
        assert words in notes
    assert "changes nothing" not in notes


def test_what_it_was_judged_by_goes_before_what_its_recipe_said(trained):
    judged = trained.run.recipe().judging.model_copy(
        update={"sampling_steps": 9, "guidance": 2.25, "strengths": (0.35,)}
    )
    settings.write(trained.run, judged)
    try:
        result = export(trained.project, to=Comfyui())
    finally:
        settings.path(trained.run).unlink()
    sampler = inputs(read(result, "zorblax-api.json"), "Sampler")
    assert (sampler["steps"], sampler["cfg"]) == (9, 2.25)
    used = {n["inputs"].get("strength_model") for n in read(result, "zorblax-sweep-api.json").values()}
    assert used == {None, 0.0, 0.35, 0.7}
    assert files.read(Path(result.lora))[1]["portraitist.guidance"] == "2.25"
    card = Path(result.card).read_text()
    assert "| guidance | 2.25 |" in card
    assert "It was judged at 64 pixels in 9 steps" in card


def test_the_likest_judged_picture_brings_the_workflow_along(trained):
    result = export(trained.project, to=Comfyui())
    with Image.open(Path(result.lora).with_name("zorblax-workflow.png")) as opened:
        assert json.loads(opened.text["prompt"]) == read(result, "zorblax-api.json")
        assert json.loads(opened.text["workflow"]) == read(result, "zorblax-workflow.json")
        judged = scorecard.renders(trained.run, 2, 0.7) / "report-p-1.png"
        assert opened.convert("RGB").tobytes() == Image.open(judged).convert("RGB").tobytes()


def test_other_checkpoints_come_along_for_the_sheet_and_are_those_of_the_run(trained):
    result = export(trained.project, to=Comfyui(sweep=(4, 2, 4), style="ink.safetensors:0.5"))
    sweep = read(result, "zorblax-sweep-api.json")
    used = {n["inputs"]["lora_name"] for n in sweep.values() if n["class_type"] == "LoraLoaderModelOnly"}
    other = Path(result.lora).with_name("sheet") / "zorblax-step-000004.safetensors"
    assert used == {"zorblax.safetensors", other.name}
    tensors, told = files.read(other)
    judged, _ = files.read(trained.run.adapter(4))
    modules = [name for name, _ in trained.family.load_denoiser(trained.base).named_modules()]
    back = files.from_comfy(tensors, families.get("qwen-image-edit"), modules)
    assert all((back[name] == tensor).all() for name, tensor in judged.items())
    assert told["portraitist.step"] == "4"
    style = read(result, "zorblax-style-api.json")
    assert inputs(style, "Style LoRA") | {"model": 0} == {
        "model": 0, "lora_name": "ink.safetensors", "strength_model": 0.5,
    }  # fmt: skip
    assert "changes nothing" in json.dumps(read(result, "zorblax-style-workflow.json"))
    folder = Path(result.lora).parent
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name[0] != "."}
    assert {*result.beside, Path(result.card).name} == there - {"zorblax.safetensors"}
    assert dossier.exported(trained.project, trained.run) == Path(result.lora)
    again = export(trained.project, to=Comfyui())
    assert not Path(again.lora).with_name("zorblax-style-api.json").exists()
    assert not other.exists()
    assert export(trained.project).beside == ()


def test_the_recipe_s_own_files_and_references_are_named(trained):
    project, recipe = trained.project, trained.run.recipe()
    model = recipe.model.model_copy(
        update={
            "base": "/m/mine_v3.safetensors",
            "parts": recipe.model.parts.model_copy(update={"vae": "/v/own.safetensors"}),
        }
    )
    target = Comfyui(files=("text_encoder=vl.safetensors",))
    assert target.named(recipe.model_copy(update={"model": model})) == {
        "transformer": "mine_v3.safetensors", "vae": "own.safetensors", "text_encoder": "vl.safetensors",
    }  # fmt: skip
    originals.qwen_files(trained.base.folder, project.folder.parent / "models")
    models = project.folder.parent / "models" / "split_files"
    (models / "vae" / "mine").mkdir()
    (models / "vae" / "qwen_image_vae.safetensors").rename(models / "vae" / "mine" / "v.safetensors")
    model = recipe.model.model_copy(update={"base": str(models.parent), "tokenizers": str(trained.base.folder)})
    assert Comfyui().named(recipe.model_copy(update={"model": model})) == {
        "transformer": "qwen_image_bf16.safetensors", "vae": "mine/v.safetensors",
        "text_encoder": next((models / "text_encoders").iterdir()).name,
    }  # fmt: skip
    assert Comfyui().named(recipe) == {}
    front = saved(project.folder / "references" / "front.png", scenery(5, 40, 60))
    lock = trained.run.lock.read_text()
    trained.run.lock.write_text(
        lock.replace("[data]\n", '[data]\nreferences = ["references/front.png"]\n', 1).replace(
            "\nreferences = []\n", "\n", 1
        )
    )
    try:
        result = export(project, to=Comfyui())
    finally:
        trained.run.lock.write_text(lock)
    assert inputs(read(result, "zorblax-api.json"), "Reference 1")["image"] == "zorblax-reference-1.png"
    copy = Path(result.lora).with_name("zorblax-reference-1.png")
    with Image.open(copy) as copied, Image.open(front) as own:
        assert copied.convert("RGB").tobytes() == own.convert("RGB").tobytes()
    export(project, to=Comfyui())
    assert not copy.exists(), "one that is not shown any more is taken away"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Comfyui(references=4), "4 reference pictures"),
        (Comfyui(references=-1), "-1 reference pictures"),
        (Comfyui(files=("vae",)), "names no file"),
        (Comfyui(files=("unet=x.safetensors",)), "no file for 'unet'"),
        (Comfyui(style="ink.safetensors:loud"), "no file with a strength"),
        (Comfyui(style="ink.safetensors:3"), "no file with a strength"),
        (Comfyui(sweep=(3,)), "no checkpoint at step 3"),
        (Comfyui(url="http://127.0.0.1:9"), "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_written_is_refused_in_a_line(target, says, trained):
    before = {p: p.read_bytes() for p in trained.project.exports.rglob("*") if p.is_file() and p.name != ".lock"}
    with pytest.raises(PortraitistError, match=says) as caught:
        export(trained.project, to=target)
    assert caught.value.remedy
    assert {p: p.read_bytes() for p in before} == before


def test_the_embedded_base_and_options_without_comfyui_are_refused_by_the_command(trained, tmp_path, capsys):
    recipe = trained.run.recipe()
    with pytest.raises(PortraitistError, match="no nodes for a base of mini"):
        Comfyui().require(
            recipe.model_copy(update={"model": recipe.model.model_copy(update={"family": "mini"})}), trained.run
        )
    with pytest.raises(PortraitistError, match="the whole denoiser"):
        Comfyui().require(
            recipe.model_copy(update={"adapter": recipe.adapter.model_copy(update={"kind": "full"})}), trained.run
        )
    new(tmp_path / "p", trigger="zorblax", subject="fictional", preset="mini")
    assert obey(["export", str(tmp_path / "p"), "--style", "ink.safetensors"]) == 2
    assert "--to comfyui" in capsys.readouterr().err
    assert obey(["export", str(trained.project.folder), "--to", "comfyui", "--references", "1", "--json"]) == 0
    assert "zorblax-workflow.png" in json.loads(capsys.readouterr().out)["beside"]


def test_the_schedule_s_shift_is_read_off_the_levels():
    """FLUX's at a megapixel is e to the 1.15, Z-Image's 6 and 3, by their publishers' configurations."""
    assert shifted(families.get("flux"), 28, 1024) == pytest.approx(2.71828**1.15, rel=1e-4)
    assert shifted(families.get("z-image"), 50, 1024) == pytest.approx(6.0, rel=1e-4)
    assert shifted(families.get("z-image-turbo"), 8, 1024) == pytest.approx(3.0, rel=1e-4)


def test_a_running_comfyui_has_its_own_word_on_nodes_and_files(trained):
    heard = []
    held = {"diffusion_models": ["qwen_image_edit_2509_fp8_e4m3fn.safetensors"], "vae": ["other.safetensors"]}
    nodes = {name: as_told(node, held) for name, node in facts.frozen().nodes.items()}
    with telling(nodes) as server:
        result = export(trained.project, to=Comfyui(url=server.url), emit=heard.append)
    (warned,) = (event for event in heard if isinstance(event, Warned))
    assert re.search(
        r"qwen_image_vae\.safetensors \(\d+ VAELoader\.vae_name; models/vae has other\.safetensors\)", warned.says
    )
    assert "models/text_encoders has none at all" in warned.says
    assert "edit_2509" not in warned.says
    assert read(result, "zorblax-workflow.json")["nodes"][0]["properties"]["ver"] == "0.20.0"
    held["vae"] = ["mine\\v.safetensors"]
    with telling({name: as_told(node, held) for name, node in facts.frozen().nodes.items()}) as server:
        result = export(trained.project, to=Comfyui(("vae=mine/v.safetensors",), url=server.url), emit=heard.append)
    assert inputs(read(result, "zorblax-api.json"), "VAE")["vae_name"] == "mine\\v.safetensors"
    assert "VAELoader" not in [event.says for event in heard if isinstance(event, Warned)][-1]
    del nodes["CFGNorm"]
    nodes["TextEncodeQwenImageEditPlus"]["input"]["optional"].pop("image2")
    with telling(nodes) as server:
        with pytest.raises(
            PortraitistError, match=rf"{server.url} cannot run the workflow: node \d+ \(CFGNorm\): there is no"
        ):
            export(trained.project, to=Comfyui(url=server.url))
        with pytest.raises(PortraitistError, match="image2: no such input"):
            export(trained.project, to=Comfyui(url=server.url, references=2))


def test_without_a_judged_picture_it_says_so(trained):
    heard, card = [], trained.run.scorecards.read_bytes()
    trained.run.scorecards.unlink()
    try:
        result = export(Project.open(trained.project.folder), to=Comfyui(), emit=heard.append)
    finally:
        trained.run.scorecards.write_bytes(card)
    assert any(isinstance(event, Warned) and "No picture" in event.says for event in heard)
    assert "It was judged at" not in Path(result.card).read_text()
    assert not Path(result.lora).with_name("zorblax-workflow.png").exists()
    assert inputs(read(result, "zorblax-api.json"), "Prompt")["prompt"] == "zorblax, character"
    real = replace(trained.project, facts=trained.project.facts.model_copy(update={"subject": "real"}))
    with pytest.raises(PortraitistError, match="no consent"):
        export(real, to=Comfyui())
