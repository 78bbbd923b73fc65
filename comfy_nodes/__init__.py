"""Portraitist's nodes for ComfyUI: from a sheet or a folder of pictures to a proven character LoRA.

Thin: each node runs the `portraitist` command as a child process with an interpreter of its own, and reads its events.
Only `extension.py`, `nodes_*.py` and `comfy_side.py` know ComfyUI; the rest can be imported and tested without it.
"""

from typing import Any


async def comfy_entrypoint() -> Any:
    """What ComfyUI asks a V3 pack for: its extension."""
    from .extension import Portraitist

    return Portraitist()
