"""What a caption tells, by kinds in their order, and which kind a phrase is of.

A caption is its trigger and some phrases. Kinds order them, say which go first when there is no room for all, and
let features of the character itself be left out. A brief's kinds (`Facts.brief`) are these under other names too.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

from portraitist.dataset.vocabulary import EXCLUSIVE, IDENTITY, IMPLIES, SAME, VARIES, WORDS
from portraitist.pictures import framing_word

KINDS = (
    "framing", "view", "pose", "expression", "lighting", "clothing", "hair", "face", "object", "background", "style",
)  # fmt: skip
"""In the order of a caption. hair has makeup with it, clothing accessories, object what is done with things, style
the composition; what no kind is known of is "other" and stands before the background."""

OTHER = "other"

ORDER = (*KINDS[:9], OTHER, *KINDS[9:])

NAMES = {
    "angle": "view", "action": "pose", "poses": "pose", "mood": "expression", "gaze": "expression",
    "light": "lighting", "outfit": "clothing", "outfits": "clothing", "accessories": "clothing", "clothes": "clothing",
    "makeup": "hair", "hairstyle": "hair", "objects": "object", "scene": "background", "place": "background",
    "lens": "style", "composition": "style", "medium": "style",
}  # fmt: skip
"""Other names that kinds go by in a brief."""

WORTH = (
    "framing", "clothing", "background", "pose", "expression", "view", "lighting", "object", "hair", "face", OTHER,
    "style",
)  # fmt: skip
"""Kinds from the one that goes last to the one that goes first when a caption is too long: what goes unnamed is
learnt as part of the character, and clothes and backgrounds are what does most harm there."""

ARTICLE = re.compile(r"^(?:a|an|the|his|her|their|its|with|with a|with an) (?=\S)")


@dataclass(frozen=True, slots=True)
class Part:
    """One phrase of a caption, the kind it is of, and where it stood in a caption that was read."""

    kind: str
    text: str
    place: int = field(default=0, compare=False)


def kind_named(name: str) -> str:
    """The kind that a brief's name of one means; the name itself where it is none of ours."""
    return NAMES.get(name, name)


def plainly(text: str) -> str:
    """A phrase as it is looked up: small letters, single spaces, no articles before it."""
    low = " ".join(text.lower().replace("_", " ").strip(" .,;:!?\"'").split())
    while (shorter := ARTICLE.sub("", low)) != low:
        low = shorter
    return low


def has(text: str, phrase: str) -> bool:
    """Whether a phrase stands in a text as words of their own; both in small letters."""
    at = text.find(phrase)
    while at >= 0:
        end = at + len(phrase)
        if not (at and text[at - 1].isalnum()) and not (end < len(text) and text[end].isalnum()):
            return True
        at = text.find(phrase, at + 1)
    return False


@cache
def any_of(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Finds the first of some phrases that stands in a text as words of their own; of no phrases nothing."""
    longest_first = sorted((phrase for phrase in phrases if phrase), key=len, reverse=True)
    words = "|".join(map(re.escape, longest_first)) or r"(?!)"
    return re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.IGNORECASE)


@cache
def known() -> dict[str, str]:
    """Kind by phrase."""
    return {phrase: kind for kind, phrases in WORDS.items() for phrase in phrases}


@cache
def longest_phrase() -> int:
    """Words of the longest phrase known."""
    return max(len(phrase.split()) for phrase in known())


FIRST_WORDS = {
    "wearing": "clothing", "dressed": "clothing", "looking": "expression",
    **{word: "pose" for word in WORDS["pose"] if word.endswith("ing") and " " not in word},
    **{word: "object" for word in WORDS["object"] if word.endswith("ing")},
}  # fmt: skip
LAST_WORDS = {"background": "background", "backdrop": "background", "light": "lighting", "lighting": "lighting",
              "style": "style", "expression": "expression", "view": "view", "hair": "hair", "eyes": "face",
              "pose": "pose"}  # fmt: skip

PREPOSITIONS = frozenset(("of", "on", "in", "with", "at", "by", "near", "against", "under", "behind", "before", "over"))


@cache
def kind_of(text: str) -> str:
    """The kind that a phrase is of, `other` for none.

    Its first word decides where that is a verb of wearing, holding or standing, its last where that names the kind;
    else the longest known phrase in it, and of equally long ones the last, since English puts the thing itself last:
    last of what stands before a preposition, if anything is known there ("white shirt with long sleeves").
    """
    low = plainly(text)
    if (whole := known().get(low)) is not None:
        return whole
    words = low.replace(",", " ").split()
    if not words:
        return OTHER
    if words[0] in FIRST_WORDS:
        return FIRST_WORDS[words[0]]
    if words[-1] in LAST_WORDS:
        return LAST_WORDS[words[-1]]
    before = next((i for i, word in enumerate(words) if i and word in PREPOSITIONS), len(words))
    for some in (words[:before], words):
        for size in range(min(longest_phrase(), len(some)), 0, -1):
            for start in range(len(some) - size, -1, -1):
                if (kind := known().get(" ".join(some[start : start + size]))) is not None:
                    return kind
    return OTHER


@cache
def usual(own: tuple[str, ...] = ()) -> dict[str, str]:
    """The word that we write, by the others for the same thing.

    own  words that are used already, the first of which goes before ours
    """
    words = {plainly(word): place for place, word in reversed(list(enumerate(own)))}
    chosen = {group: min(group, key=lambda word: words.get(word, len(own))) for group in SAME}
    return {other: word for group, word in chosen.items() for other in group if other != word}


@cache
def alternatives() -> dict[str, tuple[str, int]]:
    """Of every word in a group of which a picture has one at most: the group, and which of its things it names."""
    return {word: (name, i) for name, things in EXCLUSIVE.items() for i, thing in enumerate(things) for word in thing}


def choice_of(text: str) -> tuple[str, object]:
    """The exclusive group that a phrase belongs to and what it chooses of it; ("", "") for none."""
    low = plainly(text)
    if kind_of(text) == "framing" and (word := framing_word(low)):
        return "framing", word
    return alternatives().get(low, ("", ""))


def clashes(first: str, second: str) -> bool:
    """Whether two phrases cannot both be true of one picture."""
    group, one = choice_of(first)
    other, two = choice_of(second)
    return bool(group) and group == other and one != two


def implied(parent: str, child: str, kind: str) -> bool:
    """Whether `child` says what `parent` says and more: "red dress" and "dress", "sitting on a chair" and "sitting"."""
    low, full = plainly(parent), plainly(child)
    if low == full or not low:
        return False
    words, more = low.split(), full.split()
    if kind == "pose" and more[: len(words)] == words:
        return True
    if kind != "pose" and len(more) > len(words) and more[-len(words) :] == words:
        return True
    return any(low in less and has(full, name) for name, less in IMPLIES.items())


def is_identity(text: str, always: Iterable[str] = (), varies: Iterable[str] = (), kind: str = "") -> bool:
    """Whether a phrase names what the character itself is: all of hair and face does but makeup and what passes.

    kind    of the phrase, where somebody told it
    always  phrases of a recipe that do, beside the usual ones (hair, eyes, skin, scars, ...)
    varies  phrases of a recipe that do not, whatever else is said
    """
    low = plainly(text)
    if any_of(tuple(map(plainly, varies))).search(low):
        return False
    if any_of(tuple(map(plainly, always))).search(low):
        return True
    if any_of(VARIES).search(low):
        return False
    return any_of(IDENTITY).search(low) is not None or (kind or kind_of(text)) in ("hair", "face")


def ordered(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts by their kinds in order; those of one kind as they came."""
    return tuple(sorted(parts, key=lambda part: ORDER.index(part.kind) if part.kind in ORDER else len(ORDER)))
