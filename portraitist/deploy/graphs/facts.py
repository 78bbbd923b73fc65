"""What ComfyUI's nodes take and give: a frozen excerpt, or what a server says of itself.

ComfyUI ignores inputs that a node does not have, without a word. So every graph is held against these facts before it
is written.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from portraitist.deploy.exchange import ask, read_json
from portraitist.errors import PortraitistError
from portraitist.sight.endpoint import Endpoint

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR")
"""Types that the editor shows as a field; all others are sockets alone."""

KINDS: Mapping[str, tuple[type, ...]] = {
    "INT": (int,), "FLOAT": (int, float), "STRING": (str,), "BOOLEAN": (bool,), "COMBO": (str,), "COLOR": (str,),
}  # fmt: skip

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

Graph = dict[str, dict[str, Any]]
"""A graph in API format: nodes by id, each with class_type, inputs and _meta."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a node.

    type     as ComfyUI names it; COMBO for a choice
    choices  of a COMBO; none for one that names a file, where each server has its own
    folder   where that file lies, below ComfyUI's `models/` or beside it; "" for other inputs
    control  whether the editor shows a second field after it, which says what becomes of a seed after each run
    least, most  of a number
    prefix   of a growing input: what its members' names begin with
    forced   whether it is a socket though its type could be a field
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

    @property
    def widget(self) -> bool:
        """Whether the editor shows a field for it."""
        return self.type in WIDGETS and not self.forced


@dataclass(frozen=True, slots=True)
class Node:
    """A class of nodes: inputs in the editor's order, outputs as (name, type), and whether it ends a graph."""

    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]
    ends: bool = False

    def input(self, name: str) -> Input | None:
        """An input by its name; a member of a growing one is that one."""
        for found in self.inputs:
            grown = found.type == GROWING and name.startswith(f"{found.name}.{found.prefix}")
            if found.name == name or (grown and name.rpartition(found.prefix)[2].isdigit()):
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
    """The excerpt that comes with portraitist, of the nodes that its graphs use; benchmarks/comfyui.py writes it."""
    table = json.loads(files("portraitist.deploy.graphs").joinpath("nodes.json").read_text(encoding="utf-8"))
    nodes = {name: Node(tuple(map(thawed, told["inputs"])), tuple(map(tuple, told["outputs"])), told.get("ends", False))
             for name, told in table["nodes"].items()}  # fmt: skip
    return Facts(table["comfyui"], nodes)


def thawed(told: Mapping[str, Any]) -> Input:
    """An input of the excerpt."""
    return Input(**{**told, "choices": tuple(told.get("choices", ()))})


def of_server(endpoint: Endpoint) -> Facts:
    """The facts of a running ComfyUI. Raises EndpointError when it does not answer, or is none."""
    told = read_json(ask(endpoint, "object_info"), endpoint.url)
    system = read_json(ask(endpoint, "system_stats"), endpoint.url).get("system")
    version = str(system.get("comfyui_version", "")) if isinstance(system, dict) else ""
    return Facts(
        version, {name: node(name, said) for name, said in told.items() if isinstance(said, dict)}, endpoint.url
    )


def node(name: str, said: Mapping[str, Any]) -> Node:
    """A class of nodes from its entry in `/object_info`."""
    groups, order = said.get("input") or {}, said.get("input_order") or {}
    inputs = [
        read_input(name, key, groups[part][key], required=part == "required")
        for part in ("required", "optional")
        for key in order.get(part) or groups.get(part) or ()
        if key in (groups.get(part) or ())
    ]
    types = [kind if isinstance(kind, str) else "COMBO" for kind in said.get("output") or ()]
    names = said.get("output_name") or types
    return Node(tuple(inputs), tuple(zip(map(str, names), types, strict=False)), bool(said.get("output_node")))


def read_input(node: str, name: str, told: Sequence[Any], *, required: bool) -> Input:
    """An input from its entry: a type or a list of choices, and options."""
    kind, options = told[0], told[1] if len(told) > 1 and isinstance(told[1], dict) else {}
    choices = kind if isinstance(kind, list) else options.get("options", ()) if kind == "COMBO" else ()
    kind = "COMBO" if isinstance(kind, list) else str(kind)
    seed = kind == "INT" and name in ("seed", "noise_seed")
    template = options.get("template") or {}
    return Input(
        name=name,
        type=kind,
        required=required,
        default=options.get("default"),
        choices=tuple(map(str, choices)),
        folder=FOLDERS.get(f"{node}.{name}", ""),
        control=bool(options.get("control_after_generate")) or seed,
        multiline=bool(options.get("multiline")),
        least=options.get("min"),
        most=options.get("max"),
        prefix=str(template.get("prefix", "")) if kind == GROWING else "",
        forced=bool(options.get("forceInput")),
    )


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
        loose = known.type == GROWING or "MATCH" in given or "*" in (given, known.type)
        return "" if loose or given in known.type.split(",") else f"takes {known.type}, linked to {given}"
    if known.type not in KINDS:
        return f"takes {known.type}, not a value"
    if not isinstance(value, KINDS[known.type]) or (isinstance(value, bool) and known.type != "BOOLEAN"):
        return f"takes {known.type}, not {value!r}"
    if known.choices and not known.folder and value not in known.choices:
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


def lacking(graph: Graph, facts: Facts) -> list[str]:
    """Files that a graph names and the server of these facts does not list, LoRAs and pictures aside: those come to it
    with the graph. Each with the loader's input and the first that it lists."""
    found = []
    for one in graph.values():
        kind = facts.nodes.get(one["class_type"])
        for name, value in one["inputs"].items() if kind else ():
            known = kind.input(name) if kind else None
            if known is None or known.folder in ("", "loras", "input") or not facts.server or value in known.choices:
                continue
            some = ", ".join(known.choices[:4]) or "none at all"
            found.append(f"{value} ({one['class_type']}; models/{known.folder} has {some})")
    return found
