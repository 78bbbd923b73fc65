"""Findings about what the set as a whole shows and lacks: quotas, the brief, a realism set's parts, weights, sizes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.figure import own, training_crop
from portraitist.audit.framing import VIEWS, Shown, shown, view_word
from portraitist.audit.phrasing import listed
from portraitist.audit.quality import Check
from portraitist.dataset import intake
from portraitist.dataset.buckets import buckets, crops, lost
from portraitist.pictures import Picture, framing_word

FRAMINGS = ("close-up", "mid", "full")
FRAMED, VIEWED = ("framing", "framings", "shot"), ("view", "views", "angle", "angles")

PARTS = {
    "legs": ("legs", "lower body", "thighs", "calves", "feet", "knees"),
    "torso": ("torso", "upper body", "midriff", "waist", "chest", "back", "shoulders", "arms"),
    "full": ("full body", "full-body", "full figure", "whole body", "head to toe"),
}
"""What a realism set shows, and the words for it in captions: ten of each (G1)."""


def framing_balance(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Too few or too many pictures of one framing, where captions or measures tell framings.

    Shares are of the pictures whose framing is known, in [0, 1].
    """
    there = own(seen)
    framings = {p.name: framing for p in there if (framing := shown(p).framing)}
    total, counts = len(framings), Counter(framings.values())
    if total < max(1, rules.framing_least) or total < rules.telling * len(there):
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


def coverage(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """What the brief asks of the character and too few pictures show: it could only be guessed from the base."""
    for kind, wanted in seen.brief.items():
        counts = shown_values(seen, kind, wanted)
        short = {value: count for value, count in counts.items() if count < rules.asked}
        if not short:
            continue
        if not any(counts.values()) and kind not in FRAMED + VIEWED:
            says = f"{kind}: no caption names any of {listed(list(wanted))}, which the brief asks for"
            remedy = "Name it in the captions of the pictures that show it; what none shows, add."
            yield Finding("coverage", kind, "note", says, remedy)
            continue
        there = ", ".join(f"{count} {value}" for value, count in counts.items())
        wanting = ", ".join(f"{value} ({rules.asked - count})" for value, count in short.items())
        says = f"{kind}: {there}; the brief asks for each, expected {rules.asked} or more"
        change = sum(rules.asked - count for count in short.values())
        yield Finding("coverage", kind, "warn", says, f"Add pictures: {wanting}.", change)


def shown_values(seen: Seen, kind: str, wanted: Sequence[str]) -> dict[str, int]:
    """By value of a brief's kind: how many pictures show it, by captions; framing and view by measures too."""
    there = [(p, shown(p)) for p in own(seen)]
    return {value: sum(shows(p, known, kind, value) for p, known in there) for value in wanted}


def shows(picture: Picture, known: Shown, kind: str, value: str) -> bool:
    """Whether a picture shows a value: its caption says so, or what is known of its framing or view is that."""
    if any(says(text, value) for text in (picture.caption, *picture.variants)):
        return True
    if kind in FRAMED:
        plain = value in ("close-up", "half body", "mid", "mid shot", "full body", "full")
        bucket = value if value in FRAMINGS else framing_word(value)
        return known.shot == value or (plain and known.framing == bucket)
    asked = view_word(value) or ("back" if value in ("behind", "back") else value if value in VIEWS else "")
    return kind in VIEWED and bool(known.view) and known.view == asked


def says(caption: str, value: str) -> bool:
    """Whether a caption has a phrase, whatever the case and the hyphens; one of several words too when they lie apart
    by one."""
    words = [re.escape(word) for word in re.split(r"[\s-]+", value.lower().strip()) if word]
    pattern = r"[\s-]+(?:\w+[\s-]+)?".join(words)
    return bool(words) and re.search(rf"(?<!\w){pattern}(?!\w)", caption.lower()) is not None


def realism_quota(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """A realism set without legs, torsos or whole figures: what it lacks stays as smooth as before."""
    there = [p for p in seen.pictures if p.role == "realism"]
    told = {p.name: part for p in there if (part := part_word(p.caption))}
    if not there:
        return
    if len(told) < rules.telling * len(there):
        says = f"{len(there) - len(told)} of {len(there)} captions of realism pictures tell no legs, torso or full body"
        remedy = "Say it in each: a third of each is what the guide takes (G1: 10, 10 and 10)."
        yield Finding("realism_quota", "", "note", says, remedy, 0, tuple(p.name for p in there if p.name not in told))
        return
    counts, total = Counter(told.values()), len(told)
    for part in PARTS:
        if counts[part] < rules.part * total:
            aim = max(1 / 3, rules.part)
            change = ceil((aim * total - counts[part]) / (1 - aim))
            says = (
                f"{part}: {counts[part]} of {total} realism pictures; expected a third, at least {rules.part:.0%} (G1)"
            )
            yield Finding("realism_quota", part, "warn", says, f"Add {change} of {part}.", change)


def part_word(text: str) -> str:
    """`legs`, `torso` or `full` as a caption tells it, or ""."""
    return next((part for part in ("full", "legs", "torso") if any(says(text, word) for word in PARTS[part])), "")


def exposures(seen: Seen) -> dict[str, tuple[int, str]]:
    """By role: how often its pictures are seen per pass, and how that comes about ("40 x 70")."""
    weights: dict[str, Counter[int]] = defaultdict(Counter)
    for picture in seen.pictures:
        if picture.split == "train":
            weight, _, role = intake.weigh(picture, 1, seen.recipe)
            weights[role][weight] += 1
    return {
        role: (sum(w * n for w, n in by.items()), " + ".join(f"{w} x {n}" for w, n in sorted(by.items())))
        for role, by in weights.items()
    }


def balance_of_sets(seen: Seen) -> str:
    """How often identity and realism are seen, as "identity 40 x 70 + realism 20 x 30 = 3,400 exposures, 4.67 : 1"."""
    by = exposures(seen)
    told = " + ".join(f"{role} {how}" for role, (_, how) in by.items())
    ratio = f", {by['identity'][0] / by['realism'][0]:.3g} : 1" if {"identity", "realism"} <= by.keys() else ""
    return f"{told} = {sum(count for count, _ in by.values()):,} exposures{ratio}"


def set_balance(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """A realism set that is seen more often than the character, or hardly ever."""
    by = exposures(seen)
    if not {"identity", "realism"} <= by.keys():
        return
    ratio, told = by["identity"][0] / by["realism"][0], balance_of_sets(seen)
    if ratio < 1:
        says = f"Realism pictures are seen more often than the character: {told}"
        yield Finding("set_balance", "", "warn", says, "Raise the weight of the identity set; G1's is 4.67 : 1.")
    elif ratio > 10:
        says = f"Realism pictures are hardly seen: {told}"
        yield Finding("set_balance", "", "note", says, "Raise that set's weight; G1's is 4.67 : 1.")


def crop_loss(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that lose much of their area to the shape they are trained in."""
    for picture in seen.pictures:
        crop = training_crop(picture.width, picture.height, seen.side, seen.multiple, seen.recipe.data.aspect)
        if lost(crop) > rules.cut:
            says = (
                f"{picture.name}: {lost(crop):.0%} of it is cut off for the training size"
                f" {crop.to_width} x {crop.to_height}; expected at most {rules.cut:.0%}"
            )
            remedy = "Crop it yourself to what matters, or raise data.aspect."
            yield Finding("crop_loss", picture.name, "warn", says, remedy, 0, (picture.name,))


def lone_sizes(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Training sizes with fewer exposures a pass than a batch: their pictures are computed in smaller ones."""
    among = buckets(seen.side, seen.multiple, seen.recipe.data.aspect)
    sizes: Counter[tuple[int, int]] = Counter()
    names: dict[tuple[int, int], list[str]] = defaultdict(list)
    for picture in seen.pictures:
        if picture.split == "train":
            for crop in crops(picture.width, picture.height, among, seen.recipe.data.crops):
                size = crop.to_width, crop.to_height
                sizes[size] += intake.weigh(picture, 1, seen.recipe)[0]
                names[size].append(picture.name)
    batch = seen.recipe.training.batch
    alone = sorted(size for size, count in sizes.items() if count < batch) if len(sizes) > 1 else []
    if alone:
        told = ", ".join(f"{w} x {h} ({sizes[w, h]})" for w, h in alone[:4]) + (" ..." if len(alone) > 4 else "")
        says = (
            f"{len(alone)} of {len(sizes)} training sizes have fewer exposures a pass than the batch of {batch}: {told}"
        )
        remedy = (
            "Nothing is lost, but their steps are slower; crop those to the shape of the others, or lower data.aspect."
        )
        these = tuple(dict.fromkeys(name for size in alone for name in names[size]))
        yield Finding("lone_sizes", "", "note", says, remedy, 0, these)


def table(seen: Seen) -> Mapping[str, Mapping[str, int]]:
    """How many pictures of the character show each framing (rows) from each view (columns); unknown ones last."""
    known = [shown(p) for p in own(seen)]
    rows = [*FRAMINGS, *(["unknown"] if any(not one.framing for one in known) else [])]
    views = [*reversed(list(VIEWS)), *(["unknown"] if any(not one.view for one in known) else [])]
    counts = Counter((one.framing or "unknown", one.view or "unknown") for one in known)
    return {row: {view: counts[row, view] for view in views} for row in rows}


CHECKS: tuple[Check, ...] = (framing_balance, coverage, realism_quota, set_balance, crop_loss, lone_sizes)
