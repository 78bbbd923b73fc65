"""Folders of pictures that a foreign config names: what of them can be seen from here."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from portraitist.interop.judging import candidates

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl", ".tif", ".tiff"})
PART = re.compile(r"[^\W\d_]+|\d|[^\s\w]+|_+")
MOST = 20_000
"""Pictures of one folder that are looked at."""

MOST_FOLDERS = 1000


@dataclass(frozen=True)
class Folder:
    """A folder that is there."""

    path: Path

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of its files; none when it cannot be read."""
        try:
            with os.scandir(self.path) as entries:
                return frozenset(entry.name for entry in entries if entry.is_file())
        except OSError:
            return frozenset()

    @cached_property
    def pictures(self) -> tuple[str, ...]:
        """Names of its pictures in order, not of those below it."""
        return tuple(sorted(name for name in self.names if Path(name).suffix.lower() in PICTURES))[:MOST]

    def captions(self) -> Iterator[tuple[str, str]]:
        """Names of text files beside pictures, and their words; unreadable ones are passed over."""
        for text in sorted({Path(name).stem + ".txt" for name in self.pictures} & self.names):
            try:
                yield text, (self.path / text).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Width and height of its pictures by name, by their headers alone; those that are none are left out."""
        from PIL import Image

        found = {}
        for name in self.pictures:
            try:
                with Image.open(self.path / name) as picture:
                    found[name] = picture.size
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
        return found


def folders(named: str, base: str, deep: bool = False) -> tuple[Folder, ...]:
    """A folder by its name in a config that lies in `base`, with all below it where `deep`; () when it is not seen."""
    for path in candidates(named, base):
        try:
            if not path.is_dir():
                continue
            below = [root for root, _, _ in os.walk(path)][:MOST_FOLDERS] if deep else [str(path)]
        except OSError:
            continue
        return tuple(Folder(Path(root)) for root in sorted(below))
    return ()


def tokens(text: str) -> int:
    """Tokens that a text has at the least.

    CLIP parts it into words, digits and runs of signs first, and none of its tokens reaches over two of them.
    """
    return len(PART.findall(text))
