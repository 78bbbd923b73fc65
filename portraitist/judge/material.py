"""What a run was made of, as a page shows it: pictures, findings, recipe, provenance, what could not be measured."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from portraitist import provenance as ledger
from portraitist.audit import Finding
from portraitist.audit.terms import reason
from portraitist.events import Finished, Started, Warned
from portraitist.judge import settings
from portraitist.judge.album import Album, Shown
from portraitist.judge.curves import steps_taken
from portraitist.judge.dossier import Dossier
from portraitist.judge.measures import CONFIDENCE, FEW, MEASURES, RESAMPLES
from portraitist.judge.telling import END
from portraitist.pictures import Picture, framing_word

THUMB = 144
"""Longer side of a picture in the contact sheet, in pixels."""

MOST_PICTURES = 240

TIMES = "\N{MULTIPLICATION SIGN}"

Fact = tuple[str, str]

KINDS = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr"}

SEVERITIES = (("block", "Blocks"), ("warn", "Warns"), ("note", "Notes"))


@dataclass(frozen=True, slots=True)
class Thumb:
    """One picture of the dataset: caption, split, role and framing ("" where the caption does not tell)."""

    shown: Shown | None
    name: str
    caption: str
    held_out: bool
    role: str
    framing: str
    repeats: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """The contact sheet: counts in words, thumbs, and how many pictures are left out for want of room."""

    counts: Sequence[Fact]
    thumbs: Sequence[Thumb]
    left: int
    says: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """One finding; `waived` is the reason it was let pass, "" otherwise."""

    finding: Finding
    waived: str
    pictures: str


def sheet(dossier: Dossier, album: Album) -> Sheet | None:
    """The dataset at a glance, in the order of the folder; None before there is a manifest."""
    pictures = dossier.pictures
    if not pictures:
        return None
    thumbs = [thumb(dossier, album, picture) for picture in pictures[:MOST_PICTURES]]
    held = sum(picture.split == "held-out" for picture in pictures)
    framings = Counter(framing_word(picture.caption) or "framing not told" for picture in pictures)
    roles = Counter(picture.role for picture in pictures)
    counts = [("Pictures", f"{len(pictures)}"), ("Trained on", f"{len(pictures) - held}"), ("Held out", f"{held}")]
    counts += [(name.capitalize(), f"{count}") for name, count in framings.most_common()]
    counts += [(f"Role {name}", f"{count}") for name, count in roles.most_common()] if len(roles) > 1 else []
    return Sheet(counts, thumbs, len(pictures) - len(thumbs), split_words(held, len(pictures)))


def thumb(dossier: Dossier, album: Album, picture: Picture) -> Thumb:
    """One picture of the contact sheet."""
    return Thumb(
        shown=album.show(dossier.project.pictures / picture.name, THUMB),
        name=picture.name,
        caption=picture.caption,
        held_out=picture.split == "held-out",
        role=picture.role,
        framing=framing_word(picture.caption),
        repeats=picture.repeats,
    )


def split_words(held: int, total: int) -> str:
    """What the split means; without one, what stands in for it."""
    if held:
        was = "picture was" if held == 1 else "pictures were"
        return f"{held} {was} kept from training, never a near-duplicate of one trained on: held-out loss is theirs."
    return (
        f"No picture was kept from training ({total} in all; from 8 different ones on, a tenth is). What stands in"
        " for them: likeness is judged against the training pictures themselves, so a copy would score well;"
        " read it together with copying; prompts that no caption holds show whether the character goes where no"
        " picture has been; loss on held-out pictures is not measured."
    )


def findings(dossier: Dossier) -> list[tuple[str, str, list[Judgement]]]:
    """The audit's findings by severity: key, heading, findings. Empty groups are left out."""
    found = []
    for key, heading in SEVERITIES:
        these = [judgement(dossier, finding) for finding in dossier.findings if finding.severity == key]
        if these:
            found.append((key, heading, these))
    return found


def judgement(dossier: Dossier, finding: Finding) -> Judgement:
    """A finding with the reason it was waived and its pictures named."""
    names = [name for name in finding.pictures if name not in finding.says]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    waived = reason(dossier.project.facts.waived, finding.check, finding.pictures)
    return Judgement(finding, waived, ", ".join(names[:6]) + more)


def recipe_facts(dossier: Dossier) -> list[Fact]:
    """The recipe and what it came to, a fact a line."""
    recipe, training = dossier.recipe, dossier.recipe.training
    exposures = recipe.steps * recipe.pictures_per_step
    trained = [picture for picture in dossier.pictures if picture.split == "train"]
    each = f", {exposures / len(trained):.0f} a picture" if trained else ""
    adapter = recipe.adapter
    kind = (
        "all weights"
        if adapter.kind == "full"
        else f"{KINDS[adapter.kind]}, rank {adapter.rank}, alpha {adapter.alpha or adapter.rank:g}"
    )
    schedule = training.schedule + (f", {training.warmup} steps of warm-up" if training.warmup else "")
    stages = ", then ".join(f"{stage.name} {stage.steps:,}" for stage in recipe.stages)
    accumulated = f" {TIMES} accumulate {training.accumulate}" if training.accumulate > 1 else ""
    started = dossier.of(Started, "train")
    precision = str(started[-1].facts.get("precision", "")) if started else ""
    held = (recipe.model.family, precision or recipe.model.precision, recipe.model.quantised)
    return [
        ("Base", ", ".join(filter(None, held))),
        ("Trains", kind),
        (
            "Budget",
            f"{recipe.steps:,} steps {TIMES} batch {training.batch}{accumulated} = {exposures:,} exposures{each}",
        ),
        *([("Stages", stages)] if len(recipe.stages) > 1 else []),
        ("Rate", f"{training.rate:g}, {schedule}, {training.optimiser}"),
        ("Averaged weights", f"EMA {training.ema:g}: judged and exported" if training.ema else "none"),
        ("Resolution", f"{recipe.data.resolution} px" if recipe.data.resolution else "the base's own"),
        ("Empty captions", f"{recipe.data.dropout:.0%} of exposures"),
        ("Judged", judged_words(dossier)),
        ("Preset, seed", f"{recipe.preset}, {training.seed}"),
        *([("Forked from", recipe.parent)] if recipe.parent else []),
        *([("Why", recipe.why)] if recipe.why else []),
        *standings(dossier),
        *spent(dossier),
    ]


def standings(dossier: Dossier) -> Iterator[Fact]:
    """Which values were measured, come from a paper, or are custom, by the recipe's own word."""
    said: dict[str, list[str]] = {}
    for key, words in dossier.recipe.standing.items():
        kind, _, source = words.partition(":")
        said.setdefault(kind, []).append(f"{key} ({source.strip()})" if source.strip() else key)
    yield from ((kind.capitalize(), "; ".join(values)) for kind, values in said.items())


def judged_words(dossier: Dossier) -> str:
    """How the run was to be judged, and by what other program it was, if so."""
    asked, judging = dossier.recipe.judging, settings.read(dossier.run)
    by = "; drawn by ComfyUI" if judging.render == "comfyui" else ""
    less = judging.screen < asked.screen or judging.in_full < asked.in_full
    cut = ", cut by judging.budget" if less and judging.budget else ""
    strengths = ", ".join(f"{strength:g}" for strength in judging.strengths)
    return (
        f"{judging.screen} pictures a checkpoint, then up to {judging.in_full} cells at {strengths}{cut};"
        f" agreement may fall by {judging.max_drop:g}; prefers {judging.prefer}{by}"
    )


def spent(dossier: Dossier) -> Iterator[Fact]:
    """What training took, by its own record."""
    steps = steps_taken(dossier)
    if not steps:
        return
    seconds = sum(event.seconds for event in steps)
    done = f"{steps[-1].step:,} of {dossier.recipe.steps:,} steps"
    yield "Trained", f"{done} in {clock(seconds)}, {seconds / len(steps):.2f} s a step"
    if peak := max(event.memory_gb for event in steps):
        yield "Memory of training", f"{peak:.1f} GB at its peak"
    started = dossier.of(Started, "train")
    if started and (trained := started[-1].facts.get("trained")):
        yield "Trained numbers", f"{trained:,}"
    finished = dossier.of(Finished, "train")
    if finished and (early := finished[-1].facts.get("early")):
        yield "Ended early", str(early)


def clock(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def provenance(dossier: Dossier) -> list[Fact]:
    """What one needs to know to do it again: digests, versions, machine, dates."""
    lock, facts = dossier.lock, dossier.project.facts
    names = {"base": "Base, SHA-256", "data": "Data, SHA-256", "portraitist": "portraitist", "torch": "torch"}
    names |= {"device": "Device", "threads": "Threads"}
    found = [(label, str(lock[key])) for key, label in names.items() if key in lock]
    known = {*names, "format", "horizon", "inexact_since"}
    found += [(key.replace("_", " ").capitalize(), plain(value)) for key, value in lock.items() if key not in known]
    if "inexact_since" in lock:
        found.append(("Bit-exact", f"no longer, from step {lock['inexact_since']} on: the machine or versions changed"))
    yardsticks = {card.stage: card for card in dossier.cards}
    found += [("Eyes", card.eyes) for card in list(yardsticks.values())[:1]]
    grids = {card.grid for card in yardsticks.values()}
    if len(grids) == 1:
        found += [("Prompts and seeds of all stages", grid) for grid in grids]
    else:
        found += [(f"Prompts and seeds, {stage}", card.grid) for stage, card in sorted(yardsticks.items())]
    found.append(("Subject", "a real person" if facts.subject == "real" else "fictional"))
    if facts.consent is not None:
        found.append(("Consent", f"{facts.consent.by}, {facts.consent.date}, for {', '.join(facts.consent.covers)}"))
    quoted = ledger.quoted(ledger.read(dossier.project.ledger), [picture.name for picture in dossier.pictures])
    return found + [(label.capitalize(), words) for label, words in quoted.items()]


def plain(value: Any) -> str:
    """A value of the lock in words."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def dated(dossier: Dossier) -> str:
    """The day of the newest event, UTC; "" without one. The page is then a function of what lies on disk."""
    newest = max((event.at for event in dossier.events), default=0.0)
    return time.strftime("%Y-%m-%d", time.gmtime(newest)) if newest else ""


def warnings(dossier: Dossier) -> list[Warned]:
    """What the run warned of, each once."""
    return list({event.says: event for event in dossier.of(Warned)}.values())


def measures() -> list[tuple[str, str, str, str]]:
    """Each measure: name, definition, range and better end, blind spots."""
    return [
        (
            measure.title,
            measure.says,
            f"{measure.range[0]:g} to {measure.range[1]:g}, {END[measure.better]} is better",
            measure.blind,
        )
        for measure in MEASURES.values()
    ]


def interval_words() -> str:
    """What the intervals on the page are."""
    return (
        f"Intervals are {CONFIDENCE:.0%} bootstrap intervals over pictures ({RESAMPLES:,} resamples),"
        f" wider below {FEW} of them."
    )
