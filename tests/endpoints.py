"""A server on this machine that speaks OpenAI's protocol, and misbehaves as it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer: status and body; `promised` bytes in its header beyond the body, `after` seconds, `drip` by bytes."""

    body: bytes = b"{}"
    status: int = 200
    promised: int = 0
    after: float = 0.0
    drip: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


def chat(content: str | None, finish: str = "stop", status: int = 200, **message: Any) -> Reply:
    """A chat completion as OpenAI's protocol has it."""
    body = {
        "id": "1",
        "object": "chat.completion",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
    return Reply(json.dumps(body).encode(), status)


@dataclass
class Server:
    """The running server: its address, what it was asked, and what it will answer, the last again and again."""

    url: str
    replies: list[Reply]
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def serving(*replies: Reply) -> Iterator[Server]:
    """A server at a free port that answers one reply after the other."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with lock:
                server.asked.append(json.loads(body))
                server.headers.append(dict(self.headers.items()))
                server.paths.append(self.path)
                reply = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
            time.sleep(reply.after)
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) + reply.promised))
            self.end_headers()
            try:
                for at in range(0, len(reply.body), 1 if reply.drip else max(1, len(reply.body))):
                    self.wfile.write(reply.body[at : at + 1] if reply.drip else reply.body)
                    time.sleep(reply.drip)
            except OSError:
                pass  # whoever asked has gone: that is what some tests are about

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{running.server_port}/v1", list(replies) or [Reply()])
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
