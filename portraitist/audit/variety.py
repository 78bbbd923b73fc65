"""Findings about how pictures differ where they should, and agree where they should: places, times, lenses, who."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from datetime import date
from statistics import median

import numpy as np

from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.consistency import MAD
from portraitist.audit.figure import own
from portraitist.audit.framing import content
from portraitist.audit.phrasing import listed
from portraitist.audit.quality import Check
from portraitist.dataset.split import clusters
from portraitist.pictures import Picture
from portraitist.sight.embed import restored

PHONES = re.compile(
    r"iphone|ipad|pixel|galaxy|\bsm-|redmi|\bpoco\b|\bmi \d|xiaomi|huawei|honor|oneplus|oppo|realme|\bvivo\b|motorola|"
    r"\bmoto\b|xperia|\bxq-|nokia|nothing|fairphone|(back|rear|front|wide|tele).*camera",
    re.IGNORECASE,
)
"""Makes, models and lenses that are phones' in EXIF."""

YEAR = 365.25

LEAST = 8
"""Pictures below which a set's spread says nothing."""


def background_variety(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """One backdrop behind many pictures: it is learnt as part of the character. Twins count once."""
    shown = own(seen)
    groups = clusters(shown)
    told = [shown[group[0]] for group in groups if content(shown[group[0]]).get("backdrop")]
    if len(told) < max(LEAST, rules.telling * len(groups)):
        return
    colours = np.stack([np.frombuffer(bytes.fromhex(content(p)["backdrop"]), np.uint8) for p in told]).astype(
        np.float32
    )
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    counts = [n for some in np.split(colours, range(256, len(colours), 256)) for n in alike(some, colours, rules)]
    names = tuple(told[i].name for i in np.flatnonzero(colours @ colours[int(np.argmax(counts))] >= rules.same_place))
    if len(names) > rules.crowded * len(told):
        says = (
            f"{len(names)} of {len(told)} pictures have about the same colours around the subject: {listed(names)};"
            f" expected at most {rules.crowded:.0%}"
        )
        change = int(len(names) / rules.crowded) + 1 - len(told)
        remedy = (
            f"Add {change} pictures before other backgrounds, or swap some of these, and name backgrounds in captions."
        )
        yield Finding("background_variety", "", "warn", says, remedy, change, names)


def alike(some: np.ndarray, colours: np.ndarray, rules: Rules) -> list[int]:
    """Of backdrops (M, d), to how many of all (N, d) each is the same place; a block at a time, for memory."""
    return [int(n) for n in (some @ colours.T >= rules.same_place).sum(axis=1)]


def time_spread(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures taken years apart: faces, hair and weight change."""
    dated = sorted((date.fromisoformat(content(p)["camera"]["date"]), p.name) for p in own(seen) if camera(p, "date"))
    if len(dated) < 2:
        return
    days = [day.toordinal() for day, _ in dated]
    span = (days[-1] - days[0]) / YEAR
    if span > rules.years:
        ends = [bisect_right(days, day + rules.years * YEAR) for day in days]  # the most that one stretch holds is kept
        most = max(range(len(days)), key=lambda i: ends[i] - i)
        names = tuple(name for _, name in (*dated[:most], *dated[ends[most] :]))
        says = (
            f"Taken {span:.1f} years apart, {dated[0][0]} to {dated[-1][0]} ({len(dated)} pictures say when);"
            f" outside the {rules.years:g} years that hold most: {listed(names)}"
        )
        remedy = "Leave those out if the person looks different in them; else nothing."
        yield Finding("time_spread", "", "note", says, remedy, 0, names)


def phone_pictures(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that a phone took: wide lenses stretch near faces, and its processing smooths and sharpens skin."""
    names = tuple(p.name for p in seen.pictures if phone(p))
    if names:
        models = sorted({content(p)["camera"].get("model", "a phone") for p in seen.pictures if phone(p)})
        says = f"{len(names)} pictures were taken with a phone ({', '.join(models[:3])}): {listed(names)}"
        remedy = (
            "Correct them first (white balance, noise); leave out close faces, which a phone's wide lens stretches."
        )
        yield Finding("phone_pictures", "", "note", says, remedy, 0, names)


def focal_spread(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Faces seen through lenses far apart: a wide one near by and a long one from afar give one face two shapes."""
    focal = {p.name: int(camera(p, "focal")) for p in own(seen) if camera(p, "focal")}
    if len(focal) < 2 or max(focal.values()) < rules.lenses * min(focal.values()):
        return
    middle = median(focal.values())
    names = tuple(sorted(focal, key=lambda name: -abs(np.log(focal[name] / middle)))[:5])
    says = (
        f"Lenses from {min(focal.values())} to {max(focal.values())} mm (as on 35 mm film), {middle:g} in the middle;"
        f" furthest from it: {listed(names)}"
    )
    remedy = "Name the lens in captions (wide-angle, 85mm), or leave close faces through wide lenses out."
    yield Finding("focal_spread", "", "note", says, remedy, 0, names)


def camera(picture: Picture, name: str) -> str:
    """What a picture's header says by name, or ""."""
    return str(content(picture).get("camera", {}).get(name, ""))


def phone(picture: Picture) -> bool:
    """Whether a phone took a picture, as far as its header says."""
    return any(PHONES.search(camera(picture, name)) for name in ("model", "lens"))


def identity_outliers(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that seem to show somebody else: far from the middle of the others, by faces or by the family's eyes.

    Nearness is the cosine with the sum of all others (leave one out); the limit is robust, by median and MAD.
    """
    for by in ("face", "eyes"):
        shown = [p for p in own(seen) if p.role != "style" and content(p).get("who_by") == by]
        if len(shown) < LEAST:
            continue
        near = nearness(np.stack([restored(content(p)["who"]) for p in shown]))
        limit = strange_below(near, rules)
        for picture, value in sorted(zip(shown, near, strict=True), key=lambda pair: pair[1]):
            if value < limit:
                whose = "face" if by == "face" else "figure"
                says = (
                    f"{picture.name}: somebody else? Its {whose} is {value:.2f} near the others; expected {limit:.2f}"
                )
                remedy = "Look at it beside the others; leave it out if it is not the character."
                yield Finding("identity_outliers", picture.name, "warn", says, remedy, -1, (picture.name,))


def nearness(vectors: np.ndarray) -> np.ndarray:
    """(N, d) unit vectors to the cosine of each with the sum of all others."""
    others = vectors.sum(axis=0) - vectors
    return np.asarray((vectors * others).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-9))


def strange_below(near: np.ndarray, rules: Rules) -> float:
    """The nearness below which a picture seems to show somebody else, of (N,) of all."""
    middle = float(np.median(near))
    spread = MAD * float(np.median(np.abs(near - middle)))
    return middle - max(rules.strange * spread, rules.strange_least)


def look_alikes(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that an embedding takes for nearly the same, and that are not each other's twins by hash."""
    shown = [p for p in own(seen) if content(p).get("whole")]
    if len(shown) < 2:
        return
    of = np.zeros(len(shown), int)
    for number, group in enumerate(clusters(shown)):
        of[group] = number
    vectors = np.stack([restored(content(p)["whole"]) for p in shown])
    for i, row in enumerate(vectors):
        near = np.flatnonzero((vectors[i + 1 :] @ row >= rules.copy) & (of[i + 1 :] != of[i]))
        names = [shown[i].name, *(shown[i + 1 + j].name for j in near)]
        if len(names) > 1:
            says = f"{listed(names)}: alike by the embedding (cosine {rules.copy:g} or more)"
            remedy = "Keep the best, unless they differ in what you want to teach."
            yield Finding("look_alikes", names[0], "note", says, remedy, 1 - len(names), tuple(names))


CHECKS: tuple[Check, ...] = (
    background_variety,
    time_spread,
    phone_pictures,
    focal_spread,
    identity_outliers,
    look_alikes,
)
