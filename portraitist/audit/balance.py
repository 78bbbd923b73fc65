"""Numbers of the whole set to findings: how many, twins, framings, captions."""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import ceil, floor

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.quality import Check
from portraitist.dataset.captions import holds, rendered
from portraitist.dataset.split import FEWEST, clusters
from portraitist.pictures import Picture, framing_word


def number(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Too few pictures to learn from; twins count once."""
    shown = [picture for picture in seen.pictures if picture.role != "prior"]
    total, different = len(shown), len(clusters(shown))
    if different < rules.fewest:
        says = f"{total} readable pictures, {different} of them different; expected {rules.fewest} or more"
        remedy = f"Add {rules.fewest - different} pictures; 15 to 40 of varied framing and background work well."
        yield Finding("number", "", "block", says, remedy, rules.fewest - different)
    elif different < rules.few:
        says = f"{total} readable pictures, {different} of them different; {rules.few} or more are usual"
        remedy = f"Add {rules.few - different}, with other framings and backgrounds; each of these few weighs much."
        yield Finding("number", "", "warn", says, remedy, rules.few - different)


def no_held_out(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """No picture was kept from training, so nothing measures how well it generalises."""
    if seen.pictures and not any(p.split == "held-out" for p in seen.pictures):
        total = len(seen.pictures)
        why = f"{total} pictures are too few" if total < FEWEST else "data.held_out is 0, or all pictures are twins"
        says = f"No picture is kept from training ({why}); likeness is judged against the training pictures instead"
        yield Finding("no_held_out", "", "note", says, f"From {FEWEST} different pictures on, a tenth is kept.")


def near_duplicates(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that show the same: they weigh double and stay on one side of the split."""
    for group in clusters(seen.pictures):
        if len(group) > 1:
            names = tuple(sorted(seen.pictures[i].name for i in group))
            best = max((seen.pictures[i] for i in group), key=worth)
            same = len({seen.pictures[i].digest for i in group}) == 1
            how = "the same pixels" if same else "nearly the same picture, perhaps mirrored or saved again"
            rest = ", ".join(name for name in names if name != best.name)
            remedy = f"Keep {best.name} and remove {rest}, unless the repetition is meant."
            says = f"{', '.join(names)}: {how}"
            yield Finding("near_duplicates", best.name, "warn", says, remedy, 1 - len(group), names)


def worth(picture: Picture) -> tuple[float, int, str]:
    """What makes one twin better than another: detail, less by JPEG's quality, then pixels, then a name to decide."""
    told = [quality for quality in (picture.measures["jpeg"], picture.measures["earlier"]) if quality > 0]
    detail = picture.measures["short"] * picture.measures["effective"] * (1 + min(told, default=100) / 100) / 2
    return detail, picture.width * picture.height, picture.name


def framing_balance(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Too few or too many pictures of one framing, where captions tell framings.

    Shares are of the pictures whose caption names a framing, in [0, 1].
    """
    shown = [picture for picture in seen.pictures if picture.role != "prior"]
    framings = {p.name: framing_word(p.caption) for p in shown if framing_word(p.caption)}
    total, counts = len(framings), Counter(framings.values())
    if total < rules.framing_least or total < rules.telling * len(shown):
        return
    for framing, (low, high) in rules.framing.items():
        count = counts[framing]
        says = f"{framing}: {count} of {total} pictures, {count / total:.0%}; expected {low:.0%} to {high:.0%}"
        if count / total < low - rules.slack:
            change = ceil((low * total - count) / (1 - low))
            yield Finding("framing_balance", framing, "warn", says, f"Add {change} {framing} pictures.", change)
        elif count / total > high + rules.slack:
            change = floor(high * total - count)
            these = tuple(name for name, word in framings.items() if word == framing)
            remedy = f"Swap {-change} of these for other framings."
            yield Finding("framing_balance", framing, "warn", says, remedy, change, these)


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
    """Captions past the encoder's limit: it drops their end without a word."""
    for picture in seen.pictures:
        texts = (picture.caption, *picture.variants)
        count = max(seen.count_tokens(rendered(text, seen.trigger)) for text in texts)
        if count > seen.token_limit:
            says = f"{picture.name}: a caption of {count} tokens; the text encoder reads {seen.token_limit}"
            over = count - seen.token_limit
            remedy = f"Shorten it by {over} tokens, about {ceil(over * 3 / 4)} words of prose."
            yield Finding("caption_too_long", picture.name, "warn", says, remedy, 0, (picture.name,))


def captions_alike(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """One caption for everything: backgrounds, outfits and framings all become part of the character."""
    texts = [p.caption for p in seen.pictures if p.caption]
    if len(texts) >= rules.fewest and len(set(texts)) == 1:
        says = f"All {len(texts)} captions say the same: {texts[0][:60]}"
        remedy = "Name what differs between the pictures (framing, pose, outfit, light, background)."
        yield Finding("captions_alike", "", "warn", says, remedy)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few of many names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


CHECKS: tuple[Check, ...] = (
    number,
    no_held_out,
    near_duplicates,
    framing_balance,
    caption_unreadable,
    caption_missing,
    trigger_missing,
    trigger_in_prior,
    caption_too_long,
    captions_alike,
)
