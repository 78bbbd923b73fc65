"""publish: the exported LoRA as a package for people: card, evidence, pictures, and what its site has to know."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import durable, families
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.project import Project
from portraitist.runs import Choice

if TYPE_CHECKING:
    from portraitist.deploy.examples import Signature
    from portraitist.deploy.packages import Piece
    from portraitist.deploy.permits import Site, Terms
    from portraitist.deploy.sites import Offer, Shown
    from portraitist.judge.card import Example
    from portraitist.judge.dossier import Dossier


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What was packed, and where it went.

    place     the folder, or the zip
    files     how many are in it; pictures: those that are shown, by the names they were drawn under
    signed    whether the pictures carry Content Credentials
    uploaded  the page of the commit, "" for a package that stayed here; visible: to whom, everybody or its owners
    next      what to do now
    """

    place: str
    files: int
    megabytes: float
    pictures: tuple[str, ...]
    base: str
    rating: str
    signed: bool
    uploaded: str
    visible: str
    next: str


def publish(
    project: Project,
    to: "Site",
    run: str = "",
    *,
    terms: "Terms | None" = None,
    base: str = "",
    pictures: Sequence[str] = (),
    push: str = "",
    public: bool = False,
    sign: tuple[Path, Path] | None = None,
    emit: Emit = ignore,
) -> PublishResult:
    """Pack the LoRA that was exported from a run (the newest without a name), with its card and drawn pictures.

    to        huggingface: a folder as a repository has it; civitai: a zip of what its form asks for
    terms     content rating, licence: see deploy/permits.py
    base      what it was trained on, as the site names it, where the recipe does not say so
    pictures  names of drawn pictures to show; without any the first of each prompt, and of a real person none
    push      a repository on the Hub, owner/name, that the folder is uploaded to; public: where everybody sees it
    sign      certificate chain and key in PEM that the pictures are signed with

    Training pictures and references are never in it. Raises PortraitistError without consent to publication, without
    what the site has to be told, for an export of another choice, and where disk, Hub or network refuse.
    """
    from portraitist.deploy import hub, packages, permits, sites
    from portraitist.deploy.examples import Signature
    from portraitist.judge import card, dossier

    began, terms = time.monotonic(), terms or permits.Terms()
    project.require_consent()
    permits.require_terms(to, terms)
    permits.require_permission(project, to, terms)
    if push or public:
        hub.require_repository(push, to)
    signature = Signature.read(*sign) if sign else None
    found = dossier.gather(project, run)
    choice, lora, words = exported(found)
    emit(Started(verb="publish", total=1))
    offer = offered(found, choice, lora.name, to, base)
    shown = drawn(found, offer, card.examples(found, pictures), to, signature)
    text = described(found, choice, offer, shown, pictures, to, push)
    permits.require_fit(project, terms, [one.text for one in shown], {"The card": text, "The LoRA's metadata": words})
    pack = sites.huggingface if to == "huggingface" else sites.civitai
    pieces = pack(text, offer, packages.Piece(offer.file, lora), terms, shown)
    target, files = written(lora, to, pieces)
    pushed = hub.push(target, files, push, public=public) if push else None
    emit(Finished(verb="publish", seconds=time.monotonic() - began, facts={"place": str(target)}))
    return PublishResult(
        place=str(target),
        files=len(pieces),
        megabytes=round(sum(piece.size for piece in pieces) / 1e6, 3),
        pictures=tuple(one.name.rpartition("/")[2] for one in shown),
        base=offer.base,
        rating=terms.rating,
        signed=bool(signature and shown),
        uploaded=pushed.url if pushed else "",
        visible=("to everybody" if pushed.public else "to its owners") if pushed else "",
        next="" if pushed else NEXT[to],
    )


NEXT = {
    "huggingface": "Read README.md in it, then upload it: the same command with --push OWNER/NAME.",
    "civitai": "Unpack it; its model.json says what the form of civitai.com/models/create asks.",
}
"""What a person does with a package that stayed here."""


def exported(found: "Dossier") -> tuple[Choice, Path, str]:
    """The run's choice, the file that was exported of it, and the words in that.

    Raises PortraitistError where nothing was chosen or exported, and for an export of another choice.
    """
    from portraitist.bases import headers

    folder, run, choice = found.project.folder, found.run.name, found.choice
    again = f"Run: portraitist export {folder} --run {run}"
    there = sorted(found.project.exports.glob(f"*{run}/*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    if choice is None or not there:
        raise PortraitistError(f"Nothing of run {run} has been exported yet", again)
    meant = (run, str(choice.step), f"{choice.strength:g}", found.project.facts.trigger)
    for path in reversed(there):
        words = headers.read(path).words
        keys = ("portraitist.run", "portraitist.step", "portraitist.strength", "modelspec.trigger_phrase")
        if tuple(words.get(key) for key in keys) == meant:
            return choice, path, " ".join(words.values())
    raise PortraitistError(
        f"{there[-1].name} is not what is chosen now: step {choice.step} at strength {choice.strength:g} of {run}",
        again,
    )


def offered(found: "Dossier", choice: Choice, file: str, to: "Site", base: str) -> "Offer":
    """What the LoRA is, in the site's words. Raises PortraitistError for a base that nobody names."""
    from portraitist.deploy import programs, sites
    from portraitist.judge import settings

    recipe = found.recipe
    programs.require_lora(recipe)
    family, named = families.get(recipe.model.family), recipe.model.base
    base = sites.hub_base(named, base) if to == "huggingface" else sites.civitai_base(family.name, named, base)
    return sites.Offer(
        name=found.project.facts.name,
        trigger=found.project.facts.trigger,
        strength=choice.strength,
        guidance=choice.guidance or settings.read(found.run).guidance or family.profile.guidance,
        base=base,
        kind=recipe.adapter.kind,
        file=file,
        edits=family.references > 0,
    )


def drawn(
    found: "Dossier", offer: "Offer", examples: "Sequence[Example]", to: "Site", signature: "Signature | None"
) -> "list[Shown]":
    """Pictures as the site gets them, Civitai's with prompts inside. Raises PortraitistError for one that is gone."""
    from portraitist.deploy import sites
    from portraitist.deploy.examples import shown
    from portraitist.judge import settings

    steps = settings.read(found.run).sampling_steps
    made = []
    for one in examples:
        told = sites.parameters(offer, one.text, one.seed, steps) if to == "civitai" else ""
        made.append(sites.Shown(f"images/{one.name}", one.text, one.seed, shown(one.path, one.name, signature, told)))
    return made


def described(
    found: "Dossier",
    choice: Choice,
    offer: "Offer",
    shown: "Sequence[Shown]",
    names: Sequence[str],
    to: "Site",
    push: str,
) -> str:
    """The card's text; names: of pictures that a person picked, push: where it will lie."""
    from portraitist.judge import card

    code = ""
    if to == "huggingface" and offer.kind == "lora":
        example = shown[0].text if shown else offer.trigger
        where = push or "PATH/OF/THIS/FOLDER"
        code = card.loading(offer.base, offer.file, example, offer.strength, where, edits=offer.edits)
    return card.text(found, choice, offer.base, code, card.picked(names) if shown else "")


def written(lora: Path, to: "Site", pieces: "Sequence[Piece]") -> tuple[Path, list[Path]]:
    """Write the package beside the exported file; returns its place, and the files of a folder."""
    from portraitist.deploy import packages

    with durable.lock(lora.parent):
        durable.sweep(lora.parent)
        if to == "huggingface":
            return lora.parent / to, packages.folder(lora.parent / to, pieces)
        target = lora.parent / f"{lora.stem}-{to}.zip"
        packages.archive(target, pieces)
        return target, []
