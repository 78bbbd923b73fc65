"""What a person has said to the audit: thresholds and quotas in the recipe, waivers in project.toml."""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields, replace

from portraitist.audit import Finding, Rules
from portraitist.errors import PortraitistError
from portraitist.sections import Audit

QUOTAS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "G4": Rules().framing,
    "G1": {"close-up": (0.24, 0.34), "mid": (0.24, 0.34), "full": (0.38, 0.48)},
}
"""Shares of each framing by guide: G4's ranges; G1's 20 faces, 20 varied, 30 full bodies of 70, 0.05 around."""


def expected(said: Audit) -> Rules:
    """The audit's rules with what a recipe changes of them.

    Raises PortraitistError for a threshold that does not exist, is negative, or cannot be met, and for such ranges.
    """
    known = {f.name for f in fields(Rules) if isinstance(getattr(Rules(), f.name), int | float)}
    for name, value in said.thresholds.items():
        if name not in known:
            raise PortraitistError(
                f"audit.thresholds.{name}: there is no such threshold",
                meant(name, known, f"Thresholds: {', '.join(sorted(known))}."),
            )
        if value < 0:
            raise PortraitistError(f"audit.thresholds.{name} = {value:g} is below 0", "Give a number from 0 on.")
        if (name == "part" and value >= 1) or (name == "crowded" and value == 0):
            raise PortraitistError(
                f"audit.thresholds.{name} = {value:g}: no number of pictures meets that",
                "It is a share: give a number between 0 and 1.",
            )
    ranges: dict[str, tuple[float, float]] = {**QUOTAS[said.quota]}
    ranges.update({str(name): span for name, span in said.framing.items()})
    for name, (low, high) in ranges.items():
        if low > high:
            raise PortraitistError(f"audit.framing.{name} = [{low:g}, {high:g}] ends before it begins", "Swap the two.")
        if low >= 1:
            raise PortraitistError(
                f"audit.framing.{name} = [{low:g}, {high:g}]: once there is another, no number of pictures meets that",
                "Give a lower end below 1.",
            )
    least, most = sum(low for low, _ in ranges.values()), sum(high for _, high in ranges.values())
    if least > 1 or most < 1:
        raise PortraitistError(
            f"The ranges of audit.framing add up to {least:.0%} at least and {most:.0%} at most: no set meets them",
            "Let the lower ends add up to at most 1 and the upper ones to at least 1.",
        )
    typed = {name: type(getattr(Rules(), name))(value) for name, value in said.thresholds.items()}
    return replace(Rules(), framing=ranges, **typed)


def changed(rules: Rules) -> dict[str, object]:
    """What rules differ in from the audit's own, as JSON has it."""
    plain = asdict(Rules())
    differs = {name: value for name, value in asdict(rules).items() if value != plain[name]}
    return {
        n: {k: list(v) for k, v in value.items()} if isinstance(value, dict) else value for n, value in differs.items()
    }


def meant(name: str, known: Collection[str], otherwise: str) -> str:
    """Did you mean the nearest known name; `otherwise` where none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else otherwise


def reason(waived: Mapping[str, str], check: str, pictures: Collection[str]) -> str:
    """Why a finding is let pass: what `waived` says of its check, or of every one of its pictures (`check:name`).

    "" when it is not. A finding about several pictures passes only when each is named, or the check itself; `unfit` is
    let pass by nobody.
    """
    if check == "unfit":
        return ""
    if check in waived:
        return waived[check] or "no reason given"
    each = [waived.get(f"{check}:{name}") for name in pictures]
    return next(iter(dict.fromkeys(map(str, each)))) if each and all(each) else ""


def standing(waived: Mapping[str, str], findings: Collection[Finding]) -> list[Finding]:
    """The findings that block and are not waived."""
    return [f for f in findings if f.severity == "block" and not reason(waived, f.check, f.pictures)]


def refuse_unknown(waived: Mapping[str, str], checks: Collection[str]) -> None:
    """Refuse a waiver of a check that does not exist: it would let nothing pass. Raises PortraitistError."""
    for key in waived:
        name = key.partition(":")[0]
        if name not in checks:
            raise PortraitistError(
                f"project.toml: [waived] names {key!r}, and there is no check {name!r}",
                meant(name, checks, f"Checks: {', '.join(sorted(checks))}."),
            )


def stale(waived: Mapping[str, str], names: Collection[str]) -> list[str]:
    """What to say of waivers for pictures that are not there (any more)."""
    told = [(key, name) for key in waived for _, colon, name in (key.partition(":"),) if colon]
    return [f"project.toml waives {key!r}, and there is no picture {name!r}" for key, name in told if name not in names]
