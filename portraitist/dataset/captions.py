"""Captions: text beside a picture, where it lies, how it is read, and whether it has the trigger.

A sidecar has the picture's stem and ends in `.txt` (or `.caption`). Its first line is the caption; further lines are
variants of it, of which training takes one per exposure. Empty lines do not count.
"""

import re
from pathlib import Path

from portraitist import durable

SUFFIXES = (".txt", ".caption")
PLACES = ("[trigger]", "{trigger}")
"""Written for the trigger in captions made elsewhere (ai-toolkit fills in the first)."""


def sidecar(picture: Path) -> Path | None:
    """The caption file beside a picture, or None."""
    beside = (picture.with_suffix(suffix) for suffix in SUFFIXES)
    return next((path for path in beside if path.is_file()), None)


def parse(text: str) -> tuple[str, tuple[str, ...]]:
    """The caption and its variants; an empty text gives ("", ()). White space is made single."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    lines = [line for line in lines if line]
    return (lines[0], tuple(lines[1:])) if lines else ("", ())


def read(path: Path) -> tuple[str, tuple[str, ...]]:
    """The caption and variants of a sidecar. Raises PortraitistError when it is unreadable or not UTF-8."""
    return parse(durable.read_text(path))


def rendered(caption: str, trigger: str) -> str:
    """A caption as the text encoder gets it: `[trigger]` and `{trigger}` filled in."""
    for place in PLACES:
        caption = caption.replace(place, trigger)
    return caption


def holds(caption: str, trigger: str) -> bool:
    """Whether a caption has the trigger as a word of its own, in the same case: encoders may tell cases apart."""
    return re.search(rf"(?<!\w){re.escape(trigger)}(?!\w)", rendered(caption, trigger)) is not None


def by_noun(caption: str, trigger: str, noun: str) -> str:
    """A caption as the encoder gets it, with the noun in the trigger's place; "" for one without the trigger.

    "portrait of zorblax, a woman, smiling" becomes "portrait of a woman, smiling": the noun is not said twice.
    """
    if not holds(caption, trigger):
        return ""
    word = rf"(?<!\w){re.escape(trigger)}(?!\w)"
    return re.sub(rf"{word}(,? {re.escape(noun)}(?!\w))?", lambda _: noun, rendered(caption, trigger))
