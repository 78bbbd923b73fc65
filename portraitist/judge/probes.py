"""Prompts that do not choose but probe: without the trigger, in other words, and with what no caption tells changed.

Each is told to a base in its own manner, as its captions are: tags, sentences, or phrases of a small vocabulary.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from portraitist.dataset.captions import by_noun, holds, rendered
from portraitist.dataset.captions_render import article
from portraitist.family import Profile, PromptSpec
from portraitist.judge import prompts
from portraitist.judge.prompts import Kinds
from portraitist.pictures import Picture
from portraitist.project import Facts


@dataclass(frozen=True, slots=True)
class Change:
    """What a character must be able to change.

    names   of the kind, as briefs and captions call it; the first where neither has it
    values  asked for where the brief has none that captions leave out, and alternatives to what is asked
    """

    names: tuple[str, ...]
    values: tuple[str, ...]


STYLE = ("style", "art style", "medium")
OUTFIT = ("outfit", "clothing", "clothes")
SCENE = ("background", "scene", "location", "setting")

CHANGES = (
    Change(STYLE, ("watercolor painting", "pencil drawing", "oil painting", "comic book style", "photograph")),
    Change(OUTFIT, ("wearing a raincoat", "wearing a winter coat", "wearing a business suit", "wearing a hoodie",
                    "wearing a summer dress", "wearing a tracksuit")),
    Change(SCENE, ("in a desert", "in a snowy field", "in a library", "on a city street at night", "in a jungle",
                   "on a beach", "in an empty white room")),
)  # fmt: skip
"""For bases that read whole English. Ours: apart from one another, and what any of them draws."""

FEW_WORDS = (
    Change(STYLE, ("pastel style", "ink style")),
    Change(OUTFIT, ("wearing a red dress", "wearing a yellow robe", "wearing a green suit", "wearing a purple jacket",
                    "wearing a white t-shirt")),
    Change(SCENE, ("beach", "night sky", "sunset", "mountains", "city", "forest", "room")),
)  # fmt: skip
"""For the embedded base: of its phrases those that it draws, and its eyes read, nearly always (benchmarks/mini.md)."""

SYNONYMS = {
    "close-up": "tight shot of the face", "half body": "shot from the waist up", "full body": "full-length shot",
    "portrait": "head and shoulders", "smiling": "with a smile", "laughing": "with a laugh", "sad": "with a sad look",
    "angry": "with an angry look", "surprised": "with a look of surprise", "sitting": "seated", "dancing": "in a dance",
    "walking": "taking a walk", "soft light": "softly lit", "warm light": "warmly lit", "winter clothes":
    "clothes for the winter", "snow": "snowfall", "rain": "rainfall", "raincoat": "rain jacket", "forest": "woods",
    "city": "town", "beach": "seaside", "room": "indoor", "side view": "seen from the side",
    "photorealistic": "like a photo",
}  # fmt: skip
"""Other words for what prompts commonly ask for."""

KNOWN = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, sorted(SYNONYMS, key=len, reverse=True)))})(?!\w)")


def unnamed(named: Sequence[PromptSpec], facts: Facts, profile: Profile) -> dict[str, PromptSpec]:
    """By the text of a prompt with the trigger: the same with the noun in its place, and the same asks."""
    noun = facts.noun if profile.captions == "tags" else article(facts.noun)
    twice = re.compile(rf"({re.escape(facts.trigger)}),? {re.escape(facts.noun)}(?!\w)")
    told = {spec.text: by_noun(twice.sub(r"\1", spec.text), facts.trigger, noun) for spec in named}
    return {
        spec.text: PromptSpec(f"unnamed-{spec.name}", told[spec.text], spec.asks) for spec in named if told[spec.text]
    }


def paraphrases(named: Sequence[PromptSpec], facts: Facts, profile: Profile) -> Iterator[tuple[str, PromptSpec]]:
    """Pairs of a prompt's text and the same asks in other words: each prompt once, by different means, then again."""
    ways = MEANS["phrases" if profile.captions == "phrases" else "free"]
    seen = {spec.text for spec in named}
    for turn in range(len(ways)):
        for i, spec in enumerate(named):
            text = ways[(i + turn) % len(ways)](spec.text, facts.trigger)
            if text not in seen and holds(text, facts.trigger):
                seen.add(text)
                yield spec.text, PromptSpec(f"reworded-{turn + 1}-{spec.name}", text, spec.asks)


def turned(text: str, _trigger: str) -> str:
    """What is asked for, in the other order, framing and name last."""
    head, *rest = text.split(", ")
    return ", ".join([*reversed(rest), head])


def mixed(text: str, _trigger: str) -> str:
    """Framing and name first as before, the rest in the other order."""
    head, *rest = text.split(", ")
    return ", ".join([head, *reversed(rest)])


def moved(text: str, trigger: str) -> str:
    """The framing after the name: "picture of zorblax, close-up, smiling"."""
    head, *rest = text.split(", ")
    framing, of, who = head.partition(" of ")
    told = [f"picture of {who}", framing] if of and who.startswith(trigger) else [f"picture of {head}"]
    return ", ".join([*told, *rest])


def synonymous(text: str, _trigger: str) -> str:
    """Each phrase by another word for it, where one is known."""
    return KNOWN.sub(lambda found: SYNONYMS[found.group()], text)


MEANS: Mapping[str, tuple[Callable[[str, str], str], ...]] = {
    "free": (synonymous, turned, moved, mixed),
    "phrases": (turned, mixed),
}


def restyled(
    facts: Facts, known: Mapping[str, Sequence[str]], profile: Profile, pictures: Sequence[Picture], count: int
) -> tuple[list[PromptSpec], Kinds]:
    """`count` prompts that ask for a style, an outfit and a scene that no caption names, the brief's first; and what
    of each kind an asked one is held against."""
    table = FEW_WORDS if profile.captions == "phrases" else CHANGES
    captions = " | ".join(rendered(picture.caption, facts.trigger) for picture in pictures)
    columns: dict[str, list[str]] = {}
    kinds: Kinds = {}
    for change in table:
        name = next((name for name in change.names if name in facts.brief or name in known), change.names[0])
        brief = [value for value in facts.brief.get(name, ()) if not told(value, captions)]
        new = (brief + [value for value in change.values if not told(value, captions) and value not in brief])[:count]
        others = [re.sub(rf" {re.escape(name)}$", "", value) for value in known.get(name, ())]
        kinds[name] = tuple(dict.fromkeys([*new, *others, *change.values]))
        if new:
            columns[name] = prompts.spread(new, count, f"restyled {name}")
    framings = [value for value in known.get("framing", ()) if value in prompts.USUAL["framing"]]
    columns["framing"] = prompts.spread(framings or prompts.USUAL["framing"], count, "restyled framing")
    names = prompts.ordered(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]
    texts = {prompts.worded(facts, row): {kind: row[kind] for kind in kinds if kind in row} for row in rows}
    return [PromptSpec(f"restyled-{i}", text, asks) for i, (text, asks) in enumerate(texts.items(), 1) if asks], kinds


def told(value: str, captions: str) -> bool:
    """Whether captions name a value, with or without "wearing a" or "in the" before it."""
    bare = re.sub(r"^(wearing |in |on |at )?(an? |the )?", "", value)
    return re.search(rf"(?<!\w){re.escape(bare)}(?!\w)", captions) is not None
