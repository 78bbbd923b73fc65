"""audit: measure every picture once, draw the split, judge; alone writes manifest.jsonl and audit.json."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from portraitist import durable, families, provenance
from portraitist.audit import Finding, Rules, Seen, balance, quality, rights, trigger, wording
from portraitist.audit.survey import blocking, survey, write_record
from portraitist.dataset import minors
from portraitist.dataset.intake import bare, listed, require_sets
from portraitist.dataset.split import held_out
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.pictures import Picture
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

    Raises PortraitistError when `pictures/` holds nothing readable, for a set of the recipe that no picture is of, and
    for captions that sexualise minors or make one of a real person.
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
    refuse_words(project, pictures)
    with durable.lock(project.folder):
        ledger = provenance.read(project.ledger)
        records = rights.recorded(project, ledger, pictures, listed(project.pictures).pictures)
    seen = Seen(
        pictures=pictures,
        trigger=project.facts.trigger,
        side=side,
        count_tokens=families.token_counter(recipe.model),
        token_limit=family.profile.token_limit,
        unreadable=found.unreadable,
        uncaptioned=found.uncaptioned,
        others=found.others,
        brief=project.facts.brief,
        recipe=recipe,
        noun=project.facts.noun,
        readers=family.profile.readers,
        records=records,
        ledger_broken=ledger.broken,
        trigger_meant=trigger.meant(project.facts.trigger, families.word_counter(recipe.model)),
    )
    checks = (*quality.CHECKS, *balance.CHECKS, *wording.CHECKS, *rights.CHECKS, *trigger.CHECKS)
    findings = [finding for check in checks for finding in check(seen, rules)]
    findings.sort(key=lambda finding: ("block", "warn", "note").index(finding.severity))
    with durable.lock(project.folder):
        write_record(project, recipe, side, found, findings)
    blocked = bool(blocking(project, findings))
    facts = {"pictures": len(pictures), "held_out": len(kept), "findings": len(findings), "blocked": blocked}
    emit(Finished(verb="audit", seconds=time.monotonic() - began, facts=facts))
    return AuditResult(tuple(findings), len(pictures), len(kept), len(found.unreadable), blocked)


def refuse_words(project: Project, pictures: Sequence[Picture]) -> None:
    """Refuse captions that sexualise a minor, with the project's noun beside them, or make one of a real person.

    No waiver lets these pass.
    """
    noun, texts = project.facts.noun, {}
    for picture in pictures:
        for number, text in enumerate((picture.caption, *picture.variants), start=1):
            texts[f"The caption of {picture.name}" + (f", line {number}," if number > 1 else "")] = f"{text}, {noun}"
    real = project.facts.subject == "real"
    minors.refuse(minors.noun_texts(noun, texts.items()), real=real)
