"""Folders of pictures: what is in them, and what a recipe says of its sets.

`pictures/` holds pictures and their captions, and folders of them one level deep: the sets. A set named as kohya's
trainers do it, `40_maya`, is seen 40 times per pass.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.dataset import captions, masks
from portraitist.dataset.buckets import exposures
from portraitist.errors import PortraitistError
from portraitist.pictures import SUFFIXES, Picture
from portraitist.recipe import Recipe
from portraitist.sections import Set

REPEATS = re.compile(r"([1-9]\d{0,3})_(.+)")


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
