"""Parts to captions, by templates: tags for SDXL, sentences for bases with a language model, phrases for mini.

A template is text with kinds in braces: "{trigger}, {framing}, {clothing}". Between two commas, what has nothing to
say goes; so does what stands in brackets: "[{framing} of ]{trigger}". After a colon: `a` puts an article before,
`and` joins several with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from portraitist.dataset.taxonomy import KINDS, ORDER, OTHER, Part
from portraitist.errors import PortraitistError

TEMPLATES = {
    "tags": "{trigger}, {tag}, {noun}, " + ", ".join(f"{{{kind}}}" for kind in ORDER),
    "sentences": "[{framing:a} of ]{trigger}, {noun:a}, {tag}, {view}, {pose}, {expression}, {lighting},"
    " [wearing {clothing:and}], {hair}, {face}, {object}, {other}, {background}, {style}.",
    "phrases": "[{framing} of ]{trigger}, {tag}, {expression}, {pose}, {view}, {clothing}, {hair}, {face}, {object},"
    " {other}, {background}, {lighting}, {style}",
}
"""What every family style takes without a template of one's own; phrases are in the order of judging's prompts."""

FIELD = re.compile(r"\{(\w+)(?::(\w+))?\}")
OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
KNOWN = ("trigger", "tag", "noun", *ORDER)
WAYS = ("", "a", "and")


@dataclass(frozen=True, slots=True)
class Subject:
    """Who a caption is about: the trigger ("" where the noun alone stands), the noun, the tag of its set."""

    trigger: str
    noun: str
    tag: str = ""


def checked(template: str) -> str:
    """The template. Raises PortraitistError for a kind that does not exist, and where the trigger has no place."""
    found = FIELD.findall(template)
    for name, way in found:
        if name not in KNOWN or way not in WAYS:
            raise PortraitistError(
                f"The caption template has {{{name}{':' if way else ''}{way}}}, and there is no such kind",
                f"Kinds: {', '.join(KNOWN)}; after a colon: a, and.",
            )
    if [name for name, _ in found].count("trigger") != 1:
        raise PortraitistError(
            f"The caption template must hold {{trigger}} once: {template[:80]}",
            "Write it like {trigger}, {framing}, {clothing}, {background}.",
        )
    if re.search(r"[{}\[\]]", FIELD.sub("", OPTIONAL.sub(r"\1", template))):
        raise PortraitistError(
            f"The caption template has a bracket without its other half: {template[:80]}", "Close every bracket."
        )
    return template


def render(parts: Sequence[Part], subject: Subject, template: str) -> str:
    """The caption of parts about a subject. Parts of kinds that the template has no place for are left out.

    Without a trigger the noun stands in its place. The trigger alone needs no noun in tags: one is said where there
    is nothing else to say.
    """
    values: dict[str, list[str]] = {kind: [] for kind in ORDER}
    for part in parts:
        values[part.kind if part.kind in values else OTHER].append(part.text)
    values["trigger"] = [subject.trigger or subject.noun]
    values["noun"] = [subject.noun] if subject.trigger and not (parts and template == TEMPLATES["tags"]) else []
    values["tag"] = [subject.tag] if subject.tag else []

    def field(match: re.Match[str]) -> str:
        found, way = values[match[1]], match[2]
        if way == "a":
            return article(" ".join(found))
        if way == "and" and len(found) > 1:
            return f"{', '.join(article(one) for one in found[:-1])} and {article(found[-1])}"
        return ", ".join(article(one) if way == "and" else one for one in found)

    def optional(match: re.Match[str]) -> str:
        names = [name for name, _ in FIELD.findall(match[1])]
        return match[1] if all(values[name] for name in names) else ""

    text = OPTIONAL.sub(optional, template)
    end = "." if text.endswith(".") else ""
    chunks = [FIELD.sub(field, chunk).strip() for chunk in text.removesuffix(".").split(",")]
    joined = ", ".join(chunk for chunk in chunks if chunk)
    return joined if not end else sentence(joined, subject.trigger) + end


def sentence(text: str, trigger: str) -> str:
    """Text with a capital letter, unless the trigger begins it: that stays as it is."""
    return text if trigger and text.startswith(trigger) else text[:1].upper() + text[1:]


PLURAL = re.compile(r"(?:(?<!s)s|glasses|trousers|pants|jeans|shorts|leggings|tights|clothes|hair|headphones)$")
BARE = re.compile(r"(?:an?|the|his|her|their|its|one|two|three|some|no|with|in|on|wearing)\b")


def article(text: str) -> str:
    """A phrase with an indefinite article where English wants one: not before plurals, nor where it has one."""
    low = text.lower()
    framing = re.fullmatch(r"(?:full|half|upper|lower) body", low)
    if framing:
        return f"{'an' if low[0] in 'aeiou' else 'a'} {text} picture"
    if not text or BARE.match(low) or PLURAL.search(low):
        return text
    return f"{'an' if low[0] in 'aeiou' else 'a'} {text}"


def parts_of(values: Sequence[tuple[str, str]]) -> tuple[Part, ...]:
    """Parts from pairs of kind and text; a comma divides a text, and an unknown kind becomes `other`."""
    pieces = [(kind, " ".join(piece.split()).strip(" .")) for kind, text in values for piece in re.split("[,;]", text)]
    return tuple(Part(kind if kind in KINDS else OTHER, piece) for kind, piece in pieces if piece)
