"""Captions to findings, phrase by phrase: what is said too often, twice, against itself, or not at all."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.framing import measured_in
from portraitist.audit.quality import Check
from portraitist.dataset import minors
from portraitist.dataset.captions import holds, rendered
from portraitist.dataset.intake import bare
from portraitist.dataset.taxonomy import any_of, clashes, is_identity, kind_named, kind_of, plainly
from portraitist.dataset.vocabulary import FORBIDDEN, HEDGES, SAME
from portraitist.pictures import Picture, framing_word

SHOWN = 3
"""Phrases that one finding names at most."""

MUST_VARY = {"clothing": "outfits", "background": "backgrounds"}
"""Kinds that go into the character where no caption names them, and what a brief calls them."""


def captioned(seen: Seen) -> list[Picture]:
    """Pictures of the character that have a caption."""
    return [p for p in seen.pictures if p.caption and p.role != "prior"]


def said(text: str, trigger: str) -> list[str]:
    """The phrases of a caption as they are looked up, without the trigger: "close-up of zorblax" says close-up."""
    found = []
    for piece in re.split(r"[,;]|\.\s|\.$", rendered(text, trigger)):
        if holds(piece, trigger):
            head, of, _ = piece.partition(f" of {trigger}")
            piece = head if of else ""
        if low := plainly(piece):
            found.append(low)
    return found


def lines(picture: Picture) -> tuple[str, ...]:
    """A caption and its variants."""
    return (picture.caption, *picture.variants)


def trigger_late(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions whose trigger stands behind other phrases: shuffling and cutting then reach it, and it counts less."""
    late = tuple(
        p.name
        for p in captioned(seen)
        for text in lines(p)
        if holds(text, seen.trigger) and not holds(re.split(r"[,.;]", text)[0], seen.trigger)
    )
    if late := tuple(dict.fromkeys(late)):
        says = f"{len(late)} captions name {seen.trigger} after their first phrase: {listed(late)}"
        remedy = f'Begin with it, or with the framing: "{seen.trigger}, ..." or "close-up of {seen.trigger}, ...".'
        yield Finding("trigger_late", "", "warn", says, remedy, 0, late)


def trigger_repeated(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions that name the trigger more than once."""
    word = re.compile(rf"(?<!\w){re.escape(seen.trigger)}(?!\w)")
    texts = {p.name: lines(p) for p in captioned(seen)}
    often = tuple(
        name for name, own in texts.items() if any(len(word.findall(rendered(t, seen.trigger))) > 1 for t in own)
    )
    if often:
        says = f"{len(often)} captions name {seen.trigger} more than once: {listed(often)}"
        yield Finding("trigger_repeated", "", "warn", says, "Name it once, at the beginning.", 0, often)


def tag_missing(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions without the tag that the recipe gives to their set: the tag then calls up less than it should."""
    for name, tag in tags(seen).items():
        own = [p for p in captioned(seen) if name in (p.set, bare(p.set))]
        without = tuple(p.name for p in own if not all(has_word(text, tag) for text in lines(p)))
        if without:
            says = f"{len(without)} of {len(own)} captions in {name or 'the top folder'} lack their tag {tag}"
            remedy = f"Put {tag} after {seen.trigger}: portraitist caption FOLDER --rules does for captions made here."
            yield Finding("tag_missing", name, "warn", f"{says}: {listed(without)}", remedy, 0, without)


def tags(seen: Seen) -> dict[str, str]:
    """The tags of the recipe's sets, by their names."""
    return {one.name: one.tag for one in seen.recipe.data.sets if one.tag}


def has_word(text: str, word: str) -> bool:
    """Whether a word stands in a text, its case aside."""
    return any_of((word,)).search(text) is not None


def leaked_constant(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Phrases that nearly all captions have: what they stand for is learnt by their words, and not by the trigger."""
    pictures = captioned(seen)
    if len(pictures) < rules.leaked_least:
        return
    own = {plainly(seen.noun), *map(plainly, tags(seen).values())}
    counts = Counter(phrase for p in pictures for phrase in set(said(p.caption, seen.trigger)) - own)
    often = {phrase: n for phrase, n in counts.items() if n >= rules.leaked * len(pictures)}
    if often:
        most = ", ".join(
            f'"{phrase}" ({n})' for phrase, n in sorted(often.items(), key=lambda item: (-item[1], item[0]))
        )
        says = f"Nearly all of {len(pictures)} captions say {most}: that is learnt by these words"
        remedy = f"Leave it out, so that {seen.trigger} learns it; or add pictures without it, if it is to vary."
        yield Finding("leaked_constant", "", "warn", says, remedy)


def identity_named(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions that name what the character itself is, where that is to be left to the trigger."""
    how = seen.recipe.captioning
    if how.identity != "omit":
        return
    counts: Counter[str] = Counter()
    names = []
    for picture in captioned(seen):
        phrases = {phrase for text in lines(picture) for phrase in said(text, seen.trigger)}
        own = {phrase for phrase in phrases if is_identity(phrase, how.always, how.varies)}
        counts.update(sorted(own))
        names += [picture.name] if own else []
    if names:
        most = ", ".join(f"{phrase} ({count})" for phrase, count in counts.most_common(SHOWN))
        says = f"{len(names)} captions name what the character itself is: {most}"
        remedy = (
            f"Leave it out, so that {seen.trigger} stands for it."
            ' What changes from picture to picture goes into captioning.varies; or set captioning.identity = "name".'
        )
        yield Finding("identity_named", "", "warn", says, remedy, 0, tuple(names))


def over_captioned(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions of more phrases than a picture needs: each one ties what it names to these pictures."""
    most = seen.recipe.captioning.most
    long = {p.name: max(len(said(text, seen.trigger)) for text in lines(p)) for p in captioned(seen)}
    names = tuple(name for name, count in long.items() if most and count > most)
    if names:
        says = f"{len(names)} captions have more than {most} phrases, up to {max(long.values())}: {listed(names)}"
        remedy = "Keep framing, pose, expression, clothes, light and background; portraitist caption FOLDER --rules."
        yield Finding("over_captioned", "", "warn", says, remedy, 0, names)


def contradiction(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions that say two things of which a picture can only be one, or another framing than was measured."""
    for picture in seen.pictures:
        for text in dict.fromkeys(lines(picture)):
            phrases = said(text, seen.trigger)
            pair = next(((a, b) for a, b in combinations(dict.fromkeys(phrases), 2) if clashes(a, b)), None)
            if pair:
                says = f'{picture.name}: "{pair[0]}" and "{pair[1]}" in one caption'
                remedy = "Keep the one that is true of the picture."
                yield Finding("contradiction", picture.name, "warn", says, remedy, 0, (picture.name,))
                break
        told, measured = framing_word(picture.caption), measured_in(picture)
        if told and measured.sure and told != measured.framing:
            says = f"{picture.name}: its caption says {told}, and the picture is measured as {measured.framing}"
            remedy = "Correct the caption, if the picture agrees."
            yield Finding("contradiction", f"{picture.name} framing", "warn", says, remedy, 0, (picture.name,))


def words_mixed(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Several words for one thing: each learns from the pictures that have it, and from no other."""
    counts = Counter(phrase for p in captioned(seen) for phrase in set(said(p.caption, seen.trigger)))
    for group in SAME:
        used = {word: counts[word] for word in group if counts[word]}
        if len(used) > 1:
            told = ", ".join(f"{word} ({count})" for word, count in sorted(used.items(), key=lambda item: -item[1]))
            usual = max(used, key=lambda word: used[word])
            others = ", ".join(word for word in used if word != usual)
            remedy = f"Say {usual} in place of {others}."
            yield Finding("words_mixed", group[0], "note", f"Several words for one thing: {told}", remedy)


def empty_words(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Words that say nothing of a picture: boasts, what every picture has, hedges, and what the recipe drops."""
    counts: Counter[str] = Counter()
    names = []
    dropped = any_of(tuple(map(plainly, seen.recipe.captioning.drop)))
    for picture in seen.pictures:
        phrases = [phrase for text in lines(picture) for phrase in said(text, seen.trigger)]
        found = {phrase for phrase in phrases if phrase in FORBIDDEN or dropped.search(phrase)}
        found |= {words.lower() for words in any_of(HEDGES).findall("\n".join(lines(picture)))}
        counts.update(sorted(found))
        names += [picture.name] if found else []
    if names:
        most = ", ".join(f"{word} ({count})" for word, count in counts.most_common(SHOWN))
        says = f"{len(names)} captions have words that say nothing of their picture: {most}"
        remedy = "Leave them out."
        yield Finding("empty_words", "", "warn", says, remedy, 0, tuple(names))


def variants_alike(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Variants of a caption that say what it says: the line is only seen more often."""
    names = tuple(p.name for p in seen.pictures if p.variants and len({p.caption, *p.variants}) <= len(p.variants))
    if names:
        says = f"{len(names)} captions have a line twice: {listed(names)}"
        yield Finding("variants_alike", "", "note", says, "Remove the second, or say it in other words.", 0, names)


def unnamed(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """What the brief wants to vary and no caption names: it is learnt as part of the character."""
    pictures = captioned(seen)
    if len(pictures) < rules.leaked_least:
        return
    told = {kind_of(phrase) for p in pictures for phrase in said(p.caption, seen.trigger)}
    for name, values in seen.brief.items():
        kind = kind_named(name)
        if kind in MUST_VARY and len(values) > 1 and told and kind not in told:
            says = f"The brief wants {len(values)} {MUST_VARY[kind]}, and no caption names any"
            remedy = f"Name them, or they become part of {seen.trigger}."
            yield Finding("unnamed", kind, "warn", says, remedy)


def unfit(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Captions that sexualise a minor, or say that a real person is one: refused, and waived by nobody."""
    wanted = [value for values in seen.brief.values() for value in values] or [""]
    if reason := next(filter(None, (minors.unfit(seen.noun, value) for value in wanted)), ""):
        says, remedy = f"What project.toml says cannot be used: {reason}", "Correct its noun or its brief."
        yield Finding("unfit", "", "block", says, remedy)
    for picture in seen.pictures:
        noun = seen.noun if picture.role != "prior" else ""
        if reason := minors.unfit(*lines(picture), noun):
            says = f"{picture.name}: its caption cannot be used: {reason}"
            yield Finding("unfit", picture.name, "block", says, minors.UNFIT, 0, (picture.name,))
        elif seen.real and noun and (words := next(filter(None, map(minors.underage, lines(picture))), "")):
            says = f"{picture.name}: its caption says that a real person is a minor ({words})"
            yield Finding("unfit", picture.name, "block", says, minors.NO_SUBJECT, 0, (picture.name,))


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


CHECKS: tuple[Check, ...] = (
    trigger_late,
    trigger_repeated,
    tag_missing,
    leaked_constant,
    identity_named,
    over_captioned,
    contradiction,
    words_mixed,
    empty_words,
    variants_alike,
    unnamed,
    unfit,
)
