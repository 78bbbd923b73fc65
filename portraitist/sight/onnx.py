"""Other people's networks as ONNX files on this machine: opened once a process, never fetched, named by their bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from portraitist import durable
from portraitist.errors import PortraitistError

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and spread of colours in [0, 1] that most networks of pictures were taught on."""


class ModelError(PortraitistError):
    """A model that is not there, is none, or cannot do what it is asked: no picture is to blame."""


@dataclass(frozen=True, slots=True)
class Network:
    """An ONNX file ready to run.

    source   the file
    session  onnxruntime's
    name     of its one input of pictures; shape as the file says it, words or None where it is free
    outputs  names, in the file's order
    """

    source: Path
    session: Any
    name: str
    shape: tuple[Any, ...]
    outputs: tuple[str, ...]

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """All outputs for one input. Raises ModelError with the runtime's own reason when it cannot run."""
        try:
            return [np.asarray(found) for found in self.session.run(None, {self.name: batch})]
        except Exception as error:  # onnxruntime raises types of its own
            raise ModelError(
                f"{self.source} cannot be run on {batch.shape}: {first_line(error)}",
                "It takes pictures of another shape: give another file, or leave it out.",
            ) from error


@cache
def network(path: Path, threads: int = 0) -> Network:
    """The network in a file, on so many threads of the CPU; 0 takes what OMP_NUM_THREADS says, else its cores.

    Raises ModelError when it is absent, no ONNX, of more than one input, or onnxruntime is not installed.
    """
    require(path)
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(
            f"{path.name} needs onnxruntime, which is not installed", "Run: pip install 'portraitist[sight]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    said = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = threads or (int(said) if said.isdecimal() else 0)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own
        raise ModelError(
            f"{path} cannot be read as an ONNX network: {first_line(error)}",
            "Give a whole .onnx file; one kept in Git LFS must be pulled first.",
        ) from error
    given = session.get_inputs()
    if len(given) != 1:
        names = ", ".join(one.name for one in given)
        raise ModelError(
            f"{path} wants {len(given)} inputs ({names}); one of pictures is given",
            "Export the part that sees pictures alone.",
        )
    return Network(path, session, given[0].name, tuple(given[0].shape), tuple(o.name for o in session.get_outputs()))


def first_line(error: Exception) -> str:
    """The beginning of what a library complains of."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def require(path: Path) -> None:
    """Refuse a model file that is not there."""
    if not path.is_file():
        raise ModelError(f"There is no model {path}", "Correct its path, or leave it out; nothing is ever fetched.")


@cache
def digest(path: Path) -> str:
    """SHA-256 of a model's bytes, read once a process. Raises ModelError when it is not there."""
    require(path)
    return durable.digest(path)
