"""A running ComfyUI draws by a workflow that a person made: its API format, with the inputs named that we fill in."""

import copy
import json
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.deploy.exchange import ask, of_form, of_json, read_json
from portraitist.errors import PortraitistError
from portraitist.sight.endpoint import Endpoint, EndpointError

POLL = 0.5
"""Seconds between looks at a job."""

HINT = "In ComfyUI: Workflow, Export (API). Inputs are named by node and input, such as 6.text."


@dataclass(frozen=True, slots=True)
class Place:
    """An input of a workflow: a node's id, and the input's name."""

    node: str
    input: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph in API format, and where prompt, seed and reference go in it."""

    graph: dict[str, Any]
    prompt: Place
    seed: Place
    reference: Place | None
    digest: str

    @classmethod
    def read(cls, path: Path, prompt: str, seed: str, reference: str) -> "Workflow":
        """A workflow's file with its places, each as "node.input", the node by its id or its title.

        reference  "" for a workflow that brings its own
        Raises PortraitistError for a file that is none, one in the format of the browser, and places that it lacks.
        """
        try:
            graph = json.loads(durable.read_text(path))
        except (json.JSONDecodeError, RecursionError) as error:
            raise PortraitistError(f"{path} is no JSON: {error}", HINT) from error
        nodes = graph if isinstance(graph, dict) else {}
        if "nodes" in nodes and "links" in nodes:
            raise PortraitistError(f"{path} is a workflow as the browser saves it, not in API format", HINT)
        if not nodes or not all(isinstance(n, dict) and "class_type" in n and "inputs" in n for n in nodes.values()):
            raise PortraitistError(f"{path} is no workflow in API format", HINT)
        found = [placed(nodes, path, what, text) for what, text in (("prompt", prompt), ("seed", seed))]
        shown = placed(nodes, path, "reference", reference) if reference else None
        return cls(nodes, found[0], found[1], shown, durable.digest(path))

    def filled(self, prompt: str, seed: int, reference: str) -> dict[str, Any]:
        """The graph with its inputs filled in."""
        graph = copy.deepcopy(self.graph)
        graph[self.prompt.node]["inputs"][self.prompt.input] = prompt
        graph[self.seed.node]["inputs"][self.seed.input] = seed
        if self.reference is not None:
            graph[self.reference.node]["inputs"][self.reference.input] = reference
        return graph


def placed(nodes: dict[str, Any], path: Path, what: str, text: str) -> Place:
    """Where an input is. Raises PortraitistError for one that the workflow does not have, or that is linked."""
    name, dot, wanted = text.rpartition(".")
    titled = [key for key, node in nodes.items() if node.get("_meta", {}).get("title") == name]
    node = name if name in nodes else titled[0] if len(titled) == 1 else ""
    if not dot or not node:
        there = ", ".join(f"{key} {node['class_type']}" for key, node in list(nodes.items())[:12])
        raise PortraitistError(f"{path} has no node {name or text!r} for the {what}; it has {there}", HINT)
    inputs = nodes[node]["inputs"]
    if wanted not in inputs:
        raise PortraitistError(
            f"Node {node} ({nodes[node]['class_type']}) of {path} has no input {wanted!r} for the {what}",
            f"Its inputs: {', '.join(inputs)}.",
        )
    if isinstance(inputs[wanted], list):
        raise PortraitistError(
            f"{node}.{wanted} of {path} is linked to another node, and cannot be filled with the {what}",
            "Name the input of the node that the link comes from.",
        )
    return Place(node, wanted)


@dataclass(slots=True)
class Comfy:
    """A server and what it draws by.

    patience  seconds for one picture; a job that takes longer is interrupted
    """

    endpoint: Endpoint
    workflow: Workflow
    reference: bytes
    patience: float = 900.0
    uploaded: str = ""
    client: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def name(self) -> str:
        """As in the record."""
        return f"comfyui {self.endpoint.url}"

    @property
    def model(self) -> str:
        """SHA-256 of the workflow, which names the model's files."""
        return self.workflow.digest

    def prepare(self, prompts: list[str]) -> None:
        """See that the server has every node, and give it the reference. Raises PortraitistError where it lacks one."""
        known = read_json(ask(self.endpoint, "object_info"), self.endpoint.url)
        lacking = sorted({n["class_type"] for n in self.workflow.graph.values()} - known.keys())
        if lacking:
            raise PortraitistError(
                f"The ComfyUI at {self.endpoint.url} lacks the nodes {', '.join(lacking)}",
                "Install what brings them there, or use a workflow without them.",
            )
        if self.workflow.reference is not None:
            form = of_form(
                {"type": "input", "overwrite": "true"},
                {"image": (f"portraitist-{self.client[:8]}.png", self.reference, "image/png")},
            )
            got = read_json(ask(self.endpoint, "upload/image", form), self.endpoint.url)
            folder = str(got.get("subfolder") or "")
            self.uploaded = f"{folder}/{got.get('name')}" if folder else str(got.get("name"))

    def draw(self, prompt: str, seed: int) -> bytes:
        """One picture's file. Raises EndpointError for a graph that is refused, a job that fails, and a lost server."""
        graph = self.workflow.filled(prompt, seed, self.uploaded)
        answer = read_json(
            ask(self.endpoint, "prompt", of_json({"prompt": graph, "client_id": self.client})), self.endpoint.url
        )
        if answer.get("node_errors"):
            raise EndpointError(
                f"ComfyUI refuses the workflow: {complaint(answer['node_errors'])}",
                "Open it in ComfyUI and run it there.",
            )
        outputs = self.awaited(str(answer.get("prompt_id", "")))
        images = [image for node in outputs.values() for image in node.get("images", ())]
        kept = [image for image in images if image.get("type") == "output"] or images
        if not kept:
            raise EndpointError("The workflow saves no picture", "End it in a SaveImage node.")
        asked = {name: str(kept[0].get(name, "")) for name in ("filename", "subfolder", "type")}
        return ask(self.endpoint, "view", query=asked)

    def awaited(self, job: str) -> dict[str, Any]:
        """The outputs of a job, once it is done."""
        end, unseen = time.monotonic() + self.patience, 0
        while time.monotonic() < end:
            found = read_json(ask(self.endpoint, f"history/{job}"), self.endpoint.url).get(job)
            if found is not None:
                status = found.get("status", {})
                if status.get("status_str") == "error":
                    raise EndpointError(f"ComfyUI could not draw: {failure(status)}", "Look at the server's log.")
                outputs: dict[str, Any] = found.get("outputs", {})
                return outputs
            queue = read_json(ask(self.endpoint, "queue"), self.endpoint.url)
            waiting = [row for part in ("queue_running", "queue_pending") for row in queue.get(part, ())]
            unseen = 0 if any(job in row for row in waiting) else unseen + 1
            if unseen > 3:  # a job leaves the queue a moment before it is in the history
                raise EndpointError(
                    f"ComfyUI at {self.endpoint.url} no longer knows the job", "Was it started anew? Run again."
                )
            time.sleep(POLL)
        ask(self.endpoint, "interrupt", of_json({"prompt_id": job}))
        raise EndpointError(
            f"ComfyUI drew nothing in {self.patience:g} s", "Allow more time, or look at what the server does."
        )


def complaint(errors: Any) -> str:
    """The first of a graph's errors in words."""
    for node, error in errors.items() if isinstance(errors, dict) else ():
        for one in error.get("errors", ()):
            what = f"{one.get('message', '')} {one.get('details', '')}"
            return f"node {node} ({error.get('class_type', '')}): {what}"[:200]
    return str(errors)[:200]


def failure(status: dict[str, Any]) -> str:
    """Why a job failed, by the messages in its history."""
    for message in status.get("messages", ()):
        if isinstance(message, list) and len(message) == 2 and message[0] == "execution_error":
            facts = message[1]
            return f"{facts.get('node_type', '')}: {facts.get('exception_message', '')}".strip()[:200]
    return "no reason given"
