"""A workflow that a person made: ComfyUI's API format, with the inputs named that we fill in."""

import copy
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import durable
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

    graph: dict[str, Any]
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
        if not nodes or not all(isinstance(n, dict) and "class_type" in n and "inputs" in n for n in nodes.values()):
            raise PortraitistError(f"{path} is no workflow in API format", HINT)
        return cls.of(nodes, places, str(path), durable.digest(path))

    @classmethod
    def of(
        cls, graph: dict[str, Any], places: Mapping[str, str | Sequence[str]], source: str = "", digest: str = ""
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

    def filled(self, values: Mapping[str, Any]) -> dict[str, Any]:
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


def placed(nodes: Mapping[str, Any], path: str, what: str, text: str) -> Place:
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


def suited(
    graph: Mapping[str, Any], known: Mapping[str, Any], where: str, later: Collection[Place] = ()
) -> dict[str, Any]:
    """A graph as a server would have it: names of files with its own separator.

    known  what the server at `where` says of its nodes, by class
    later  places that are filled in afterwards
    Raises PortraitistError for nodes that it lacks, and for files and other choices that are not in its lists: all of
    this before anything is queued.
    """
    classes = sorted({str(node["class_type"]) for node in graph.values()})
    if lacking := [name for name in classes if name not in known]:
        raise PortraitistError(
            f"The ComfyUI at {where} lacks the nodes {', '.join(lacking)}",
            "Install what brings them there, or use a workflow without them.",
        )
    found, missing = copy.deepcopy(dict(graph)), []
    for key, node in found.items():
        for name, value in node["inputs"].items():
            choices = offered(known[node["class_type"]], name)
            if choices is None or not isinstance(value, str) or value in choices or Place(key, name) in later:
                continue
            same = [choice for choice in choices if slashed(choice) == slashed(value)]
            if same:
                node["inputs"][name] = same[0]
            else:
                some = ", ".join(sorted(choices)[:4]) or "none at all"
                missing.append(f"{value} ({key} {node['class_type']}.{name}; it has {some})")
    if missing:
        raise PortraitistError(
            f"The ComfyUI at {where} has no {'; no '.join(missing[:4])}",
            "Put the files where it looks for them, or choose others in the workflow.",
        )
    return found


def without(graph: Mapping[str, Any], nodes: Collection[str]) -> dict[str, Any]:
    """A graph without some of ComfyUI's own LoRA loaders: what they were given goes where they led to.

    Others are left in it.
    """
    found = copy.deepcopy(dict(graph))
    for key in nodes:
        passed = PASSED.get(found[key]["class_type"])
        if passed is None:
            continue
        given = found.pop(key)["inputs"]
        for node in found.values():
            for name, value in node["inputs"].items():
                if isinstance(value, list) and len(value) == 2 and str(value[0]) == key:
                    node["inputs"][name] = given[passed[value[1]]]
    return found


def slashed(name: str) -> str:
    """A file's name below its folder with one kind of separator: a server on Windows lists others."""
    return name.replace("\\", "/")


def offered(node: Any, name: str) -> list[str] | None:
    """The values that a node's input may have; None where it is no choice among a list that the server checks."""
    for told, info in inputs_of(node):
        if told != name or not isinstance(info, list) or not info:
            continue
        more = info[1] if len(info) > 1 and isinstance(info[1], dict) else {}
        choices = info[0] if isinstance(info[0], list) else more.get("options") if info[0] == "COMBO" else None
        if isinstance(choices, list) and not any(key.endswith("_upload") or key == "remote" for key in more):
            return [choice for choice in choices if isinstance(choice, str)]
    return None


def takes(node: Any, name: str) -> bool:
    """Whether a node has such an input, by the server's word: others are ignored without a word."""
    told = [known for known, _ in inputs_of(node)]
    return not told or name in told or "." in name


def inputs_of(node: Any) -> Iterator[tuple[str, Any]]:
    """Names and descriptions of a node's inputs, as the server tells them."""
    said = node.get("input") if isinstance(node, dict) else None
    for part in ("required", "optional"):
        group = said.get(part) if isinstance(said, dict) else None
        yield from group.items() if isinstance(group, dict) else ()
