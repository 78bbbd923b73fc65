"""A workflow that a person made: ComfyUI's API format, with the inputs named that we fill in."""

import copy
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.deploy.server import Graph, table
from portraitist.errors import PortraitistError

HINT = "In ComfyUI: Workflow, Export (API). Inputs are named by node and input, such as 6.text."

STRENGTHS = ("strength_model", "strength_clip", "strength")
"""What ComfyUI's own LoRA loaders call the strength."""


PASSED = {"LoraLoader": {0: "model", 1: "clip"}, "LoraLoaderModelOnly": {0: "model"}}
"""ComfyUI's own LoRA loaders: which input comes out of each slot, unchanged, where there is no LoRA."""


@dataclass(frozen=True, slots=True)
class Place:
    """An input of a workflow: a node's id, and the input's name."""

    node: str
    input: str

    def __str__(self) -> str:
        return f"{self.node}.{self.input}"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph in API format, and where what goes in it; `digest` is the SHA-256 of its file, "" without one."""

    graph: Graph
    places: Mapping[str, tuple[Place, ...]]
    digest: str

    @classmethod
    def read(cls, path: Path, places: Mapping[str, str | Sequence[str]]) -> "Workflow":
        """A workflow's file with its places by what goes there, such as prompt, each as "node.input", the node by its
        id or its title; "" leaves what the workflow brings.

        Raises PortraitistError for a file that is none, one in the format of the browser, and places that it lacks.
        """
        try:
            graph = json.loads(durable.read_text(path))
        except (json.JSONDecodeError, RecursionError) as error:
            raise PortraitistError(f"{path} is no JSON: {error}", HINT) from error
        nodes = graph if isinstance(graph, dict) else {}
        if "nodes" in nodes and "links" in nodes:
            raise PortraitistError(f"{path} is a workflow as the browser saves it, not in API format", HINT)
        if not nodes or not all(map(is_node, nodes.values())):
            raise PortraitistError(f"{path} is no workflow in API format", HINT)
        return cls.of(nodes, places, str(path), durable.digest(path))

    @classmethod
    def of(
        cls, graph: Graph, places: Mapping[str, str | Sequence[str]], source: str = "", digest: str = ""
    ) -> "Workflow":
        """A graph with its places, as `read` has them; `source` is for messages."""
        found = {}
        for what, texts in places.items():
            named = [texts] if isinstance(texts, str) else texts
            if some := tuple(placed(graph, source, what, text) for text in named if text):
                found[what] = some
        return cls(graph, found, digest)

    def has(self, what: str) -> bool:
        """Whether it has a place for it."""
        return what in self.places

    def filled(self, values: Mapping[str, Any]) -> Graph:
        """The graph with its inputs filled in; a list gives each of several places its own, what has none is left."""
        graph = copy.deepcopy(self.graph)
        for what, value in values.items():
            places = self.places.get(what, ())
            each = value if isinstance(value, list) else [value] * len(places)
            for place, one in zip(places, each, strict=True):
                graph[place.node]["inputs"][place.input] = one
        return graph

    def with_strengths(self) -> "Workflow":
        """The same with the strengths of its LoRA loader found, where they are not named."""
        if self.has("strength") or not self.has("lora"):
            return self
        places = []
        for place in self.places["lora"]:
            inputs = self.graph[place.node]["inputs"]
            places += [Place(place.node, n) for n in STRENGTHS if n in inputs and not isinstance(inputs[n], list)]
        if not places:
            raise PortraitistError(
                f"Node {self.places['lora'][0].node} of the workflow has no strength",
                'Name the input: judging.comfyui.strength = "10.strength_model".',
            )
        return Workflow(self.graph, {**self.places, "strength": tuple(places)}, self.digest)

    @property
    def name(self) -> str:
        """Digest of the graph and its places: two of one name draw the same of the same values."""
        told = [self.graph, {what: [str(place) for place in places] for what, places in self.places.items()}]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def is_node(value: Any) -> bool:
    """Whether a value of a file is a node in API format."""
    kind, inputs = table(value).get("class_type"), table(value).get("inputs")
    return isinstance(kind, str) and isinstance(inputs, dict)


def placed(nodes: Mapping[str, Any], path: str, what: str, text: str) -> Place:
    """Where an input is. Raises PortraitistError for one that the workflow does not have, or that is linked."""
    name, dot, wanted = text.rpartition(".")
    titled = [key for key, node in nodes.items() if table(node.get("_meta")).get("title") == name]
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


def without(graph: Graph, nodes: Collection[str]) -> Graph:
    """A graph without some of ComfyUI's own LoRA loaders: what they were given goes where they led to.

    Others are left in it.
    """
    found = copy.deepcopy(graph)
    for key in nodes:
        passed = PASSED.get(found[key]["class_type"])
        if passed is None:
            continue
        given = found.pop(key)["inputs"]
        for node in found.values():
            for name, value in node["inputs"].items():
                for slot, source in passed.items():
                    if value == [key, slot] and source in given:
                        node["inputs"][name] = given[source]
    return found
