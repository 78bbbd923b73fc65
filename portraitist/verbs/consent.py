"""consent: record a real person's signed consent, or its withdrawal."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date as day
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from portraitist import durable, provenance
from portraitist.dataset import minors
from portraitist.dataset.naming import safe_name
from portraitist.errors import PortraitistError
from portraitist.project import Consent, Facts, Project
from portraitist.recipe import first_complaint

NEEDED = ("images", "training", "generation")


@dataclass(frozen=True, slots=True)
class ConsentResult:
    """What stands in the record now.

    recorded   whether a consent was recorded; else one was withdrawn
    by         who gave it or took it back
    file       the copy of the signed document, below the project folder; "" for a withdrawal
    lacks      what training needs and this consent does not cover
    next       what to do now
    """

    recorded: bool
    by: str
    file: str
    covers: tuple[str, ...]
    lacks: tuple[str, ...]
    next: str


def consent(
    project: Project,
    *,
    file: Path | None = None,
    by: str = "",
    date: str = "",
    covers: Sequence[str] = NEEDED,
    rights: str = "",
    until: str = "",
    adult: bool = False,
) -> ConsentResult:
    """Copy the signed document into `consent/`, and write it into the ledger and into project.toml.

    file    the signed document; by: who signed it; date: when, ISO
    covers  images, training, generation, publication, commercial
    rights  who holds the rights to the model and to what it draws
    until   the last day it holds, ISO; "" is until it is withdrawn
    adult   that the person is of age: without it nothing is recorded

    What stands in project.toml stays as it is, comments with it. Raises PortraitistError for a fictional character, a
    minor, a consent that is there already, a day to come, and anything missing.
    """
    refuse_unfit(project, adult=adult)
    said = {
        "--file SIGNED.pdf": file, "--by NAME": by, "--date 2026-01-14": date, "--rights HOLDER": rights,
        "--covers images,training,generation": covers,
    }  # fmt: skip
    lacking = [option for option, value in said.items() if not value]
    if lacking or file is None:
        raise PortraitistError("The consent is not complete", f"Give it: {' '.join(lacking)}")
    minors.refuse({"--by": by, "--rights": rights}, real=True)
    data = signed(file)
    with durable.lock(project.folder):
        path = project.folder / "project.toml"
        text = durable.read_text(path)
        if "consent" in tomllib.loads(text):
            raise PortraitistError(
                f"{path} has a [consent] table already", "Take it out by hand if this one goes in its place."
            )
        gone = provenance.withdrawal(provenance.read(project.ledger))
        if gone is not None and gone.facts.get("sha256") == provenance.sha(data):
            raise PortraitistError(f"The consent in {file} was withdrawn", "Only a new one can take its place.")
        kept = place(project.folder / "consent", file, data)
        values: dict[str, Any] = {
            "file": kept.relative_to(project.folder).as_posix(), "sha256": provenance.sha(data), "by": by,
            "date": date, "covers": list(dict.fromkeys(covers)), "rights": rights, "adult": adult,
        } | ({"valid_until": until} if until else {})  # fmt: skip
        try:
            Consent.model_validate(values)
        except ValidationError as error:
            raise first_complaint(error, "consent", Facts) from error
        refuse_days(date, until)
        durable.write_bytes(kept, data)
        provenance.append(project.ledger, "consented", values)
        durable.write_text(path, text.rstrip("\n") + "\n\n" + tomli_w.dumps({"consent": values}))
    lacks = tuple(word for word in NEEDED if word not in values["covers"])
    then = "Ask for what it lacks: nothing is trained before." if lacks else f"portraitist run {project.folder}"
    return ConsentResult(True, by, values["file"], tuple(values["covers"]), lacks, then)


def refuse_unfit(project: Project, *, adult: bool) -> None:
    """Refuse a consent of nobody, and of somebody who is not said to be of age."""
    if project.facts.subject != "real":
        raise PortraitistError(
            f"{project.facts.name} is fictional: there is nobody to consent",
            'If it is a real person, set subject = "real" in project.toml.',
        )
    if not adult:
        raise PortraitistError(
            "A consent is recorded for adults alone, and this one does not say so",
            "If the person is of age, add --adult. Minors are never a subject.",
        )


def signed(file: Path) -> bytes:
    """The bytes of a signed document. Raises PortraitistError when it is absent, empty or not to be read."""
    if not file.is_file():
        raise PortraitistError(f"There is no file {file}", "Name the signed document, a scan or a PDF.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise durable.refusal(error, file, "read") from error
    if not data:
        raise PortraitistError(f"{file} is empty (0 bytes)", "Name the signed document, a scan or a PDF.")
    return data


def refuse_days(date: str, until: str) -> None:
    """Refuse a consent of a day to come, and one that has ended."""
    if day.fromisoformat(date) > day.today():
        raise PortraitistError(f"{date} is a day to come", "Give the day that was signed on.")
    if until and day.fromisoformat(until) < max(day.today(), day.fromisoformat(date)):
        raise PortraitistError(f"This consent ended on {until}", "Ask for a new one.")


def place(folder: Path, file: Path, data: bytes) -> Path:
    """Where the copy of a signed document goes: under its own name, or the file that holds these bytes already."""
    stem, number = safe_name(file.stem), 1
    suffix = re.sub(r"[^.\w]", "", file.suffix.lower())[:10]
    target = folder / f"{stem}{suffix}"
    while target.exists() and target.read_bytes() != data:
        number += 1
        target = folder / f"{stem}-{number}{suffix}"
    return target


def withdraw(project: Project, date: str = "") -> ConsentResult:
    """Record that consent was taken back: from now on nothing is encoded, trained, judged or exported of the person.

    date  the day it was taken back, ISO; "" is today. project.toml stays as it is. Raises PortraitistError where no
    consent is on record, and where it was withdrawn before.
    """
    given = project.facts.consent
    if given is None:
        raise PortraitistError(
            f"No consent of {project.facts.name} is recorded, so none can be withdrawn", "There is nothing to do."
        )
    date = date or day.today().isoformat()
    try:
        date = day.fromisoformat(date).isoformat()
    except ValueError as error:
        raise PortraitistError(f"{date!r} is no day", "Write it as 2026-01-14.") from error
    with durable.lock(project.folder):
        if provenance.withdrawal(provenance.read(project.ledger)) is not None:
            raise PortraitistError(f"{given.by} has withdrawn their consent before", "There is nothing more to do.")
        provenance.append(project.ledger, "withdrawn", {"by": given.by, "date": date, "sha256": given.sha256})
    then = "Delete pictures/, cache/, runs/ and exports/, and what was handed out."
    return ConsentResult(False, given.by, "", (), (), then)
