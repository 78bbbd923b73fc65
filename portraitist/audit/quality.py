"""Numbers of single pictures to findings: what cannot be read, size, sharpness, noise, tones, compression, rim."""

import re
from collections.abc import Callable, Iterator

from portraitist.audit import Finding, Rules, Seen, Severity, alike, consistency

Check = Callable[[Seen, Rules], Iterator[Finding]]


def unreadable(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Files that look like pictures and cannot be opened; they are left alone, and the rest is used."""
    for file in seen.unreadable:
        yield Finding("unreadable", file.name, "warn", file.why, file.remedy, 0, (file.name,))


def other_files(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """What lies among the pictures and is neither picture nor caption."""
    if seen.others:
        shown = ", ".join(seen.others[:5]) + (" ..." if len(seen.others) > 5 else "")
        says = f"{len(seen.others)} entries of pictures/ are neither pictures nor captions: {shown}"
        yield Finding("other_files", "", "note", says, "Nothing to do, unless one is a picture: save it as PNG.")


def small(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures of which most would be invented in scaling up: short side below half the training side."""
    least = rules.small * seen.side
    for picture in seen.pictures:
        short = picture.measures["short"]
        if short < least:
            says = f"{picture.name}: {short} px on the short side; expected {least:.0f} or more for {seen.side}"
            remedy = "Replace it by a larger original, or remove it; enlarging it adds no detail."
            yield Finding("small", picture.name, "warn", says, remedy, 0, (picture.name,))


def soft(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures large enough by their pixels whose detail is not: scaled up, or out of focus all over."""
    least = rules.soft * seen.side
    for picture in seen.pictures:
        short, share = picture.measures["short"], picture.measures["effective"]
        if short >= rules.small * seen.side and share < rules.detail and short * share < least:
            says = (
                f"{picture.name}: its detail would fit {short * share:.0f} of its {short} px (scaled up or soft);"
                f" expected {least:.0f} or more"
            )
            remedy = "Replace it by the original before it was enlarged, or by a sharper one."
            yield Finding("soft", picture.name, "warn", says, remedy, 0, (picture.name,))


def blurred(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures whose sharpest parts are blurred at the training side."""
    for picture in seen.pictures:
        value = picture.measures["sharpness"]
        if value < rules.sharpness:
            says = (
                f"{picture.name}: sharpness {value:.0f} in its sharpest parts; expected {rules.sharpness:.0f} or more"
            )
            remedy = "Replace it by a sharper picture; a LoRA learns the blur too."
            yield Finding("blurred", picture.name, "warn", says, remedy, 0, (picture.name,))


def clipped(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures with detail cut off at black or at white, which no correction brings back.

    Much pure black or white and little between; or less of it where light runs up to it. A subject before white is
    spared.
    """
    for picture in seen.pictures:
        for end, word in (("dark", "black"), ("bright", "white")):
            share, between = picture.measures[end], picture.measures["midtones"]
            ramp, tail, rim = picture.measures[f"{end}_end"]
            runs = ramp >= rules.ramp or tail >= rules.tail
            runs = runs or (rim < rules.rim and (ramp >= rules.ramp_inside or tail >= rules.tail_inside))
            runs = runs or (end == "bright" and picture.measures["burnt"] > rules.burnt)
            remedy = "Replace it, or develop it again from the camera's file with less contrast."
            if share > rules.clipped and between < rules.midtones:
                says = (
                    f"{picture.name}: {share:.0%} of it is pure {word} and {between:.0%} is midtone;"
                    f" expected at most {rules.clipped:.0%}, or {rules.midtones:.0%} midtone"
                )
                yield Finding("clipped", f"{picture.name} {word}", "warn", says, remedy, 0, (picture.name,))
            elif share > rules.cut_off and runs:
                says = (
                    f"{picture.name}: {share:.0%} of it is pure {word}, and tones run up to it: cut off;"
                    f" expected at most {rules.cut_off:.0%}"
                )
                yield Finding("clipped", f"{picture.name} {word}", "warn", says, remedy, 0, (picture.name,))


def noisy(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures under noise: a LoRA learns grain as skin."""
    for picture in seen.pictures:
        value = picture.measures["noise"]
        if value > rules.noise:
            says = (
                f"{picture.name}: noise of {value:.1f} grey levels at training size; expected at most {rules.noise:g}"
            )
            remedy = "Replace it by one taken in more light, or take the noise off before adding it."
            yield Finding("noisy", picture.name, "warn", says, remedy, 0, (picture.name,))


def exposed(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that are dark or light as a whole, or hold next to nothing."""
    for picture in seen.pictures:
        low, high, bits = (picture.measures[name] for name in ("low", "high", "tones"))
        remedy = "Replace it, or develop it again; brightening a dark file brings up its noise."
        if high < rules.dim:
            says = (
                f"{picture.name}: too dark, 99 of 100 pixels below {high:.0f} of 255; expected {rules.dim:.0f} or more"
            )
            yield Finding("exposed", f"{picture.name} dark", "warn", says, remedy, 0, (picture.name,))
        elif low > rules.pale:
            says = (
                f"{picture.name}: too light, 95 of 100 pixels above {low:.0f} of 255; expected {rules.pale:.0f} or less"
            )
            yield Finding("exposed", f"{picture.name} light", "warn", says, remedy, 0, (picture.name,))
        elif bits < rules.plain:
            says = f"{picture.name}: next to nothing in it, {bits:.1f} bits of tone; expected {rules.plain:g} or more"
            remedy = "Look at it; remove it if it is empty."
            yield Finding("exposed", f"{picture.name} empty", "warn", says, remedy, 0, (picture.name,))


def compressed(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that JPEG has harmed, in their file or before they came into it: blocks and smears become skin."""
    for picture in seen.pictures:
        now, once, blocks = (picture.measures[name] for name in ("jpeg", "earlier", "blocks"))
        least = min((q for q in (now, once) if q > 0), default=0)
        if 0 < least < rules.quality or blocks >= rules.blocks:
            moved = ", cropped after that" if picture.measures["moved"] else ""
            told = "about " if not picture.measures["exact"] else ""
            if 0 < now < rules.quality and (once == 0 or now <= once + 3):
                kept = picture.measures["chroma_kept"]
                says = f"saved as JPEG of quality {told}{now:.0f}" + (f", colours at {kept}" if kept else "")
            elif 0 < once < rules.quality:
                says = f"once saved as JPEG of quality about {once}{moved}; what file it lies in now cannot mend that"
            else:
                says = f"steps between blocks of 8 pixels are {blocks:.1f} times those within{moved}"
            halved = picture.measures["short"] >= 2 * seen.side  # training scales the blocks away
            severity: Severity = "note" if halved and not 0 < least < 50 else "warn"
            remedy = "Replace it by the file it was made from; saving it again, or as PNG, brings nothing back."
            says = f"{picture.name}: {says}; expected quality {rules.quality:.0f} or more"
            yield Finding("compressed", picture.name, severity, says, remedy, 0, (picture.name,))


def banded(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures whose gradients are stairs, or that have few tones left."""
    for picture in seen.pictures:
        stairs, missing = picture.measures["banding"], picture.measures["missing"]
        remedy = "Replace it by the original before tones were cut (GIF, palette, hard edits)."
        if missing > rules.missing:
            says = (
                f"{picture.name}: {missing:.0%} of tones in between are missing; expected {rules.missing:.0%} at most"
            )
            yield Finding("banded", picture.name, "warn", says, remedy, 0, (picture.name,))
        elif stairs > rules.banding:
            says = (
                f"{picture.name}: gradients are stairs, {stairs:.1f} in a thousand pixels; expected {rules.banding:g}"
            )
            yield Finding("banded", picture.name, "note", says, remedy, 0, (picture.name,))


def cast(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that lean to one colour as a whole: light or white balance that a LoRA takes for the character's."""
    for picture in seen.pictures:
        value, grey = picture.measures["cast"], picture.measures["hues"] < rules.colourless
        if value > rules.cast and not grey:
            says = (
                f"{picture.name}: all but a twentieth of it leans to {picture.measures['leans']} by {value:.0f} or more"
                f" (CIELAB); expected {rules.cast:.0f} at most"
            )
            remedy = "If no such light is meant, correct its white balance; else name the light in its caption."
            yield Finding("cast", picture.name, "note", says, remedy, 0, (picture.name,))


def bordered(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures with plain bars at the rim: letterboxes and frames are learnt with the character."""
    for picture in seen.pictures:
        left, above, right, below = picture.measures["borders"]
        share = max((left + right) / picture.width, (above + below) / picture.height)
        if share > rules.bars:
            sides = (("left", left), ("above", above), ("right", right), ("below", below))
            told = ", ".join(f"{count} px {word}" for word, count in sides if count)
            says = f"{picture.name}: plain bars of {told}, {share:.0%} of its side; expected none"
            yield Finding("bordered", picture.name, "warn", says, "Crop them off.", 0, (picture.name,))


def screenshot(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that are a screen's, by their name, or by a size that only screens have and no camera in them."""
    for picture in seen.pictures:
        size = (min(picture.width, picture.height), max(picture.width, picture.height))
        named = re.search(
            r"screen[ _-]?(shot|cap)|bildschirmfoto|capture d.?.cran|captura de pantalla", picture.name, re.I
        )
        if named or (size in SCREENS and not picture.measures["camera"]):
            why = (
                "its name says so"
                if named
                else f"{picture.width} x {picture.height} is a screen's size, and no camera's"
            )
            says = f"{picture.name}: perhaps a screenshot: {why}"
            remedy = "Look for bars, buttons and lettering, and crop to the picture, or take the original instead."
            yield Finding("screenshot", picture.name, "note", says, remedy, 0, (picture.name,))


def lettering(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures with what looks like lettering at their upper or lower rim: captions, dates, watermarks. One finding for
    all: it is a hint, and of drawn sets ornaments give many."""
    names = tuple(picture.name for picture in seen.pictures if picture.measures["lettering"])
    if names:
        says = (
            f"{len(names)} pictures have something shaped like lettering near the rim (a watermark, a date, a title?)"
        )
        remedy = "Look; crop or paint it out if it is one, or name it in the caption: else it is learnt."
        yield Finding("lettering", "", "note", says, remedy, 0, names)


def odd_aspect(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures so long or so wide that most of them is cut away in training."""
    for picture in seen.pictures:
        share = min(picture.width, picture.height) / max(picture.width, picture.height)
        if share < rules.aspect:
            size = f"{picture.width} x {picture.height}"
            says = f"{picture.name}: {size}, {share:.2f} to 1; expected {rules.aspect:g} or more"
            remedy = "Crop it to the character, or cut it into several pictures."
            yield Finding("odd_aspect", picture.name, "warn", says, remedy, 0, (picture.name,))


SCREENS = frozenset(
    (min(size), max(size))
    for size in (
        (1170, 2532), (1179, 2556), (1206, 2622), (1284, 2778), (1290, 2796), (1320, 2868), (1125, 2436), (828, 1792),
        (1242, 2688), (750, 1334), (1242, 2208), (1080, 2160), (1080, 2220), (1080, 2280), (1080, 2340), (1080, 2376),
        (1080, 2400), (1080, 2408), (1080, 2412), (1080, 2460), (1440, 2960), (1440, 3040), (1440, 3088), (1440, 3200),
        (720, 1600), (720, 1520), (1640, 2360), (1668, 2388), (2048, 2732), (1366, 768), (1440, 900), (1680, 1050),
        (2560, 1600), (2880, 1800), (3024, 1964), (3456, 2234), (2560, 1440), (3440, 1440),
    )
)  # fmt: skip
"""Sizes of phones' and computers' screens that are no camera's and no usual picture's; video's own sizes are left
out."""

CHECKS: tuple[Check, ...] = (
    unreadable,
    other_files,
    small,
    soft,
    blurred,
    noisy,
    clipped,
    exposed,
    compressed,
    banded,
    cast,
    bordered,
    screenshot,
    lettering,
    odd_aspect,
    consistency.greyscale,
    consistency.tone_apart,
    consistency.repeated_mark,
    consistency.lying,
    alike.maybe_same,
)
