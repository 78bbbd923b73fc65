"""Where characters lie below ComfyUI's output folder, what they were made of, and LoRA files handed out of them."""

import hashlib
import json
import os
import re
import tempfile
import tomllib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .child import PortraitistError

HOME = "portraitist"
"""Below ComfyUI's output folder: one folder a character."""

NOTES = "comfy.json"
"""In a character's folder: what our nodes note of it."""

ABSENT: dict[str, str] = {}
"""Tokens of characters that are not there yet: each is made anew after its folder was deleted."""

LARGEST_HEADER = 100_000_000  # bytes, as safetensors itself has it


def character(output: Path, name: str) -> Path:
    """The folder of a character. Raises PortraitistError for a name that is a path: a graph leads nowhere else."""
    if not re.fullmatch(r"[A-Za-z0-9][\w. -]{0,63}", name) or name.endswith((".", " ")):
        raise PortraitistError(
            f"{name!r} is no name of a character's folder", "Use letters, numbers, - and _, such as maya: no path."
        )
    return output / HOME / name


def inside(root: Path, name: str) -> Path:
    """A file or folder below `root` by its name. Raises PortraitistError for one that is not there or leads out."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.exists():
        raise PortraitistError(f"There is no {name!r} in {root}", "Put it there, and name it from there.")
    return path


def subfolders(root: Path) -> list[str]:
    """Names of the folders below `root`, at most two deep; hidden ones are left out."""
    found = [path for pattern in ("*", "*/*") for path in root.glob(pattern) if path.is_dir()]
    names = (path.relative_to(root).as_posix() for path in found)
    return sorted(name for name in names if not any(part.startswith(".") for part in name.split("/")))


def facts(folder: Path) -> dict[str, Any]:
    """What project.toml says; empty without one, or where it cannot be read, which the command will tell."""
    try:
        return tomllib.loads((folder / "project.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}


def same(folder: Path, asked: Mapping[str, str]) -> None:
    """Refuse to go on with a character that was made of something else than a node now says.

    Of one made by the command line only trigger and subject are known to compare. What a person has written into
    project.toml and recipe.toml since goes before the node's word.
    """
    before, now = noted(folder).get("asked"), dict(asked)
    if not isinstance(before, dict):
        made = facts(folder)
        before, now = ({key: str(said.get(key, "")) for key in ("trigger", "subject")} for said in (made, asked))
    differing = sorted(key for key in before.keys() | now.keys() if before.get(key, "") != now.get(key, ""))
    if differing:
        key = differing[0]
        raise PortraitistError(
            f"{folder.name} was made with {key}: {before.get(key) or 'nothing'}; the node says"
            f" {now.get(key) or 'nothing'}",
            "Another character needs another name. For this one say what was said, and change its project.toml.",
        )


def noted(folder: Path) -> dict[str, Any]:
    """What our nodes noted of a character.

    asked         what it was made of
    state, token  as `token` has them
    made          paths of what came of it
    """
    try:
        found = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def token(folder: Path) -> str:
    """A word that stays while a character's dataset is as our nodes left it, and else is another.

    So that a graph is not worked through again for what its own nodes did, and is for what a person changed: in the
    dataset, or by deleting what was made of it.
    """
    if not folder.is_dir():
        return ABSENT.setdefault(str(folder), uuid.uuid4().hex)
    notes, state = noted(folder), fingerprint(*dataset(folder))
    gone = [path for path in notes.get("made", []) if not Path(path).exists()]
    as_left = notes.get("state") == state and not gone
    return str(notes.get("token")) if as_left else " ".join([state, *gone])


def settle(folder: Path, **notes: Any) -> None:
    """Note that the dataset is as our nodes left it; `notes` are `asked`, `token` or `made` where they are new."""
    state = {"state": fingerprint(*dataset(folder))}
    write(folder / NOTES, json.dumps({**noted(folder), **state, **notes}, ensure_ascii=False).encode())
    ABSENT.pop(str(folder), None)


def fingerprint(*roots: Path) -> str:
    """SHA-256 over name, size and time of every picture, text and TOML file below some folders: what a dataset is.

    Folders that are not there count nothing; what portraitist derives (caches, runs, exports) is not looked at.
    """
    found = []
    for root in roots:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root] * root.is_file():
            if path.is_file() and not path.name.startswith("."):
                stat = path.stat()
                found.append([path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def dataset(folder: Path) -> list[Path]:
    """Of a character's folder what a training depends on."""
    return [folder / "pictures", folder / "project.toml", folder / "recipe.toml"]


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's file is for nobody else, and a LoRA may be served by another user
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def hand_out(lora: Path, loras: Path, name: str) -> str:
    """Copy an exported LoRA into ComfyUI's folder; returns the name it is listed by.

    A file of that name is replaced when it is an earlier one of the same character. Raises PortraitistError otherwise.
    """
    stem = name.removesuffix(".safetensors").strip()
    if not re.fullmatch(r"\w[\w. -]{0,99}", stem):
        raise PortraitistError(
            f"{name!r} is no name of a LoRA file", "Use letters, numbers, - and _, such as maya_char."
        )
    target, data = loras / f"{stem}.safetensors", lora.read_bytes()
    if target.exists() and (before := target.read_bytes()) != data:
        old, new = metadata(before), metadata(data)
        if "portraitist.run" not in old or old.get("modelspec.title") != new.get("modelspec.title"):
            raise PortraitistError(f"{target} is there, and is not of this character", "Choose another file_name.")
    write(target, data)
    return target.name


def metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file's bytes; empty where there is none to read."""
    size = int.from_bytes(data[:8], "little")
    try:
        found = json.loads(data[8 : 8 + size]) if 0 < size < LARGEST_HEADER else {}
    except ValueError:
        return {}
    told = found.get("__metadata__") if isinstance(found, dict) else None
    return told if isinstance(told, dict) else {}
