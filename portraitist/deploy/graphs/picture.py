"""A picture that brings a workflow along: dragged into ComfyUI's editor, it opens there."""

import json
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin

from portraitist.deploy.server import Graph
from portraitist.pictures import open_upright, png


def carrying(path: Path, graph: Graph, workflow: dict[str, Any]) -> bytes:
    """The pixels of a picture's file as a PNG with the texts that ComfyUI's own have: `prompt` and `workflow`.

    Nothing else of the file comes along. Raises PortraitistError for a file that is no picture.
    """
    told = PngImagePlugin.PngInfo()
    told.add_text("prompt", json.dumps(graph))
    told.add_text("workflow", json.dumps(workflow))
    return plain(path, told)


def plain(path: Path, told: PngImagePlugin.PngInfo | None = None) -> bytes:
    """The upright pixels of a picture's file as a PNG. Raises PortraitistError for a file that is no picture."""
    return png(open_upright(path).pixels, told)
