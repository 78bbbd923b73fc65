"""audit: measure every picture once, draw the split, judge; alone writes manifest.jsonl and audit.json."""

import time
from dataclasses import dataclass, replace

from portraitist import durable, families
from portraitist.audit import Finding, Rules, Seen, balance, masks, quality
from portraitist.audit.survey import blocking, survey, write_record
from portraitist.dataset.intake import bare, require_sets
from portraitist.dataset.split import held_out
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.project import Project
from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What an audit found.

    findings    worst first
    pictures    that could be read; held_out of them are kept from training
    unreadable  picture files that could not, each named in a finding
    blocked     whether a finding blocks that project.toml does not waive
    """

    findings: tuple[Finding, ...]
    pictures: int
    held_out: int
    unreadable: int
    blocked: bool


def audit(project: Project, recipe: Recipe, emit: Emit = ignore) -> AuditResult:
    """Measure what is new or changed, split, judge, and write the manifest and the findings.

    Raises PortraitistError when `pictures/` holds nothing readable, and for a set of the recipe that no picture is of.
    """
    began, rules = time.monotonic(), Rules()
    family = families.get(recipe.model.family)
    side = recipe.data.resolution or family.profile.resolution
    emit(Started(verb="audit"))
    found = survey(project, side, emit)
    if not found.pictures:
        reason = f"; the last reason: {found.unreadable[-1].why}" if found.unreadable else ""
        raise PortraitistError(
            f"{project.pictures} holds no readable picture{reason}",
            f"Add some: portraitist add {project.folder} FOLDER_OR_PICTURES",
        )
    require_sets(recipe, {picture.set for picture in found.pictures})
    roles = {chosen.name: chosen.role for chosen in recipe.data.sets}
    pictures = [replace(p, role=roles.get(p.set, roles.get(bare(p.set), p.role))) for p in found.pictures]
    kept = held_out(pictures, recipe.data.held_out)
    pictures = [replace(p, split="held-out" if i in kept else "train") for i, p in enumerate(pictures)]
    found = replace(found, pictures=tuple(pictures))
    seen = Seen(
        pictures=pictures,
        trigger=project.facts.trigger,
        side=side,
        count_tokens=families.token_counter(recipe.model),
        token_limit=family.profile.token_limit,
        unreadable=found.unreadable,
        uncaptioned=found.uncaptioned,
        others=found.others,
        masks=recipe.data.masks,
    )
    findings = [
        finding for check in (*quality.CHECKS, *balance.CHECKS, *masks.CHECKS) for finding in check(seen, rules)
    ]
    findings.sort(key=lambda finding: ("block", "warn", "note").index(finding.severity))
    with durable.lock(project.folder):
        write_record(project, recipe, side, found, findings)
    blocked = bool(blocking(project, findings))
    facts = {"pictures": len(pictures), "held_out": len(kept), "findings": len(findings), "blocked": blocked}
    emit(Finished(verb="audit", seconds=time.monotonic() - began, facts=facts))
    return AuditResult(tuple(findings), len(pictures), len(kept), len(found.unreadable), blocked)
