"""A change of a recipe: which keys, from what to what, and whether the result is a recipe. Pure."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from portraitist.errors import PortraitistError
from portraitist.recipe import Recipe, first_complaint, shipped
from portraitist.tables import place, value_at


@dataclass(frozen=True, slots=True)
class Change:
    """One key of a recipe, dotted, list items by number: what it is and what it is to be."""

    key: str
    before: Any
    after: Any


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with these keys set. What a preset said of a changed value's source goes with it.

    Raises PortraitistError where the result is no recipe.
    """
    values = recipe.model_dump(mode="json")
    for key, value in changes.items():
        place(values, key.split("."), copy.deepcopy(value))
    touched = {".".join(part for part in key.split(".") if not part.isdigit()) for key in changes}
    values["standing"] = {key: words for key, words in values["standing"].items() if key not in touched}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise first_complaint(error, "the changed recipe", Recipe) from error


def diff(recipe: Recipe, changes: Mapping[str, Any]) -> tuple[Change, ...]:
    """The changes that change something, if the recipe with all of them is one; else none."""
    before = recipe.model_dump(mode="json")
    found = tuple(
        Change(key, value(before, key), after) for key, after in changes.items() if value(before, key) != after
    )
    try:
        changed(recipe, {change.key: change.after for change in found})
    except PortraitistError:
        return ()
    return found


def value(values: Any, key: str) -> Any:
    """What stands at a dotted key of nested tables and lists; None where there is nothing."""
    for part in key.split("."):
        if isinstance(values, list):
            values = values[int(part)] if int(part) < len(values) else None
        else:
            values = values.get(part) if isinstance(values, Mapping) else None
    return values


def usual(recipe: Recipe, key: str) -> Any:
    """What a recipe's preset, else the product, has for a key of a section."""
    own = value_at(shipped(recipe.preset), key)
    return own if own is not None else value(Recipe().model_dump(mode="json"), key)


def usual_steps(recipe: Recipe) -> int:
    """Optimiser steps in which the preset shows as many pictures, at this recipe's batch."""
    preset = shipped(recipe.preset)
    how = {**Recipe().training.model_dump(), **preset.get("training", {})}
    steps = sum(int(stage["steps"]) for stage in preset["stages"]) if "stages" in preset else Recipe().steps
    return max(1, round(steps * int(how["batch"]) * int(how["accumulate"]) / recipe.pictures_per_step))
