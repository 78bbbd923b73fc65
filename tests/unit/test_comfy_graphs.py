"""Graphs for ComfyUI held to facts of a real one (0.33), and to the format of its editor; no server is asked."""

import copy
import json

import pytest
from PIL import Image

from portraitist.deploy.graphs import browser, drawing, facts, picture
from portraitist.deploy.graphs.setting import EDITS, FILES
from portraitist.deploy.graphs.sweep import Row, sheet, strengths_of
from portraitist.errors import PortraitistError
from tests import comfy_graphs
from tests.pictures import saved, scenery

GRAPHS = comfy_graphs.every()


def of(graph, kind):
    """The nodes of a class."""
    return [node["inputs"] for node in graph.values() if node["class_type"] == kind]


def test_every_graph_is_one_that_comfyui_knows():
    assert {name: told for name, graph in GRAPHS.items() if (told := facts.complaints(graph, facts.frozen()))} == {}
    assert {name.partition("-")[0] for name in GRAPHS} == {name.partition("-")[0] for name in FILES}


SPOILT = {
    "no such input": lambda g: g["4"]["inputs"].update(strenght_model=1.0),
    "there is no such node": lambda g: g["4"].update(class_type="LoraLoaderModelOnlyy"),
    "not one of its": lambda g: of(g, "KSampler")[0].update(sampler_name="flowmatch"),
    "not between": lambda g: of(g, "KSampler")[0].update(steps=0),
    "takes INT": lambda g: of(g, "KSampler")[0].update(steps=20.5),
    "takes FLOAT, not True": lambda g: of(g, "KSampler")[0].update(cfg=True),
    "takes MODEL, linked to VAE": lambda g: g["4"]["inputs"].update(model=["3", 0]),
    "slot 7, which is not there": lambda g: g["4"]["inputs"].update(model=["1", 7]),
    "linked to 99": lambda g: g["4"]["inputs"].update(model=["99", 0]),
    "takes MODEL, not a value": lambda g: g["4"]["inputs"].update(model="flux"),
    "lora_name: missing": lambda g: g["4"]["inputs"].pop("lora_name"),
    "nothing is saved": lambda g: g.popitem(),
}


@pytest.mark.parametrize("says", SPOILT)
def test_what_comfyui_would_ignore_or_refuse_is_never_written(says):
    graph = copy.deepcopy(GRAPHS["flux"])
    SPOILT[says](graph)
    assert any(says in line for line in facts.complaints(graph, facts.frozen()))
    with pytest.raises(PortraitistError, match=r"ComfyUI 0\.33\.0 cannot run the workflow"):
        browser.editable(graph, facts.frozen())


@pytest.mark.parametrize("name", GRAPHS)
def test_the_editor_s_format_says_the_same_as_the_server_s(name):
    """Read back by what the format says: links by number, values in the order of the fields, a seed's second field."""
    graph, known = GRAPHS[name], facts.frozen()
    ui = json.loads(json.dumps(browser.editable(graph, known, ["A note."])))
    assert ui["version"] == 0.4
    links = {link[0]: link for link in ui["links"]}
    assert ui["last_link_id"] == len(links)
    nodes = [node for node in ui["nodes"] if node["type"] != "MarkdownNote"]
    assert ui["last_node_id"] == len(nodes) + 1
    back = {}
    for node in nodes:
        fields = [one for one in known.nodes[node["type"]].inputs if one.type in facts.WIDGETS]
        row, given = list(node["widgets_values"]), {}
        for one in fields:
            given[one.name] = row.pop(0)
            if one.control:
                assert row.pop(0) == "fixed"
            if one.folder == "input":
                assert row.pop(0) == "image"
        assert row == []
        for slot, socket in enumerate(node["inputs"]):
            if socket["link"] is not None:
                _, source, out, target, at, kind = links[socket["link"]]
                assert (target, at, kind) == (node["id"], slot, socket["type"])
                assert socket["link"] in next(n for n in nodes if n["id"] == source)["outputs"][out]["links"]
                given[socket["name"]] = [str(source), out]
        back[str(node["id"])] = given
    assert back == {key: node["inputs"] for key, node in graph.items()}


def test_the_editor_is_told_where_every_base_file_of_its_own_packing_is():
    for family, parts in FILES.items():
        nodes = browser.editable(GRAPHS[family], facts.frozen())["nodes"]
        told = {m["name"]: m for node in nodes for m in node["properties"].get("models", ())}
        assert set(told) == set(parts.values())
        assert all(m["url"].startswith("https://") and m["url"].endswith(f"/{name}") for name, m in told.items())
        assert {m["directory"] for m in told.values()} <= {"checkpoints", "diffusion_models", "text_encoders", "vae"}


def test_no_node_lies_on_another():
    for name, graph in GRAPHS.items():
        boxes = [(*node["pos"], *node["size"]) for node in browser.editable(graph, facts.frozen(), ["a", "b"])["nodes"]]
        for i, (x, y, width, height) in enumerate(boxes):
            for left, top, wide, high in boxes[i + 1 :]:
                apart = x + width <= left or left + wide <= x or y + height <= top or top + high <= y
                assert apart, name


def test_references_are_drawn_at_the_picture_s_own_size_and_seen_on_both_sides():
    for count in range(EDITS["qwen-image-edit"] + 1):
        graph = GRAPHS[f"qwen-image-edit-{count}" if count else "qwen-image-edit"]
        for words in of(graph, "TextEncodeQwenImageEditPlus"):
            assert "vae" not in words
            assert [name for name in words if name.startswith("image")] == [f"image{i + 1}" for i in range(count)]
        assert len(of(graph, "ReferenceLatent")) == 2 * count
        fitted = of(graph, "ImageScale")
        assert [(one["width"], one["height"]) for one in fitted] == [(832, 1248)] * bool(count)
        latent = of(graph, "KSampler")[0]["latent_image"]
        assert graph[latent[0]]["class_type"] == "EmptySD3LatentImage"


def test_a_sheet_draws_every_file_at_every_strength_and_the_base_once():
    graph = GRAPHS["flux-sweep"]
    assert len(of(graph, "UNETLoader")) == len(of(graph, "CLIPTextEncode")) == 1
    cells = [(one["lora_name"], one["strength_model"]) for one in of(graph, "LoraLoaderModelOnly")]
    files = ("zorblax.safetensors", "zorblax-step-001000.safetensors")
    assert cells == [(files[0], 0.0), *((file, s) for file in files for s in (0.7, 1.0))]
    assert [one["text"] for one in of(graph, "TextOverlay")][:2] == ["without the LoRA", "step 500, strength 0.7"]
    assert [len(one) for one in of(graph, "CreateList")] == [3, 3, 2]
    assert of(graph, "ImageGrid")[0]["columns"] == 3
    assert strengths_of((0.7, 1.0), 0.85) == (0.0, 0.7, 0.85, 1.0)
    many = strengths_of([i / 10 for i in range(1, 20)], 0.5)
    assert many == (0.0, *(i / 10 for i in range(1, 10)))
    rows = [Row(f"{i}.safetensors", str(i)) for i in range(11)]
    with pytest.raises(PortraitistError, match="11 rows"):
        sheet(comfy_graphs.setting("flux"), rows, (1.0,))


def test_each_family_is_asked_as_it_was_taught():
    for family in FILES:
        sampler, strength = of(GRAPHS[family], "KSampler")[0], [0.85]
        assert sampler["cfg"] == (1.0 if family == "flux" else 4.0)
        loaders = of(GRAPHS[family], "LoraLoader") + of(GRAPHS[family], "LoraLoaderModelOnly")
        assert [one["strength_model"] for one in loaders] == strength
        assert len(of(GRAPHS[f"{family}-style"], "KSampler")) == 1
    assert of(GRAPHS["flux"], "FluxGuidance")[0]["guidance"] == 4.0
    assert of(GRAPHS["flux"], "ModelSamplingFlux")[0]["max_shift"] == 0.69
    assert of(GRAPHS["flux-1024"], "ModelSamplingFlux") == []
    assert of(GRAPHS["sdxl-v"], "ModelSamplingDiscrete")[0]["sampling"] == "v_prediction"
    for family, kind in (("mini", "mini"), ("wan", "wan")):
        with pytest.raises(PortraitistError, match=f"no nodes for a base of {kind}"):
            drawing.drawing(comfy_graphs.setting(family))
    with pytest.raises(PortraitistError, match="takes none"):
        drawing.drawing(comfy_graphs.setting("flux", references=("a.png",)))
    with pytest.raises(PortraitistError, match="3 at most"):
        drawing.drawing(comfy_graphs.setting("qwen-image-edit", references=("a.png",) * 4))
    with pytest.raises(PortraitistError, match="no file for 'unet'"):
        drawing.drawing(comfy_graphs.setting("flux", files={"unet": "x.safetensors"}))


VALUES = {
    "prompt": "a robot", "negative": "blurred", "seed": 7, "lora": "other.safetensors", "strength": 0.3,
    "guidance": 2.5, "steps": 9, "width": 640, "height": 960,
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in GRAPHS if "sweep" not in name])
def test_a_value_put_where_it_is_said_to_stand_makes_the_graph_of_that_value(name):
    """Places are held to the builder: filled in there, the graph is the one that would be built anew."""
    family = next(one for one in sorted(FILES, key=len, reverse=True) if name.startswith(one))
    changes = {"sdxl-v": {"prediction": "v"}, "flux-1024": {"shift": 3.158}}.get(name, {})
    if name.endswith("-style"):
        changes["style"] = ("ink.safetensors", 0.6)
    if name[-1] in "123":
        changes["references"] = tuple(f"new-{i}.png" for i in range(int(name[-1])))
    expected = drawing.drawing(comfy_graphs.setting(family, **VALUES, **changes))
    graph, found = copy.deepcopy(GRAPHS[name]), drawing.places(GRAPHS[name])
    for what, places in found.items():
        for i, place in enumerate(places):
            node, _, field = place.partition(".")
            graph[node]["inputs"][field] = changes["references"][i] if what == "references" else VALUES[what]
    assert graph == expected


def test_a_picture_carries_the_graph_as_comfyui_s_own_do(tmp_path):
    """Texts named prompt and workflow, readable as Latin-1, and nothing of what the file said before."""
    source = saved(tmp_path / "drawn.png", scenery(1, 48, 32))
    graph = GRAPHS["flux"]
    ui = browser.editable(graph, facts.frozen())
    (tmp_path / "carrying.png").write_bytes(picture.carrying(source, graph, ui))
    with Image.open(tmp_path / "carrying.png") as opened, Image.open(source) as before:
        assert set(opened.text) == {"prompt", "workflow"}
        assert json.loads(opened.text["prompt"]) == graph
        assert json.loads(opened.text["workflow"]) == ui
        assert opened.convert("RGB").tobytes() == before.convert("RGB").tobytes()


TOLD = {
    "input": {
        "required": {
            "model": ["MODEL", {"tooltip": "x"}],
            "noise_seed": ["INT", {"default": 0, "min": 0, "max": 18446744073709551615}],
            "sampler_name": [["euler", "heun"], {}],
            "position": ["COMBO", {"default": "top", "multiselect": False, "options": ["top", "bottom"]}],
            "captions": ["STRING", {"forceInput": True}],
            "inputs": ["COMFY_AUTOGROW_V3", {"template": {"prefix": "input", "min": 1, "max": 10}}],
        },
        "optional": {"image": [[], {"image_upload": True}]},
        "hidden": {"prompt": "PROMPT"},
    },
    "input_order": {
        "required": ["model", "position", "noise_seed", "sampler_name", "captions", "inputs"],
        "optional": ["image"],
    },
    "output": ["IMAGE", ["a", "b"]],
    "output_name": ["picture", "choice"],
    "output_node": True,
}
"""An entry of `/object_info` with what its entries have: both ways of a choice, a seed, a growing input."""


def test_a_server_s_word_on_a_node_is_read_in_the_editor_s_order():
    node = facts.node("LoadImage", TOLD)
    names = ["model", "position", "noise_seed", "sampler_name", "captions", "inputs", "image"]
    assert [one.name for one in node.inputs] == names
    known = dict(zip(names, node.inputs, strict=True))
    assert known["noise_seed"].control
    assert known["sampler_name"].choices == ("euler", "heun")
    assert known["position"].choices == ("top", "bottom")
    assert (known["image"].required, known["image"].folder) == (False, "input")
    assert not known["captions"].widget
    assert node.outputs == (("picture", "IMAGE"), ("choice", "COMBO"))
    assert node.ends
    assert node.input("inputs.input3") is known["inputs"]
    assert node.input("inputs.inputx") is None
    assert node.input("input3") is None
