"""Servers that draw, in a thread: ComfyUI's protocol the image APIs of hosted services, and what goes wrong there."""

import base64
import io
import json
import threading
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from tests.pictures import scenery

NODES = ("LoadImage", "CLIPTextEncode", "KSampler", "SaveImage")

WORKFLOW = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 1, "steps": 4, "positive": ["6", 0]},
        "_meta": {"title": "Draw"},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["4", 1]}},
    "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    "10": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
}


def png(seed, size=64):
    buffer = io.BytesIO()
    Image.fromarray(scenery(seed, size, size)).save(buffer, "PNG")
    return buffer.getvalue()


def form(headers, data):
    """Fields and files of multipart/form-data, by the standard library's own reader of MIME."""
    whole = message_from_bytes(b"Content-Type: " + headers["Content-Type"].encode() + b"\r\n\r\n" + data)
    assert whole.is_multipart()
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in whole.get_payload()
    }


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's `mode` says, and remembers what it was asked."""

    def log_message(self, *_):
        """Keep silent."""

    def answer(self, value, status=200, kind="application/json"):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data) + (50 if self.server.mode == "cut" else 0)))
        self.end_headers()
        self.wfile.write(data)
        if self.server.mode == "cut":
            self.close_connection = True

    def do_GET(self):
        server, parts = self.server, urlsplit(self.path)
        if parts.path == "/object_info":
            self.answer({name: {} for name in NODES if name != server.lacks})
        elif parts.path.startswith("/history/"):
            job = parts.path.rpartition("/")[2]
            server.looked += 1
            if server.mode == "forgotten" or job not in server.jobs or server.looked % 2:
                return self.answer({})
            if server.mode == "fails":
                messages = [["execution_error", {"node_type": "KSampler", "exception_message": "out of memory"}]]
                return self.answer({job: {"status": {"status_str": "error", "messages": messages}, "outputs": {}}})
            saved = [{"filename": job, "subfolder": "", "type": "output"}]
            shown = {} if server.mode == "saves nothing" else {"9": {"images": saved}}
            self.answer({job: {"status": {"status_str": "success", "completed": True}, "outputs": shown}})
        elif parts.path == "/queue":
            running = [] if server.mode == "forgotten" else [[0, job, {}, {}, []] for job in server.jobs]
            self.answer({"queue_running": running, "queue_pending": []})
        elif parts.path == "/view":
            job = parse_qs(parts.query)["filename"][0]
            self.answer(b"<html>" if server.mode == "nonsense" else png(server.jobs[job]), kind="image/png")
        elif parts.path == "/picture":
            assert "Authorization" not in self.headers
            self.answer(png(int(parse_qs(parts.query)["n"][0])), kind="image/png")
        else:
            self.answer({"error": {"message": "no such path"}}, 404)
        return None

    def do_POST(self):
        server, data = self.server, self.rfile.read(int(self.headers["Content-Length"]))
        if server.mode == "broken":
            return self.answer({"error": {"message": "no space left"}}, 500)
        if self.path == "/upload/image":
            server.uploads.append(form(self.headers, data))
            return self.answer({"name": "up.png", "subfolder": "", "type": "input"})
        if self.path == "/prompt":
            return self.queued(json.loads(data)["prompt"])
        if self.headers.get("Authorization") != "Bearer secret" and self.headers.get("x-goog-api-key") != "secret":
            return self.answer({"error": {"message": "bad key secret"}}, 401)
        server.asked.append(
            form(self.headers, data) if "multipart" in self.headers["Content-Type"] else json.loads(data)
        )
        if server.mode == "refuses":
            return self.answer({"error": {"message": "safety system"}}, 400)
        picture = base64.b64encode(b"nonsense" if server.mode == "nonsense" else png(len(server.asked))).decode()
        if self.path.endswith(":generateContent"):
            part = {"text": "I will not."} if server.mode == "empty" else {"inlineData": {"data": picture}}
            return self.answer({"candidates": [{"content": {"parts": [part]}}]})
        rows = {"empty": [], "by address": [{"url": f"{server.url}/picture?n={len(server.asked)}"}]}
        rows["elsewhere"] = [{"url": "http://192.0.2.1/picture"}]
        return self.answer({"data": rows.get(server.mode, [{"b64_json": picture}])})

    def queued(self, graph):
        server = self.server
        if server.mode == "refuses":
            error = {"class_type": "KSampler", "errors": [{"message": "Value not in list", "details": "sampler_name"}]}
            return self.answer({"prompt_id": "x", "node_errors": {"3": error}})
        server.graphs.append(graph)
        job = f"job{len(server.jobs)}"
        server.jobs[job] = graph["3"]["inputs"]["seed"] % 1000
        return self.answer({"prompt_id": job, "number": 1, "node_errors": {}})


@contextmanager
def serving(mode="", lacks=""):
    """A server at `url`, answering as its `mode` says; a mode may be changed meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.lacks, server.looked = mode, lacks, 0
    server.jobs, server.graphs, server.uploads, server.asked = {}, [], [], []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
