"""What ComfyUI's nodes take and give: a frozen excerpt, or what a server says of itself.

ComfyUI ignores inputs that a node does not have, without a word. So every graph is held against these facts before it
is written.
"""

import copy
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from portraitist.deploy.server import Graph, Server, table
from portraitist.errors import PortraitistError

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR")
"""Types that the editor shows as a field; all others are sockets alone."""

KINDS: Mapping[str, tuple[type, ...]] = {
    "INT": (int,), "FLOAT": (int, float), "STRING": (str,), "BOOLEAN": (bool,), "COMBO": (str,), "COLOR": (str,),
}  # fmt: skip

ANY = "*"
"""The type of what takes or gives anything."""

GROWING = "COMFY_AUTOGROW_V3"
"""The type of an input that stands for any number of them, named `name.prefix0`, `name.prefix1` and so on."""

FOLDERS = {
    "CheckpointLoaderSimple.ckpt_name": "checkpoints",
    "UNETLoader.unet_name": "diffusion_models",
    "CLIPLoader.clip_name": "text_encoders",
    "DualCLIPLoader.clip_name1": "text_encoders",
    "DualCLIPLoader.clip_name2": "text_encoders",
    "VAELoader.vae_name": "vae",
    "LoraLoader.lora_name": "loras",
    "LoraLoaderModelOnly.lora_name": "loras",
    "LoadImage.image": "input",
}
"""Inputs that name a file, and the folder it lies in: their choices are each server's own."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a node.

    type     as ComfyUI names it; COMBO for a choice
    choices  of a COMBO; the frozen excerpt has none for one that names a file, where each server has its own
    folder   where that file lies, below ComfyUI's `models/` or beside it; "" for other inputs
    control  whether the editor shows a second field after it, which says what becomes of a seed after each run
    least, most  of a number
    prefix   of a growing input: what its members' names begin with
    forced   whether it is a socket though its type could be a field
    open     of a COMBO: whether other values go too, as for a picture that is uploaded
    """

    name: str
    type: str
    required: bool = True
    default: Any = None
    choices: tuple[str, ...] = ()
    folder: str = ""
    control: bool = False
    multiline: bool = False
    least: float | None = None
    most: float | None = None
    prefix: str = ""
    forced: bool = False
    open: bool = False

    @property
    def widget(self) -> bool:
        """Whether the editor shows a field for it."""
        return self.type in WIDGETS and not self.forced

    @property
    def closed(self) -> bool:
        """Whether a value has to be one of its choices."""
        return self.type == "COMBO" and not self.open


@dataclass(frozen=True, slots=True)
class Node:
    """A class of nodes: inputs in the editor's order, outputs as (name, type), and whether it ends a graph."""

    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]
    ends: bool = False

    def input(self, name: str) -> Input | None:
        """An input by its name; a member of a growing one is that one."""
        for found in self.inputs:
            member = name.removeprefix(f"{found.name}.{found.prefix}")
            if found.name == name or (found.type == GROWING and member != name and member.isdigit()):
                return found
        return None


@dataclass(frozen=True, slots=True)
class Facts:
    """Nodes by class, of a version of ComfyUI, and where that is known from: "" for the frozen excerpt."""

    version: str
    nodes: Mapping[str, Node]
    server: str = ""


@cache
def frozen() -> Facts:
    """The excerpt that comes along, of the nodes that graphs use; benchmarks/comfy_facts.py writes it."""
    table = json.loads(files("portraitist.deploy.graphs").joinpath("nodes.json").read_text(encoding="utf-8"))
    nodes = {name: Node(tuple(map(thawed, told["inputs"])), tuple(map(tuple, told["outputs"])), told.get("ends", False))
             for name, told in table["nodes"].items()}  # fmt: skip
    return Facts(table["comfyui"], nodes)


def thawed(told: Mapping[str, Any]) -> Input:
    """An input of the excerpt."""
    return Input(**{**told, "choices": tuple(told.get("choices", ()))})


def of_server(server: Server) -> Facts:
    """The facts of a running ComfyUI. Raises EndpointError when it does not answer, or is none."""
    return Facts(server.version(), read(server.nodes()), server.url)


def read(told: Mapping[str, Any]) -> dict[str, Node]:
    """Classes of nodes from what `/object_info` answers, as far as that is of its format."""
    return {name: node(name, said) for name, said in told.items() if isinstance(said, dict)}


def node(name: str, said: Mapping[str, Any]) -> Node:
    """A class of nodes from its entry in `/object_info`."""
    groups, order = table(said.get("input")), table(said.get("input_order"))
    inputs = []
    for part in ("required", "optional"):
        group = table(groups.get(part))
        keys = [key for key in items(order.get(part)) if isinstance(key, str) and key in group] or list(group)
        inputs += [read_input(name, key, group[key], required=part == "required") for key in keys]
    types = [kind if isinstance(kind, str) else "COMBO" for kind in items(said.get("output"))]
    names = items(said.get("output_name")) or types
    return Node(tuple(inputs), tuple(zip(map(str, names), types, strict=False)), bool(said.get("output_node")))


def read_input(node: str, name: str, told: Any, *, required: bool) -> Input:
    """An input from its entry: a type or a list of choices, and options."""
    row = items(told) or [ANY]
    kind, options = row[0], table(row[1] if len(row) > 1 else None)
    choices = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
    kind = "COMBO" if isinstance(kind, list) else kind if isinstance(kind, str) else ANY
    seed = kind == "INT" and name in ("seed", "noise_seed")
    elsewhere = any(key.endswith("_upload") or key == "remote" for key in options)
    return Input(
        name=name,
        type=kind,
        required=required,
        default=options.get("default"),
        choices=tuple(choice for choice in items(choices) if isinstance(choice, str)),
        folder=FOLDERS.get(f"{node}.{name}", ""),
        control=bool(options.get("control_after_generate")) or seed,
        multiline=bool(options.get("multiline")),
        least=number(options.get("min")),
        most=number(options.get("max")),
        prefix=str(table(options.get("template")).get("prefix", "")) if kind == GROWING else "",
        forced=bool(options.get("forceInput")),
        open=kind == "COMBO" and (elsewhere or not isinstance(choices, list)),
    )


def items(value: Any) -> list[Any]:
    """A list of an answer, where there is one; else an empty one."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A number of an answer, where there is one."""
    return value if isinstance(value, int | float) else None


def complaints(graph: Graph, facts: Facts) -> list[str]:
    """What a graph asks of ComfyUI that these facts do not know, each in a line; files are not looked for."""
    ends = any(kind.ends for one in graph.values() if (kind := facts.nodes.get(one["class_type"])))
    found = [] if ends else ["nothing is saved"]
    for key, one in graph.items():
        kind = facts.nodes.get(one["class_type"])
        where = f"node {key} ({one['class_type']})"
        if kind is None:
            found.append(f"{where}: there is no such node")
            continue
        for name, value in one["inputs"].items():
            known = kind.input(name)
            wrong = "no such input" if known is None else amiss(known, value, graph, facts)
            found += [f"{where}.{name}: {wrong}"] if wrong else []
        missing = [i.name for i in kind.inputs if i.required and i.type != GROWING and i.name not in one["inputs"]]
        found += [f"{where}.{name}: missing" for name in missing]
    return found


def amiss(known: Input, value: Any, graph: Graph, facts: Facts) -> str:
    """What is wrong with an input's value, or ""."""
    if isinstance(value, list):
        source = graph.get(str(value[0]))
        outputs = facts.nodes[source["class_type"]].outputs if source and source["class_type"] in facts.nodes else ()
        if not 0 <= value[1] < len(outputs):
            return f"linked to {value[0]}, slot {value[1]}, which is not there"
        given = outputs[value[1]][1]
        loose = known.type == GROWING or "MATCH" in given or ANY in (given, known.type)
        return "" if loose or given in known.type.split(",") else f"takes {known.type}, linked to {given}"
    if known.type not in KINDS:
        return f"takes {known.type}, not a value"
    if not isinstance(value, KINDS[known.type]) or (isinstance(value, bool) and known.type != "BOOLEAN"):
        return f"takes {known.type}, not {value!r}"
    if known.closed and known.choices and not known.folder and value not in known.choices:
        return f"{value!r} is not one of its {len(known.choices)} choices"
    if isinstance(value, int | float) and not within(known, value):
        return f"{value} is not between {known.least} and {known.most}"
    return ""


def within(known: Input, value: float) -> bool:
    """Whether a number lies in an input's range."""
    return (known.least is None or known.least <= value) and (known.most is None or value <= known.most)


def require(graph: Graph, facts: Facts) -> None:
    """Refuse a graph that ComfyUI would refuse, or would run otherwise than it says."""
    if found := complaints(graph, facts):
        whose = f"The ComfyUI at {facts.server}" if facts.server else f"ComfyUI {facts.version}"
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise PortraitistError(
            f"{whose} cannot run the workflow: {found[0]}{more}",
            "Update it: graphs are made for 0.33 and later.",
        )


def suited(graph: Graph, facts: Facts, later: Collection[str] = ()) -> Graph:
    """A graph as a server would have it: names of files with its own separator.

    later  inputs, as "node.input", that are filled in afterwards
    Raises PortraitistError for nodes that it lacks, and for files and other choices that are not in its lists: all of
    this before anything is queued. Inputs that it does not know are left: a workflow may be older than its nodes.
    """
    if lacking := sorted({one["class_type"] for one in graph.values()} - facts.nodes.keys()):
        raise PortraitistError(
            f"The ComfyUI at {facts.server} lacks the nodes {', '.join(lacking)}",
            "Install what brings them there, or use a workflow without them.",
        )
    found, missing = spelt(graph, facts, later)
    if missing:
        raise PortraitistError(
            f"The ComfyUI at {facts.server} has no {'; no '.join(missing[:4])}",
            "Put the files where it looks for them, or name others that it has.",
        )
    return found


def spelt(graph: Graph, facts: Facts, later: Collection[str] = ()) -> tuple[Graph, list[str]]:
    """A graph with its choices as a server spells them, and each that is not in its lists, with the first of those.

    later  inputs, as "node.input", whose values come to the server afterwards
    """
    found, missing = copy.deepcopy(graph), []
    for key, one in found.items():
        kind = facts.nodes.get(one["class_type"])
        for name, value in one["inputs"].items():
            known = kind.input(name) if kind else None
            if known is None or not known.closed or not isinstance(value, str) or value in known.choices:
                continue
            same = [choice for choice in known.choices if slashed(choice) == slashed(value)]
            if same:
                one["inputs"][name] = same[0]
            elif f"{key}.{name}" not in later:
                some = ", ".join(sorted(known.choices)[:4]) or "none at all"
                where = f"models/{known.folder}" if known.folder else "it"
                missing.append(f"{value} ({key} {one['class_type']}.{name}; {where} has {some})")
    return found, missing


def slashed(name: str) -> str:
    """A file's name below its folder with one kind of separator: a server on Windows lists others."""
    return name.replace("\\", "/")
