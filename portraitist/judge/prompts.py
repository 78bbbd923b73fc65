"""Prompts to judge by: from the brief, from the guides, from captions, or as the recipe says; no torch, no chance.

What is asked for is spread evenly: every value of every kind in the brief comes up, and as often as any other.
"""

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from portraitist.dataset.captions import holds, rendered
from portraitist.family import PromptSpec
from portraitist.pictures import Picture
from portraitist.project import Facts

Kinds = dict[str, tuple[str, ...]]

FEWEST = 4
"""Prompts from a brief: as many as its longest kind has values, and at least so many."""

CAPTIONS = 2
"""Most pictures by seen captions, and by unseen ones, from each seed that chooses, as far as there are so many others;
as many captions among the prompts that report."""

OTHERS = 7
"""Most alternatives that an asked attribute is held against."""

TAILS = {"background": "background", "scene": "background", "view": "view", "angle": "view", "light": "light",
         "lighting": "lighting"}  # fmt: skip
"""Word that a brief's value takes after it in a prompt, by kind, unless it brings one or starts with a preposition."""

FIRST = ("framing", "expression", "mood", "pose", "action", "view", "angle")
LAST = ("background", "scene", "light", "lighting")
LEADING = re.compile(r"(in|on|at|under|inside|outside|by|near|with|a|an|the) ")

USUAL: Kinds = {
    "framing": ("close-up", "half body", "full body"),
    "expression": ("smiling", "surprised", "laughing", "angry", "sad"),
    "pose": ("dancing", "sitting", "walking", "standing"),
}
"""Attributes of the guides' prompts, and what they are held against."""

GUIDES = (
    "portrait of {trigger}, smiling, soft light",
    "full body of {trigger}, dancing",
    "{trigger}, sitting, photorealistic",
    "close-up of {trigger}, surprised",
    "full body of {trigger}, winter clothes, snow",
)
"""The guides' five (G1, G2), which choose where there is no brief."""

AFTERWARDS = (
    "portrait of {trigger}, laughing, warm light",
    "full body of {trigger}, walking",
    "{trigger}, standing, side view",
    "close-up of {trigger}, angry",
    "full body of {trigger}, raincoat, rain",
)
"""Ours in their manner, which report."""


def kinds(facts: Facts, pictures: Sequence[Picture]) -> Kinds:
    """Known values by kind: those of the brief, and those that captions tell by a shared last word.

    "beach background" in one caption and "room background" in another make two values of a kind `background`; a
    phrase before " of <trigger>" is a framing. The guides' kinds join in: all their values where there is no brief,
    else those that captions tell.
    """
    told, phrases = shared_words(facts, pictures)
    found = {kind: list(values) for kind, values in facts.brief.items()}
    for kind, counts in sorted(told.items()):
        values = sorted(counts)
        if kind in found:
            stripped = [re.sub(rf" {re.escape(kind)}$", "", value) for value in values]
            found[kind] += [value for value in stripped if value not in found[kind]]
        elif len(values) >= 2 and counts.total() >= 4:
            found[kind] = list(values)
    for kind, usual in USUAL.items():
        found.setdefault(kind, []).extend(value for value in usual if value in phrases or not facts.brief)
    return {kind: tuple(dict.fromkeys(values)) for kind, values in found.items() if values}


def shared_words(facts: Facts, pictures: Sequence[Picture]) -> tuple[dict[str, Counter[str]], set[str]]:
    """How often captions tell which phrases, by the phrases' last word ("framing" for what stands before the
    trigger), and all phrases that they tell."""
    told: dict[str, Counter[str]] = {}
    phrases: set[str] = set()
    for picture in pictures:
        text = rendered(picture.caption, facts.trigger)
        for phrase in dict.fromkeys(part.strip(" .") for part in text.split(",")):
            phrases.add(phrase)
            head, of, rest = phrase.partition(" of ")
            if of and facts.trigger in rest:
                told.setdefault("framing", Counter())[head] += 1
            elif 2 <= len(words := phrase.split()) <= 4 and facts.trigger not in words:
                told.setdefault(words[-1], Counter())[phrase] += 1
    return told, phrases


def specified(name: str, text: str, known: Mapping[str, Sequence[str]]) -> PromptSpec:
    """A prompt with the attributes that its text asks for: of each kind the longest known value that stands in it."""
    asks = {}
    for kind, values in known.items():
        there = [value for value in values if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)]
        if there:
            asks[kind] = max(there, key=len)
    return PromptSpec(name, text, asks)


def alternatives(known: Mapping[str, Sequence[str]], kind: str, value: str) -> list[str]:
    """Other values of a kind, at most OTHERS: what an asked one is held against."""
    return [other for other in known.get(kind, ()) if other != value and other not in value][:OTHERS]


def from_brief(facts: Facts, purpose: str, count: int, taken: set[str]) -> list[str]:
    """At most `count` texts that combine one value of each kind in the brief, none of them in `taken`.

    Values come up evenly; which meet is decided by hash, and tried anew until no text comes twice. Where the brief
    is too small for that, what is left of its combinations is taken as it comes.
    """
    brief = {kind: facts.brief[kind] for kind in ordered(facts.brief) if facts.brief[kind]}
    if not brief:
        return []
    for attempt in range(32):
        columns = [spread(values, count, f"{purpose} {kind} {attempt}") for kind, values in brief.items()]
        texts = [worded(facts, dict(zip(brief, row, strict=True))) for row in zip(*columns, strict=True)]
        if len(set(texts) - taken) == count:
            return texts
    everything = itertools.islice(itertools.product(*brief.values()), 4096)
    left = [worded(facts, dict(zip(brief, row, strict=True))) for row in everything]
    return [text for text in by_lot(dict.fromkeys(left), purpose) if text not in taken][:count]


def ordered(names: Iterable[str]) -> list[str]:
    """Kinds as captions order them: framing, expression, pose, view, whatever else, background, light."""
    names = list(names)
    middle = [name for name in names if name not in FIRST and name not in LAST]
    return [n for n in FIRST if n in names] + middle + [n for n in LAST if n in names]


def spread(values: Sequence[str], count: int, salt: str) -> list[str]:
    """`count` values in which each comes up as often as any other, give or take one, in an order by hash."""
    turns = [by_lot(values, f"{salt} {turn}") for turn in range(-(-count // len(values)))]
    return [value for turn in turns for value in turn][:count]


def by_lot(values: Iterable[str], salt: str) -> list[str]:
    """Values in an order that their hashes decide."""
    return sorted(values, key=lambda value: hashlib.sha256(f"{salt} {value}".encode()).hexdigest())


def worded(facts: Facts, values: Mapping[str, str]) -> str:
    """One value of each kind as a prompt in the manner of captions: framing of trigger, expression, ..., background."""
    framing = values.get("framing", "")
    head = f"{framing} of {facts.trigger}" if framing else facts.trigger
    return ", ".join([head, *(phrase(kind, value) for kind, value in values.items() if kind != "framing")])


def phrase(kind: str, value: str) -> str:
    """A brief's value as it stands in a prompt: forest as a background is "forest background"."""
    tail = TAILS.get(kind, "")
    if not tail or LEADING.match(value) or any(word in value for word in (tail, kind, "light")):
        return value
    return f"{value} {tail}"


def filled(text: str, facts: Facts) -> str:
    """A prompt template with {trigger} and {noun} filled in."""
    return rendered(text, facts.trigger).replace("{noun}", facts.noun)


def from_captions(facts: Facts, pictures: Sequence[Picture], split: str, most: int) -> tuple[list[str], list[str]]:
    """Captions of a split with the trigger in them, to choose by and to report by; at most `most` each.

    Too few for both are shared out evenly, the odd one choosing.
    """
    there = [p for p in pictures if p.split == split and p.role in ("identity", "outfit")]
    texts = [rendered(p.caption, facts.trigger) for p in there if holds(p.caption, facts.trigger)]
    drawn = by_lot(dict.fromkeys(texts), f"prompts {split}")[: 2 * most]
    return drawn[::2], drawn[1::2]
