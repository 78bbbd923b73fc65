"""A foreign config from disk: its kind by suffix and content, and files that belong together."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.interop import document, headers, jsons, tomls, yamls
from portraitist.interop.document import Document

READERS: dict[str, Callable[[str, str, str], Document]] = {
    ".yaml": yamls.read,
    ".yml": yamls.read,
    ".json": jsons.read,
    ".jsonc": jsons.read,
    ".toml": tomls.read,
}
COMMANDS = frozenset({".sh", ".bat", ".cmd", ".ps1", ".txt"})
MOST_BYTES = 4_000_000


def opened(path: Path) -> Document:
    """The config of a file, or the header of a LoRA.

    Raises PortraitistError for what is absent, larger than 4 MB, no text, of a suffix that no trainer's config has, or
    not of the language that its suffix says.
    """
    suffix = path.suffix.lower()
    if suffix == headers.SUFFIX:
        return headers.opened(path)
    if suffix not in READERS and suffix not in COMMANDS:
        known = ", ".join(sorted((*READERS, *COMMANDS, headers.SUFFIX)))
        raise PortraitistError(f"{path} is no trainer's config by its name", f"Their names end in {known}.")
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise PortraitistError(f"{path} is larger than any config", "Name a config, not the data.")
    return of_text(durable.read_text(path), str(path), str(path.parent))


def of_text(text: str, name: str, folder: str) -> Document:
    """The config of a text by the suffix of its name. Raises PortraitistError for what is not of that language."""
    suffix = Path(name).suffix.lower()
    try:
        if suffix in COMMANDS:
            return replace(document.command(text, name), folder=folder)
        return READERS[suffix](text, name, folder)
    except ValueError as error:
        language = suffix.removeprefix(".").replace("yml", "yaml").upper()
        what = "a command line" if suffix in COMMANDS else language
        raise PortraitistError(
            f"{name} is not {what}: {error}", "Mend that place; its trainer cannot read it either."
        ) from error


def configs(folder: Path) -> Iterator[Path]:
    """Files of a folder, not below it, that may be configs, in name order."""
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise durable.refusal(error, folder, "read") from error
    yield from (path for path in entries if path.suffix.lower() in READERS and path.is_file())


def repeated(folder: Path) -> Document | None:
    """A folder of pictures by sd-scripts' convention, with folders named as `10_maya` in it; None for another."""
    try:
        named = any(re.fullmatch(r"\d+_.+", entry.name) and entry.is_dir() for entry in folder.iterdir())
    except OSError as error:
        raise durable.refusal(error, folder, "read") from error
    return Document(str(folder), str(folder), "folder", "", {}) if named else None
