"""What can be wrong with a set of pictures and not with one of them: planted in sound sets, and looked for there."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from benchmarks import spoilt
from benchmarks.spoilt import SIDE
from portraitist.audit import Rules, Seen, Unread
from portraitist.audit.measure import measure
from portraitist.audit.quality import Check
from portraitist.errors import PortraitistError
from portraitist.pictures import Picture, open_upright

Base = tuple[str, list[tuple[np.ndarray, bool]]]
"""A kind of picture, and sound ones of it, each with whether it has bands of its own."""


@dataclass
class Shown:
    """A picture file of the benchmark: what is wrong with it, and what was measured, or why it could not be."""

    name: str
    data: bytes
    facts: frozenset[str]
    picture: Picture | None = None
    twin: str = ""


def shown(name: str, suffix: str, data: bytes, facts: frozenset[str], folder: Path, twin: str = "") -> Shown:
    """Write a file, open and measure it as the audit does."""
    path = folder / f"{name}{suffix}"
    path.write_bytes(data)
    made = Shown(path.name, data, facts, twin=twin)
    try:
        opened = open_upright(path)
    except PortraitistError:
        return made
    size = opened.digest, opened.width, opened.height
    made.picture = Picture(path.name, *size, f"zorblax, half body, scene {name}", measures=measure(opened, SIDE))
    return made


def every(seen: Seen, **changes: object) -> Seen:
    """With the same change in every picture."""
    return replace(seen, pictures=[replace(p, **changes) for p in seen.pictures])  # type: ignore[arg-type]


WORDS: Mapping[str, Callable[[Seen], Seen]] = {
    "number": lambda seen: replace(seen, pictures=seen.pictures[:7]),
    "no_held_out": lambda seen: every(seen, split="train"),
    "other_files": lambda seen: replace(seen, others=("notes.pdf",)),
    "framing_balance": lambda seen: every(seen, caption="zorblax, close-up"),
    "caption_missing": lambda seen: replace(seen, pictures=[replace(seen.pictures[0], caption=""), *seen.pictures[1:]]),
    "caption_unreadable": lambda seen: replace(
        seen, uncaptioned=[Unread(seen.pictures[0].name, "no UTF-8", "save it")]
    ),
    "captions_alike": lambda seen: every(seen, caption="zorblax"),
    "caption_too_long": lambda seen: replace(seen, token_limit=3),
    "trigger_missing": lambda seen: every(seen, caption="a person"),
    "trigger_in_prior": lambda seen: every(seen, role="prior"),
}
"""By check: how a sound set is made one that it should name. These count and compare; nothing is estimated."""


def of_sets(sets: list[Base], checks: Sequence[Check], folder: Path) -> str:
    """What is wrong with a set and not with a picture: planted in every set, and looked for in it as it was."""
    there = {check.__name__: check for check in checks}
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for number, (kind, base) in enumerate(sets):
        sound = [
            shown(f"set-{number}-{i}", ".png", spoilt.png(p), frozenset(), folder) for i, (p, _) in enumerate(base)
        ]
        pictures = [one.picture for one in sound if one.picture is not None]
        marked = [
            shown(f"mark-{number}-{i}", ".png", spoilt.png(spoilt.marked(p)), frozenset(), folder)
            for i, (p, _) in enumerate(base)
        ]
        framings = ("close-up", *("half body",) * 2, "full body")
        pictures = [
            replace(p, caption=f"zorblax, {framings[i % 4]}, scene {i}", split="train" if i else "held-out")
            for i, p in enumerate(pictures)
        ]
        seen = Seen(pictures=pictures, trigger="zorblax", side=SIDE, count_tokens=lambda text: len(text.split()))
        cases = {name: change(seen) for name, change in WORDS.items()}
        cases["repeated_mark"] = replace(seen, pictures=[one.picture for one in marked if one.picture is not None])
        for name, case in cases.items():
            if name in there and (kind != "photographs" or name != "repeated_mark"):
                planted[name] += 1
                found[name] += any(True for _ in there[name](case, Rules()))
                wrong[name] += any(True for _ in there[name](seen, Rules())) and len(pictures) >= 15
    rows = [f"| {name} | {planted[name]} | {found[name]} | {wrong[name]} |" for name in planted]
    return (
        "\n| check of sets | planted in | found in | said of them as they were |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def turned_by_tag(sets: list[Base], folder: Path) -> str:
    """Pictures that lie in their file and say so by EXIF: how many are opened as what they were."""
    upright = total = 0
    for _, base in sets:
        for pixels, _ in base[:6]:
            for tag, quarters in ((3, 2), (6, 1), (8, 3)):
                exif, path = Image.Exif(), folder / "tagged.png"
                exif[ExifTags.Base.Orientation] = tag
                Image.fromarray(np.ascontiguousarray(np.rot90(pixels, quarters))).save(path, exif=exif)
                upright += bool(np.array_equal(open_upright(path).pixels, pixels))
                total += 1
                path.unlink()
    return f"\nTurned, and saying so by EXIF: {upright} of {total} are opened upright, to the pixel.\n"
