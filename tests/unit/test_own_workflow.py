"""The workflow by which a ComfyUI judges where a person names none: each family's own, with its places."""

from pathlib import Path

import numpy as np
import pytest

from portraitist import families
from portraitist.deploy import hiring
from portraitist.deploy.easel import Lora
from portraitist.deploy.graphs import facts
from portraitist.deploy.graphs.setting import EDITS, FILES
from portraitist.errors import PortraitistError
from portraitist.pictures import Opened
from portraitist.recipe import load
from tests.comfy_told import as_told, telling

CASES = [(name, count) for name in FILES for count in range(EDITS.get(name, 0) + 1)]


def easel(name, references=0, *changes):
    said = (f"preset={name}", 'judging.comfyui.url="http://127.0.0.1:9"', "judging.guidances=[2.5]", *changes)
    shown = [Opened(np.full((8, 6, 3), i, np.uint8), None) for i in range(references)]
    return hiring.easel(Path(), load(Path("none.toml"), said), families.get(name), 512, 768, (4.0, 11), shown)


@pytest.mark.parametrize(("name", "references"), CASES)
def test_each_familys_own_workflow_takes_all_that_judging_says(name, references):
    """By the facts that were taken from a server; a base without its LoRA has no loader of one."""
    artist = easel(name, references)
    artist.uploaded = [f"{i}.png" for i in range(references)]
    artist.there["one"] = Lora("one.safetensors", frozenset())
    artist.worn = ("one", 0.7)
    graph = artist.graph("zorblax", 123, 2.5, 11)
    kinds = [node["class_type"] for node in graph.values()]
    told = {(node["class_type"], key): value for node in graph.values() for key, value in node["inputs"].items()}
    assert (told["KSampler", "seed"], told["KSampler", "steps"]) == (123, 11)
    assert told["FluxGuidance" if name == "flux" else "KSampler", "guidance" if name == "flux" else "cfg"] == 2.5
    loader = "LoraLoader" if name == "sdxl" else "LoraLoaderModelOnly"
    assert (told[loader, "lora_name"], told[loader, "strength_model"]) == ("one.safetensors", 0.7)
    texts = [node["inputs"].get("text", node["inputs"].get("prompt")) for node in graph.values()]
    assert texts.count("zorblax") == 1
    shown = [node["inputs"]["image"] for node in graph.values() if node["class_type"] == "LoadImage"]
    assert shown == artist.uploaded
    assert "PreviewImage" in kinds
    assert "SaveImage" not in kinds
    artist.worn = ("", 0.0)
    for one in (graph, artist.graph("zorblax", 123, 2.5, 11)):
        for node in one.values():
            node["inputs"].pop("portraitist", None)
            if node["class_type"] == "PreviewImage":  # which has no name for its files
                node |= {"class_type": "SaveImage", "inputs": {**node["inputs"], "filename_prefix": "x"}}
        assert facts.complaints(one, facts.frozen()) == []
    assert not [node for node in one.values() if node["class_type"].startswith("Lora")]


def test_it_is_named_for_what_it_draws_by():
    names = {
        easel("flux").name,
        easel("sdxl").name,
        easel("flux", 0, 'judging.comfyui.files={vae="mine.safetensors"}').name,
    }
    assert len(names) == 3
    assert easel("flux").name == easel("flux").name


def test_a_family_that_comfyui_does_not_know_and_files_of_no_part_are_refused():
    with pytest.raises(PortraitistError, match="ComfyUI has no nodes for a base of mini"):
        easel("mini")
    with pytest.raises(PortraitistError, match="has no file for 'vea'"):
        easel("flux", 0, 'judging.comfyui.files={vea="mine.safetensors"}')


def test_a_server_whose_nodes_lack_an_input_of_it_is_told_before_anything_is_drawn():
    """ComfyUI would pass over the input, and draw something else."""
    files = {"diffusion_models": [], "text_encoders": [], "vae": []}
    parts = {"transformer": "diffusion_models", "text_encoder": "text_encoders", "vae": "vae"}
    for part, name in FILES["qwen-image-edit"].items():
        files[parts[part]].append(name)
    nodes = {name: as_told(node, files) for name, node in facts.frozen().nodes.items()}
    nodes["PreviewImage"] = {**nodes["SaveImage"], "input": {"required": {"images": ["IMAGE"]}}, "input_order": {}}
    nodes["TextEncodeQwenImageEditPlus"]["input"]["optional"].pop("image2")
    with telling(nodes) as server:
        at = f'judging.comfyui.url="{server.url}"'
        easel("qwen-image-edit", 1, at).prepare()
        assert server.uploads == 1
        with pytest.raises(PortraitistError, match="image2: no such input"):
            easel("qwen-image-edit", 2, at).prepare()
        assert server.uploads == 1
