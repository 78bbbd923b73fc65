"""A graph as ComfyUI's editor opens it: format 0.4, with places on the canvas, made of API format and node facts.

Links are (id, from node, from slot, to node, to slot, type). Values of fields stand in a row without names, in the
order of the node's fields, with one more after a seed and after a picture's name: the editor's own.
"""

from collections.abc import Sequence
from typing import Any

from portraitist.deploy.graphs.facts import GROWING, Facts, Input, Node, require
from portraitist.deploy.graphs.setting import published
from portraitist.deploy.server import Graph

VERSION = 0.4
WIDTH, GAP = 320, 60
"""Of a node, and between nodes, in the canvas's pixels."""

LINE, FIELD, TEXT, HEAD = 22, 26, 130, 40
"""Heights of a socket, a field, a field of text, and what is above and below them."""


def editable(graph: Graph, facts: Facts, notes: Sequence[str] = ()) -> dict[str, Any]:
    """A graph in the editor's format, its nodes in columns from left to right, notes below them.

    Raises PortraitistError for a graph that the facts do not know.
    """
    require(graph, facts)
    links: list[list[Any]] = []
    sockets = {key: slots(one["inputs"], facts.nodes[one["class_type"]]) for key, one in graph.items()}
    for key, named in sockets.items():
        for slot, (known, name) in enumerate(named):
            value = graph[key]["inputs"].get(name)
            if isinstance(value, list):
                kind = wire(facts.nodes[graph[value[0]]["class_type"]].outputs[value[1]][1])
                kind = known.type if kind == "*" and known.type != GROWING else kind
                links.append([len(links) + 1, int(value[0]), value[1], int(key), slot, kind])
    places = arranged(graph, facts)
    nodes = [
        shown(key, one, facts, sockets[key], links, places[key], at) for at, (key, one) in enumerate(graph.items())
    ]
    low = max(node["pos"][1] + node["size"][1] for node in nodes) + GAP
    first = max(map(int, graph)) + 1
    for i, text in enumerate(notes):
        nodes.append(note(first + i, len(nodes), text, [i * (2 * WIDTH + GAP), low]))
    return {
        "last_node_id": max(node["id"] for node in nodes),
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": VERSION,
    }


def wire(kind: str) -> str:
    """A type as the editor's links have it: what follows another input's type is any."""
    return "*" if "MATCHTYPE" in kind else kind


def slots(given: dict[str, Any], kind: Node) -> list[tuple[Input, str]]:
    """The inputs of a node in the editor's order, sockets before fields, each by its name; growing ones by member."""
    found = []
    for known in kind.inputs:
        if known.type == GROWING:
            found += [(known, name) for name in given if name.startswith(f"{known.name}.")]
        else:
            found.append((known, known.name))
    return sorted(found, key=lambda one: one[0].widget)


def shown(
    key: str,
    one: dict[str, Any],
    facts: Facts,
    named: list[tuple[Input, str]],
    links: list[list[Any]],
    place: list[int],
    order: int,
) -> dict[str, Any]:
    """One node as the editor has it."""
    kind, own = facts.nodes[one["class_type"]], int(key)
    coming = {link[4]: link for link in links if link[3] == own}
    inputs = [
        {"name": name, "type": coming[at][5] if known.type == GROWING else known.type}
        | ({"widget": {"name": name}} if known.widget else {})
        | {"link": coming[at][0] if at in coming else None}
        for at, (known, name) in enumerate(named)
    ]
    outputs = [
        {"name": name, "type": wire(type_), "links": [link[0] for link in links if link[1] == own and link[2] == slot]}
        for slot, (name, type_) in enumerate(kind.outputs)
    ]
    title = one["_meta"]["title"]
    return {
        "id": own,
        "type": one["class_type"],
        "pos": place,
        "size": [WIDTH, height(kind, len(inputs))],
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {"cnr_id": "comfy-core", "ver": facts.version, "Node name for S&R": one["class_type"]}
        | models(one["inputs"], kind),
        "widgets_values": values(one["inputs"], kind),
    } | ({"title": title} if title != one["class_type"] else {})


def models(given: dict[str, Any], kind: Node) -> dict[str, Any]:
    """Files that a node loads and that are published, as the editor offers to fetch them; {} without one."""
    named = [(str(given.get(known.name)), known.folder) for known in kind.inputs if known.folder]
    found = [{"name": name, "url": url, "directory": folder} for name, folder in named if (url := published(name))]
    return {"models": found} if found else {}


def values(given: dict[str, Any], kind: Node) -> list[Any]:
    """The values of a node's fields as the editor keeps them; a field that is linked, or not said, has its default."""
    found: list[Any] = []
    for known in kind.inputs:
        if known.widget:
            value = given.get(known.name)
            stands = value if value is not None and not isinstance(value, list) else known.default
            found.append(stands if stands is not None else next(iter(known.choices), ""))
            found += ["fixed"] * known.control + ["image"] * (known.folder == "input")
    return found


def height(kind: Node, inputs: int) -> int:
    """Of a node on the canvas, in pixels: enough for what it shows."""
    fields = [known for known in kind.inputs if known.widget]
    sockets = max(inputs - len(fields), len(kind.outputs))
    texts = sum(known.multiline for known in fields)
    rest = len(fields) - texts + sum(known.control for known in fields)
    pictures = 240 if any(known.folder == "input" for known in fields) or kind.ends else 0
    return HEAD + sockets * LINE + rest * FIELD + texts * TEXT + pictures


def arranged(graph: Graph, facts: Facts) -> dict[str, list[int]]:
    """Where each node lies: in the column after the last one that it takes something from, below those before it."""
    depth: dict[str, int] = {}
    for key, one in graph.items():  # a node comes after those that it is linked to
        depth[key] = 1 + max(
            (depth[value[0]] for value in one["inputs"].values() if isinstance(value, list)), default=-1
        )
    bottom: dict[int, int] = {}
    found = {}
    for key, one in graph.items():
        kind, column = facts.nodes[one["class_type"]], depth[key]
        found[key] = [column * (WIDTH + GAP), bottom.get(column, 0)]
        bottom[column] = found[key][1] + height(kind, len(slots(one["inputs"], kind))) + GAP
    return found


def note(key: int, order: int, text: str, place: list[int]) -> dict[str, Any]:
    """Words on the canvas, which no server is told."""
    return {
        "id": key,
        "type": "MarkdownNote",
        "pos": place,
        "size": [2 * WIDTH, 200],
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [text],
    }
