"""Captions to findings: what is missing, what training would lose, what would be learnt under the wrong name."""

from bisect import bisect_right
from collections.abc import Iterator
from math import ceil

from portraitist.audit import Finding, Rules, Seen, phrasing
from portraitist.audit.phrasing import listed
from portraitist.audit.quality import Check
from portraitist.dataset.captions import holds, rendered


def caption_unreadable(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions that cannot be read: training would silently lose what a person wrote, so this blocks."""
    for file in seen.uncaptioned:
        yield Finding("caption_unreadable", file.name, "block", file.why, file.remedy, 0, (file.name,))


def caption_missing(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures without a caption."""
    broken = {file.name for file in seen.uncaptioned}
    names = tuple(p.name for p in seen.pictures if not p.caption and p.name not in broken)
    if names:
        says = f"{len(names)} of {len(seen.pictures)} pictures have no caption: {listed(names)}"
        remedy = "Write one beside each, as name.txt, or let `portraitist caption` fill in what is known."
        yield Finding("caption_missing", "", "warn", says, remedy, 0, names)


def trigger_missing(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions without the trigger: what they show is learnt under no name. None having it blocks."""
    captioned = [p for p in seen.pictures if p.caption and p.role != "prior"]
    without = tuple(
        p.name for p in captioned if not all(holds(text, seen.trigger) for text in (p.caption, *p.variants))
    )
    if seen.pictures and not any(holds(p.caption, seen.trigger) for p in captioned):
        says = f"No caption holds the trigger {seen.trigger}: the LoRA could not be called by it"
        remedy = (
            f"Put {seen.trigger} first in every caption, or let `portraitist caption` write those that are missing."
        )
        yield Finding("trigger_missing", "", "block", says, remedy, 0, without)
    elif without:
        says = f"{len(without)} of {len(captioned)} captions lack the trigger {seen.trigger}: {listed(without)}"
        yield Finding("trigger_missing", "", "warn", says, f"Put {seen.trigger} first in each.", 0, without)


def trigger_in_prior(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures of others under the character's name: the LoRA would learn that these are it, so this blocks."""
    others = [p for p in seen.pictures if p.role == "prior"]
    names = tuple(p.name for p in others if any(holds(text, seen.trigger) for text in (p.caption, *p.variants)))
    if names:
        says = f"{len(names)} captions in sets of the role prior have the trigger {seen.trigger}: {listed(names)}"
        yield Finding("trigger_in_prior", "", "block", says, "Name the kind there, and not the character.", 0, names)


def caption_too_long(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions past the encoder's limit: it drops their end without a word, and that end is shown."""
    for picture in seen.pictures:
        for text in dict.fromkeys(rendered(text, seen.trigger) for text in (picture.caption, *picture.variants)):
            count = seen.count_tokens(text)
            if count > seen.token_limit:
                says = (
                    f"{picture.name}: a caption of {count} tokens; {seen.readers} reads {seen.token_limit}, and not:"
                    f" {shortened(unread(text, seen))}"
                )
                over = count - seen.token_limit
                remedy = f"Shorten it by {over} tokens, about {ceil(over * 3 / 4)} words of prose."
                yield Finding("caption_too_long", picture.name, "warn", says, remedy, 0, (picture.name,))
                break


def unread(text: str, seen: Seen) -> str:
    """The end of a caption that is past the limit, from the first word that is not read whole."""
    words = text.split(" ")
    fits = bisect_right(range(len(words) + 1), seen.token_limit, key=lambda n: seen.count_tokens(" ".join(words[:n])))
    return " ".join(words[max(fits - 1, 0) :])


def captions_alike(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """One caption for everything: backgrounds, outfits and framings all become part of the character."""
    texts = [p.caption for p in seen.pictures if p.caption]
    if len(texts) >= rules.fewest and len(set(texts)) == 1:
        says = f"All {len(texts)} captions say the same: {texts[0][:60]}"
        remedy = "Name what differs between the pictures (framing, pose, outfit, light, background)."
        yield Finding("captions_alike", "", "warn", says, remedy)


def shortened(text: str, most: int = 80) -> str:
    """A text in quotation marks, its beginning alone where it is long."""
    return f'"{text[:most]}{"..." if len(text) > most else ""}"'


CHECKS: tuple[Check, ...] = (
    caption_unreadable,
    caption_missing,
    trigger_missing,
    trigger_in_prior,
    caption_too_long,
    captions_alike,
    *phrasing.CHECKS,
)
