"""What the nodes need of ComfyUI: its folders, its memory, its bar, its interrupt."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy import model_management
from comfy_api.v0_0_2 import ComfyAPISync, io
from PIL import Image
from server import PromptServer

from . import child
from .telling import Course

CATEGORY = "portraitist"

Character = io.Custom("PORTRAITIST_CHARACTER")
"""What travels between the nodes: {"folder": str}, a character's folder."""

Run = io.Custom("PORTRAITIST_RUN")
"""A trained run: {"folder": str, "run": str, "changes": [str]}, with the recipe's changes it was trained by."""


def output() -> Path:
    """ComfyUI's output folder."""
    return Path(folder_paths.get_output_directory())


def inputs() -> Path:
    """ComfyUI's input folder."""
    return Path(folder_paths.get_input_directory())


def loras() -> Path:
    """Where LoRA files go so that loaders list them at once."""
    return output() / "loras"


def scratch() -> "tempfile.TemporaryDirectory[str]":
    """A folder for files that a command is handed; gone with its context."""
    return tempfile.TemporaryDirectory(prefix="portraitist-node-")


def base(name: str) -> str:
    """A base as the recipe names it: files that ComfyUI lists get their path; "models" is ComfyUI's own folder."""
    if name.strip() == "models":
        return str(folder_paths.models_dir)
    for kind in ("checkpoints", "diffusion_models"):
        if path := folder_paths.get_full_path(kind, name.strip()):
            return str(path)
    return name.strip()


def free() -> None:
    """Give the card to the training: one prompt is worked on at a time, so nobody else needs these models now."""
    model_management.unload_all_models()
    model_management.soft_empty_cache()


def work(node: str, words: Sequence[str], folder: Path | None = None) -> tuple[dict[str, Any], Course]:
    """Run one command for a node: bar, words and pictures as it goes; returns its answer and what it told.

    node    the node's id; folder: the character's, whose runs pictures are found in
    Raises PortraitistError with what the command refuses. On an interrupt the command is ended, which saves first.
    """
    api, course = ComfyAPISync(), Course(folder / "runs" if folder else None)

    def hear(events: Sequence[child.Event]) -> None:
        course.hear(events)
        done, total = course.place()
        picture = course.shown()
        api.execution.set_progress(done, total, node_id=node, preview_image=opened(picture) if picture else None)
        PromptServer.instance.send_progress_text(course.line(), node)

    def heed() -> None:
        try:
            model_management.throw_exception_if_processing_interrupted()
        except model_management.InterruptProcessingException:
            PromptServer.instance.send_progress_text("stopping: saving first", node)
            raise

    return child.ask(words, hear, heed), course


def opened(path: Path) -> Image.Image | None:
    """A picture for showing; None for one that is gone or not whole yet."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError:
        return None
