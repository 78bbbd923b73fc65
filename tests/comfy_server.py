"""A real ComfyUI of one's own, started headless on a CPU with a folder of its own; and its editor in a real browser.

COMFY_DIR is a checkout of ComfyUI, COMFY_PYTHON an interpreter that has what it needs (without it ours). Nothing of it
is ours: it is GPL, and comes from wherever a person has it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from portraitist.deploy.graphs.facts import FOLDERS

PYTHON = os.environ.get("COMFY_PYTHON", sys.executable)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1800,1000",
)  # fmt: skip


def free():
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def asked(url, body=None, method=None):
    """Status and JSON of an answer; of a refusal too."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        text, status = error.read(), error.code
    try:
        return status, json.loads(text or b"null")
    except ValueError:
        return status, text.decode(errors="replace")


def answering(url, process, seconds):
    """Wait until something answers there."""
    for _ in range(seconds * 2):
        assert process.poll() is None, f"{url} ended at once"
        try:
            return asked(url)
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")


class Server:
    """A running ComfyUI, and the folder that it keeps its files in."""

    def __init__(self, url, folder):
        self.url, self.folder = url, folder

    def place(self, graph):
        """Empty files for all that a graph names: loaders then take the names."""
        for node in graph.values():
            for name, value in node["inputs"].items():
                kind = FOLDERS.get(f"{node['class_type']}.{name}")
                if kind == "input":
                    Image.new("RGB", (48, 64), (200, 10, 10)).save(self.folder / "input" / value)
                elif kind:
                    path = self.folder / "models" / kind / value
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()

    def complaints(self, graph):
        """What it says of a graph: None where it takes it. Nothing is run."""
        status, told = asked(f"{self.url}/prompt", {"prompt": graph})
        asked(f"{self.url}/queue", {"clear": True})
        asked(f"{self.url}/interrupt", {})
        return None if status == 200 and told["node_errors"] == {} else told

    def run(self, graph):
        """The outputs of a graph, run to its end."""
        status, told = asked(f"{self.url}/prompt", {"prompt": graph})
        assert status == 200, told
        for _ in range(240):
            done = asked(f"{self.url}/history/{told['prompt_id']}")[1].get(told["prompt_id"])
            if done:
                assert done["status"]["status_str"] == "success", done["status"]
                return done["outputs"]
            time.sleep(0.5)
        raise AssertionError("nothing was drawn in two minutes")

    def log(self):
        """Its log so far."""
        return "".join(entry["m"] for entry in asked(f"{self.url}/internal/logs/raw")[1]["entries"])


@contextmanager
def served(folder):
    """A ComfyUI with a folder of its own, gone afterwards."""
    for name in ("models", "input", "output", "user", "temp", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    port = free()
    command = [
        PYTHON, "main.py", "--cpu", "--port", str(port), "--base-directory", str(folder), "--disable-api-nodes",
        "--database-url", "sqlite:///:memory:",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=os.environ["COMFY_DIR"], stdout=log, stderr=log)
        try:
            server = Server(f"http://127.0.0.1:{port}", folder)
            answering(f"{server.url}/system_stats", process, 180)
            yield server
        finally:
            process.terminate()
            process.wait(30)


class Editor:
    """ComfyUI's editor in a browser, driven by WebDriver."""

    def __init__(self, session):
        self.session = session

    def does(self, script, *given):
        """What a script gives to its last argument, `done`."""
        value = asked(f"{self.session}/execute/async", {"script": script, "args": list(given)})[1]["value"]
        assert "error" not in value, value
        return value

    def screenshot(self):
        """PNG, in base64."""
        return asked(f"{self.session}/screenshot")[1]["value"]


@contextmanager
def editing(server, folder):
    """The editor of a server, once it knows its nodes."""
    port = free()
    process = subprocess.Popen([shutil.which("chromedriver"), f"--port={port}", "--log-level=SEVERE"])
    driver = f"http://127.0.0.1:{port}"
    try:
        answering(f"{driver}/status", process, 30)
        options = {"args": [*FLAGS, f"--user-data-dir={folder}"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = f"{driver}/session/{asked(f'{driver}/session', wanted)[1]['value']['sessionId']}"
        asked(f"{session}/timeouts", {"script": 60000})
        asked(f"{session}/url", {"url": f"{server.url}/"})
        ready = "return !!(window.app?.graph && Object.keys(window.LiteGraph?.registered_node_types ?? {}).length > 99)"
        for _ in range(120):
            if asked(f"{session}/execute/sync", {"script": ready, "args": []})[1]["value"] is True:
                break
            time.sleep(1)
        yield Editor(session)
        asked(session, method="DELETE")
    finally:
        process.terminate()
        process.wait(30)


def tool(name):
    """Whether a program is there."""
    return shutil.which(name) is not None


def loaded(tree, loras, folder):
    """What ComfyUI's own loader makes of LoRA files on a model of such tensors; see tests/comfy_loading.py."""
    return by_its_own_python("comfy_loading.py", tree, loras, folder)


def scheduled(asked, folder):
    """Levels of noise by ComfyUI's own schedules; see tests/comfy_schedule.py."""
    return by_its_own_python("comfy_schedule.py", asked, (), folder)


def by_its_own_python(script, value, more, folder):
    """What a script prints that is run beside ComfyUI's code, given a value as JSON."""
    path = folder / "given.json"
    path.write_text(json.dumps(value))
    command = [PYTHON, str(Path(__file__).with_name(script)), os.environ["COMFY_DIR"], str(path), *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
