"""What a recipe says of the ComfyUI that draws for judging: where it is, by what it draws, and what it is given."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable
from portraitist.deploy.easel import Easel, Packed
from portraitist.deploy.graphs.drawing import drawing, places
from portraitist.deploy.graphs.handout import own_files
from portraitist.deploy.graphs.setting import Setting, require_able, shifted
from portraitist.deploy.server import Server
from portraitist.deploy.workflow import Workflow
from portraitist.errors import PortraitistError
from portraitist.family import Family
from portraitist.pictures import Opened, png
from portraitist.recipe import Recipe
from portraitist.sections import Comfy
from portraitist.stopping import Stop, never

if TYPE_CHECKING:
    from torch import Tensor

PLACES = ("prompt", "seed", "lora", "strength", "guidance", "steps", "width", "height", "references")
"""What goes into a workflow: the recipe's keys that say where."""


def easel(
    folder: Path,
    recipe: Recipe,
    family: Family,
    width: int,
    height: int,
    manner: tuple[float, int],
    shown: Sequence[Opened] = (),
    stop: Stop = never,
) -> Easel:
    """The ComfyUI that draws for a recipe; nothing is asked of it yet.

    folder  the character's; width, height of every picture in pixels
    manner  guidance at which judging draws, but for those that it tries, and steps
    shown   reference pictures that every picture is drawn with
    Raises PortraitistError for settings that do not go together.
    """
    settings, others = recipe.judging.comfyui, sorted(set(recipe.judging.guidances) - {manner[0]})
    require_one_way(settings)
    theirs = bool(settings.workflow)
    found = workflow(settings, folder) if theirs else own(recipe, family, width, height, manner, len(shown))
    if others and not found.has("guidance"):
        raise PortraitistError(
            f"judging.guidances tries {', '.join(f'{one:g}' for one in others)}, and the workflow has one of its own",
            "Name where it goes (judging.comfyui.guidance), or set judging.guidances = [].",
        )
    room = len(found.places.get("references", ()))
    if len(shown) != room:
        raise PortraitistError(
            f"data.references has {len(shown)} for a picture, and judging.comfyui.references has places for {room}",
            "Name one place for each.",
        )
    pictures = [png(opened.pixels) for opened in shown]
    return Easel(server(settings, stop), found, packing(family), width, height, pictures, shared(settings), not theirs)


def require_one_way(settings: Comfy) -> None:
    """Refuse what is said of a workflow that is not drawn by. Raises PortraitistError."""
    if settings.workflow and settings.files:
        raise PortraitistError(
            "judging.comfyui.files is about the family's own workflow, and judging.comfyui.workflow names another",
            "Name the files in that one, or leave it out.",
        )
    if not settings.workflow and (said := [name for name in PLACES if getattr(settings, name)]):
        raise PortraitistError(
            f"judging.comfyui.{said[0]} is a place in a workflow, and none is named",
            "Name its file (judging.comfyui.workflow), or leave the places out: the family's own knows them.",
        )


def packing(family: Family) -> Packed:
    """How a family's adapters become the files that ComfyUI loads: as they are, unrounded."""

    def packed(tensors: "Mapping[str, Tensor]") -> tuple[bytes, frozenset[str]]:
        from portraitist.adapters import files

        named = {name: tensor.contiguous() for name, tensor in files.to_comfy(tensors, family).items()}
        return files.packed(named, {}), frozenset(named)

    return packed


def server(settings: Comfy, stop: Stop = never) -> Server:
    """The ComfyUI that a recipe or the environment names. Raises PortraitistError where neither does."""
    url = settings.url or os.environ.get("COMFY_URL", "").strip()
    if not url:
        raise PortraitistError(
            "judging.render is comfyui, and nothing says where that is",
            "Set COMFY_URL or judging.comfyui.url, such as http://127.0.0.1:8188.",
        )
    found = Server.at(url, settings.key_variable, settings.timeout, stop)
    found.endpoint.address("")  # refused before anything is drawn
    return found


def own(
    recipe: Recipe, family: Family, width: int, height: int, manner: tuple[float, int], references: int
) -> Workflow:
    """The family's own workflow, of core nodes. Its pictures are shown and not saved: the server forgets them.

    Raises PortraitistError for a family that ComfyUI has no nodes for, and for more references than it takes.
    """
    settings, (guidance, steps) = recipe.judging.comfyui, manner
    require_able(family.name)
    setting = Setting(
        family=family.name,
        lora="",
        strength=1.0,
        prompt="",
        steps=steps,
        guidance=guidance,
        width=width,
        height=height,
        negative=family.profile.negative,
        shift=shifted(family, steps, width),
        files=own_files(recipe.model) | settings.files,
        references=("",) * references,
        prediction=recipe.model.prediction,
    )
    graph = drawing(setting)
    for node in graph.values():
        if node["class_type"] == "SaveImage":
            node |= {"class_type": "PreviewImage", "inputs": {"images": node["inputs"]["images"]}}
    return Workflow.of(graph, places(graph))


def workflow(settings: Comfy, folder: Path) -> Workflow:
    """A person's workflow, with the places that the recipe names. Raises PortraitistError for what does not fit."""
    if not (settings.prompt and settings.seed and settings.lora):
        raise PortraitistError(
            "judging.comfyui names a workflow, and not where things go in it",
            "Name judging.comfyui.prompt, .seed and .lora, or leave the workflow out (docs/comfyui-server.md).",
        )
    named: dict[str, str | Sequence[str]] = {name: getattr(settings, name) for name in PLACES}
    return Workflow.read(folder / durable.expanded(settings.workflow), named).with_strengths()


def shared(settings: Comfy) -> Path | None:
    """The folder of LoRAs that is shared with the server. Raises PortraitistError for one that is not there."""
    if not settings.loras:
        return None
    found = durable.expanded(settings.loras)
    if not found.is_dir():
        raise PortraitistError(
            f"judging.comfyui.loras: there is no folder {found}", "Correct the path, or mount the server's folder."
        )
    return found
