"""A server that speaks the part of the Hub's API that huggingface_hub's own client needs to fetch a model."""

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """Models by id, each a folder.

    gated   ids whose files want a token; `token` is the one that opens them
    cut     of each file's body only so many bytes are sent, once
    sizes   what is said of a file's size, in place of the true one
    asked   every request's line and the range it asked for
    """

    daemon_threads = True

    def __init__(self, models: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.models, self.gated, self.token, self.cut, self.sizes, self.asked = models, set(), "", {}, {}, []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        hub, path = self.server, self.path.partition("?")[0]
        hub.asked.append((self.command, path, self.headers.get("Range"), self.headers.get("Authorization")))
        found = re.fullmatch(r"/(?:api/models/)?([^/]+/[^/]+)(?:/(revision|tree|resolve)/([^/]+)/?(.*))?", path)
        if not found or found[1] not in hub.models:
            return self.say(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        name, what, _, inner = found.groups()
        files = {p.relative_to(hub.models[name]).as_posix(): p for p in hub.models[name].rglob("*") if p.is_file()}
        if what in (None, "revision"):
            listed = [{"rfilename": f, "size": self.size(f, p), "blobId": oid(p)} for f, p in files.items()]
            return self.say(200, {}, {"id": name, "modelId": name, "sha": COMMIT, "siblings": listed, "tags": []})
        if what == "tree":
            rows = [{"type": "file", "path": f, "size": self.size(f, p), "oid": oid(p)} for f, p in files.items()]
            return self.say(200, {}, rows)
        if name in hub.gated and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self.say(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
        if inner not in files:
            return self.say(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        return self.send(inner, files[inner], body=body)

    def size(self, inner, path):
        return self.server.sizes.get(inner, path.stat().st_size)

    def send(self, inner, path, *, body):
        data, start = path.read_bytes(), 0
        if asked := re.match(r"bytes=(\d+)-", self.headers.get("Range") or ""):
            start = int(asked[1])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{oid(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start if body else self.size(inner, path)))
        self.end_headers()
        if body:
            end = self.server.cut.pop(inner, len(data))
            self.wfile.write(data[start:end])
            self.close_connection = end < len(data)

    def say(self, status, headers, value=None):
        data = json.dumps(value if value is not None else {"error": headers.get("X-Error-Message", "")}).encode()
        self.send_response(status)
        for key, text in headers.items():
            self.send_header(key, text)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def oid(path):
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving(models):
    hub = Hub(models)
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
