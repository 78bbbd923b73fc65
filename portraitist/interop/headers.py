"""The header of a LoRA file as a document: its metadata as JSON with places, and what its tensors' shapes say."""

import json
from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from portraitist.bases import headers
from portraitist.interop import jsons
from portraitist.interop.document import Document

SUFFIX = headers.WEIGHTS
LONGEST = 2000
"""Characters of one value that are shown; tags of captions are counted, not shown."""

DOWN = (".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", ".lora.down.weight")
PRODUCTS = (".hada_w1_b", ".lokr_w2_b", ".lokr_w1", ".lokr_w1_b", ".oft_blocks")
ENCODERS = ("lora_te", "text_encoder", "lora_prior_te", "text_encoders.")
TENSORS = "tensors"
"""The key of what is not metadata but counted: layers, ranks, convolutions, layers of text encoders."""


def opened(path: File) -> Document:
    """The header of a file. Raises PortraitistError for one that is no safetensors file, or damaged."""
    header = headers.read(path)
    value = {key: parsed(key, words) for key, words in sorted(header.words.items())}
    return document(value | {TENSORS: counted(header.shapes)}, str(path))


def document(value: Mapping[str, Any], name: str) -> Document:
    """A header's values as a document whose lines can be shown."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    read = jsons.read(text, name, "")
    return Document(name, "", "header", text, read.value, read.places)


def parsed(key: str, words: str) -> Any:
    """One value of the metadata: JSON where it is some, else a number, a truth value, none, or the words."""
    if words in ("None", ""):
        return None
    if words in ("True", "False"):
        return words == "True"
    if words[:1] in "{[":
        try:
            return thinned(key, json.loads(words))
        except (ValueError, RecursionError):
            return words[:LONGEST]
    for kind in (int, float):
        try:
            found = kind(words)
        except (ValueError, OverflowError):
            continue
        return found if abs(found) < 10**15 else words[:LONGEST]
    return words[:LONGEST]


def thinned(key: str, value: Any) -> Any:
    """A value without the tags of captions, which are counted, and no deeper than a document may be."""
    if key == "ss_tag_frequency" and isinstance(value, dict):
        return {name: len(tags) if isinstance(tags, dict) else 0 for name, tags in value.items()}
    if key == "ss_datasets" and isinstance(value, list):
        return [
            {name: inner for name, inner in one.items() if name not in ("tag_frequency", "bucket_info")}
            if isinstance(one, dict)
            else one
            for one in value
        ]
    return value if deep(value) < 40 else str(value)[:LONGEST]


def deep(value: Any) -> int:
    """Levels of a value."""
    level, found = [value], 0
    while level and found < 50:
        found += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return found


def counted(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """What the tensors say: their number, layers, ranks, convolutions wider than one pixel, layers of text encoders."""
    downs = {name: shape for name, shape in shapes.items() if name.endswith(DOWN)}
    products = [name for name in shapes if name.endswith(PRODUCTS)]
    ranks = sorted({shape[0] for shape in downs.values() if shape})
    wide = sum(len(shape) == 4 and max(shape[2:]) > 1 for name, shape in shapes.items() if ".alpha" not in name)
    encoders = sum(name.startswith(ENCODERS) for name in downs)
    facts = {"count": len(shapes), "layers": len(downs), "products": len(products), "ranks": ranks[:20]}
    return {**facts, "convolutions": wide, "text_encoder_layers": encoders}
