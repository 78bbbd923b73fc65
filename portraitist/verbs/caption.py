"""caption: fill in missing captions from what is known; never over a caption that a person wrote or changed."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.dataset import captions, intake
from portraitist.errors import PortraitistError
from portraitist.events import Captioned, Emit, Finished, Started, Warned, ignore
from portraitist.project import Project
from portraitist.recipe import Recipe

FORMAT = 1


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """Names of pictures by what became of their captions.

    written          that were missing, or were ours and out of date
    kept             written by a person, or ours and right
    without_trigger  among the kept: a person's captions that lack the trigger and were left alone
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    without_trigger: tuple[str, ...]


def caption(project: Project, recipe: Recipe, emit: Emit = ignore) -> CaptionResult:
    """Write the trigger and the noun beside every picture without a caption; in sets of the role prior the noun alone.

    That is all that is known without looking: framing, pose or light are not guessed. What we wrote is remembered in
    captions.jsonl by its SHA-256; such a caption is written anew when the trigger or the noun has changed, and any
    other is a person's and stays as it is. Raises PortraitistError when `pictures/` holds no picture.
    """
    began = time.monotonic()
    sources = intake.listed(project.pictures).pictures
    if not sources:
        raise PortraitistError(
            f"{project.pictures} holds no pictures", f"Add some: portraitist add {project.folder} FOLDER_OR_PICTURES"
        )
    emit(Started(verb="caption", total=len(sources)))
    ours = ledger(project)
    written: list[str] = []
    kept: list[str] = []
    without: list[str] = []
    for source in sources:
        chosen = intake.named(source.set, recipe)
        trigger = "" if chosen is not None and chosen.role == "prior" else project.facts.trigger
        text = captions.plain(trigger, project.facts.noun)
        beside = captions.sidecar(source.path)
        words = content(beside)
        if words.strip() and (digest_of(words) not in ours or words == text + "\n"):
            kept.append(source.name)
            if trigger and not captions.holds(words, trigger):
                without.append(source.name)
            continue
        # remembered first: if we are cut short, a caption of ours never looks like a person's
        if digest_of(text + "\n") not in ours:
            ours.add(digest_of(text + "\n"))
            durable.append_line(record(project), json.dumps({"format": FORMAT, "sha256": digest_of(text + "\n")}))
        durable.write_text(beside or source.path.with_suffix(".txt"), text + "\n")
        written.append(source.name)
        emit(Captioned(picture=source.name, text=text, done=len(written) + len(kept), total=len(sources)))
    if without:
        says = f"{len(without)} captions lack the trigger {project.facts.trigger} and were left alone: {without[0]} ..."
        emit(Warned(says=says, remedy=f"Put {project.facts.trigger} first in each."))
    emit(Finished(verb="caption", seconds=time.monotonic() - began, facts={"written": len(written)}))
    return CaptionResult(tuple(written), tuple(kept), tuple(without))


def content(path: Path | None) -> str:
    """The text of a sidecar; what is not UTF-8 is a person's and is shown with question marks, never written over."""
    if path is None:
        return ""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise durable.refusal(error, path, "read") from error


def digest_of(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def record(project: Project) -> Path:
    """The ledger of captions that were written by us."""
    return project.folder / "captions.jsonl"


def ledger(project: Project) -> set[str]:
    """SHA-256 of every caption that we ever wrote; damaged lines are a person's captions from then on."""
    if not record(project).is_file():
        return set()
    known = set()
    for line in durable.read_text(record(project)).splitlines():
        try:
            known.add(str(json.loads(line)["sha256"]))
        except (ValueError, KeyError, TypeError):
            continue
    return known
