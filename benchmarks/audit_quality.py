"""Does the audit find what is wrong with pictures, and does it leave good ones alone?

    python -m benchmarks.audit_quality --peers /somewhere/bin/python --photographs FOLDER ...

Faults of known kinds are planted in sets of pictures; every check of the audit judges every set. A fault is found when
a check that means it names the picture; a finding is right when the picture has a fault that the check means.
Thresholds were set on one half of the pictures (`--half tuning`: other characters, other seeds, other photographs),
figures are told of the other.
"""

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks import spoilt
from benchmarks.audit_sets import WORDS, Base, Shown, of_sets, shown, turned_by_tag
from benchmarks.spoilt import COMPRESSED, FAULTS, SIDE
from portraitist.audit import Finding, Rules, Seen, Unread
from portraitist.verbs.audit import CHECKS

JPEG = frozenset(COMPRESSED)
BLUR = frozenset({"enlarged", "blurred", "shaken"})
ODD = frozenset({"tinted", "dark", "light", "grey", "blown", "crushed", "bare", "screenshot", "posterised"})

MEANS: Mapping[str, frozenset[str]] = {
    "soft": BLUR | JPEG | {"bare", "screenshot", "again"},
    "blurred": BLUR | JPEG | {"bare", "screenshot", "light", "dark"},
    "noisy": frozenset({"noisy"}),
    "clipped": frozenset({"blown", "crushed", "light", "again"}),
    "exposed": frozenset({"dark", "light", "bare", "blown", "crushed"}),
    "compressed": JPEG | {"again"},
    "banded": JPEG | {"posterised", "banded sky", "light", "dark", "blown", "crushed"},
    "cast": frozenset({"tinted"}),
    "tone_apart": ODD,
    "greyscale": frozenset({"grey", "bare", "light"}),
    "bordered": frozenset({"barred", "screenshot"}),
    "screenshot": frozenset({"screenshot"}),
    "lettering": frozenset({"lettered", "screenshot"}),
    "odd_aspect": frozenset({"long"}),
    "small": frozenset({"little", "long"}),
    "lying": frozenset({"lying"}),
    "near_duplicates": frozenset({"again", "cropped"}),
    "maybe_same": frozenset({"again", "cropped"}),
    "unreadable": frozenset({"broken"}),
}
"""By check: the faults of which it says something true. A picture scaled down by JPEG's quality 10 is soft, and one
that was made a fifth as light has lost its tones: these are no false alarms."""

PAIRED = ("near_duplicates", "maybe_same")
"""Checks whose findings are about pictures beside each other."""

CURES: Mapping[str, tuple[str, ...]] = {
    "enlarged": ("soft", "blurred"), "blurred": ("soft", "blurred"), "shaken": ("soft", "blurred"), "noisy": ("noisy",),
    "blown": ("clipped",), "crushed": ("clipped",), "dark": ("exposed",), "light": ("exposed",), "bare": ("exposed",),
    "jpeg file": ("compressed",), "jpeg inside": ("compressed",), "jpeg moved": ("compressed",),
    "posterised": ("banded",), "tinted": ("cast", "tone_apart"), "grey": ("greyscale",), "barred": ("bordered",),
    "lettered": ("lettering",), "screenshot": ("screenshot",), "long": ("odd_aspect",), "little": ("small",),
    "lying": ("lying",), "again": ("near_duplicates",), "cropped": ("near_duplicates", "maybe_same"),
    "broken": ("unreadable",),
}  # fmt: skip
"""By fault: the checks that must name it for it to count as found."""

PEER: Mapping[str, tuple[str, ...]] = {
    "enlarged": ("blurry",), "blurred": ("blurry",), "shaken": ("blurry",), "dark": ("dark",), "light": ("light",),
    "bare": ("low_information",), "grey": ("grayscale",), "long": ("odd_aspect_ratio", "odd_size"),
    "little": ("odd_size",),
}  # fmt: skip
"""By fault: cleanvision's issues that mean it."""


@dataclass
class Tally:
    """What was planted and found, by fault; what was said and right, by check; and of good pictures named."""

    planted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    which: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    seen: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)


def bases(half: str, photographs: list[Path], few: int) -> list[Base]:
    """The sets of sound pictures of a half, each picture with whether it has bands of its own."""
    start = 0 if half == "tuning" else 20
    sets = [("drawn", spoilt.drawn(start + n, 24)) for n in range(max(1, few // 2))]
    sets += [("leaves", [(p, False) for p in spoilt.leaves(start + n, 24)]) for n in range(max(1, few // 3))]
    found = spoilt.photographs(photographs)
    names = sorted({name for name, _ in found})[half == "reporting" :: 2]
    real = [(pixels, False) for name, pixels in found if name in names]
    return sets + ([("photographs", real)] if len(real) > 4 else [])


def judged(pictures: Sequence[Shown]) -> list[Finding]:
    """All findings of a set."""
    readable = [one.picture for one in pictures if one.picture is not None]
    readable[0] = replace(readable[0], split="held-out")
    broken = [Unread(one.name, "cannot be read", "remove it") for one in pictures if one.picture is None]
    seen = Seen(pictures=readable, trigger="zorblax", side=SIDE, unreadable=broken)
    return [finding for check in CHECKS for finding in check(seen, Rules())]


def count(pictures: Sequence[Shown], findings: Sequence[Finding], tally: Tally) -> None:
    """Add a set's findings to the tally."""
    by_name = {one.name: one for one in pictures}
    named: dict[str, set[str]] = defaultdict(set)
    for finding in each_told(findings):
        if finding.check not in MEANS:
            continue
        facts = frozenset().union(*(by_name[name].facts for name in finding.pictures))
        for name in finding.pictures:
            one = by_name[name]
            if not one.twin or one.twin in finding.pictures or finding.check not in PAIRED:
                named[name].add(finding.check)
        if (finding.check, finding.pictures) in tally.seen:
            continue
        tally.seen.add((finding.check, finding.pictures))
        tally.said[finding.check] += 1
        if facts & MEANS[finding.check]:
            tally.right[finding.check] += 1
        else:
            tally.wrong[finding.check][" ".join(sorted(facts)) or "sound"] += 1
            tally.which[finding.check].append(finding.says)
    for one in pictures:
        for fault in one.facts & CURES.keys():
            tally.planted[fault] += 1
            tally.found[fault] += bool(named[one.name] & set(CURES[fault]))


def each_told(findings: Sequence[Finding]) -> Iterator[Finding]:
    """Findings, with one that tells several pictures of a like fault (lettering) split into one for each; those about
    pairs and groups stay whole."""
    for finding in findings:
        if finding.check in PAIRED:
            yield finding
        else:
            yield from (replace(finding, pictures=(name,)) for name in finding.pictures)


def sets_with_faults(half: str, sets: list[Base], each: int, folder: Path) -> Iterator[tuple[str, list[Shown]]]:
    """Sets with a fault in a fifth of their pictures: every fault `each` times, in all kinds of picture alike."""
    sound: dict[tuple[int, int], Shown] = {}
    wanted = [kind for kind in CURES for _ in range(each)]
    random.Random(half).shuffle(wanted)
    number = 0
    while wanted:
        kind, pictures = sets[number % len(sets)]
        chance = random.Random(f"{half} {number}")
        most = max(1, len(pictures) // 5)
        able = [w for w in dict.fromkeys(wanted) if w != "lying" or kind == "drawn"]
        if not able:
            sets = [one for one in sets if one[0] == "drawn"]
            continue
        made: dict[int, Shown] = {}
        extra: list[Shown] = []
        for place, fault in zip(chance.sample(range(len(pictures)), most), able, strict=False):
            wanted.remove(fault)
            pixels, bands = pictures[place]
            own = frozenset({fault, *(("banded sky",) if bands else ())})
            suffix, data = spoilt.spoilt(fault, pixels, chance)
            base = sound_one(sound, number % len(sets), place, pictures[place], folder)
            twin = base.name if fault in ("again", "cropped") else ""
            one = shown(f"{number:03}-{place:02}-{fault.replace(' ', '-')}", suffix, data, own, folder, twin)
            if twin:
                extra.append(one)
            else:
                made[place] = one
        rest = range(len(pictures))
        whole = [made.get(i) or sound_one(sound, number % len(sets), i, pictures[i], folder) for i in rest]
        yield kind, [*whole, *extra]
        number += 1


def sound_one(
    known: dict[tuple[int, int], Shown], group: int, place: int, base: tuple[np.ndarray, bool], folder: Path
) -> Shown:
    """A sound picture as a file, measured once."""
    if (group, place) not in known:
        suffix, data = spoilt.sound(base[0], random.Random(f"{group} {place}"))
        facts = frozenset({"banded sky"} if base[1] else set())
        known[group, place] = shown(f"sound-{group:02}-{place:02}", suffix, data, facts, folder)
    return known[group, place]


def interval(good: int, of: int) -> str:
    """A share with its 95 % interval (Wilson 1927)."""
    if not of:
        return "-"
    share, z = good / of, 1.96
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{share:.2f} ({max(0, middle - half):.2f}-{min(1, middle + half):.2f})"


def asked(python: str, *words: str) -> object:
    """What the peers say."""
    script = str(Path(__file__).parent / "audit_peers.py")
    return json.loads(subprocess.run([python, script, *words], check=True, capture_output=True, text=True).stdout)


def readable(folder: Path) -> str:
    """A folder of links to the files that can be read: cleanvision ends with an error at the first that cannot."""
    there = folder.parent / f"{folder.name}-readable"
    there.mkdir()
    for path in folder.iterdir():
        if "broken" not in path.name:
            (there / path.name).hardlink_to(path)
    return str(there)


def main() -> None:
    """Plant, judge, and write tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("tuning", "reporting"), default="reporting")
    parser.add_argument("--each", type=int, default=30, help="how often every fault is planted")
    parser.add_argument("--sets", type=int, default=8, help="half as many drawn sets, a third as many of leaves")
    parser.add_argument("--photographs", type=Path, nargs="*", default=[])
    parser.add_argument("--peers", default="", help="a Python with cleanvision and imagehash")
    given = parser.parse_args()
    write = sys.stdout.write
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pictures"
        folder.mkdir()
        sets = bases(given.half, given.photographs, given.sets)
        tally, by_kind, twins = Tally(), defaultdict(Tally), []
        for kind, pictures in sets_with_faults(given.half, sets, given.each, folder):
            findings = judged(pictures)
            for one in (tally, by_kind[kind]):
                count(pictures, findings, one)
            if any(one.facts & {"again"} for one in pictures):
                twins.append(pictures)
        peer = asked(given.peers, "quality", readable(folder)) if given.peers else {}
        files = sorted(folder.iterdir())
        write(f"{len(files)} pictures: {json.dumps({k: sum(s[0] == k for s in sets) for k, _ in sets})}\n\n")
        write(
            "| fault | planted | found | drawn | leaves | photographs | cleanvision |\n|---|---|---|---|---|---|---|\n"
        )
        for fault in CURES:
            parts = [
                f"{t.found[fault]}/{t.planted[fault]}" for t in (by_kind[k] for k in ("drawn", "leaves", "photographs"))
            ]
            write(f"| {fault} | {tally.planted[fault]} | {interval(tally.found[fault], tally.planted[fault])} | ")
            write(" | ".join(parts) + f" | {peer_found(fault, peer)} |\n")
        write("\n| check | said | right | of what else |\n|---|---|---|---|\n")
        for check in MEANS:
            wrong = ", ".join(f"{kind} {n}" for kind, n in tally.wrong[check].most_common(5))
            write(f"| {check} | {tally.said[check]} | {interval(tally.right[check], tally.said[check])} | {wrong} |\n")
        for check in tally.which if given.each < 20 else ():
            write("".join(f"{check}: {says}\n" for says in tally.which[check][:12]))
        write(of_sets(sets, CHECKS, folder) + turned_by_tag(sets, folder))
        left = sorted({check.__name__ for check in CHECKS} - MEANS.keys() - WORDS.keys() - {"repeated_mark"})
        write(f"\nNot planted here: {', '.join(left)}\n")
        if given.peers:
            write(peer_precision(peer) + twins_beside(given.peers, twins, folder))


def peer_found(fault: str, peer: object) -> str:
    """How often cleanvision named a fault."""
    if not isinstance(peer, dict) or not peer or fault not in PEER:
        return "-"
    mine = [issues for name, issues in peer.items() if fault.replace(" ", "-") == name.split(".")[0].split("-", 2)[-1]]
    return interval(sum(bool(set(issues) & set(PEER[fault])) for issues in mine), len(mine))


def peer_precision(peer: object) -> str:
    """How often cleanvision's issues were right."""
    assert isinstance(peer, dict)
    said: dict[str, list[bool]] = defaultdict(list)
    for name, issues in peer.items():
        fault = name.split(".")[0].split("-", 2)[-1].replace("-", " ")
        for issue in issues:
            also = {
                "blurry": {"bare", "light", "dark", *JPEG},
                "grayscale": {"bare"},
                "low_information": {"light", "dark"},
            }
            said[issue].append(issue in PEER.get(fault, ()) or fault in also.get(issue, set()))
    rows = [f"| {issue} | {len(hits)} | {interval(sum(hits), len(hits))} |" for issue, hits in sorted(said.items())]
    return "\n| cleanvision | said | right |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def twins_beside(python: str, sets: list[list[Shown]], folder: Path) -> str:
    """Duplicates by the peers, on the same sets: planted pairs found, and pairs told that are none."""
    from portraitist.dataset.split import twins as ours

    found: Counter[str] = Counter()
    said: Counter[str] = Counter()
    planted = 0
    with tempfile.TemporaryDirectory() as place:
        folders = []
        for number, pictures in enumerate(sets):
            there = Path(place) / f"{number:03}"
            there.mkdir()
            folders.append(str(there))
            for one in pictures:
                if one.picture is not None:
                    (there / one.name).symlink_to(folder / one.name)
        told = asked(python, "twins", *folders)
        assert isinstance(told, list)
        for pictures, pairs in zip(sets, told, strict=True):
            readable = [one.picture for one in pictures if one.picture is not None]
            pairs["portraitist"] = [[readable[i].name, readable[j].name] for i, j in ours(readable)]
            truth = {frozenset((one.name, one.twin)) for one in pictures if one.facts & {"again"}}
            also = {frozenset((one.name, one.twin)) for one in pictures if one.facts & {"cropped"}}
            planted += len(truth)
            for who, those in pairs.items():
                mine = {frozenset(pair) for pair in those} - also
                found[who] += len(mine & truth)
                said[who] += len(mine)
    rows = [f"| {who} | {interval(found[who], planted)} | {interval(found[who], said[who])} |" for who in sorted(said)]
    return "\n| duplicates by | found | right |\n|---|---|---|\n" + "\n".join(rows) + "\n"


assert set(FAULTS) | JPEG | {"broken"} == set(CURES), "a fault that nothing is asked to find"

if __name__ == "__main__":
    main()
