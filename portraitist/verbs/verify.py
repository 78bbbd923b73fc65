"""verify: whether everything is still what was recorded: the ledger, pictures, consent, checkpoints, exported files."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable, provenance, runs
from portraitist.bases import headers
from portraitist.dataset.intake import listed
from portraitist.dataset.naming import printable
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.project import Project


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What was compared.

    broken    what no longer is what was recorded, each with where
    notes     what a person may want to know and nothing has to be done about
    entries   lines of the ledger; ledger: SHA-256 of its last line, which names the whole
    pictures  that lie in `pictures/` with the bytes that were recorded
    files     signed documents, files of checkpoints and exported files that were compared
    blocked   whether anything is broken: exit code 1
    """

    broken: tuple[str, ...]
    notes: tuple[str, ...]
    entries: int
    ledger: str
    pictures: int
    files: int
    blocked: bool

    def table(self) -> list[tuple[str, str]]:
        """The result as lines for people."""
        rows = [("ledger", f"{self.entries} lines, the last one {self.ledger[:16] or 'none'}")]
        rows += [("pictures", f"{self.pictures} as they were recorded"), ("files", f"{self.files} likewise")]
        rows += [("note", note) for note in self.notes] + [("BROKEN", one) for one in self.broken]
        return [*rows, ("verdict", "something differs from what was recorded" if self.blocked else "all as recorded")]


def verify(project: Project, emit: Emit = ignore) -> VerifyResult:
    """Compare what lies there with what was recorded of it; nothing is changed.

    Looked at are every line of the ledger, every picture, the consent, the newest run's checkpoints, and exported
    files. Raises PortraitistError when a file cannot be read.
    """
    began = time.monotonic()
    emit(Started(verb="verify"))
    ledger = provenance.read(project.ledger)
    broken = [f"{project.ledger.name}: {ledger.broken}"] if ledger.broken else []
    notes = [] if ledger.digests else ["There is no ledger: nothing was added by `portraitist add` yet"]
    same, wrong, told = pictures(project, ledger)
    broken, notes, files = broken + wrong, notes + told, 0
    for part in (consent(project, ledger), checkpoints(project), exports(project, ledger)):
        for says, is_broken in part:
            files += not says
            (broken if is_broken else notes).append(says)
    notes = [note for note in notes if note]
    emit(Finished(verb="verify", seconds=time.monotonic() - began, facts={"broken": len(broken)}))
    head = ledger.digests[-1] if ledger.digests else ""
    return VerifyResult(tuple(broken), tuple(notes), len(ledger.digests), head, same, files, bool(broken))


def pictures(project: Project, ledger: provenance.Ledger) -> tuple[int, list[str], list[str]]:
    """How many pictures have the bytes that were recorded, what is wrong with others, and what is to be told."""
    known = provenance.records(ledger)
    by_bytes = {record.sha256: record for record in known.values()}
    there = (
        {source.name: source.path for source in listed(project.pictures).pictures} if project.pictures.is_dir() else {}
    )
    same, broken, by_hand, moved = 0, [], [], set()
    for name, path in there.items():
        try:
            digest = durable.digest(path)
        except PortraitistError as error:
            broken.append(error.problem)
            continue
        record = known.get(name)
        if record is not None and record.sha256 == digest:
            same += 1
            by_hand += [name] if record.by_hand else []
        elif digest in by_bytes:
            same += 1
            moved.add(by_bytes[digest].picture)
        elif record is not None:
            broken.append(
                f"pictures/{printable(name)} is not the file that was recorded: restore it, or add it again as it is"
            )
        else:
            by_hand.append(name)
    gone = sorted(known.keys() - there.keys() - moved)
    notes = [f"Pictures under other names than were recorded: {len(moved)}"] if moved else []
    if by_hand:
        notes.append(
            f"Pictures put there by hand: {len(by_hand)}, such as {printable(by_hand[0])}; to say where they are from:"
            f" portraitist add {project.folder} {project.pictures} --source ..."
        )
    if gone:
        notes.append(f"Pictures that were recorded and are no longer there: {len(gone)}, such as {printable(gone[0])}")
    return same, broken, notes


def consent(project: Project, ledger: provenance.Ledger) -> Iterator[tuple[str, bool]]:
    """What is wrong with the consent, or to be told of it; an empty word for a signed document that is whole."""
    given = project.facts.consent
    if given is None:
        if project.facts.subject == "real":
            yield "No consent is recorded yet: nothing can be trained", False
        return
    path = project.folder / given.file
    if not path.is_file():
        yield f"{given.file}, the signed consent, is missing", True
    elif durable.digest(path) != given.sha256:
        yield f"{given.file} is not the signed consent that was recorded", True
    else:
        yield "", False
    said = [entry for entry in ledger.entries if entry.event == "consented"]
    if not said:
        yield "The consent was written into project.toml by hand: the ledger does not know of it", False
    elif said[-1].facts.get("sha256") != given.sha256:
        yield "project.toml names another consent than the ledger's last one", True
    if withdrawn := provenance.withdrawal(ledger):
        yield (
            f"Consent was withdrawn on {withdrawn.facts.get('date', withdrawn.at[:10])}: nothing more can be made",
            False,
        )


def checkpoints(project: Project) -> Iterator[tuple[str, bool]]:
    """What is wrong with the checkpoints of the newest run; an empty word for each that is whole."""
    for run in runs.all_runs(project)[-1:]:
        for step in run.steps():
            problem = run.damage(step)
            yield (f"{run.name}, step {step}: {problem}", True) if problem else ("", False)


def exports(project: Project, ledger: provenance.Ledger) -> Iterator[tuple[str, bool]]:
    """What is wrong with exported files, by what they say of themselves; an empty word for each that is whole."""
    for path in sorted(project.exports.rglob("*.safetensors")) if project.exports.is_dir() else ():
        name = path.relative_to(project.folder)
        try:
            words = headers.read(path).words
        except PortraitistError as error:
            yield error.problem, True
            continue
        if words.get("sshs_model_hash") not in (None, tensors(path)):
            yield f"{name} does not hold the tensors that were written into it", True
        elif words.get("portraitist.ledger") not in (None, *ledger.digests):
            yield (
                f"{name} quotes a line that the ledger does not have: lines were taken out, or it was written anew",
                True,
            )
        else:
            yield "", False


def tensors(path: Path) -> str:
    """SHA-256 of what follows a safetensors file's header, in hexadecimal."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            file.seek(8 + int.from_bytes(file.read(8), "little"))
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
    return digest.hexdigest()
