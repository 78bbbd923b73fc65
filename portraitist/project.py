"""A character's folder: its facts, its paths, its manifest."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date as day
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from portraitist import durable, provenance
from portraitist.errors import PortraitistError
from portraitist.recipe import first_complaint
from portraitist.tables import parse

if TYPE_CHECKING:
    from portraitist.pictures import Picture

FORMAT = 1


class Consent(BaseModel):
    """A real person's recorded consent.

    file         the signed record, below the project folder
    sha256       of that file, so that it cannot be swapped unnoticed
    by           who gave it
    date         ISO date it was given
    covers       what for: images, training, generation - training needs all three; publication, commercial
    rights       who holds the rights to the model and to what it draws
    adult        that the person is of age
    valid_until  the last day it holds, ISO; "" is until it is withdrawn
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    by: str = Field(min_length=1)
    date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    covers: tuple[Literal["images", "training", "generation", "publication", "commercial"], ...]
    rights: str = ""
    adult: bool | None = None
    valid_until: str = Field("", pattern=r"^(\d{4}-\d{2}-\d{2})?$")

    @field_validator("date", "valid_until")
    @classmethod
    def a_day(cls, value: str) -> str:
        """A day that the calendar has."""
        if value:
            try:
                day.fromisoformat(value)
            except ValueError as error:
                raise ValueError("must be a day such as 2026-01-14") from error
        return value


class Facts(BaseModel):
    """What `project.toml` holds.

    trigger  the rare word that stands for the character in captions and prompts
    noun     what the character is in plain words, for prompts ("cartoon character", "woman", "robot")
    subject  fictional, or real (a real person needs a consent record)
    brief    attributes the character must do, by kind: framing, background, expression, pose, lighting, ...
    waived   findings let pass, by check name, each with a reason
    symmetric  whether the character mirrored is the character: no scar, parting or badge tells left from right
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: int = FORMAT
    name: str = Field(min_length=1, max_length=100)
    trigger: str = Field(min_length=1, max_length=60)
    subject: Literal["fictional", "real"]
    noun: str = "character"
    brief: dict[str, tuple[str, ...]] = {}
    waived: dict[str, str] = {}
    symmetric: bool = False
    consent: Consent | None = None

    @field_validator("trigger")
    @classmethod
    def one_word(cls, value: str) -> str:
        """A trigger is one token of text: no spaces, no commas."""
        if not re.fullmatch(r"[^\s,]+", value):
            raise ValueError("must be one word without spaces or commas, such as maya_char")
        return value


@dataclass(frozen=True, slots=True)
class Project:
    """A character's folder and the facts it states."""

    folder: Path
    facts: Facts

    @classmethod
    def open(cls, folder: Path) -> "Project":
        """The project in `folder`.

        Raises PortraitistError when there is none, when its file has unknown or missing keys, or a newer format.
        """
        path = folder / "project.toml"
        if not path.is_file():
            raise PortraitistError(
                f"{folder} is not a project: it has no project.toml",
                f"Make one: portraitist new {folder} --trigger maya_char --subject fictional",
            )
        values = parse(durable.read_text(path), str(path))
        if isinstance(values.get("format"), int) and values["format"] > FORMAT:
            raise PortraitistError(
                f"{path} has format {values['format']}; this version reads up to {FORMAT}",
                "Install a newer portraitist.",
            )
        try:
            return cls(folder, Facts.model_validate(values))
        except ValidationError as error:
            raise first_complaint(error, str(path), Facts) from error

    @classmethod
    def create(cls, folder: Path, facts: Facts) -> "Project":
        """Write `project.toml` and the folders a person fills; an existing project is refused."""
        if (folder / "project.toml").exists():
            raise PortraitistError(
                f"{folder} already holds a project", "Edit its project.toml, or choose another folder."
            )
        values = facts.model_dump(exclude_none=True, mode="json")
        durable.make_folder(folder / "pictures")
        durable.write_text(folder / "project.toml", tomli_w.dumps(values))
        return cls(folder, facts)

    def told(self) -> str:
        """For people: that it is there, and what comes next."""
        ready = f"{self.folder} is ready. Put pictures into {self.pictures} and run: portraitist run {self.folder}"
        consent = f"Before that, record the person's consent: portraitist consent {self.folder} --help"
        return f"{ready}\n{consent}" if self.facts.subject == "real" and not self.facts.consent else ready

    def as_json(self) -> dict[str, Any]:
        """For machines: where it is, and its facts."""
        return {"folder": str(self.folder), **self.facts.model_dump(mode="json", exclude_none=True)}

    @property
    def pictures(self) -> Path:
        """Originals and captions; never altered."""
        return self.folder / "pictures"

    @property
    def recipe(self) -> Path:
        """What differs from the preset, by hand or by form."""
        return self.folder / "recipe.toml"

    @property
    def manifest(self) -> Path:
        """Per picture: digest, size, measures, role, weight, split; written by `audit` alone."""
        return self.folder / "manifest.jsonl"

    @property
    def findings(self) -> Path:
        """What the audit found."""
        return self.folder / "audit.json"

    @property
    def cache(self) -> Path:
        """Samples by content."""
        return self.folder / "cache"

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.folder / "runs"

    @property
    def exports(self) -> Path:
        """What is handed out."""
        return self.folder / "exports"

    @property
    def ledger(self) -> Path:
        """Where pictures came from and what a person consented to, line by line; never changed, only added to."""
        return self.folder / "provenance.jsonl"

    def require_consent(self) -> None:
        """Refuse a real person without a recorded consent that covers images, training and generation and still holds.

        Refused are records that do not say that the person is an adult or who holds the rights, that have expired,
        whose signed file is not the one recorded, and consent that was withdrawn.
        """
        if self.facts.subject == "fictional":
            return
        consent = self.facts.consent
        if consent is None:
            raise PortraitistError(
                f"{self.facts.name} is a real person and no consent is recorded",
                f"Record it: portraitist consent {self.folder} --file SIGNED.pdf --by NAME --date 2026-01-14"
                " --rights HOLDER --adult; docs/consent.md says what it has to cover.",
            )
        if consent.adult is False:
            raise PortraitistError(f"{consent.by} is a minor: minors are never a subject", "Nothing makes this right.")
        missing = {"images", "training", "generation"} - set(consent.covers)
        if missing:
            raise PortraitistError(
                f"The consent of {consent.by} does not cover {', '.join(sorted(missing))}",
                "Ask for a record that covers images, training and generation.",
            )
        silent = [key for key, said in (("adult = true", consent.adult), ("rights", consent.rights)) if not said]
        if silent:
            raise PortraitistError(
                f"The consent of {consent.by} does not say {' nor '.join(silent)}",
                "Ask them: that they are of age, and who holds the rights to the model and to what it draws. Then add"
                ' adult = true and rights = "..." to [consent] in project.toml.',
            )
        if consent.valid_until and day.fromisoformat(consent.valid_until) < day.today():
            raise PortraitistError(
                f"The consent of {consent.by} ended on {consent.valid_until}",
                "Ask for a new one; take the [consent] table out of project.toml and record it: portraitist consent.",
            )
        record = self.folder / consent.file
        if not record.is_file() or durable.digest(record) != consent.sha256:
            raise PortraitistError(
                f"The consent record {record} is missing or differs from the recorded one",
                "Restore the signed file, or record the new one with its sha256 in project.toml.",
            )
        ledger = provenance.read(self.ledger)
        provenance.require_whole(ledger, self.ledger)
        if withdrawn := provenance.withdrawal(ledger):
            raise PortraitistError(
                f"{consent.by} has withdrawn their consent ({withdrawn.facts.get('date', withdrawn.at[:10])})",
                "Nothing more is made of them. docs/consent.md says what to delete.",
            )

    def read_manifest(self) -> "list[Picture]":
        """The pictures as `audit` last saw them. Raises PortraitistError when there is no manifest."""
        from portraitist.pictures import Picture  # and numpy with it, which most commands begin without

        if not self.manifest.is_file():
            raise PortraitistError(f"{self.folder} has not been audited", f"Run: portraitist audit {self.folder}")
        found = []
        for line in durable.read_text(self.manifest).splitlines():
            try:
                values: dict[str, Any] = json.loads(line)
                values.pop("format", None)
                values["variants"] = tuple(values.get("variants", ()))
                found.append(Picture(**values))
            except (ValueError, TypeError) as error:
                raise PortraitistError(
                    f"{self.manifest} is damaged: {error}", f"Delete it and run: portraitist audit {self.folder}"
                ) from error
        return found

    def write_manifest(self, pictures: "Sequence[Picture]") -> None:
        """Write the manifest; only `audit` does."""
        lines = [json.dumps({"format": FORMAT, **asdict(p)}, ensure_ascii=False, sort_keys=True) for p in pictures]
        durable.write_text(self.manifest, "".join(line + "\n" for line in lines))
