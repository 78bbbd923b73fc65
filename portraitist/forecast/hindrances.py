"""What stands against a training, as far as it can be told before anything is spent. Loads no torch."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from portraitist import durable, families, rules, runs
from portraitist.bases.places import place
from portraitist.dataset import references
from portraitist.errors import PortraitistError
from portraitist.family import Family
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.recipe import Recipe


def told(project: Project, recipe: Recipe, family: Family, pictures: Sequence[Picture], *, begun: bool) -> list[str]:
    """What training would refuse, and how many pictures are shown with references.

    begun  whether there is a run of the recipe, which keeps what it started from
    """

    def base() -> None:
        if recipe.model.base and place(recipe.model.base) is not None:  # a model that is not cached may yet come
            families.listed(families.found(recipe.model))

    def start() -> None:
        if recipe.adapter.start and not begun:
            runs.start_file(project, recipe)

    def parent() -> None:
        if recipe.parent and not begun:
            runs.find(project, recipe.parent)

    found = []
    noise, recovered = partial(rules.about_noise, family.profile, recipe), partial(recovery, project, recipe)
    for check in (noise, base, recovered, start, parent):
        try:
            check()
        except PortraitistError as error:
            found.append(f"{error.problem.removesuffix('.')}. {error.remedy}")
    return [*found, *referred(project, recipe, pictures, family)]


def recovery(project: Project, recipe: Recipe) -> None:
    """Refuse a recovery adapter that is not there."""
    path = durable.expanded(recipe.model.recovery)
    if recipe.model.recovery and not path.is_file():
        raise PortraitistError(
            f"model.recovery: there is no such file ({path})", f"Make it: portraitist recover {project.folder}"
        )


def referred(project: Project, recipe: Recipe, pictures: Sequence[Picture], family: Family) -> list[str]:
    """How many pictures are shown with how many references, or what stands against that."""
    if not recipe.references:
        return []
    try:
        references.require_able(family.name, getattr(family, "references", 0), recipe)
        found = references.shown(project, recipe, pictures)
    except PortraitistError as error:
        return [f"{error.problem}. {error.remedy}"]
    counts = Counter(map(len, found.values()))
    told = [f"{number} with {count} each" for count, number in sorted(counts.items())]
    return [f"Of {len(pictures)} pictures {', '.join(told) or 'none'} are shown with references"]
