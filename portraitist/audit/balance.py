"""Numbers of the whole set to findings: how many, twins."""

from collections.abc import Iterator

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.quality import Check
from portraitist.dataset.split import FEWEST, clusters
from portraitist.pictures import Picture


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


CHECKS: tuple[Check, ...] = (number, no_held_out, near_duplicates)
