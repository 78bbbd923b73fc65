"""Folders of pictures that a foreign config names: what of them can be seen from here."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl", ".tif", ".tiff"})
TEXTS = (".txt", ".caption", ".cap")
CLIP_PART = re.compile(r"'(?:s|t|re|ve|m|ll|d)|[^\W\d_]+|\d|(?:[^\s\w]|_)+", re.IGNORECASE)
PART = re.compile(r"(.+?)[ _-](?:crop|face|head|zoom|detail|flip|mirror|aug)\w*", re.IGNORECASE)
MOST = 20_000
"""Pictures of one folder that are looked at."""

MOST_FOLDERS = 1000
LONGEST = 1000
"""Characters of a path; what is longer is none."""


@dataclass(frozen=True)
class Folder:
    """A folder that is there; `suffixes` are those that its trainer takes for pictures."""

    path: Path
    suffixes: frozenset[str] = PICTURES

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
        return tuple(sorted(name for name in self.names if Path(name).suffix.lower() in self.suffixes))[:MOST]

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders in it, in order."""
        try:
            with os.scandir(self.path) as entries:
                return tuple(sorted(entry.name for entry in entries if entry.is_dir()))
        except OSError:
            return ()

    def captioned(self, extension: str = ".txt") -> list[str]:
        """Pictures with a text of this extension beside them."""
        return [name for name in self.pictures if Path(name).stem + extension in self.names]

    def captions(self, extension: str = ".txt") -> Iterator[tuple[str, str]]:
        """Names of text files of this extension beside pictures, and their words; unreadable ones are passed over."""
        for text in dict.fromkeys(Path(name).stem + extension for name in self.captioned(extension)):
            try:
                yield text, (self.path / text).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue

    def extension(self) -> str:
        """The extension that most of its captions have; "" when there are none."""
        counts = {extension: len(self.captioned(extension)) for extension in TEXTS}
        best = max(counts, key=lambda one: counts[one])
        return best if counts[best] else ""

    def sizes(self, names: Sequence[str] | None = None) -> dict[str, tuple[int, int]]:
        """Width and height by name of its pictures, or of those named, by their headers; what is none is left out."""
        from PIL import Image

        found = {}
        for name in self.pictures if names is None else names:
            try:
                with Image.open(self.path / name) as picture:
                    found[name] = picture.size
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
        return found


def candidates(name: str, folder: str) -> Iterator[Path]:
    """Where a path in a config may lie: from its folder, from here, from the three above it, by its last part there."""
    if not name or "\0" in name or len(name) > LONGEST or not folder:
        return
    base = Path(folder)
    for start in (base, Path(), *list(base.absolute().parents)[:3]):
        yield start / name
    yield base / Path(name.replace("\\", "/")).name


def seen(named: object, base: str, suffixes: frozenset[str] = PICTURES) -> Folder | None:
    """A folder by its name in a config that lies in `base`; None when it is not to be seen from here."""
    for path in candidates(named, base) if isinstance(named, str) else ():
        try:
            if path.is_dir():
                return Folder(path, suffixes)
        except OSError:
            continue
    return None


def folders(named: str, base: str, deep: bool = False) -> tuple[Folder, ...]:
    """A folder by its name in a config that lies in `base`, with all below it where `deep`; () when it is not seen."""
    top = seen(named, base)
    if top is None:
        return ()
    below = sorted(root for root, _, _ in islice(os.walk(top.path), MOST_FOLDERS)) if deep else [str(top.path)]
    return tuple(Folder(Path(root)) for root in below)


def parts(names: Sequence[str]) -> list[str]:
    """Names of pictures that by their names are cut out of, or made of, another one there: `001_face` beside `001`."""
    stems = {Path(name).stem for name in names}
    return [name for name in names if (found := PART.fullmatch(Path(name).stem)) and found[1] in stems]


def tokens(text: str, clip: bool = True) -> int:
    """Tokens that a text has at the least.

    CLIP first parts it into words, digits and runs of signs, and no token reaches over a part (openai/CLIP,
    simple_tokenizer.py); for T5 and Qwen words between spaces are counted. The true number is this or larger.
    """
    return len(CLIP_PART.findall(text)) if clip else len(text.split())


def repeats(name: str) -> int:
    """The `10` of a folder `10_maya`; 0 without one."""
    lead = name.split("_")[0]
    try:
        return max(0, int(lead))
    except ValueError:
        return 0


def some(names: Sequence[str]) -> str:
    """A few names in words: the first two, and how many more."""
    shown = ", ".join(names[:2])
    return shown if len(names) <= 2 else f"{shown} and {len(names) - 2} more"
