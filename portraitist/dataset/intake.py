"""Folders of pictures: what is in them, and taking more in. Originals are copied, never altered.

`pictures/` holds pictures and their captions, and folders of them one level deep: the sets. A set named as kohya's
trainers do it, `40_maya`, is seen 40 times per pass.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.dataset import captions, masks
from portraitist.dataset.buckets import exposures
from portraitist.errors import PortraitistError
from portraitist.pictures import SUFFIXES, Picture, open_upright
from portraitist.recipe import Recipe
from portraitist.sections import Set

REPEATS = re.compile(r"([1-9]\d{0,3})_(.+)")
LONGEST_NAME = 120
"""Bytes of UTF-8 kept of a file's stem: file systems take 255 for a whole name, and temporary names are longer."""


@dataclass(frozen=True, slots=True)
class Source:
    """A picture file that was found: its path, its set's folder ("" for the top), its name below the folder."""

    path: Path
    set: str
    name: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds: pictures by suffix, and names of what is neither picture nor caption."""

    pictures: tuple[Source, ...]
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one source picture: added | already there | skipped (with the reason in `says`)."""

    name: str
    outcome: str
    says: str = ""
    remedy: str = ""


def repeats(folder: str) -> int:
    """Times per pass that a set's folder name asks for: `40_maya` is 40, anything else 1."""
    match = REPEATS.fullmatch(folder)
    return int(match[1]) if match else 1


def bare(folder: str) -> str:
    """A set's folder name without its `40_` prefix."""
    match = REPEATS.fullmatch(folder)
    return match[2] if match else folder


def listed(folder: Path) -> Listing:
    """The pictures of a folder and of its sets, in name order. Hidden entries and linked folders are passed over.

    Raises PortraitistError when the folder cannot be read.
    """
    found: list[Source] = []
    others: list[str] = []
    top = entries(folder)
    loose = {*unknown(top)}
    for entry in top:
        if entry.is_dir():
            if entry.is_symlink():
                others.append(entry.name)
                continue
            inside = entries(entry)
            found += [Source(path, entry.name, f"{entry.name}/{path.name}") for path in inside if is_picture(path)]
            others += [f"{entry.name}/{path.name}" for path in unknown(inside)]
        elif is_picture(entry):
            found.append(Source(entry, "", entry.name))
        elif entry in loose:
            others.append(entry.name)
    return Listing(tuple(found), tuple(others))


def entries(folder: Path) -> list[Path]:
    """The entries of a folder in name order, hidden ones left out."""
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    except OSError as error:
        raise durable.refusal(error, folder, "read") from error


def is_picture(path: Path) -> bool:
    """Whether a path is a regular file (links followed) with a picture's suffix, and no picture's mask."""
    return path.suffix.lower() in SUFFIXES and not masks.is_mask(path) and path.is_file()


def unknown(inside: Sequence[Path]) -> list[Path]:
    """What of a folder's entries is no picture, no caption, and no mask of a picture that lies there."""
    wanted = {masks.beside(path) for path in inside if is_picture(path)}
    return [path for path in inside if not is_picture(path) and not is_caption(path) and path not in wanted]


def is_caption(path: Path) -> bool:
    """Whether a path is a caption by its suffix."""
    return path.suffix.lower() in captions.SUFFIXES


def gathered(source: Path) -> tuple[Source, ...]:
    """What a person named to be added: one picture file, or the pictures of a folder.

    A folder that is itself named `40_maya` is a set; of any other folder the top goes to the top. Raises
    PortraitistError for what does not exist, for a file that is no picture, and for a folder without any.
    """
    if source.is_dir():
        own = source.resolve().name
        set_name = own if REPEATS.fullmatch(own) else ""
        found = listed(source).pictures
        if not found:
            raise PortraitistError(
                f"{source} holds no pictures",
                f"Picture files end in {', '.join(sorted(SUFFIXES))}; choose their folder.",
            )
        return tuple(Source(s.path, s.set or set_name, s.name) for s in found)
    if not source.exists():
        raise PortraitistError(f"There is no {source}", "Check the path.")
    if not source.is_file():
        raise PortraitistError(f"{source} is not a regular file", "Name a picture file or a folder of pictures.")
    if masks.is_mask(source):
        raise PortraitistError(f"{source} is the mask of a picture", "Name the picture: its mask comes along.")
    return (Source(source, "", source.name),)


def take(pictures: Path, sources: Sequence[Path]) -> Iterator[Taken]:
    """Copy pictures and their captions into the folder `pictures`, telling what became of each.

    Names are made safe and never taken from another picture: the same bytes in the same set are already there, other
    bytes under a name that is in use get a number. An unreadable picture inside a folder is skipped with its reason.
    Raises PortraitistError for an unreadable picture named by itself, and when a folder holds nothing readable.
    """
    for source in sources:
        if (
            source.is_dir()
            and pictures.resolve().is_relative_to(source.resolve())
            and source.resolve() != pictures.resolve()
        ):
            raise PortraitistError(
                f"{source} holds the project itself", "Name the folder of the new pictures, not one above the project."
            )
    for source in sources:
        readable, last = 0, ""
        for found in gathered(source):
            try:
                open_upright(found.path)
            except PortraitistError as error:
                if not source.is_dir():
                    raise
                last = error.problem
                yield Taken(found.name, "skipped", error.problem, error.remedy)
                continue
            readable += 1
            yield copy(pictures, found)
        if not readable:
            raise PortraitistError(
                f"{source} holds no readable picture; the last reason: {last}", "Choose a folder of pictures."
            )


def copy(pictures: Path, source: Source) -> Taken:
    """Copy one readable picture, and its caption and mask where it has them, into its set below `pictures`."""
    folder = pictures / safe_name(source.set) if source.set else pictures
    if not folder.resolve().is_relative_to(pictures.resolve()):
        raise PortraitistError(
            f"{folder} leads out of {pictures}", "Replace that link by a folder, or give the set another name."
        )
    try:
        data, caption = source.path.read_bytes(), captions.sidecar(source.path)
        words = caption.read_bytes() if caption is not None else b""
        mask = masks.beside(source.path).read_bytes() if masks.beside(source.path).is_file() else b""
    except OSError as error:
        raise durable.refusal(error, source.path, "read") from error
    there = same_bytes(folder, data)
    if there is not None:
        name = there.relative_to(pictures).as_posix()
        if mask and not masks.beside(there).is_file():
            durable.write_bytes(masks.beside(there), mask)
        if words and captions.sidecar(there) is None:
            durable.write_bytes(there.with_suffix(".txt"), words)
            return Taken(name, "already there", "its caption was added")
        return Taken(name, "already there")
    stem, suffix = safe_name(source.path.stem), source.path.suffix.lower()
    used = {path.stem.casefold() for path in entries(folder)} if folder.is_dir() else set()
    number, target = 1, folder / f"{stem}{suffix}"
    while target.stem.casefold() in used:
        number += 1
        target = folder / f"{stem}-{number}{suffix}"
    durable.write_bytes(target, data)
    if words:  # after the picture: cut short between the two, adding again finds the picture and brings the caption
        durable.write_bytes(target.with_suffix(".txt"), words)
    if mask:
        durable.write_bytes(masks.beside(target), mask)
    return Taken(target.relative_to(pictures).as_posix(), "added")


def same_bytes(folder: Path, data: bytes) -> Path | None:
    """The picture in a folder that has exactly these bytes, or None."""
    if not folder.is_dir():
        return None
    for path in entries(folder):
        if is_picture(path) and path.stat().st_size == len(data) and path.read_bytes() == data:
            return path
    return None


def safe_name(name: str) -> str:
    """A file stem or folder name that every file system takes: composed Unicode (NFC), no control or reserved signs.

    Not empty, no leading dot, at most `LONGEST_NAME` bytes of UTF-8.
    """
    # "surrogateescape" marks bytes of a name that were no UTF-8; they become "_" like every other unusable sign
    composed = unicodedata.normalize("NFC", name)
    kept = "".join("_" if unicodedata.category(c)[0] == "C" or c in '<>:"/\\|?*' else c for c in composed)
    kept = kept.strip(" .") or "picture"
    return kept.encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(" .") or "picture"


def named(folder: str, recipe: Recipe) -> Set | None:
    """What the recipe says of the set in a folder, named with or without its `40_` prefix; None when nothing."""
    return next((one for one in recipe.data.sets if one.name in (folder, bare(folder))), None)


def require_sets(recipe: Recipe, folders: Collection[str]) -> None:
    """Refuse a set of the recipe that no picture is of: whatever is said of it would count for nothing."""
    known = {*folders, *map(bare, folders)}
    for one in recipe.data.sets:
        if one.name not in known:
            there = ", ".join(repr(bare(name)) for name in sorted(folders))
            raise PortraitistError(
                f"data.sets names {one.name!r}, and no picture lies in a folder of that name", f"Sets here: {there}."
            )


def unseen(recipe: Recipe, folders: Collection[str]) -> list[str]:
    """Sets that lie there and that no stage of the recipe sees, by their names without a prefix."""
    seen = {bare(name) for stage in recipe.stages for name in stage.sets}
    everything = any(not stage.sets for stage in recipe.stages)
    return [] if everything else sorted({bare(name) for name in folders} - seen)


def weigh(picture: Picture, found: int, recipe: Recipe) -> tuple[int, float, str]:
    """A picture's exposures per crop and pass, its loss weight and its role, by the recipe's sets.

    found  crops it has. A set is named by its folder, with or without the `40_` prefix; weight 0 is that prefix.
    """
    chosen = named(picture.set, recipe)
    weight = chosen.weight if chosen is not None and chosen.weight else picture.repeats
    loss_weight = chosen.loss_weight if chosen is not None else 1.0
    return exposures(weight, found, recipe.data.crops), loss_weight, chosen.role if chosen else picture.role
