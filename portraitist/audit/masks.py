"""Numbers of masks to findings: what would count in the loss, and what by mistake would not.

A mask is a file `name-masklabel.png` beside a picture, or the picture's own transparency. Where `data.masks` is 1 masks
count for nothing, and nothing about them blocks.
"""

from collections.abc import Iterator

from portraitist.audit import Finding, Rules, Seen, Severity
from portraitist.audit.quality import Check

EMPTY, FULL = 0.005, 0.995
"""Mean weights below which a mask leaves nothing, and above which it takes nothing away."""

LEAST, MOST = 0.03, 0.9
"""Of the picture: below, a handful of latent cells teach all there is; above, hardly any background is kept out."""

OUTSIDE = 0.5
"""By how much more the border weighs than the middle in an inverted mask. Subjects of drawn and photographed
close-ups reach the border below, so that theirs weighs up to 0.4 while their middle is above 0.7."""


def weighty(seen: Seen, otherwise: Severity) -> Severity:
    """How much a mistake in a mask matters: a note where masks are ignored."""
    return otherwise if seen.masks < 1 else "note"


def masks_ignored(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Mask files that count for nothing, because the recipe ignores masks."""
    names = tuple(p.name for p in seen.pictures if p.measures.get("mask", {}).get("file"))
    if names and seen.masks == 1:
        says = f"{len(names)} pictures have a mask file, and data.masks = 1.0 ignores masks"
        yield Finding(
            "masks_ignored", "", "note", says, "Set data.masks below 1: 0.1 weighs the background a tenth.", 0, names
        )


def mask_unusable(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Mask files that cannot be read, or are of another crop than their picture."""
    for picture in seen.pictures:
        mask = picture.measures.get("mask", {})
        if "problem" in mask:
            severity = weighty(seen, "block")
            says = f"{picture.name}: {mask['problem']}"
            yield Finding("mask_unusable", picture.name, severity, says, mask["remedy"], 0, (picture.name,))


def mask_scaled(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Mask files of another size than their picture, and of its aspect: they are scaled."""
    for picture in seen.pictures:
        size = picture.measures.get("mask", {}).get("size")
        if size:
            says = f"{picture.name}: its mask is {size[0]} x {size[1]}, the picture {picture.width} x {picture.height}"
            remedy = "Nothing to do if it is of this picture: it is scaled."
            yield Finding("mask_scaled", picture.name, "note", says, remedy, 0, (picture.name,))


AGAIN = "Make it again (portraitist repair FOLDER mask), or remove it."


def weights(seen: Seen) -> Iterator[tuple[str, float, bool]]:
    """Of each picture with a mask: its name, the mask's mean weight, and whether it is a file of its own."""
    for picture in seen.pictures:
        mask = picture.measures.get("mask", {})
        if mask.get("inside") is not None:
            yield picture.name, mask["inside"], mask["file"]


def mask_empty(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Masks that leave nothing of their picture."""
    for name, inside, _ in weights(seen):
        if inside < EMPTY:
            says = f"{name}: the mask is empty ({inside:.1%} of the picture)"
            yield Finding("mask_empty", name, weighty(seen, "block"), says, AGAIN, 0, (name,))


def mask_full(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Mask files that take nothing away."""
    for name, inside, file in weights(seen):
        if inside > FULL and file:
            says = f"{name}: the mask is white all over ({inside:.1%}): it does nothing"
            yield Finding("mask_full", name, weighty(seen, "warn"), says, AGAIN, 0, (name,))


def mask_coverage(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Masks of hardly anything of their picture, and mask files of nearly all of it."""
    for name, inside, file in weights(seen):
        if EMPTY <= inside < LEAST or (file and MOST < inside <= FULL):
            says = f"{name}: the mask covers {inside:.1%} of the picture; expected {LEAST:.0%} to {MOST:.0%}"
            yield Finding("mask_coverage", name, weighty(seen, "warn"), says, AGAIN, 0, (name,))


def mask_inverted(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Masks that keep the border and leave the middle out: the background would be learnt in the subject's place."""
    for picture in seen.pictures:
        mask = picture.measures.get("mask", {})
        if mask.get("border", 0.0) - mask.get("middle", 1.0) > OUTSIDE:
            says = (
                f"{picture.name}: its mask keeps {mask['border']:.0%} of the border and {mask['middle']:.0%} of the"
                " middle; it seems inverted"
            )
            remedy = "White is what counts: invert it, or make it again (portraitist repair FOLDER mask)."
            severity = weighty(seen, "block")
            yield Finding("mask_inverted", picture.name, severity, says, remedy, 0, (picture.name,))


CHECKS: tuple[Check, ...] = (
    masks_ignored,
    mask_unusable,
    mask_scaled,
    mask_empty,
    mask_full,
    mask_coverage,
    mask_inverted,
)
