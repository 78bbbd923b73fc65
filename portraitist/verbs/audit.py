"""audit: measure every picture once, draw the split, judge; alone writes manifest.jsonl and audit.json."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from portraitist import durable, families, provenance
from portraitist.audit import (
    Finding,
    Seen,
    balance,
    content,
    coverage,
    figure,
    masks,
    mending,
    quality,
    rights,
    terms,
    trigger,
    variety,
    wording,
)  # fmt: skip
from portraitist.audit.survey import Survey, blocking, survey, write_record
from portraitist.crew import Crew
from portraitist.dataset.intake import bare, listed, require_sets
from portraitist.dataset.split import held_out
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, Warned, ignore
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.recipe import Recipe

CHECKS = (
    *quality.CHECKS,
    *balance.CHECKS,
    *figure.CHECKS,
    *coverage.CHECKS,
    *variety.CHECKS,
    *wording.CHECKS,
    *rights.CHECKS,
    *trigger.CHECKS,
    *masks.CHECKS,
)
"""Every check, each a function by the name that its findings carry."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What an audit found.

    findings    worst first
    pictures    that could be read; held_out of them are kept from training
    unreadable  picture files that could not, each named in a finding
    blocked     whether a finding blocks that project.toml does not waive
    shown       pictures of the character by framing, and in it by view
    brief       by kind of the brief: how many pictures show each value
    seen        how often the roles are seen in a pass of training
    page        where the page was written, "" where none was asked for
    """

    findings: tuple[Finding, ...]
    pictures: int
    held_out: int
    unreadable: int
    blocked: bool
    shown: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    brief: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seen: str = ""
    page: str = ""

    def table(self) -> list[tuple[str, str]]:
        """What was looked at and what it shows, as rows of a name and words."""
        more = [f"{self.held_out} held out"] + ([f"{self.unreadable} unreadable"] if self.unreadable else [])
        rows = [("pictures", f"{self.pictures} ({', '.join(more)})")]
        known = {framing: views for framing, views in self.shown.items() if framing != "unknown" or any(views.values())}
        if any(framing != "unknown" and any(views.values()) for framing, views in known.items()):
            columns = list(next(iter(known.values())))
            rows.append(("", "  ".join(columns)))
            for framing, views in known.items():
                rows.append((framing, "  ".join(f"{views[name] or '-':>{len(name)}}" for name in columns)))
        rows += [
            (kind, ", ".join(f"{n} {value}" for value, n in values.items())) for kind, values in self.brief.items()
        ]
        rows += [("a pass", self.seen)] if " + " in self.seen else []
        rows += [("page", self.page)] if self.page else []
        counts = Counter("waived" if f.waived else f.severity for f in self.findings)
        words = {"block": "blocking", "warn": "warning", "note": "to note", "waived": "waived"}
        told = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
        return [*rows, ("findings", told or "none")]


def audit(project: Project, recipe: Recipe, emit: Emit = ignore, page: bool = False) -> AuditResult:
    """Measure what is new or changed, split, judge, and write the manifest and the findings.

    page  whether to write audit.html too: every picture small, with what was found in it

    Raises PortraitistError when `pictures/` holds nothing readable, for a set of the recipe that no picture is of, for
    a waiver or a threshold of a name that does not exist, and for a model of `[sight]` that cannot be used.
    """
    began, rules = time.monotonic(), terms.expected(recipe.audit)
    terms.refuse_unknown(project.facts.waived, {check.__name__ for check in CHECKS})
    by = content.sights(recipe, project.folder)
    family = families.get(recipe.model.family)
    side = recipe.data.resolution or family.profile.resolution
    emit(Started(verb="audit"))
    found = survey(project, side, by, Crew(recipe.work.processes, recipe.work.ray), emit)
    if not found.pictures:
        reason = f"; the last reason: {found.unreadable[-1].why}" if found.unreadable else ""
        raise PortraitistError(
            f"{project.pictures} holds no readable picture{reason}",
            f"Add some: portraitist add {project.folder} FOLDER_OR_PICTURES",
        )
    require_sets(recipe, {picture.set for picture in found.pictures})
    pictures = assigned(found.pictures, recipe)
    there = {picture.name for picture in pictures} | {file.name for file in found.unreadable}
    for says in terms.stale(project.facts.waived, there):
        emit(Warned(says=says, remedy="Take it out of [waived] in project.toml, or correct the name."))
    kept = sum(picture.split == "held-out" for picture in pictures)
    found = replace(found, pictures=tuple(pictures))
    with durable.lock(project.folder):
        ledger = provenance.read(project.ledger)
        records = rights.recorded(project, ledger, pictures, listed(project.pictures).pictures)
    seen = as_seen(project, recipe, found, records, ledger.broken)
    findings = [finding for check in CHECKS for finding in check(seen, rules)]
    findings = [replace(f, waived=terms.reason(project.facts.waived, f.check, f.pictures)) for f in findings]
    findings = [mending.mended(finding, project.folder) for finding in findings]
    findings.sort(key=lambda finding: (bool(finding.waived), ("block", "warn", "note").index(finding.severity)))
    with durable.lock(project.folder):
        write_record(project, recipe, side, found, findings)
    blocked = bool(blocking(project, findings))
    facts = {"pictures": len(pictures), "held_out": kept, "findings": len(findings), "blocked": blocked}
    emit(Finished(verb="audit", seconds=time.monotonic() - began, facts=facts))
    result = AuditResult(
        tuple(findings),
        len(pictures),
        kept,
        len(found.unreadable),
        blocked,
        coverage.table(seen),
        {kind: coverage.shown_values(seen, kind, wanted) for kind, wanted in project.facts.brief.items()},
        coverage.balance_of_sets(seen),
    )
    return paged(project, pictures, result) if page else result


def as_seen(
    project: Project, recipe: Recipe, found: Survey, records: Mapping[str, provenance.Record], broken: str
) -> Seen:
    """What the checks judge: what was surveyed, beside what project, recipe, family and ledger know."""
    family = families.get(recipe.model.family)
    return Seen(
        pictures=found.pictures,
        trigger=project.facts.trigger,
        side=recipe.data.resolution or family.profile.resolution,
        count_tokens=families.token_counter(recipe.model),
        token_limit=family.profile.token_limit,
        unreadable=found.unreadable,
        uncaptioned=found.uncaptioned,
        others=found.others,
        brief=project.facts.brief,
        recipe=recipe,
        noun=project.facts.noun,
        real=project.facts.subject == "real",
        readers=family.profile.readers,
        records=records,
        ledger_broken=broken,
        trigger_meant=trigger.meant(project.facts.trigger, families.word_counter(recipe.model)),
        multiple=family.pixel_multiple,
        masks=recipe.data.masks,
    )


def paged(project: Project, pictures: Sequence[Picture], result: AuditResult) -> AuditResult:
    """Write the page of an audit; returns the result that names it."""
    from portraitist.judge import contact

    path = project.folder / "audit.html"
    durable.write_text(path, contact.page(project, pictures, result.findings, result.table()))
    return replace(result, page=str(path))


def assigned(pictures: Sequence[Picture], recipe: Recipe) -> list[Picture]:
    """The pictures with the roles of the recipe's sets, and on their side of the split."""
    roles = {chosen.name: chosen.role for chosen in recipe.data.sets}
    pictures = [replace(p, role=roles.get(p.set, roles.get(bare(p.set), p.role))) for p in pictures]
    kept = held_out(pictures, recipe.data.held_out)
    return [replace(p, split="held-out" if i in kept else "train") for i, p in enumerate(pictures)]
