"""A ComfyUI of its protocol alone, in a thread: it checks graphs, files and uploads as the real one does, and draws
noise that is a function of the graph. A script of faults, path by path, goes before what it would answer."""

import hashlib
import io
import json
import struct
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

from tests.drawing_servers import form

LOADER = {"model": ["MODEL"], "lora_name": [[]], "strength_model": ["FLOAT", {}]}
NODES = {
    "UNETLoader": {"unet_name": [["flux\\tiny.safetensors"], {}]},
    "LoraLoaderModelOnly": LOADER,
    "LoraLoader": {**LOADER, "clip": ["CLIP"], "strength_clip": ["FLOAT", {}]},
    "SomebodysLoader": LOADER,
    "CLIPTextEncode": {"text": ["STRING", {"multiline": True}]},
    "KSampler": {
        "model": ["MODEL"],
        "positive": ["CONDITIONING"],
        "seed": ["INT", {}],
        "steps": ["INT", {}],
        "cfg": ["FLOAT", {}],
        "sampler_name": ["COMBO", {"options": ["euler", "dpmpp_2m"]}],
    },
    "LoadImage": {"image": [["example.png"], {"image_upload": True}]},
    "SaveImage": {"images": ["IMAGE"], "size": ["INT", {}]},
}
"""Inputs by class, in the two ways that servers tell of choices. Models lie as on Windows."""

WORKFLOW = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux/tiny.safetensors"}},
    "2": {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["1", 0], "lora_name": "", "strength_model": 1.0},
        "_meta": {"title": "Character"},
    },
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": ""}},
    "4": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["2", 0], "positive": ["3", 0], "seed": 0, "steps": 4, "cfg": 1.0, "sampler_name": "euler",
        },
    },
    "9": {"class_type": "SaveImage", "inputs": {"images": ["4", 0], "size": 64}},
}  # fmt: skip

PLACES = {"prompt": "3.text", "seed": "4.seed", "lora": "Character.lora_name", "width": "9.size"}


class Handler(BaseHTTPRequestHandler):
    """Answers as a ComfyUI would, unless the script has something else for the path."""

    def log_message(self, *_):
        """Keep silent."""

    def answer(self, value, status=200, kind="application/json"):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def scripted(self, path):
        """Act out the next fault of a path; whether there was one."""
        name = path.strip("/").split("/")[0]
        faults = self.server.script.get(name)
        if not faults:
            return False
        fault = faults[0] if faults[-1] is Ellipsis and len(faults) == 2 else faults.pop(0)
        return fault(self) is not False

    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.asked.append(parts.path)
        if self.scripted(parts.path):
            return
        name, _, rest = parts.path.strip("/").partition("/")
        if name == "object_info":
            told = {
                kind: {"input": {"required": self.inputs(kind)}, "output_node": kind == "SaveImage"}
                for kind in NODES
                if kind not in self.server.lacks
            }
            self.answer({kind: told[kind] for kind in told if rest in ("", kind)})
        elif name == "features":
            self.answer({"max_upload_size": self.server.largest})
        elif name == "history":
            self.answer({rest: self.server.done[rest]} if self.server.progress(rest) else {})
        elif name == "queue":
            self.answer(self.server.queue())
        elif name == "view":
            found = self.server.files.get(parse_qs(parts.query)["filename"][0])
            self.answer(found or b"", 200 if found else 404, kind="image/png")
        elif name == "internal":
            self.answer({"entries": self.server.entries, "size": {}})
        else:
            self.answer({"error": "no such path"}, 404)

    def inputs(self, kind):
        """Of a class, with the LoRAs that are there."""
        return {
            name: [sorted(self.server.loras)] if name == "lora_name" else told for name, told in NODES[kind].items()
        }

    def do_POST(self):
        server, data = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        self.data = data
        server.asked.append(self.path)
        if self.scripted(self.path):
            return
        if self.path == "/upload/image":
            self.stored(form(self.headers, data), data)
        elif self.path == "/prompt":
            self.queued(json.loads(data))
        elif self.path == "/queue":
            server.pending = [job for job in server.pending if job not in json.loads(data)["delete"]]
            self.answer({})
        elif self.path == "/interrupt":
            server.interrupted.append(json.loads(data)["prompt_id"])
            server.running = None
            self.answer({})
        else:
            self.answer({"error": "no such path"}, 404)

    def stored(self, fields, data):
        """Put an upload where it belongs, as the real one does: whatever it is."""
        name = data.partition(b'filename="')[2].partition(b'"')[0].decode()
        folder = fields.get("subfolder", b"").decode()
        if fields["type"] == b"output" and folder == "loras":
            self.server.loras[name] = fields["image"]
        self.server.uploads.append((fields["type"].decode(), folder, name))
        self.answer({"name": name, "subfolder": folder, "type": fields["type"].decode()})

    def queued(self, asked):
        """Check a graph and queue it."""
        server, graph, errors = self.server, asked["prompt"], {}
        for key, node in graph.items():
            for name, told in self.inputs(node["class_type"]).items():
                value = node["inputs"].get(name)
                choices = told[0] if isinstance(told[0], list) else (told[1] if len(told) > 1 else {}).get("options")
                if name not in node["inputs"] or (choices is not None and name != "image" and value not in choices):
                    message = {"message": "Value not in list", "details": f"{name}: {value!r}"}
                    errors[key] = {"class_type": node["class_type"], "errors": [message]}
        if errors:
            return self.answer({"error": {"message": "Prompt outputs failed validation"}, "node_errors": errors}, 400)
        return self.answer({"prompt_id": server.accept(asked), "number": len(server.jobs), "node_errors": {}})


class Comfy(ThreadingHTTPServer):
    """What the handler's answers stand on."""

    daemon_threads = True

    def accept(self, asked):
        """Put a job into the queue; returns its name."""
        job = asked["prompt_id"]
        self.graphs.append(asked["prompt"])
        self.pending.append(job)
        self.jobs[job] = asked["prompt"]
        return job

    def progress(self, job):
        """Let a job come one look further, pending, running, done; whether it is done."""
        if self.stuck or job in self.done:
            return job in self.done
        if job in self.pending:
            self.pending.remove(job)
            self.running = job
        elif job == self.running:
            self.running = None
            self.execute(job)
        return job in self.done

    def queue(self):
        """Both parts of the queue, as rows of number, job, graph, facts and outputs."""
        rows = [
            [[0, job, {}, {}, []] for job in part] for part in ((self.running,) if self.running else (), self.pending)
        ]
        return {"queue_running": rows[0], "queue_pending": rows[1]}

    def execute(self, job):
        """Draw what a graph asks for: noise by seed and words, and a LoRA's that fits a layer, by its strength.

        The very graph that it had last is not drawn again: it tells of the old file, whatever became of that.
        """
        graph = self.jobs[job]
        if graph == self.last[0]:
            self.done[job] = self.last[1]
            return
        sampler, size = graph["4"]["inputs"], graph["9"]["inputs"]["size"]
        words = graph[sampler["positive"][0]]["inputs"]["text"]
        pixels = noise(f"{words} {sampler['seed']} {sampler['cfg']} {sampler['steps']}", size)
        node = graph[sampler["model"][0]]
        if "lora_name" in node["inputs"] and node["inputs"]["strength_model"]:
            whole = self.loras[node["inputs"]["lora_name"]]
            keys = json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]])
            unknown = [key for key in keys if key != "__metadata__" and not self.fits(key)]
            said = json.dumps({name: value for name, value in node["inputs"].items() if name != "strength_model"})
            if (key := (said, node["inputs"]["strength_model"])) != self.cached:
                self.entries += [{"t": stamp(), "m": f"[WARNING] lora key not loaded: {one}\n"} for one in unknown]
                self.entries = self.entries[-300:]
            self.cached = key
            if len(unknown) < len(keys):
                strength = node["inputs"]["strength_model"]
                pixels = pixels + (0.6 * strength * (noise(hashlib.sha256(whole).hexdigest(), size) - pixels))
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        self.files[f"{job}.png"] = buffer.getvalue()
        saved = {"images": [{"filename": f"{job}.png", "subfolder": "", "type": "output"}]}
        status = {"status_str": "success", "completed": True, "messages": []}
        self.done[job] = {"status": status, "outputs": {"9": saved}}
        self.last = (graph, self.done[job])


def noise(text, size):
    """Soft noise (size, size, 3) float by a text."""
    draw = np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))
    small = Image.fromarray(draw.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC)).astype(float)


def stamp():
    """Now, as logs have it, and later each time."""
    time.sleep(1e-6)
    return f"{time.time_ns():020d}"


def answers(value, status=200, kind="application/json"):
    """A fault: another answer."""
    return lambda handler: handler.answer(value, status, kind)


def breaks(handler):
    """A fault: the connection ends without an answer."""
    handler.close_connection = True


def breaks_after_queueing(handler):
    """A fault: a job comes through, and then the connection ends."""
    handler.server.accept(json.loads(handler.data))
    handler.close_connection = True


def forgets(handler):
    """A fault: the server has been started anew, and has no job."""
    handler.server.pending, handler.server.running = [], None
    return False


def sleeps(seconds):
    """A fault: nothing comes for so long."""
    return lambda handler: time.sleep(seconds)


@contextmanager
def comfy(script=None, lacks=(), largest=100 << 20, fits=lambda key: True):
    """A server at `url`; `script` has faults by the first part of a path, taken one after the other, or the same for
    good where an ellipsis follows."""
    server = Comfy(("127.0.0.1", 0), Handler)
    server.script, server.lacks, server.largest, server.fits = defaultdict(list, script or {}), lacks, largest, fits
    server.asked, server.graphs, server.uploads, server.interrupted, server.entries = [], [], [], [], []
    server.jobs, server.done, server.files, server.loras = {}, {}, {}, {}
    server.pending, server.running, server.stuck, server.cached, server.last = [], None, False, None, ({}, {})
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
