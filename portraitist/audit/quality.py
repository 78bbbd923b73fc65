"""Numbers of single pictures to findings: what cannot be read, size, sharpness, clipping."""

from collections.abc import Callable, Iterator

from portraitist.audit import Finding, Rules, Seen

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
        if short >= rules.small * seen.side and share < 1 and short * share < least:
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
    """Pictures with much pure black or white and little between: detail that no correction brings back."""
    for picture in seen.pictures:
        for end, word in (("dark", "black"), ("bright", "white")):
            share, between = picture.measures[end], picture.measures["midtones"]
            if share > rules.clipped and between < rules.midtones:
                says = (
                    f"{picture.name}: {share:.0%} of it is pure {word} and {between:.0%} is midtone;"
                    f" expected at most {rules.clipped:.0%}, or {rules.midtones:.0%} midtone"
                )
                remedy = "Replace it, or develop it again from the camera's file with less contrast."
                yield Finding("clipped", f"{picture.name} {word}", "warn", says, remedy, 0, (picture.name,))


CHECKS: tuple[Check, ...] = (unreadable, other_files, small, soft, blurred, clipped)
