"""A server that speaks the part of the Hub's API by which huggingface_hub's own client uploads a model."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

LARGE = (".safetensors", ".png")
"""What the Hub takes as large files, apart from the commit."""


class Repositories(ThreadingHTTPServer):
    """Repositories by id: whether each is private, and its files; `objects` are large files by digest.

    token    the one that may write; of: whose it is
    refuses  status and words by which every commit is refused
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.private, self.files, self.objects, self.asked = {}, {}, {}, []
        self.token, self.of, self.refuses = "hf_writes", "maker", None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_GET(self):
        self.server.asked.append(f"GET {self.path}")
        name = self.path.removeprefix("/api/models/").partition("?")[0].partition("/revision/")[0]
        if name not in self.server.private or (self.server.private[name] and not self.known()):
            return self.say(404, {"error": "Repository not found"}, "RepoNotFound")
        private, files = self.server.private[name], self.server.files[name]
        listed = [{"rfilename": file} for file in files]
        return self.say(200, {"id": name, "sha": "a" * 40, "private": private, "siblings": listed, "tags": []})

    def do_PUT(self):
        self.server.objects[self.path.rpartition("/")[2]] = self.body()
        self.say(200, {})

    def do_POST(self):
        hub, path, body = self.server, self.path.partition("?")[0], self.body()
        hub.asked.append(f"POST {path}")
        if path == "/api/validate-yaml":
            text = json.loads(body)["content"].split("---\n")[1]
            wrong = [] if isinstance(yaml.safe_load(text), dict) else [{"message": "no table"}]
            return self.say(400 if wrong else 200, {"errors": wrong, "warnings": []})
        if not self.known():
            return self.say(401, {"error": "Invalid credentials"})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or hub.of}/{asked['name']}"
            if name.partition("/")[0] != hub.of:
                return self.say(403, {"error": "You don't have the rights to create a model under this namespace"})
            hub.private[name] = asked.get("private", asked.get("visibility") == "private")
            hub.files[name] = {}
            return self.say(200, {"url": f"{hub.url}/{name}", "id": name, "name": name})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**one, "actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}
                for one in json.loads(body)["objects"]
            ]
            return self.say(200, {"transfer": "basic", "objects": objects})
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path)
        if found[2] == "preupload":
            rows = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            return self.say(200, {"files": rows})
        if hub.refuses:
            return self.say(hub.refuses[0], {"error": hub.refuses[1]})
        return self.commit(found[1], body)

    def commit(self, name, body):
        """Take a commit's lines; large files are those that were sent before."""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.server.files[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                data = self.server.objects[value["oid"]]
                assert hashlib.sha256(data).hexdigest() == value["oid"]
                self.server.files[name][value["path"]] = data
        self.say(200, {"commitUrl": f"{self.server.url}/{name}/commit/{'b' * 40}", "commitOid": "b" * 40})

    def known(self):
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def say(self, status, value, code=""):
        data = json.dumps(value).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", value["error"])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def taking():
    """The server, while it runs."""
    hub = Repositories()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
