"""ComfyUI itself takes what we write for it: its server, its editor, its loader. Only where COMFY_DIR names a checkout.

COMFY_DIR=~/ComfyUI COMFY_PYTHON=~/ComfyUI/venv/bin/python pytest tests/integration/test_comfyui.py
"""

import json
import os

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from portraitist import families, tensorfile
from portraitist.adapters import files, trees
from portraitist.bases import writing
from portraitist.deploy.graphs import browser, drawing, facts, picture
from portraitist.deploy.graphs.setting import shifted
from portraitist.deploy.server import Server
from tests import comfy_graphs, comfy_server
from tests.pictures import saved, scenery

pytestmark = pytest.mark.skipif("COMFY_DIR" not in os.environ, reason="COMFY_DIR names no checkout of ComfyUI")

LDM = "model.diffusion_model."

OPENED = """const [ui, done] = arguments; (async () => { try {
  await app.loadGraphData(ui); await new Promise(later => setTimeout(later, 300));
  const got = await app.graphToPrompt();
  const bad = app.graph._nodes.filter(n => n.has_errors || !LiteGraph.registered_node_types[n.type]);
  done({graph: got.output, bad: bad.map(n => n.type), count: app.graph._nodes.length});
} catch (error) { done({error: String(error.stack || error)}) } })();"""

DROPPED = """const [name, done] = arguments; (async () => { try {
  const data = await (await fetch(`/view?type=input&filename=${name}`)).blob();
  await app.loadGraphData({nodes: [], links: [], version: 0.4, last_node_id: 0, last_link_id: 0});
  await app.handleFile(new File([data], name, {type: 'image/png'}));
  await new Promise(later => setTimeout(later, 1000));
  done({graph: (await app.graphToPrompt()).output});
} catch (error) { done({error: String(error.stack || error)}) } })();"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with comfy_server.served(tmp_path_factory.mktemp("comfy") / "base") as found:
        for graph in comfy_graphs.every().values():  # the editor reads the lists of files once
            found.place(graph)
        yield found


@pytest.fixture(scope="module")
def editor(server, tmp_path_factory):
    if not comfy_server.tool("chromedriver"):
        pytest.skip("there is no chromedriver")
    with comfy_server.editing(server, tmp_path_factory.mktemp("browser")) as found:
        yield found


def bare(graph):
    """A graph without its titles."""
    return {key: {"class_type": node["class_type"], "inputs": node["inputs"]} for key, node in graph.items()}


def test_the_server_takes_every_graph_and_refuses_a_broken_one(server):
    graphs = comfy_graphs.every()
    assert {name: told for name, graph in graphs.items() if (told := server.complaints(graph))} == {}
    broken = json.loads(json.dumps(graphs["flux"]))
    next(node for node in broken.values() if node["class_type"] == "KSampler")["inputs"]["sampler_name"] = "flowmatch"
    assert server.complaints(broken)


def test_its_own_word_on_the_nodes_is_the_frozen_one(server):
    own, frozen = facts.of_server(Server.at(server.url)), facts.frozen()
    for name, node in frozen.nodes.items():
        there = {one.name: one for one in own.nodes[name].inputs}
        for one in node.inputs:
            assert (there[one.name].type, there[one.name].control) == (one.type, one.control), (name, one.name)
        assert own.nodes[name].outputs == node.outputs, name
    for graph in comfy_graphs.every().values():
        assert facts.complaints(graph, own) == []


def test_the_editor_opens_every_graph_and_gives_the_same_back(editor):
    for name, graph in comfy_graphs.every().items():
        got = editor.does(OPENED, browser.editable(graph, facts.frozen(), ["**A note.**"]))
        assert got["bad"] == [], name
        assert got["count"] == len(graph) + 1, name
        assert bare(got["graph"]) == bare(graph), name


def test_a_picture_dropped_into_the_editor_brings_its_graph(server, editor, tmp_path):
    graph = comfy_graphs.every()["qwen-image-edit-2"]
    source = saved(tmp_path / "drawn.png", scenery(1, 64, 64))
    data = picture.carrying(source, graph, browser.editable(graph, facts.frozen()))
    (server.folder / "input" / "carrying.png").write_bytes(data)
    assert bare(editor.does(DROPPED, "carrying.png")["graph"]) == bare(graph)


def grown(family, kind):
    """An adapter on every layer of a published model (LyCORIS' kinds on the linear ones), and the model's tensors."""
    shapes, found = trees.shapes(family), {}
    for module in trees.layers(family):
        out, into, *rest = shapes[module]
        found[module + files.ALPHA] = torch.tensor(1.0)
        if kind == "lora":
            found[module + files.DOWN] = torch.ones(1, into, *rest)
            found[module + files.UP] = torch.ones(out, 1, *(1,) * len(rest))
        elif not rest:
            sides = {"hada_w1_a": (out, 1), "hada_w1_b": (1, into), "hada_w2_a": (out, 1), "hada_w2_b": (1, into)}
            sides = (
                sides
                if kind == "loha"
                else {"lokr_w1": (2, 2), "lokr_w2_a": (out // 2, 1), "lokr_w2_b": (1, into // 2)}
            )
            if kind == "lokr" and (out % 2 or into % 2):
                sides = {"lokr_w1": (1, 1), "lokr_w2_a": (out, 1), "lokr_w2_b": (1, into)}
            found |= {f"{module}.{part}": torch.ones(side) for part, side in sides.items()}
        else:
            del found[module + files.ALPHA]
    return found


@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen-image", "qwen-image-edit", "z-image"])
def test_its_loader_matches_every_key_of_every_kind_of_adapter(family, tmp_path):
    of = family.removesuffix("-edit")
    parameters = trees.denoiser(of).named_parameters()
    plans = writing.published(
        of, {name: tensorfile.Planned(tuple(p.shape), p.dtype, lambda: torch.zeros(0)) for name, p in parameters}
    )
    tree = {name.removeprefix(LDM): plan.shape for name, plan in plans.items()}
    paths, modules = [], {}
    for kind in ("lora", "loha", "lokr"):
        canonical = grown(of, kind)
        paths.append(tmp_path / f"{kind}.safetensors")
        modules[str(paths[-1])] = sum(name.endswith(files.ALPHA) for name in canonical)
        named = files.to_comfy(canonical, families.get(family))
        files.write(paths[-1], {name: tensor.contiguous() for name, tensor in named.items()}, {"format": "pt"})
    wrong = tmp_path / "wrong.safetensors"
    one = next(iter(trees.layers(of)))
    files.write(wrong, {f"base_model.model.{one}{part}": torch.ones(1, 1) for part in (files.DOWN, files.UP)}, {})
    told = comfy_server.loaded(tree, [*paths, wrong], tmp_path)["files"]
    for path in map(str, paths):
        assert told[path]["heard"] == [], path
        assert told[path]["changes"] == told[path]["asked"] == modules[path], path
    assert told[str(wrong)]["changes"] == 0
    assert any("lora key not loaded" in line for line in told[str(wrong)]["heard"])


def small():
    """A FLUX of four blocks, one head wide, told no pooled words; by its publisher's names."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=64, num_layers=2, num_single_layers=2, attention_head_dim=128, num_attention_heads=1,
        joint_attention_dim=1024, pooled_projection_dim=16, axes_dims_rope=(16, 56, 56), guidance_embeds=True,
    )  # fmt: skip


def published(model):
    """A FLUX's tensors by its publisher's names, without those of pooled words."""
    state = dict(model.state_dict())
    plans = writing.published("flux", {name: tensorfile.planned(tensor) for name, tensor in state.items()})
    return {n: plan.make().contiguous() for n, plan in plans.items() if not n.startswith("vector_in.")}


def test_a_small_flux_draws_with_the_lora_as_with_the_lora_put_into_its_weights(server):
    """The graph that we write, but for words and pixels: those need the true encoders."""
    model, generator = small(), torch.Generator().manual_seed(1)
    models, adapter = server.folder / "models", {}
    baked = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "blocks" in name:
            down = torch.randn(2, module.in_features, generator=generator) / 8
            up = torch.randn(module.out_features, 2, generator=generator) / 8
            adapter |= {name + files.DOWN: down, name + files.UP: up, name + files.ALPHA: torch.tensor(1.0)}
            baked[f"{name}.weight"] += 0.7 * 0.5 * up @ down
    for folder in ("diffusion_models", "loras"):
        (models / folder).mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(published(model), models / "diffusion_models" / "small.safetensors")
    model.load_state_dict(baked)
    safetensors.torch.save_file(published(model), models / "diffusion_models" / "baked.safetensors")
    named = files.to_comfy(adapter, families.get("flux"))
    files.write(models / "loras" / "small-lora.safetensors", named, {"format": "pt"})
    before = server.log()

    def drawn(base, strength):
        graph = drawing.drawing(
            comfy_graphs.setting(
                "flux",
                lora="small-lora.safetensors",
                strength=strength,
                steps=3,
                width=64,
                height=64,
                shift=1.5,
                files={"transformer": f"{base}.safetensors"},
                name=f"{base}-{strength:g}",
            )
        )
        keys = {node["_meta"]["title"]: key for key, node in graph.items()}
        graph[keys["Prompt"]] |= {"class_type": "LotusConditioning", "inputs": {}}
        samples = {"samples": [keys["Sampler"], 0], "filename_prefix": f"{base}-{strength:g}"}
        graph[keys["Save"]] |= {"class_type": "SaveLatent", "inputs": samples}
        for title in ("Text encoders", "VAE", "Picture"):
            del graph[keys[title]]
        (saved_as,) = server.run(graph)[keys["Save"]]["latents"]
        return safetensors.torch.load_file(server.folder / "output" / saved_as["filename"])["latent_tensor"].float()

    plain, with_lora, expected = drawn("small", 0.0), drawn("small", 0.7), drawn("baked", 0.0)
    torch.testing.assert_close(with_lora, expected, rtol=1e-5, atol=1e-4)
    assert (with_lora - plain).abs().max() > 0.05
    assert "lora key not loaded" not in server.log()[len(before) :]


def node_of(graph, title):
    """The inputs of the one node of a title; {} without one."""
    return next((node["inputs"] for node in graph.values() if node["_meta"]["title"] == title), {})


def test_its_schedule_is_the_one_that_judging_draws_by(tmp_path):
    """To the last digit but for roundings of shift, and Qwen-Image's stretch, which ComfyUI does not have."""
    near = {
        "sdxl": 0,
        "flux": 0.001,
        "qwen-image": 0.025,
        "qwen-image-edit": 0.035,
        "z-image": 1e-6,
        "z-image-turbo": 1e-6,
    }
    asked, levels = [], []
    for name in near:
        family, side = families.get(name), 1024
        steps = 50 if name == "sdxl" else family.profile.sampling_steps
        shift = shifted(family, steps, side)
        graph = drawing.drawing(comfy_graphs.setting(name, shift=shift, steps=steps, width=side, height=side))
        patch, sampler = node_of(graph, "Schedule"), node_of(graph, "Sampler")
        kind = {"sdxl": "", "flux": "ModelSamplingFlux"}.get(name, "ModelSamplingAuraFlow")
        own = patch.get("shift", patch.get("max_shift", drawing.FLUX_SHIFT))
        asked.append([kind, own, sampler["scheduler"], sampler["steps"]])
        found = family.levels(steps, side, side)[:-1]
        levels.append((found * 1000 - 1).round() if name == "sdxl" else found)
    for name, got, expected in zip(near, comfy_server.scheduled(asked, tmp_path), levels, strict=True):
        assert len(got) == len(expected), name
        assert (torch.tensor(got) - expected).abs().max() <= near[name], name


def test_a_sheet_is_put_together_and_labelled(server):
    """With plain pictures in place of drawn ones: those need true models."""
    graph = comfy_graphs.every()["qwen-image-sweep"]
    for node in graph.values():
        if node["class_type"] == "VAEDecode":
            node |= {"class_type": "EmptyImage", "inputs": {"width": 832, "height": 1248, "batch_size": 1, "color": 0}}
    ((shown,),) = [found["images"] for found in server.run(graph).values()]
    pixels = np.asarray(Image.open(server.folder / "output" / shown["filename"]).convert("L"))
    assert pixels.shape == (2 * 512 + 4, 3 * 341 + 2 * 4)
    cells = [pixels[y : y + 512, x : x + 341] for y in (0, 516) for x in (0, 345, 690)]
    assert all(cell.max() > 200 for cell in cells)
    assert (cells[0] == cells[3]).all()
    assert not (cells[1] == cells[4]).all()
