"""The trigger to findings: whether the base has a meaning of its own for it."""

from collections.abc import Callable, Iterator

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.quality import Check
from portraitist.dataset.words import everyday


def meant(trigger: str, pieces: Callable[[str], int] | None) -> str:
    """Why a trigger is not rare, in words that follow it; "" when nothing speaks against it.

    pieces  counts the tokens that the base's own vocabulary makes of a word; None where it is not at hand
    """
    if everyday(trigger):
        return "is an everyday word, or made of such: the base draws what it always meant by it"
    if pieces is not None and len(trigger) > 1 and pieces(trigger) == 1:
        return "is one token of the base's vocabulary: it has a meaning already"
    return ""


def trigger_known(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """A trigger that the base knows: the character would be pulled towards that, and leak into it."""
    if seen.trigger_meant:
        remedy = f"Choose a word that nobody uses, such as {coined(seen.trigger)}, in project.toml and in the captions."
        yield Finding("trigger_known", seen.trigger, "warn", f"{seen.trigger} {seen.trigger_meant}", remedy)


def coined(trigger: str) -> str:
    """A word like the trigger that no vocabulary has: without its vowels but the first letter, and a mark."""
    kept = trigger[:1] + "".join(letter for letter in trigger[1:] if letter.lower() not in "aeiou")
    return f"{kept.lower()}x_char"


CHECKS: tuple[Check, ...] = (trigger_known,)
