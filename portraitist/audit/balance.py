"""Numbers of the whole set to findings: how many, twins, framings."""

from collections import Counter
from collections.abc import Iterator
from math import ceil, floor

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.quality import Check
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
    """What makes one twin better than another: detail, then pixels, then a name to decide."""
    return picture.measures["short"] * picture.measures["effective"], picture.width * picture.height, picture.name


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


CHECKS: tuple[Check, ...] = (number, no_held_out, near_duplicates, framing_balance)
