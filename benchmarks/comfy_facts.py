"""Writes the frozen excerpt of node facts, portraitist/deploy/graphs/nodes.json, from a running ComfyUI.

    python -m benchmarks.comfy_facts http://127.0.0.1:8188

The server has to have an empty `models` folder: what choices a file has is each server's own, and is left out.
"""

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.deploy.graphs import facts
from portraitist.deploy.server import Server

NODES = (
    "CFGNorm", "CLIPLoader", "CLIPTextEncode", "CheckpointLoaderSimple", "ConditioningZeroOut", "CreateList",
    "DualCLIPLoader", "EmptyLatentImage", "EmptySD3LatentImage", "FluxGuidance", "ImageGrid", "ImageScale",
    "ImageScaleToTotalPixels", "KSampler", "LoadImage", "LoraLoader", "LoraLoaderModelOnly", "ModelSamplingAuraFlow",
    "ModelSamplingDiscrete", "ModelSamplingFlux", "ReferenceLatent", "SaveImage", "TextEncodeQwenImageEditPlus",
    "TextOverlay", "UNETLoader", "VAEDecode", "VAEEncode", "VAELoader",
)  # fmt: skip
"""What our graphs are made of."""

PLACE = Path(facts.__file__).with_name("nodes.json")


def written(known: facts.Input) -> dict[str, Any]:
    """An input's facts, without what they are by default, and without the files of a server."""
    own = asdict(known) | ({"choices": (), "default": None} if known.folder else {})
    return {f.name: own[f.name] for f in fields(known) if f.name in ("name", "type") or own[f.name] != f.default}


def excerpt(known: facts.Facts) -> dict[str, Any]:
    """The table that `facts.frozen` reads."""
    nodes = {name: known.nodes[name] for name in NODES}
    table = {
        name: {"inputs": [written(one) for one in node.inputs], "outputs": node.outputs}
        | ({"ends": True} if node.ends else {})
        for name, node in nodes.items()
    }
    return {"comfyui": known.version, "nodes": table}


def main(url: str) -> None:
    """Ask the server, and write."""
    table = excerpt(facts.of_server(Server.at(url)))
    lines = [f'  "{name}": {json.dumps(node)}' for name, node in table["nodes"].items()]
    text = f'{{"comfyui": {json.dumps(table["comfyui"])}, "nodes": {{\n' + ",\n".join(lines) + "\n}}\n"
    durable.write_text(PLACE, text)


if __name__ == "__main__":
    main(sys.argv[1])
