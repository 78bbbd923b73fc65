"""A running ComfyUI that draws for judging: what is put there, what is asked, and what goes wrong there.

The server is scripted and speaks the protocol as ComfyUI 0.33 was seen to; benchmarks/comfyui-server.md tells of the
real one.
"""

import json
import struct
import time
from dataclasses import replace

import numpy as np
import pytest

from portraitist.deploy import easel as easels
from portraitist.deploy import server as servers
from portraitist.deploy.easel import Easel
from portraitist.deploy.server import Server
from portraitist.deploy.workflow import Workflow
from portraitist.errors import Interrupted, PortraitistError
from tests.comfy_scripted import PLACES, WORKFLOW, answers, breaks, breaks_after_queueing, comfy, forgets, noise, sleeps

KEYS = ("a.lora_A.weight", "a.lora_B.weight", "a.alpha")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No waiting, and small patience."""
    monkeypatch.setattr(servers, "POLL", 0.005)
    monkeypatch.setattr(easels, "PAUSE", 0.005)


def packed(tensors):
    """A safetensors file of a name each with no numbers, which is all that a server without weights looks at."""
    header = json.dumps({f"{name}.{key}": {} for name in tensors for key in KEYS}).encode()
    return struct.pack("<Q", len(header)) + header, frozenset(f"{name}.{key}" for name in tensors for key in KEYS)


def easel(server, folder, graph=WORKFLOW, places=PLACES, **changes):
    path = folder / "workflow.json"
    path.write_text(json.dumps(graph))
    client = Server.at(server.url, patience=changes.pop("patience", 20.0), stop=changes.pop("stop", lambda: False))
    client.endpoint = replace(client.endpoint, timeout=changes.pop("answer", 5.0), pause=0.005)
    client.absence = changes.pop("absence", 0.05)
    workflow = Workflow.read(path, places).with_strengths()
    return Easel(client, workflow, packed, 64, 64, **changes)


def drawn(artist):
    """A picture by a checkpoint."""
    artist.wear("one", {"one": None}, 1.0)
    return artist.draw("a cat", 7, 3.0, 9)


def test_a_checkpoint_is_put_there_once_and_drawn_at_its_strengths_and_the_base_without_a_loader(tmp_path):
    with comfy() as server:
        artist, pictures = easel(server, tmp_path), {}
        for adapter, strength in (("", 0.0), ("one", 1.0), ("one", 0.5), ("two", 1.0), ("", 0.0)):
            artist.wear(adapter, {adapter: None} if adapter else {}, strength)
            pictures[adapter, strength] = artist.draw("a cat", 7, 3.0, 9)
    assert np.array_equal(pictures["", 0.0], noise("a cat 7 1.0 4", 64).astype(np.uint8)), "steps and cfg have no place"
    assert len({picture.tobytes() for picture in pictures.values()}) == 4
    assert [upload[:2] for upload in server.uploads] == [("output", "loras")] * 2
    loras = [graph["2"]["inputs"]["lora_name"] for graph in server.graphs if "2" in graph]
    assert loras == [server.uploads[0][2]] * 2 + [server.uploads[1][2]]
    strengths = [graph["2"]["inputs"]["strength_model"] for graph in server.graphs if "2" in graph]
    assert strengths == [1.0, 0.5, 1.0]
    assert [graph["4"]["inputs"]["model"] for graph in server.graphs] == [["1", 0], *[["2", 0]] * 3, ["1", 0]]
    assert all(graph["1"]["inputs"]["unet_name"] == "flux\\tiny.safetensors" for graph in server.graphs)
    assert server.graphs[1]["3"]["inputs"]["text"] == "a cat"
    assert server.graphs[1]["4"]["inputs"]["seed"] == 7


def test_a_lora_that_fits_no_layer_is_a_failure_and_again_though_the_server_keeps_it(tmp_path):
    """The second sitting asks for the same LoRA; the server would not load it anew, and would log nothing."""
    with comfy(fits=lambda key: not key.startswith("wrong")) as server:
        easel(server, tmp_path).wear("right", {"right": None}, 1.0)
        for _ in range(2):
            artist = easel(server, tmp_path)
            artist.wear("wrong", {"wrong": None}, 1.0)
            with pytest.raises(PortraitistError, match=r"did not load the LoRA.* 3 of 3 keys, such as wrong\.a\."):
                artist.draw("a cat", 7, 3.0, 9)
        artist.wear("right", {"right": None}, 1.0)
        artist.draw("a cat", 7, 3.0, 9)
        artist.wear("both", {"right": None, "wrong": None}, 1.0)
        with pytest.raises(PortraitistError, match="3 of 6 keys"):
            artist.draw("a cat", 7, 3.0, 9)


def test_keys_of_somebody_elses_lora_in_the_log_are_none_of_ours_and_what_was_logged_before_is_over(tmp_path):
    with comfy() as server:
        server.entries.append({"t": "0", "m": f"lora key not loaded: one.{KEYS[0]}"})
        artist = easel(server, tmp_path)
        artist.wear("one", {"one": None}, 1.0)
        server.script["view"] = [
            lambda handler: server.entries.append({"t": "9", "m": "lora key not loaded: x"}) or False
        ]
        artist.draw("a cat", 7, 3.0, 9)


def test_where_no_log_is_shown_a_lora_must_change_the_picture(tmp_path):
    script = {"internal": [answers({"error": "no such path"}, 404), ...]}
    with comfy(script, fits=lambda key: not key.startswith("wrong")) as server:
        artist = easel(server, tmp_path)
        artist.wear("right", {"right": None}, 1.0)
        artist.draw("a cat", 7, 3.0, 9)
        artist.draw("a dog", 7, 3.0, 9)
        assert len(server.graphs) == 3, "the base once beside it"
        artist.wear("wrong", {"wrong": None}, 1.0)
        with pytest.raises(PortraitistError, match="same picture with the LoRA as without"):
            artist.draw("a cat", 7, 3.0, 9)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"lacks": ("KSampler",)}, "lacks the nodes KSampler"),
        (
            {"inputs": {"1": {"unet_name": "big.safetensors"}}},
            r"no big\.safetensors \(1 UNETLoader.*s has flux.tiny",
        ),
        ({"inputs": {"4": {"sampler_name": "flow"}}}, "no flow"),
        ({"inputs": {"9": {"stps": 1}}, "places": {"steps": "9.stps"}}, "have no input 'stps'"),
    ],
    ids=["node", "model", "sampler", "place"],
)
def test_what_the_server_lacks_is_told_before_anything_is_queued(change, word, tmp_path):
    graph = json.loads(json.dumps(WORKFLOW))
    for key, inputs in change.get("inputs", {}).items():
        graph[key]["inputs"] |= inputs
    places = {**PLACES, **change.get("places", {})}
    with comfy(lacks=change.get("lacks", ())) as server:
        with pytest.raises(PortraitistError, match=word):
            easel(server, tmp_path, graph, places).wear("one", {"one": None}, 1.0)
        assert not server.graphs
        assert not server.uploads


def test_another_loader_than_comfyuis_own_is_left_in_at_strength_nought_with_a_name_that_is_there(tmp_path):
    graph = {**WORKFLOW, "2": {**WORKFLOW["2"], "class_type": "SomebodysLoader"}}
    with comfy() as server:
        artist = easel(server, tmp_path, graph)
        artist.wear("", {}, 0.0)
        with pytest.raises(PortraitistError, match="lists no LoRA"):
            artist.draw("a cat", 7, 3.0, 9)
        artist.wear("one", {"one": None}, 1.0)
        artist.wear("", {}, 0.0)
        base = artist.draw("a cat", 7, 3.0, 9)
        assert server.graphs[-1]["2"]["inputs"]["strength_model"] == 0
        assert server.graphs[-1]["2"]["inputs"]["lora_name"] in server.loras
    assert np.array_equal(base, noise("a cat 7 1.0 4", 64).astype(np.uint8))


def test_a_lora_that_is_too_large_is_not_sent_and_a_shared_folder_takes_it(tmp_path):
    with comfy(largest=1000) as server:
        artist = easel(server, tmp_path)
        with pytest.raises(PortraitistError, match=r"The LoRA has 0 MB, and the ComfyUI at .* takes 0 MB") as told:
            artist.wear("one", {"one": None}, 1.0)
        assert "--max-upload-size" in told.value.remedy
        assert "judging.comfyui.loras" in told.value.remedy
        assert not server.uploads
        shared = tmp_path / "loras"
        artist = easel(server, tmp_path, shared=shared)
        with pytest.raises(PortraitistError, match="does not list it"):
            artist.wear("one", {"one": None}, 1.0)
        (file,) = shared.iterdir()
        server.loras[f"characters\\{file.name}"] = file.read_bytes()
        artist.wear("one", {"one": None}, 1.0)
        artist.draw("a cat", 7, 3.0, 9)
        assert server.graphs[0]["2"]["inputs"]["lora_name"] == f"characters\\{file.name}"
        assert not server.uploads


ONCE = [
    ("history", [breaks], "the connection broke off"),
    ("history", [answers(b'{"half', 200)], "half an answer"),
    ("history", [answers({"error": "busy"}, 502)], "something before it is overloaded"),
    ("prompt", [answers({"error": "busy"}, 503)], "too busy to begin"),
    ("prompt", [breaks_after_queueing], "the connection broke off when the job had come through"),
    ("object_info", [breaks], "the connection broke off before"),
    ("queue", [answers(b"<html>", 200)], "a page"),
    ("view", [breaks], "the picture did not come"),
]


@pytest.mark.parametrize(("path", "faults", "what"), ONCE, ids=[f"{path}, {what}" for path, _, what in ONCE])
def test_what_passes_is_waited_for(path, faults, what, tmp_path):
    with comfy({path: list(faults)}) as server:
        artist = easel(server, tmp_path)
        artist.wear("one", {"one": None}, 1.0)
        assert artist.draw("a cat", 7, 3.0, 9).shape == (64, 64, 3)
        assert len(server.graphs) == 1
        assert not server.script[path]


FAULT = {"node_type": "KSampler", "exception_message": "out of memory"}
ERROR = {"status": {"status_str": "error", "messages": [["execution_error", FAULT]]}}
STOPPED = {"status": {"status_str": "error", "messages": [["execution_interrupted", {}]]}}
REFUSED = {"prompt_id": "x", "node_errors": {"4": {"class_type": "KSampler", "errors": [{"message": "Bad"}]}}}


def history(entry):
    """A fault: this entry for whatever job is asked for."""
    return lambda handler: handler.answer({handler.path.rpartition("/")[2]: entry})


FOR_GOOD = [
    ("history", breaks, "broke off.*has been lost for"),
    ("history", answers(b'{"half', 200), "answered no JSON.*has been lost for"),
    ("history", sleeps(0.4), "gave no whole answer in 0.2 s"),
    *((path, sleeps(0.4), "gave no whole answer in 0.2 s") for path in ("object_info", "upload", "prompt", "view")),
    ("history", history({"prompt": []}), "tells of the job by halves"),
    ("history", history({"status": None, "outputs": {}}), "tells of the job by halves"),
    ("history", history(ERROR), "KSampler: out of memory"),
    ("history", history(STOPPED), "someone stopped it at the server"),
    ("history", history({"status": {"status_str": "success"}, "outputs": {"9": None}}), "saves no picture"),
    ("history", forgets, "no longer knows the job"),
    ("object_info", answers([]), "answered a JSON list"),
    ("object_info", answers(b"", 404), r"answered 404 \(asked for /object_info\)"),
    ("object_info", answers(b"", 403), r"answered 403 \(asked for /object_info\)"),
    ("prompt", answers({}, 403), "answered 403"),
    ("prompt", breaks, "broke off"),
    ("prompt", answers({"number": 1}), "gives the job no name"),
    ("prompt", answers(REFUSED), r"refuses the workflow: node 4 \(KSampler\): Bad"),
    ("upload", answers({}, 413), "The LoRA has 0 MB"),
    ("upload", answers({}, 403), "answered 403"),
    ("upload", answers({"nonsense": 1}), "does not say where it put"),
    ("view", answers(b"<html>", kind="image/png"), "answered no picture"),
    ("view", answers(b"", kind="image/png"), "answered no picture"),
    ("view", answers({}, 404), "answered 404"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "fault", "word"), FOR_GOOD, ids=[f"{path}, {word}" for path, _, word in FOR_GOOD])
def test_what_does_not_pass_ends_in_a_clear_line_and_leaves_no_job_behind(path, fault, word, tmp_path):
    began = time.monotonic()
    with comfy({path: [fault, ...]}) as server:
        artist = easel(server, tmp_path, answer=0.2 if "0.2 s" in word else 5.0)
        with pytest.raises(PortraitistError, match=word) as told:
            drawn(artist)
        assert told.value.remedy
        assert "\n" not in told.value.problem
        assert not (server.pending or server.running) or word == "saves no picture"
    assert time.monotonic() - began < 10


def test_a_graph_that_is_refused_is_told_by_its_node(tmp_path):
    with comfy() as server:
        artist = easel(server, tmp_path)
        artist.wear("", {}, 0.0)
        server.lacks = ()
        artist.workflow.graph["4"]["inputs"]["sampler_name"] = "flow"
        with pytest.raises(PortraitistError, match=r"node 4 \(KSampler\): Value not in list sampler_name: 'flow'"):
            artist.draw("a cat", 7, 3.0, 9)


@pytest.mark.parametrize("where", ["pending", "running"])
def test_a_stop_takes_the_job_back_wherever_it_is(where, tmp_path):
    asked = []
    with comfy() as server:
        artist = easel(server, tmp_path, stop=lambda: len(asked) > 1)
        artist.wear("", {}, 0.0)

        def waits(handler):
            asked.append(1)
            if where == "running" and server.pending:
                server.running = server.pending.pop()
            server.stuck = True
            return False

        server.script["history"] = [waits, ...]
        with pytest.raises(Interrupted):
            artist.draw("a cat", 7, 3.0, 9)
        assert not server.pending
        assert not server.running
        assert len(server.interrupted) == (where == "running")


def test_somebody_elses_job_is_not_interrupted(tmp_path):
    with comfy() as server:
        artist = easel(server, tmp_path, patience=0.05)
        artist.wear("", {}, 0.0)
        server.running, server.stuck = "somebody else's", True
        with pytest.raises(PortraitistError, match=r"drew nothing in 0\.05 s"):
            artist.draw("a cat", 7, 3.0, 9)
        assert (server.running, server.pending, server.interrupted) == ("somebody else's", [], [])


def test_a_picture_that_was_deleted_on_the_server_is_drawn_anew_by_another_sitting(tmp_path):
    with comfy() as server:
        for _ in range(2):
            artist = easel(server, tmp_path)
            artist.wear("", {}, 0.0)
            artist.draw("a cat", 7, 3.0, 9)
            server.files.clear()


def test_a_picture_of_another_size_than_is_judged_is_refused(tmp_path):
    with comfy() as server:
        artist = easel(server, tmp_path, places={name: at for name, at in PLACES.items() if name != "width"})
        artist.width = artist.height = 96
        artist.wear("", {}, 0.0)
        with pytest.raises(PortraitistError, match="draws 64 x 64 pixels, and judging is set for 96 x 96"):
            artist.draw("a cat", 7, 3.0, 9)


def test_a_server_that_is_not_there_is_told_at_once(tmp_path):
    with comfy() as server:
        pass
    with pytest.raises(PortraitistError, match="Nothing answers"):
        easel(server, tmp_path).wear("", {}, 0.0)
