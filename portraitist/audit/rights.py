"""The ledger to findings: pictures that are not to be trained on, and pictures of which nobody said whose they are."""

from collections.abc import Iterator, Sequence

from portraitist import provenance
from portraitist.audit import Finding, Rules, Seen
from portraitist.audit.quality import Check
from portraitist.dataset import claims
from portraitist.dataset.intake import Source
from portraitist.pictures import Picture
from portraitist.project import Project
from portraitist.provenance import Ledger, Record


def recorded(
    project: Project, ledger: Ledger, pictures: Sequence[Picture], sources: Sequence[Source]
) -> dict[str, Record]:
    """What the ledger knows of pictures by name; one that was put there by hand is read, and written into it first.

    A picture that was renamed is known by its pixels. Call it under the lock that the ledger was read under.
    """
    known = provenance.records(ledger)
    by_pixels = {record.pixels: record for record in known.values() if record.pixels}
    paths = {source.name: source.path for source in sources}
    found: dict[str, Record] = {}
    new: list[Record] = []
    for picture in pictures:
        record = known.get(picture.name) or by_pixels.get(picture.digest)
        if record is None and picture.name in paths:
            try:
                data = paths[picture.name].read_bytes()
            except OSError:
                continue  # gone since it was measured: encode will tell
            says = claims.read(data).as_facts()
            record = Record(picture.name, provenance.sha(data), picture.digest, by_hand=True, says=says)
            new.append(record)
        if record is not None:
            found[picture.name] = record
    facts = [{"picture": r.picture, "sha256": r.sha256, "pixels": r.pixels, "says": r.says} for r in new]
    provenance.append(project.ledger, "found", *facts)
    return found


def opted_out(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that say of themselves that they are not for training blocks; under conditions, they are told of."""
    for name, record in seen.records.items():
        word = record.says.get("training")
        why = "; ".join(map(str, record.says.get("because", ()))) or "its metadata"
        if word == "refused":
            says = f"{name} says that it is not to be trained on ({why})"
            remedy = "Remove it, unless its owner allows it to you: then waive opted_out, and say who did."
            yield Finding("opted_out", name, "block", says, remedy, 0, (name,))
        elif word == "constrained":
            says = f"{name} says that it may be trained on under conditions ({why})"
            yield Finding("opted_out", name, "warn", says, "Read them, and remove it if they are not met.", 0, (name,))


def rights_unknown(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures without a source or a licence, where others have one: a folder that says nothing is left in peace."""
    for key, option in (("source", "--source"), ("licence", "--licence")):
        without = tuple(p.name for p in seen.pictures if not getattr(seen.records.get(p.name), key, ""))
        if without and len(without) < len(seen.pictures):
            says = f"{len(without)} of {len(seen.pictures)} pictures have no {key}"
            remedy = f"Add them again with it: portraitist add FOLDER FOLDER/pictures/NAME {option} ..."
            yield Finding("rights_unknown", key, "note", says, remedy, 0, without)


def generated(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures that say that a model made them."""
    names = tuple(
        name for name, r in seen.records.items() if str(r.says.get("source_type", "")).lower() in claims.GENERATED
    )
    if names:
        says = f"{len(names)} pictures say that a model made them, or part of them"
        remedy = "See whether that model's terms let others learn from them; its habits are learnt along."
        yield Finding("generated", "", "note", says, remedy, 0, names)


def credentials_unread(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pictures with Content Credentials that nobody has read: they may forbid training."""
    for state, remedy in (
        (
            "unread",
            "pip install 'portraitist[provenance]', then add them again: portraitist add FOLDER FOLDER/pictures",
        ),
        ("damaged", "Get them from where they came from, if you want to know what they say of training."),
        ("invalid", "Changed after they were signed: get the originals, if it matters who made them."),
    ):
        names = tuple(name for name, record in seen.records.items() if record.says.get("manifest") == state)
        if names:
            what = "were not read" if state == "unread" else f"are {state}"
            says = f"{len(names)} pictures carry Content Credentials that {what}"
            severity = "note" if state == "invalid" else "warn"
            yield Finding("credentials_unread", state, severity, says, remedy, 0, names)  # type: ignore[arg-type]


def ledger_broken(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """A ledger that was changed after it was written: what it says of rights and consent is no longer certain."""
    if seen.ledger_broken:
        says = f"provenance.jsonl was changed after it was written: {seen.ledger_broken}"
        yield Finding("ledger_broken", "", "block", says, "Restore it from a copy; portraitist verify tells more.")


CHECKS: tuple[Check, ...] = (opted_out, rights_unknown, generated, credentials_unread, ledger_broken)
