"""The ComfyUI pack's own logic, held to what it speaks with: the command's options, recipe and events, safetensors."""

import ast
import json
import re
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save

from comfy_nodes import asking, child, folders, pictures, telling
from portraitist import __version__, recipe, registry
from portraitist.cli.asking import Wishes
from portraitist.events import KINDS, Encoded, Finished, Rendered, Scored, Started, Stepped, Warned, to_line
from portraitist.sections import Model
from tests.house.source import ROOT

PACK = ROOT / "comfy_nodes"
COMFY = ("comfy", "comfy_api", "folder_paths", "server", "nodes", "comfy_execution")


def told(*events):
    """Events as the pack reads them."""
    return [child.parsed(to_line(event).encode()) for event in events]


def test_what_the_nodes_offer_is_what_the_command_knows():
    assert tuple(registry.FAMILIES) == asking.FAMILIES
    assert tuple(field.name for field in fields(Wishes)) == asking.BRIEF
    keys = sorted(recipe.keys())
    sections = {key.split(".")[0] for key in keys}
    assert set(asking.SETTABLE) <= sections
    assert {key.removeprefix("model.") for key in asking.MODEL} <= set(Model.model_fields)
    assert all(any(key == path or key.startswith(f"{path}.") for key in keys) for path in asking.KEPT)


def test_changes_of_a_node_are_changes_of_a_recipe(tmp_path):
    words = asking.settings(asking.changes("training.rate=1e-4\n\n judging.strengths=[0.7, 1.0]\n", 24, 8, 512))
    assert all(word.startswith("--set=") for word in words)
    made = recipe.load(tmp_path / "none.toml", [word.removeprefix("--set=") for word in words])
    assert (made.steps, made.adapter.rank, made.data.resolution) == (24, 8, 512)
    assert (made.training.rate, made.judging.strengths) == (1e-4, (0.7, 1.0))
    assert asking.changes("") == []


@pytest.mark.parametrize(
    "line",
    [
        "work.ray=auto", "captioning.endpoint.url=http://a", "captioning.endpoint.key=SECRET", "sight.faces=/a.onnx",
        "model.base=/etc", "adapter.start=/a", "data.references=['/a']", "judging.companion=/a", "preset=flux",
        "data.sets.0.references=['/a']", 'data.sets=[{references=["/a"]}]', "data={references=['/a']}", "nonsense",
        "data.'references'=['/a']", "training . rate=1", "--set=work.ray=auto", "judging.render=comfyui",
        "judging.comfyui.url=http://a", "judging.comfyui.key_variable=SECRET", 'judging.comfyui={url="http://a"}',
    ],
)  # fmt: skip
def test_a_graph_sets_no_program_no_address_no_key_and_no_path(line):
    with pytest.raises(child.PortraitistError):
        asking.changes(line)


def worded(section, before=""):
    """Keys of a section whose values are any words, with those of its sections."""
    for name, known in section.model_fields.items():
        inner = [one for one in (known.annotation, *get_args(known.annotation)) if hasattr(one, "model_fields")]
        if "str" in str(known.annotation) and "Literal" not in str(known.annotation):
            yield before + name
        for one in inner:
            yield from worded(one, f"{before}{name}.")


def test_of_all_keys_that_take_any_words_a_graph_sets_those_that_somebody_has_looked_at():
    """A new key that names a file, an address or a key is noticed here before a graph can set it."""

    def settable(key):
        try:
            return bool(asking.changes(f"{key}=x"))
        except child.PortraitistError:
            return False

    assert {key for key in worded(recipe.Recipe) if settable(key)} == {
        "model.tokenizers", "model.device", "adapter.targets", "stages.name", "stages.sets", "judging.prompts",
    }  # fmt: skip


def test_a_brief_is_read_line_by_line():
    said = asking.facts("maya_char", "not said", "woman", "angle: front, side\n\nlens: 35mm", "mini", "", "", "maya")
    assert said["angle"] == "front, side"
    assert "subject" not in said
    assert "base" not in said
    for brief in ("colour: red", "front, side", "lens: 35mm\nlens: 85mm", "name: other"):
        with pytest.raises(child.PortraitistError):
            asking.facts("maya_char", "fictional", "woman", brief, "mini", "", "", "maya")


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "a\\b", "", ".hidden", "-x", "x.", "x\n"])
def test_a_character_lies_below_the_output_folder_and_nowhere_else(name, tmp_path):
    with pytest.raises(child.PortraitistError):
        folders.character(tmp_path, name)
    assert folders.character(tmp_path, "maya 2").parent == tmp_path / folders.HOME


def test_nothing_outside_a_folder_is_taken_in(tmp_path):
    (tmp_path / "in" / "maya").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "in" / "way").symlink_to(tmp_path / "secret")
    assert folders.inside(tmp_path / "in", "maya") == (tmp_path / "in" / "maya").resolve()
    for name in ("../secret", str(tmp_path / "secret"), "way", "missing"):
        with pytest.raises(child.PortraitistError):
            folders.inside(tmp_path / "in", name)


def test_training_keeps_the_bar_while_judging_goes_on_beside_it():
    course = telling.Course()
    course.hear(told(Started(verb="encode", total=4), Encoded(name="a", cached=False, done=2, total=4)))
    assert course.place() == (2, 4)
    course.hear(told(Started(verb="train", total=20, facts={"run": "r"}), Started(verb="evaluate", total=9)))
    course.hear(told(Stepped(step=5, loss=0.5, gradient=1, rate=1, seconds=1)))
    course.hear(told(Rendered(step=0, strength=0, pictures=3), Warned(says="Small", remedy="Grow")))
    assert (course.place(), course.verb, course.warnings) == ((5, 20), "train", ["Small Grow"])
    assert "training 5 of 20, loss 0.5000" in course.line()
    course.hear(told(Scored(step=5, strength=0.7, stage="screen", scores={"likeness": 0.41})))
    assert course.line().endswith("step 5 at 0.7: likeness 0.41")
    course.hear(told(Finished(verb="train", seconds=1)))
    assert course.place() == (3, 9)


def test_a_picture_that_was_drawn_is_shown_once(tmp_path):
    drawn = tmp_path / "r" / "evaluation" / "renders" / "step-000005-at-1"
    drawn.mkdir(parents=True)
    (drawn / "a.png").write_bytes(b"a")
    course = telling.Course(tmp_path)
    course.hear(told(Started(verb="evaluate", total=9, facts={"run": "r"})))
    course.hear(told(Rendered(step=5, strength=1, pictures=1, path=str(drawn.relative_to(tmp_path / "r")))))
    assert course.shown() == drawn / "a.png"
    assert course.shown() is None


def test_every_event_of_the_record_can_be_heard():
    """Whatever portraitist tells, a node does not fall over it; nor over what a later one may tell."""
    samples = {"int": 1, "float": 0.5, "str": "a", "bool": True, "dict[str, Any]": {}, "dict[str, float]": {}}
    for kind in KINDS.values():
        values = {f.name: samples[str(getattr(f.type, "__name__", f.type)).split("[")[0]] for f in fields(kind)
                  if str(getattr(f.type, "__name__", f.type)).split("[")[0] in samples}  # fmt: skip
        values |= {f.name: {} for f in fields(kind) if "dict" in str(f.type)}
        course = telling.Course()
        course.hear(told(kind(**values)))
        assert isinstance(course.line(), str)
    telling.Course().take({"kind": "unheard-of"})


def test_a_lora_is_handed_out_whole_and_replaces_only_its_own(tmp_path):
    def lora(name, value, **more):
        told = {"modelspec.title": name, **more}
        path = tmp_path / f"{name}{value}"
        path.write_bytes(save({"a": torch.full((2,), value)}, told))
        return path

    loras = tmp_path / "loras"
    first, second = (lora("Maya", value, **{"portraitist.run": "r"}) for value in (1.0, 2.0))
    assert folders.hand_out(first, loras, "maya_char") == "maya_char.safetensors"
    assert folders.hand_out(second, loras, "maya_char.safetensors") == "maya_char.safetensors"
    with safe_open(loras / "maya_char.safetensors", "pt") as file:
        assert file.metadata() == folders.metadata(second.read_bytes())
        assert file.get_tensor("a").tolist() == [2.0, 2.0]
    for other in (lora("Maya", 3.0), lora("Ann", 4.0, **{"portraitist.run": "r"})):
        (loras / "theirs.safetensors").write_bytes(other.read_bytes())
        with pytest.raises(child.PortraitistError):
            folders.hand_out(second, loras, "theirs")
    for name in ("../maya", "a/b", ".hidden"):
        with pytest.raises(child.PortraitistError):
            folders.hand_out(first, loras, name)
    assert sorted(path.name for path in loras.iterdir()) == ["maya_char.safetensors", "theirs.safetensors"]
    assert folders.metadata(b"\xff" * 40) == {}


def test_what_the_nodes_did_is_no_change_and_what_a_person_did_is(tmp_path):
    folder = tmp_path / "maya"
    first = folders.token(folder)
    assert folders.token(folder) == first
    caption = folder / "pictures" / "0.txt"
    caption.parent.mkdir(parents=True)
    caption.write_text("maya_char")
    folders.settle(folder, token=first, asked={"trigger": "maya_char"})
    assert folders.token(folder) == first
    caption.write_text("maya_char, smiling")
    changed = folders.token(folder)
    assert changed != first
    folders.settle(folder, token=changed)
    assert folders.token(folder) == changed
    assert folders.noted(folder)["asked"] == {"trigger": "maya_char"}
    lora = tmp_path / "maya_char.safetensors"
    lora.touch()
    folders.settle(folder, made=[str(lora)])
    assert folders.token(folder) == changed
    lora.unlink()
    assert folders.token(folder) != changed
    for path in (caption, caption.parent, folder / folders.NOTES, folder):
        path.rmdir() if path.is_dir() else path.unlink()
    assert folders.token(folder) not in (first, changed)


def test_a_character_of_another_making_is_not_gone_on_with(tmp_path):
    (tmp_path / "project.toml").write_text('trigger = "maya_char"\nsubject = "fictional"\n')
    folders.same(tmp_path, {"trigger": "maya_char", "subject": "fictional", "noun": "woman"})
    with pytest.raises(child.PortraitistError, match="trigger"):
        folders.same(tmp_path, {"trigger": "other", "subject": "fictional"})
    folders.settle(tmp_path, asked={"trigger": "maya_char", "noun": "woman"})
    with pytest.raises(child.PortraitistError, match="noun"):
        folders.same(tmp_path, {"trigger": "maya_char", "noun": "robot"})


def test_pictures_go_out_and_come_back_to_the_last_bit(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
    batch = torch.from_numpy(pixels.astype(np.float32) / 255)
    assert pictures.laid_out(tmp_path, [batch], ["one", " two "]) == 2
    found = sorted(tmp_path.glob("*.png"))
    seen = {np.asarray(Image.open(path)).tobytes(): path.with_suffix(".txt").read_text() for path in found}
    assert seen == {pixels[0].tobytes(): "one\n", pixels[1].tobytes(): "two\n"}
    assert any(torch.equal(pictures.loaded(found[0])[0], picture) for picture in batch)
    with pytest.raises(child.PortraitistError):
        pictures.laid_out(tmp_path, [batch], ["one"])


def sources():
    """The pack's modules."""
    return {path.name: ast.parse(path.read_text()) for path in sorted(PACK.glob("*.py"))}


def imported(tree):
    """What a module imports from outside the pack."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)


def test_the_pack_needs_nothing_that_comfyui_has_not():
    """ComfyUI's environment is shared by all packs: ours brings nothing into it, portraitist least of all."""
    allowed = {*sys.stdlib_module_names, *COMFY, "torch", "numpy", "PIL"}
    found = {(name, module) for name, tree in sources().items() for module in imported(tree)}
    assert {(name, module) for name, module in found if module.split(".")[0] not in allowed} == set()
    knows = {name for name, module in found if module.split(".")[0] in COMFY}
    assert knows == {"comfy_side.py", "extension.py", "nodes_material.py", "nodes_training.py"}


def test_the_pack_runs_no_code_of_others_installs_nothing_and_opens_no_door():
    text = "\n".join(path.read_text() for path in PACK.glob("*.py"))
    assert not re.search(r"\b(eval|exec|compile|__import__)\(|\bpip\b|routes?\b|\bshell\b|os\.system", text)
    assert [name for name, tree in sources().items() for module in imported(tree) if module == "subprocess"] == [
        "child.py"
    ]


def test_the_registry_is_told_what_is_so():
    told = tomllib.loads((PACK / "pyproject.toml").read_text())
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert told["project"]["dependencies"] == []
    assert told["project"]["version"] == __version__
    assert "comfyui" not in told["project"]["name"].lower()
    assert told["project"]["requires-python"].split(",")[0] == ours["requires-python"].split(",")[0]
    assert told["project"]["license"] == {"file": "LICENSE"}
    assert (PACK / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "GPL-3.0" in (PACK / "NOTICE").read_text()


def offered():
    """Ids of the nodes, and the names of each one's inputs, as their schemas are written."""
    tree = sources()["nodes_material.py"], sources()["nodes_training.py"]
    return {
        node.value.value
        for each in tree
        for node in ast.walk(each)
        if isinstance(node, ast.keyword) and node.arg == "node_id" and isinstance(node.value, ast.Constant)
    }


def test_the_nodes_are_prefixed_and_told_on_the_page():
    page = (ROOT / "docs" / "comfy_nodes.md").read_text()
    names = {
        node.value.value
        for name in ("nodes_material.py", "nodes_training.py")
        for node in ast.walk(sources()[name])
        if isinstance(node, ast.keyword) and node.arg == "display_name" and isinstance(node.value, ast.Constant)
    }
    assert len(offered()) == 6
    assert all(name.startswith("Portraitist_") for name in offered())
    assert {name for name in names if name[0].isupper()} <= set(re.findall(r"\*\*([^*]+)\*\*", page))


@pytest.mark.parametrize("path", sorted((PACK / "example_workflows").glob("*.json")), ids=lambda path: path.stem)
def test_an_example_is_whole_and_of_nodes_that_are_there(path: Path):
    """Format 0.4: links are (id, from node, from slot, to node, to slot, type), and both ends say the same of them."""
    drawn = json.loads(path.read_text())
    nodes = {node["id"]: node for node in drawn["nodes"]}
    assert drawn["version"] == 0.4
    assert drawn["last_node_id"] == max(nodes)
    for number, source, out, target, place, kind in drawn["links"]:
        assert number in nodes[source]["outputs"][out]["links"]
        assert nodes[target]["inputs"][place]["link"] == number
        assert kind in (nodes[source]["outputs"][out]["type"], nodes[target]["inputs"][place]["type"])
    ours = {node["type"] for node in nodes.values() if node["type"].startswith("Portraitist_")}
    assert ours == (offered() if path.stem.startswith("01") else set())
    for node in nodes.values():
        assert node["properties"].get("cnr_id") in (None, "comfy-core", "portraitist"), node["type"]
