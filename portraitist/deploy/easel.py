"""A running ComfyUI draws what is judged: a checkpoint is put there as a LoRA, and each picture is a job of its own.

Whether the LoRA was loaded is read in the server's log, for one that fits no layer ends in success there all the same.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from portraitist import durable
from portraitist.deploy.graphs import facts
from portraitist.deploy.server import Graph, Server
from portraitist.deploy.workflow import Place, Workflow, without
from portraitist.errors import PortraitistError
from portraitist.pictures import open_data
from portraitist.sight.endpoint import EndpointError

if TYPE_CHECKING:
    from torch import Tensor

FRESH = "portraitist"
"""An input that no node has. ComfyUI passes over it, and yet takes the node for another than before: so each sitting
has its LoRAs loaded anew, and the log tells of it; and pictures saved anew, also where earlier ones were deleted."""

LOOKS, PAUSE = 6, 1.0
"""How often it is looked whether a LoRA is listed, and seconds between: a shared folder may be slow."""

FORM = 4096
"""Bytes of a form around the file in it, at most."""

Packed = Callable[["Mapping[str, Tensor]"], tuple[bytes, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Lora:
    """A checkpoint on the server: the name that its loader lists, and the keys that the file has."""

    name: str
    keys: frozenset[str]


@dataclass(slots=True)
class Easel:
    """A server, what it draws by, and the checkpoint that it draws with now.

    packed      an adapter's tensors, by canonical names, to the file that ComfyUI loads, and the keys in that
    width, height  of every picture, pixels
    references  PNGs, one for each place that the workflow has for them
    ours        whether the workflow is portraitist's own, which has no input that a server may not know
    shared      a folder in which the server looks for LoRAs, as seen from here; None sends them
    name        that it is ComfyUI, and the digest of the workflow with its places
    loaded      checkpoints and strengths that were found to be loaded
    ends        nodes that save or show
    sitting     names this one among others on the same server
    """

    server: Server
    workflow: Workflow
    packed: Packed
    width: int
    height: int
    references: Sequence[bytes] = ()
    shared: Path | None = None
    ours: bool = False
    name: str = ""
    prepared: bool = False
    uploaded: list[str] = field(default_factory=list)
    ends: tuple[str, ...] = ()
    worn: tuple[str, float] = ("", 0.0)
    there: dict[str, Lora] = field(default_factory=dict)
    loaded: set[tuple[str, float]] = field(default_factory=set)
    sitting: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def __post_init__(self) -> None:
        self.name = f"comfyui {self.workflow.name}"  # of what a person wrote, not of what a server makes of it

    def prepare(self) -> None:
        """See that the server has every node and file, and give it the references: once.

        Raises PortraitistError where it lacks one, and EndpointError where it does not answer.
        """
        if self.prepared:
            return
        known, places = facts.of_server(self.server), self.workflow.places
        graph = facts.suited(self.workflow.graph, known, [str(place) for place in places["lora"]])
        if self.ours:
            facts.require(graph, known)
        for place in (place for some in places.values() for place in some):
            kind = graph[place.node]["class_type"]
            if "." not in place.input and known.nodes[kind].input(place.input) is None:
                raise PortraitistError(
                    f"Nodes {kind} of the ComfyUI at {self.server.url} have no input {place.input!r}",
                    "ComfyUI would pass over it: name another, or update what brings the node.",
                )
        self.ends = tuple(key for key, node in graph.items() if known.nodes[node["class_type"]].ends)
        for data in self.references:
            name = f"portraitist-{hashlib.sha256(data).hexdigest()[:16]}.png"
            self.uploaded.append(self.server.upload(name, data, "image/png"))
        self.workflow, self.prepared = replace(self.workflow, graph=graph), True

    def wear(self, adapter: str, tensors: Mapping[str, "Tensor"], strength: float) -> None:
        """Draw with a checkpoint at a strength from now on; "" is the base."""
        self.prepare()
        if adapter and adapter not in self.there:
            data, keys = self.packed(tensors)
            self.there[adapter] = Lora(self.put(data), keys)
        self.worn = (adapter, strength if adapter else 0.0)

    def put(self, data: bytes) -> str:
        """Bring a LoRA's file to the server; returns the name by which its loader lists it.

        The name is of the content, for a loader that is asked for a name again may not look into the file again.
        Raises PortraitistError for one that is too large to be sent, and one that is not listed.
        """
        file = f"portraitist-{hashlib.sha256(data).hexdigest()[:16]}.safetensors"
        if self.shared is not None:
            durable.write_bytes(self.shared / file, data)
        else:
            largest = self.server.largest()
            if largest and len(data) + FORM > largest:
                raise self.too_large(data, f"takes {largest / 1e6:.0f} MB")
            try:
                self.server.upload(file, data, "application/octet-stream", "output", "loras")
            except EndpointError as error:
                raise (self.too_large(data, "does not take as much") if error.status == 413 else error) from error
        return self.listed(file)

    def too_large(self, data: bytes, says: str) -> PortraitistError:
        """The complaint about a LoRA that cannot be sent."""
        size = len(data) / 1e6
        return PortraitistError(
            f"The LoRA has {size:.0f} MB, and the ComfyUI at {self.server.url} {says}",
            f"Start it with --max-upload-size {size * 1.1 + 1:.0f}, or name a folder in which it looks for LoRAs, as"
            " seen from here: judging.comfyui.loras.",
        )

    def listed(self, file: str) -> str:
        """The name of a LoRA as the workflow's loader lists it."""
        for turn in range(LOOKS):
            choices = self.choices(self.workflow.places["lora"][0])
            if choices is None:
                return file
            for choice in choices:
                if facts.slashed(choice).rpartition("/")[2] == file:
                    return choice
            time.sleep(PAUSE * (turn + 1 < LOOKS))
        where = self.shared or "output/loras"
        raise PortraitistError(
            f"The LoRA {file} lies in {where}, and the ComfyUI at {self.server.url} does not list it",
            "Name a folder in which it looks for LoRAs, as seen from here: judging.comfyui.loras.",
        )

    def choices(self, place: Place) -> tuple[str, ...] | None:
        """What the server lists for a place now; None where it lists nothing for such."""
        kind = self.workflow.graph[place.node]["class_type"]
        node = facts.read(self.server.nodes(kind)).get(kind)
        known = node.input(place.input) if node else None
        return known.choices if known and known.closed else None

    def stand_in(self, place: Place) -> str:
        """A LoRA for a loader that cannot be left out, which is told strength 0: the workflow's own, or any."""
        node, choices = self.workflow.graph[place.node], self.choices(place)
        own = str(node["inputs"][place.input])
        if choices is None or own in choices:
            return own
        if not choices:
            raise PortraitistError(
                f"The ComfyUI at {self.server.url} lists no LoRA, and {node['class_type']} wants one for the base too",
                "Put any LoRA there, or use ComfyUI's own LoraLoaderModelOnly.",
            )
        return choices[0]

    def graph(self, text: str, seed: int, guidance: float, steps: int) -> Graph:
        """The job of one picture."""
        adapter, strength = self.worn
        places, loaders = self.workflow.places, [place.node for place in self.workflow.places["lora"]]
        values = {
            "prompt": text, "seed": seed, "guidance": guidance, "steps": steps, "width": self.width,
            "height": self.height, "strength": strength,
        }  # fmt: skip
        if "references" in places:
            values["references"] = list(self.uploaded)
        if adapter:
            values["lora"] = self.there[adapter].name
        graph = self.workflow.filled(values)
        for key in (*self.ends, *loaders):
            graph[key]["inputs"][FRESH] = self.sitting
        if not adapter:
            graph = without(graph, loaders)
            for place in (place for place in places["lora"] if place.node in graph):
                graph[place.node]["inputs"][place.input] = self.stand_in(place)
        return graph

    def draw(self, text: str, seed: int, guidance: float, steps: int) -> np.ndarray:
        """A picture (H, W, 3) uint8. Raises PortraitistError where none comes, and where the LoRA was not loaded."""
        unsure = bool(self.worn[0]) and self.worn not in self.loaded
        before = self.server.log() if unsure else None
        pixels = self.drawn(self.graph(text, seed, guidance, steps))
        if unsure:
            lost = self.server.lost_keys(before)
            if lost is None:
                worn, self.worn = self.worn, ("", 0.0)
                plain = self.drawn(self.graph(text, seed, guidance, steps))
                self.worn = worn
                self.require_change(pixels, plain)
            else:
                self.require_loaded(lost)
            self.loaded.add(self.worn)
        return pixels

    def drawn(self, graph: Graph) -> np.ndarray:
        """What comes of a job, of the size that is judged."""
        data = self.server.picture(self.server.run(graph))
        try:
            pixels = open_data(Path("it"), data).pixels
        except PortraitistError as error:
            raise PortraitistError(
                f"The ComfyUI at {self.server.url} answered no picture: {error.problem}", "Run again; look at its log."
            ) from error
        height, width = pixels.shape[:2]
        if (width, height) != (self.width, self.height):
            raise PortraitistError(
                f"The workflow draws {width} x {height} pixels, and judging is set for {self.width} x {self.height}",
                "Name where its size goes (judging.comfyui.width, .height), or draw squares and set judging.side.",
            )
        return pixels

    def require_loaded(self, lost: Sequence[str]) -> None:
        """Refuse what was drawn without all of the LoRA, by the server's log."""
        keys = self.there[self.worn[0]].keys
        if ours := [key for key in dict.fromkeys(lost) if key in keys]:
            raise PortraitistError(
                f"The ComfyUI at {self.server.url} did not load the LoRA: its log says so of {len(ours)} of"
                f" {len(keys)} keys, such as {ours[0]}",
                "See that the workflow loads the model that the LoRA was trained on, and that ComfyUI is up to date.",
            )

    def require_change(self, pixels: np.ndarray, plain: np.ndarray) -> None:
        """The same where the server shows no log: the picture must not be that of the base."""
        if np.array_equal(pixels, plain):
            raise PortraitistError(
                f"The ComfyUI at {self.server.url} draws the same picture with the LoRA as without, and shows no log",
                "See that the workflow loads the model that the LoRA was trained on, and that ComfyUI is up to date.",
            )
