"""Rules over the parts of a caption: replace, leave out, one word for a thing, one choice of a group, order, length.

Applied again they change nothing more, the trigger is not theirs to touch, and each change says why it was made.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from portraitist.dataset.captions import holds
from portraitist.dataset.taxonomy import (
    WORTH,
    Part,
    any_of,
    choice_of,
    clashes,
    has,
    implied,
    is_identity,
    kind_of,
    ordered,
    plainly,
    usual,
)
from portraitist.dataset.vocabulary import FORBIDDEN, HEDGES
from portraitist.errors import PortraitistError

LONGEST = 10_000
"""Signs of a phrase beyond which replacements are taken for a circle, too."""

ROUNDS = 16
"""Times that replacements may bring each other about before they are taken for a circle."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How captions are put.

    replace   words by what stands for them
    drop      words whose phrases are left out, beside those that say nothing (`vocabulary.FORBIDDEN`)
    always    phrases that name the character itself, beside the usual ones
    varies    phrases that do not, though they look like it
    identity  omit leaves out what names the character itself, name keeps it
    most      phrases of a caption; 0 for any number
    limit     tokens of a caption; 0 for any number
    own       words that a person uses for things, where there are several
    one_word  whether the usual word for a thing takes the place of others
    """

    replace: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    varies: tuple[str, ...] = ()
    identity: str = "omit"
    most: int = 0
    limit: int = 0
    own: tuple[str, ...] = ()
    one_word: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """The parts of a caption after the rules, in order, and what was changed of which phrase, with the reason."""

    parts: tuple[Part, ...]
    changes: tuple[str, ...] = ()


def settled(parts: Sequence[Part], manner: Manner, count: Callable[[tuple[Part, ...]], int] | None = None) -> Settled:
    """Parts as the rules want them.

    count  tokens of the caption that parts make, for `manner.limit`

    Raises PortraitistError for replacements that bring each other about without end.
    """
    kept: list[Part] = []
    changes: list[str] = []
    for part in parts:
        text = newly(part.text, manner)
        if text != part.text:
            changes.append(f"{part.text}: now {text}" if text else f"{part.text}: says nothing")
        if not text:
            continue
        part = replace(part, text=text, kind=part.kind if text == part.text else kind_of(text))
        reason = why_dropped(part, manner)
        reason = reason or next((why for other in kept if (why := why_needless(part, other, manner))), "")
        if reason:
            changes.append(f"{part.text}: {reason}")
            continue
        kept.append(part)
    bare = [part for part in kept if any(one is not part and implies(one, part) for one in kept)]
    changes += [f"{part.text}: said by another phrase" for part in bare]
    kept = list(ordered([part for part in kept if part not in bare]))
    cut = trimmed(tuple(kept), manner, count)
    changes += [f"{part.text}: no room" for part in kept if part not in cut]
    return Settled(cut, tuple(changes))


def why_dropped(part: Part, manner: Manner) -> str:
    """Why a part is left out whatever else the caption says; "" where it stays."""
    low = plainly(part.text)
    if word := any_of(tuple(map(plainly, manner.drop))).search(low):
        return f"left out by the recipe ({word[0]})"
    if low in FORBIDDEN:
        return "says nothing of this picture"
    named = manner.identity == "omit" and is_identity(part.text, manner.always, manner.varies, part.kind)
    return "the character itself" if named else ""


def newly(text: str, manner: Manner) -> str:
    """A phrase in the words that the rules want; "" where it says nothing."""
    text = unhedged(text)
    if manner.one_word:  # a person's own replacements go last, and what they put is the usual word
        text = usual((*manner.replace.values(), *manner.own)).get(plainly(text), text)
    return unhedged(reworded(text, manner.replace))


def why_needless(part: Part, other: Part, manner: Manner) -> str:
    """Why a part is left out after another one; "" where both stay."""
    words = usual(manner.own)
    low, before = plainly(part.text), plainly(other.text)
    if words.get(low, low) == words.get(before, before):
        return "said before"
    return f"not together with {other.text}" if clashes(other.text, part.text) else ""


def implies(one: Part, other: Part) -> bool:
    """Whether a part says what another one says, and more."""
    return one.kind == other.kind and implied(other.text, one.text, one.kind)


def trimmed(
    parts: tuple[Part, ...], manner: Manner, count: Callable[[tuple[Part, ...]], int] | None
) -> tuple[Part, ...]:
    """As many whole parts as there is room for: the last of the least worthy kind goes first."""

    def over(some: tuple[Part, ...]) -> bool:
        if manner.most and len(some) > manner.most:
            return True
        return bool(some) and manner.limit > 0 and count is not None and count(some) > manner.limit

    while over(parts):
        last = max(range(len(parts)), key=lambda i: (WORTH.index(parts[i].kind), i))
        parts = parts[:last] + parts[last + 1 :]
    return parts


def reworded(text: str, table: Mapping[str, str]) -> str:
    """A text with the words of a table replaced, until nothing is left to replace.

    What a replacement has put there is not replaced by the same one again ("hat" by "red hat"). Raises
    PortraitistError where replacements bring each other about without end.
    """
    for _ in range(ROUNDS):
        before = text
        for word, instead in table.items():
            text = replaced(text, word, instead) if word.strip() and len(text) <= LONGEST else text
        text = " ".join(text.split())
        if text == before:
            return text
    raise PortraitistError(
        f"The replacements of captions never come to rest at {before[:60]!r}",
        "Correct captioning.replace: one brings back what another takes away.",
    )


def replaced(text: str, word: str, instead: str) -> str:
    """A text with one word replaced, whatever its case, except where it is part of what stands for it already."""

    def stand(match: re.Match[str]) -> str:
        return match[0] if instead and match[0].lower() == instead.lower() else instead

    there = rf"(?<!\w){re.escape(instead)}(?!\w)|" if instead else ""
    return re.sub(rf"{there}(?<!\w){re.escape(word)}(?!\w)", stand, text, flags=re.IGNORECASE)


def unhedged(text: str) -> str:
    """A phrase without the words by which a model hedges or introduces."""
    while (less := any_of(HEDGES).sub(" ", text)) != text:
        text = less
    return " ".join(text.split()).strip(" ,.")


SPLIT = re.compile(r"(\s*[,;]\s*|\.\s+|\.$)")


def revised(text: str, who: str, manner: Manner, count: Callable[[str], int] | None = None) -> tuple[str, Settled]:
    """A written caption under the rules, and what was changed: phrases are judged where they stand.

    who  the trigger, or the noun in sets of others: phrases with it stay, and only replacements touch them

    Tags (no full stop in them) come into the order of kinds behind `who`; the phrases of prose keep their places.
    """
    pieces = SPLIT.split(text)
    said, ends = [piece.strip() for piece in pieces[::2]], [*pieces[1::2], ""]
    table = {word: instead for word, instead in manner.replace.items() if not has(word.lower(), who.lower())}
    names = {i: reworded(phrase, table) for i, phrase in enumerate(said) if holds(phrase, who)}
    names = {i: name if holds(name, who) else said[i] for i, name in names.items()}
    rest = [Part(kind_of(phrase), phrase, i) for i, phrase in enumerate(said) if phrase and i not in names]
    heads = [choice_of(name.partition(f" of {who}")[0]) for name in names.values()]
    fits = [part for part in rest if not against(newly(part.text, manner), heads)]

    def joined(some: Sequence[Part]) -> str:
        kept = {**names, **{part.place: part.text for part in some}}
        if any("." in end for end in ends):
            return in_place(kept, ends, frozenset(names))
        return ", ".join([*names.values(), *(part.text for part in some)])

    def tokens(some: tuple[Part, ...]) -> int:
        return count(joined(some)) if count is not None else 0

    result = settled(fits, manner, tokens)
    other = tuple(f"{part.text}: not together with the framing before it" for part in rest if part not in fits)
    return joined(result.parts), Settled(result.parts, (*other, *result.changes))


def against(text: str, heads: Sequence[tuple[str, object]]) -> bool:
    """Whether a phrase chooses otherwise than the one that names the character does."""
    group, chosen = choice_of(text)
    return bool(group) and any(group == other and chosen != one for other, one in heads)


def in_place(kept: Mapping[int, str], ends: Sequence[str], fixed: frozenset[int]) -> str:
    """Prose of the phrases that are left, by their places, with what stood after each; sentences keep their ends.

    fixed  places of phrases that get no capital letter where they come to begin a sentence
    """
    text, end, begins = "", "", False
    for place, after in enumerate(ends):
        if phrase := kept.get(place, ""):
            capital = begins and bool(text) and place not in fixed
            text += end + (phrase[:1].upper() + phrase[1:] if capital else phrase)
            end, begins = after, False
        elif "." in after:
            end = end if "." in end or not text else after
        begins = begins or (not phrase and "." in (ends[place - 1] if place else ""))
    return (text + end).rstrip(" ,;")
