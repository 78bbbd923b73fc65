"""The node pack in a real ComfyUI: only where COMFY_URL names one that has it in its custom_nodes."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from tests.house.source import ROOT

URL = os.environ.get("COMFY_URL", "").rstrip("/")
EXAMPLES = sorted((ROOT / "comfy_nodes" / "example_workflows").glob("*.json"))

pytestmark = pytest.mark.skipif(not URL, reason="COMFY_URL names no ComfyUI")


def ask(path, body=None):
    """What the server answers, refusals too."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{URL}/{path}", data), timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def done(graph, seconds=180):
    """What came of a graph, once it is in the history."""
    status, queued = ask("prompt", {"prompt": graph})
    assert (status, queued["node_errors"]) == (200, {}), queued
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if told := ask(f"history/{queued['prompt_id']}")[1]:
            return told[queued["prompt_id"]]
        time.sleep(0.5)
    raise AssertionError(f"nothing after {seconds} s")


@pytest.fixture(scope="module")
def facts():
    """What the server says of its nodes; without the pack there is nothing to test."""
    found = ask("object_info")[1]
    if "Portraitist_Dataset" not in found:
        pytest.skip(f"{URL} does not have the pack")
    return found


def dataset(facts, **said):
    """A Dataset node with every field at its default but these."""
    told = facts["Portraitist_Dataset"]["input"]["required"]
    values = {name: options[1].get("default") for name, options in told.items()}
    return {"class_type": "Portraitist_Dataset", "inputs": {**values, **said}}


def test_a_sheet_is_made_filled_in_and_cut_into_captioned_pictures(facts):
    name = f"test-{uuid.uuid4().hex[:8]}"
    graph = {
        "1": dataset(facts, name=name, trigger="maya_char", subject="fictional"),
        "2": {"class_type": "Portraitist_SheetTemplate", "inputs": {"width": 640, "height": 480, "views": 2}},
        "3": {"class_type": "EmptyImage", "inputs": {"width": 60, "height": 200, "batch_size": 1, "color": 4_000_000}},
        "4": {
            "class_type": "ImageCompositeMasked",
            "inputs": {"destination": ["2", 0], "source": ["3", 0], "x": 100, "y": 100, "resize_source": False},
        },
        "5": {
            "class_type": "ImageCompositeMasked",
            "inputs": {"destination": ["4", 0], "source": ["3", 0], "x": 420, "y": 100, "resize_source": False},
        },
        "6": {
            "class_type": "Portraitist_CutSheet",
            "inputs": {"character": ["1", 0], "sheet": ["5", 0], "views": "front view,back view", "heads": 4.0,
                       "mirrored": False},
        },
        "7": {"class_type": "Portraitist_Caption", "inputs": {"character": ["6", 0], "seen_by": "none"}},
        "8": {"class_type": "PreviewAny", "inputs": {"source": ["7", 1]}},
        "9": {"class_type": "PreviewImage", "inputs": {"images": ["6", 1]}},
    }  # fmt: skip
    told = done(graph)
    assert told["status"]["status_str"] == "success", told["status"]
    assert told["outputs"]["8"]["text"] == ["written: 0\nkept: 6"]
    assert len(told["outputs"]["9"]["images"]) == 6


def test_what_the_command_line_refuses_is_the_nodes_error(facts):
    """A subject must be said, and a real person's consent be recorded."""
    for said, words in (({"subject": "not said"}, "A project needs a subject"), ({"subject": "real"}, "consent")):
        name = f"test-{uuid.uuid4().hex[:8]}"
        graph = {"1": dataset(facts, name=name, trigger="maya_char", **said)}
        graph["2"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}
        status = done(graph)["status"]
        assert status["status_str"] == "error"
        assert (
            words in next(text for kind, text in status["messages"] if kind == "execution_error")["exception_message"]
        )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_the_inputs_that_the_nodes_have(facts, path: Path):
    """In the order of the schema: values stand in a row without names."""
    for node in json.loads(path.read_text())["nodes"]:
        if node["type"].startswith("Portraitist_"):
            told = facts[node["type"]]["input"]
            named = {**told["required"], **told.get("optional", {})}
            assert {one["name"] for one in node["inputs"]} == set(named)
            simple = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
            fields = [name for name, (kind, more) in named.items() if kind in simple and not more.get("forceInput")]
            assert len(node["widgets_values"]) == len(fields), node["type"]
