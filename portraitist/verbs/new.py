"""new: make a project folder, and a recipe that names its preset."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from portraitist import durable, families, recipe, registry
from portraitist.audit import trigger as triggers
from portraitist.dataset import minors
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Warned, ignore
from portraitist.forecast import pace
from portraitist.project import Facts, Project
from portraitist.recipe import first_complaint
from portraitist.sections import Model

TAILS = ("view", "background")
"""Kinds of the brief whose values prompts end in that very word, as captions do."""

NO_BRIEF: Mapping[str, Sequence[str]] = {}


def new(
    folder: Path,
    *,
    name: str = "",
    trigger: str = "",
    subject: str = "",
    noun: str = "character",
    family: str = "",
    base: str = "",
    card: str = "",
    preset: str = "",
    brief: Mapping[str, Sequence[str]] = NO_BRIEF,
    emit: Emit = ignore,
) -> Project:
    """Make `folder` a project: project.toml, recipe.toml and pictures/.

    name     of the character; "" takes the folder's
    trigger  the rare word that will stand for it
    subject  fictional or real; there is no default, because a real person needs a recorded consent
    noun     what it is in plain words
    family   of the base; "" is mini, the embedded one's
    base     as model.base has it, written into the recipe; "" leaves it out
    card     with a family: memory in GB or a card's name, whose preset is taken
    preset   the recipe to start from by name, in place of family and card
    brief    what the character must do, by kind: framing, view, lens, pose, expression, mood, lighting, outfit, object,
             background, or any other

    A folder that already holds pictures for another trainer may become one. A trigger that the base knows is warned
    of. Raises PortraitistError for a folder that is a project, a missing or unusable trigger or subject, words that
    make a minor of a real person or sexualise one, and where no preset is for what is asked.
    """
    start = chosen(family, card, preset)
    for value, key, example in ((trigger, "trigger", "maya_char"), (subject, "subject", "fictional")):
        if not value:
            raise PortraitistError(f"A project needs a {key}", f"Give it: --{key} {example}")
    values: dict[str, Any] = {"name": name or folder.resolve().name, "trigger": trigger, "subject": subject}
    try:
        facts = Facts.model_validate({**values, "noun": noun, "brief": listed(brief)})
    except ValidationError as error:
        raise first_complaint(error, "new", Facts) from error
    asked = [(f"{kind} in the brief", ", ".join(words)) for kind, words in facts.brief.items()]
    everything = " ".join((facts.name, noun, *(text for _, text in asked)))
    said = minors.noun_texts(noun, [*asked, ("name", facts.name), ("All that is said of it", everything)])
    minors.refuse(said, real=subject == "real")
    if why := triggers.meant(trigger, families.word_counter(Model(family=family or "mini", base=base))):
        coined = triggers.coined(trigger)
        emit(Warned(says=f"The trigger {trigger} {why}", remedy=f"Choose a word nobody uses, such as {coined}."))
    project = Project.create(folder, facts)
    if not project.recipe.exists():
        model = {key: value for key, value in (("family", family), ("base", base)) if value}
        start_values = {"format": recipe.FORMAT, "preset": start} | ({"model": model} if model else {})
        durable.write_text(project.recipe, tomli_w.dumps(start_values))
    return project


def listed(brief: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """A brief with each value once, and without the word that prompts put after it: "side view" is side."""
    found = {
        kind: [re.sub(rf"\s+{kind}$", "", " ".join(value.split())) if kind in TAILS else " ".join(value.split())
               for value in values]
        for kind, values in brief.items()
    }  # fmt: skip
    return {kind: list(dict.fromkeys(filter(None, values))) for kind, values in found.items() if any(values)}


def chosen(family: str, card: str, preset: str) -> str:
    """The preset by its name, or the largest of a family that is no larger than a card."""
    if preset and (family or card):
        raise PortraitistError("--preset says already what --family and --card choose", "Leave it out, or leave them.")
    if preset and preset not in recipe.presets():
        raise PortraitistError(f"There is no preset {preset!r}", f"Choose one of: {', '.join(recipe.presets())}.")
    if card and not family:
        raise PortraitistError("--card chooses among the presets of a family", "Name it: --family flux")
    if not family:
        return preset or "mini"
    own = recipe.presets(registry.get(family).name)
    if not own:
        raise PortraitistError(
            f"No preset is for {family}", "Leave --family out, and set model.family and its values in recipe.toml."
        )
    if not card:
        return family
    sizes = sorted(int(found[1]) for name in own if (found := re.fullmatch(rf"{re.escape(family)}-(\d+)gb", name)))
    gb = int(card) if card.isdecimal() else pace.named(card).gb
    if not sizes:
        raise PortraitistError(
            f"The preset {family} is the same for every card", "Leave --card out; plan says what fits."
        )
    if gb < sizes[0]:
        raise PortraitistError(
            f"No preset of {family} is for a card of {gb} GB; the smallest is for {sizes[0]}",
            f"Leave --card out: the preset is {family} then, and plan says what would make it fit.",
        )
    return f"{family}-{max(size for size in sizes if size <= gb)}gb"
