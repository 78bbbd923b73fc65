"""Which reference pictures each picture is shown with: a set's, found by the picture's own stem, or those of all."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.dataset import intake
from portraitist.errors import PortraitistError
from portraitist.family import no_references
from portraitist.pictures import Picture, stamp
from portraitist.project import Project
from portraitist.recipe import Recipe

Shown = Mapping[str, tuple[Path, ...]]


def require_able(family: str, most: int, recipe: Recipe) -> None:
    """Refuse a recipe with more reference pictures than a family takes."""
    if recipe.references and not most:
        raise no_references(family)
    if recipe.references > most:
        raise PortraitistError(
            f"{family} takes {most} reference picture{'s' if most > 1 else ''} at most, and the recipe has"
            f" {recipe.references} for a picture",
            f"Leave {most}.",
        )


def fixed(project: Project, recipe: Recipe) -> tuple[Path, ...]:
    """The pictures that `data.references` names. Raises PortraitistError when one is not there, or not a picture."""
    found = tuple(project.folder / durable.expanded(name) for name in recipe.data.references)
    for name, path in zip(recipe.data.references, found, strict=True):
        if not intake.is_picture(path):
            raise PortraitistError(
                f"data.references names {name!r}: there is no such picture ({path})",
                "Give a picture's path, absolute or from the character's folder.",
            )
    return found


def shown(project: Project, recipe: Recipe, pictures: Sequence[Picture]) -> Shown:
    """The reference pictures of every picture, by its name, in order; none is in the mapping without any.

    Raises PortraitistError when a folder is not there or is trained on, and for pictures without a partner in it.
    """
    everywhere, found = fixed(project, recipe), dict[str, tuple[Path, ...]]()
    folders: dict[str, dict[str, Path]] = {}
    for picture in pictures:
        chosen = intake.named(picture.set, recipe)
        if chosen is None or not chosen.references:
            found |= {picture.name: everywhere} if everywhere else {}
            continue
        for name in chosen.references:
            folders[name] = folders.get(name) or partners(project, name)
        stem = Path(picture.name).stem
        if missing := [name for name in chosen.references if stem not in folders[name]]:
            others = [p.name for p in pictures if p.set == picture.set and Path(p.name).stem not in folders[missing[0]]]
            more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
            raise PortraitistError(
                f"{picture.name}{more} has no reference in {missing[0]}: there is no picture named {stem} there",
                "Put one there with the picture's own name; its suffix does not matter.",
            )
        found[picture.name] = tuple(folders[name][stem] for name in chosen.references)
    return found


def partners(project: Project, name: str) -> dict[str, Path]:
    """The pictures of a folder of references by their stems.

    Raises PortraitistError when there is none, when it lies in `pictures/`, and when two pictures share a stem.
    """
    folder = project.folder / durable.expanded(name)
    if not folder.is_dir():
        raise PortraitistError(
            f"data.sets.references names {name!r}: there is no such folder ({folder})",
            "Give a folder's path, absolute or from the character's folder.",
        )
    if folder.resolve().is_relative_to(project.pictures.resolve()):
        raise PortraitistError(
            f"References in {folder} would be trained on as well: whatever lies in pictures/ is",
            f"Move them out, to {project.folder / 'references' / folder.name} for example.",
        )
    found: dict[str, Path] = {}
    for path in intake.entries(folder):
        if intake.is_picture(path):
            if path.stem in found:
                raise PortraitistError(
                    f"{folder} has two pictures named {path.stem}: {found[path.stem].name} and {path.name}",
                    "Leave one.",
                )
            found[path.stem] = path
    return found


def stamps(project: Project, recipe: Recipe, pictures: Sequence[Picture]) -> dict[str, list[Any]]:
    """Of every reference picture in use its size and times of change, by its path: equal while nobody touches them."""
    paths: Iterator[Path] = (path for each in shown(project, recipe, pictures).values() for path in each)
    return {str(path): stamp(path) for path in sorted(set(paths))}
