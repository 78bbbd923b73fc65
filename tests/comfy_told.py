"""A ComfyUI that tells of its nodes, as `/object_info` does, and takes uploads; it draws nothing."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def telling(nodes):
    """A ComfyUI at `url` that says of its nodes what is given, and counts what is uploaded; it does nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            """Keep silent."""

        def answer(self, data):
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            stats = {"system": {"comfyui_version": "0.20.0"}}
            data = json.dumps(nodes if self.path == "/object_info" else stats).encode()
            self.answer(data)

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.server.uploads += 1
            data = b'{"name": "stored.png"}'
            self.answer(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.uploads, server.url = 0, f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def as_told(node, files):
    """A node's facts as `/object_info` has them; `files` by folder."""
    required = {}
    for one in node.inputs:
        choices = files.get(one.folder, []) if one.folder else list(one.choices)
        options = {"default": one.default, "min": one.least, "max": one.most, "multiline": one.multiline}
        options |= {"template": {"prefix": one.prefix}} if one.prefix else {}
        options |= {"image_upload": True} if one.open else {}
        required[one.name] = [
            choices if one.type == "COMBO" else one.type,
            {k: v for k, v in options.items() if v is not None},
        ]
    optional = {one.name: required.pop(one.name) for one in node.inputs if not one.required}
    return {
        "input": {"required": required, "optional": optional},
        "input_order": {"required": list(required), "optional": list(optional)},
        "output": [kind for _, kind in node.outputs], "output_name": [name for name, _ in node.outputs],
        "output_node": node.ends,
    }  # fmt: skip
