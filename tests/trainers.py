"""Other trainers' configs for tests: made from facts, changed by dotted keys, read and judged."""

import copy
import json

import tomli_w
from PIL import Image

from portraitist.interop import jsons, tomls, tool

GONE = object()
"""A change that takes a key away."""


def changed(value, changes):
    """A copy with values put at dotted keys; numbers index lists, GONE deletes."""
    found = copy.deepcopy(value)
    for dotted, new in changes.items():
        held, parts = found, [int(part) if part.isdigit() else part for part in dotted.split(".")]
        for part in parts[:-1]:
            held = held.setdefault(part, {}) if isinstance(held, dict) else held[part]
        if new is GONE:
            held.pop(parts[-1], None)
        else:
            held[parts[-1]] = copy.deepcopy(new)
    return found


def read(value, name="config.json", folder=""):
    """A config as its tool's file would be read."""
    if name.endswith(".toml"):
        return tomls.read(tomli_w.dumps(value), name, str(folder))
    return jsons.read(json.dumps(value, indent=2), name, str(folder))


def judged(module, value, name="config.json", folder=""):
    """The diagnosis of a config."""
    document = read(value, name, folder)
    assert tool(module).recognises(document)
    return tool(module).diagnose(document)


def said(diagnosis):
    """The rules that were remarked on, by their short names."""
    return {remark.rule.partition("/")[2] for remark in diagnosis.remarks}


def pictured(folder, count=4, size=(64, 64), texts=True, masks=False):
    """A folder with so many pictures, captions beside them, and OneTrainer's masks."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        stem = f"{size[0]}x{size[1]}-{index}"
        Image.new("RGB", size, (index * 10, 90, 120)).save(folder / f"{stem}.png")
        if texts:
            (folder / f"{stem}.txt").write_text("maya_char, portrait")
        if masks:
            Image.new("L", size, 255).save(folder / f"{stem}-masklabel.png")
    return folder
