"""What a base's files say of themselves: a safetensors file by its header alone, and JSON. Loads no torch."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.errors import PortraitistError

WEIGHTS = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
ROUNDED = ("F8", "F6", "F4", "I8", "U8")
"""How the names of types of 8 bits or fewer begin; weights in them go with scales of their own."""

SHARD = re.compile(r"-\d+-of-\d+$")
"""How the stem of a file ends that is one of several."""

LARGEST = 100_000_000  # bytes: the limit of safetensors' own reader


@dataclass(frozen=True, slots=True)
class Header:
    """Names, shapes and stored types of the tensors in a file, at which byte each begins, and its metadata."""

    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    begins: Mapping[str, int]
    words: Mapping[str, str]


def read(path: Path) -> Header:
    """The header of a file.

    Raises PortraitistError when it is no safetensors file, damaged, shorter than its header says, or not to be read.
    """
    if path.suffix in PICKLES:
        raise PortraitistError(
            f"{path} is a pickle, which can run code when it is read",
            f"Give the publisher's {WEIGHTS} file of the same model; pickles are never read.",
        )
    if path.suffix != WEIGHTS:
        raise PortraitistError(f"{path} is not a {WEIGHTS} file", f"Give the model as {WEIGHTS}; no other is read.")
    try:
        facts = path.stat()
        return parsed(path, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise durable.refusal(error, path, "read") from error


@lru_cache(maxsize=64)
def parsed(path: Path, size: int, changed: int) -> Header:
    """The header of a file of so many bytes; the time of its change only tells a long-lived process to look again."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            value = json.loads(file.read(length)) if 0 < length <= min(LARGEST, size - 8) else None
        if not isinstance(value, dict):
            raise ValueError("its header is cut short, or it is something else")
        words = value.pop("__metadata__", {})
        shapes = {name: tuple(map(int, facts["shape"])) for name, facts in value.items()}
        types = {name: str(facts["dtype"]) for name, facts in value.items()}
        begins = {name: 8 + length + int(facts["data_offsets"][0]) for name, facts in value.items()}
        end = max((int(facts["data_offsets"][1]) for facts in value.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise PortraitistError(f"{path} cannot be read: {' '.join(str(error).split())[:100]}", COPY) from error
    if 8 + length + end != size:
        raise PortraitistError(f"{path} cannot be read: {size:,} bytes of {8 + length + end:,}", COPY)
    said = {str(k): str(v) for k, v in words.items()} if isinstance(words, dict) else {}
    return Header(path, shapes, types, begins, said)


COPY = "Copy this file again."


def table(path: Path) -> dict[str, Any]:
    """The JSON table in a base's file; empty when there is no such file. Raises PortraitistError for a damaged one."""
    if not path.is_file():
        return {}
    try:
        value = json.loads(durable.read_text(path))
    except (ValueError, RecursionError) as error:
        raise PortraitistError(f"{path} is damaged: {' '.join(str(error).split())[:100]}", COPY) from error
    if not isinstance(value, dict):
        raise PortraitistError(f"{path} is damaged: it is no table", COPY)
    return value


def refuse_rounded(header: Header, but: tuple[str, ...] = ()) -> None:
    """Refuse weights that are stored in 8 bits or fewer: read without their scales they are other weights.

    but  types, by the beginnings of their names, that whoever reads them has no need of scales for
    """
    matrices = [name for name, shape in header.shapes.items() if len(shape) > 1 and 0 not in shape]
    rounded = [
        n for n in matrices if header.types[n].startswith(ROUNDED) and not (but and header.types[n].startswith(but))
    ]
    if rounded:
        raise PortraitistError(
            f"{header.path} stores {len(rounded)} weights as {header.types[rounded[0]]}, such as {rounded[0]}",
            "Give the file of the same model in bfloat16 or float16: weights in 8 bits or fewer are not read.",
        )
