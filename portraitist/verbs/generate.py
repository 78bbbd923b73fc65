"""generate: pictures of the character of one reference, in combinations spread over the brief; each is recorded."""

import hashlib
import io
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from portraitist import durable, families
from portraitist.dataset import captions, combinations, generated, recording
from portraitist.dataset.generated import Drawn, Painter, Wanted
from portraitist.deploy import comfy, hosted
from portraitist.deploy.server import Server
from portraitist.deploy.workflow import Workflow
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Finished, Measured, Started, Warned, ignore
from portraitist.pictures import Opened, open_data, open_upright, png
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.sight.endpoint import Endpoint, EndpointError
from portraitist.stopping import Stop, never

if TYPE_CHECKING:
    from portraitist.sight.eyes import Looks

LIKE = 0.8
"""Cosine to the reference below which the embedded eyes call a drawing another character's. Of thirty pictures that
the embedded base drew from references of five held-out characters, 27 reach it; held against the references of the
other four, 15 of 120 do."""

IN_A_ROW = 3
"""Failures one after the other by which a service is given up."""

SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
ASKED = "The same character as in the reference picture, with the same face, hair and build: {words}."


@dataclass(frozen=True, slots=True)
class Service:
    """Who draws.

    kind      base (the recipe's, of an edit family), comfy (a server), edits, generations or gemini (hosted)
    url       of a server or a service
    key       the environment variable that holds the service's key; "" sends none
    model     a service's name for its model; size: as it knows sizes
    workflow  of comfy: a file in API format, and where prompt, seed and reference go in it, as "node.input"
    price     of one picture, in any currency; budget: the most that may be spent
    timeout   seconds of one request; of comfy, of one picture
    """

    kind: Literal["base", "comfy", "edits", "generations", "gemini"] = "base"
    url: str = ""
    key: str = ""
    model: str = ""
    size: str = ""
    workflow: str = ""
    prompt_at: str = ""
    seed_at: str = ""
    reference_at: str = ""
    price: float = 0.0
    budget: float = 0.0
    timeout: float = 300.0


@dataclass(frozen=True, slots=True)
class GenerateResult:
    """What came of it: names below the project's folder.

    made, already  pictures drawn now, and there before
    kept_out       combinations of which no picture was like the reference, or none could be had, with the reason
    planned        of a dry run: the prompts of pictures that are not there yet
    cost           spent now; of a dry run, what the pictures will cost if each is drawn once
    """

    made: tuple[str, ...]
    already: tuple[str, ...]
    kept_out: dict[str, str]
    planned: tuple[str, ...] = ()
    cost: float = 0.0

    def table(self) -> list[tuple[str, str]]:
        """In lines."""
        if self.planned:
            rows = [(f"{i}", prompt) for i, prompt in enumerate(self.planned, start=1)]
            return [*rows, ("already there", f"{len(self.already)}"), ("cost", f"{self.cost:.2f}")]
        rows = [("made", f"{len(self.made)}"), ("already there", f"{len(self.already)}")]
        rows += [("kept out", f"{words}: {why}") for words, why in self.kept_out.items()]
        return rows + ([("cost", f"{self.cost:.2f}")] if self.cost else [])


def generate(
    project: Project,
    recipe: Recipe,
    reference: Path,
    count: int,
    *,
    service: Service | None = None,
    prompt: str = "",
    seed: int = 0,
    redraws: int = 3,
    least: float = LIKE,
    dry_run: bool = False,
    looks: "Looks | None" = None,
    emit: Emit = ignore,
    stop: Stop = never,
) -> GenerateResult:
    """Draw `count` pictures into `pictures/generated/`, with captions; what is there already is not drawn again.

    prompt   with {words} for a combination's; "" is the plain words for the embedded base, and else asks for the same
             character
    redraws  of a picture that is not like the reference, or unusable; then it is kept out
    least    cosine to the reference, by `looks`: the eyes of the base's family where none are given, else nobody looks
    Raises PortraitistError for a real person without consent, for what the service cannot do, for a cost above the
    budget, and when the service is lost; Interrupted when a stop was asked for. What was drawn stays.
    """
    began, service = time.monotonic(), service or Service()
    project.require_consent()
    shown = open_upright(reference)
    painter = painters(recipe, service, shown, emit, stop)
    wanted = planned(project, recipe, count, seed, prompt, shown.digest, painter)
    record = generated.read(project)
    already = {one.key: name for one in wanted if (name := generated.there(project, record, one))}
    missing = [one for one in wanted if one.key not in already]
    cost = len(missing) * service.price
    if dry_run:
        return GenerateResult((), tuple(already.values()), {}, tuple(one.prompt for one in missing), cost)
    refuse_cost(service, len(missing))
    if looks is None:
        from portraitist.sight import eyes

        looks = eyes.load(recipe.model.family) if service.kind == "base" else None
    if looks is None and missing:
        emit(Warned(says="No eyes compare the pictures with the reference: look at each before training on them"))
    session = Session(project, painter, service, shown, looks, least, redraws, record, emit)
    with durable.lock(project.folder):
        emit(Started(verb="generate", total=len(wanted), done=len(already)))
        try:
            session.run(missing, len(already), len(wanted), stop)
        except Interrupted:
            emit(Finished(verb="generate", seconds=time.monotonic() - began, interrupted=True))
            raise
    emit(Finished(verb="generate", seconds=time.monotonic() - began, facts={"pictures": len(session.made)}))
    return GenerateResult(tuple(session.made), tuple(already.values()), session.kept_out, cost=round(session.spent, 6))


def painters(recipe: Recipe, service: Service, shown: Opened, emit: Emit, stop: Stop = never) -> Painter:
    """Who draws; nothing is asked and nothing loaded yet. Raises PortraitistError for what does not go together."""
    if service.kind == "base":
        family = families.get(recipe.model.family)
        if not getattr(family, "references", 0):
            raise PortraitistError(
                f"{family.name} takes no reference picture, so it cannot draw this character",
                "Use an edit family (--set model.family=qwen-image-edit and its base), a server (--comfy URL),"
                " or a service (--url).",
            )
        from portraitist.judge.studio import Studio

        family, base = families.pair(recipe.model, emit)
        return Studio(family, base, recipe, shown.pixels, emit)
    if not service.url:
        raise PortraitistError(f"Where is the service ({service.kind})?", "Give its address.")
    endpoint = Endpoint(service.url, service.key, service.timeout)
    if service.kind == "comfy":
        if not (service.workflow and service.prompt_at and service.seed_at):
            raise PortraitistError(
                "ComfyUI draws by a workflow", "Give --workflow FILE --prompt-at 6.text --seed-at 3.seed."
            )
        places = {"prompt": service.prompt_at, "seed": service.seed_at, "reference": service.reference_at}
        read = Workflow.read(durable.expanded(service.workflow), places)
        if not service.reference_at:
            emit(Warned(says="The workflow is not given the reference", remedy="--reference-at 10.image"))
        server = Server.at(service.url, service.key, patience=service.timeout, stop=stop)
        return comfy.Comfy(server, read, png(shown.pixels))
    if not service.model:
        raise PortraitistError("Which of the service's models draws?", "Name it: --model NAME")
    if service.kind == "generations":
        emit(Warned(says="By words alone the service does not see the reference", remedy="--api edits, if it can."))
    if service.kind == "gemini" and service.size:
        raise PortraitistError("Gemini's API takes no --size", "Leave it out: its model decides.")
    return hosted.Hosted(endpoint, service.kind, service.model, png(shown.pixels), service.size)


def planned(
    project: Project, recipe: Recipe, count: int, seed: int, prompt: str, reference: str, painter: Painter
) -> list[Wanted]:
    """The pictures that are wanted, each with its prompt and its caption."""
    if not 1 <= count <= 10_000:
        raise PortraitistError(f"{count} pictures", "Ask for 1 to 10,000.")
    if prompt and "{words}" not in prompt:
        raise PortraitistError("--prompt has no {words}", "Such as: --prompt 'A photograph of the woman: {words}'")
    facts, found = project.facts, []
    tags = families.get(recipe.model.family).profile.captions == "tags"
    text = prompt or ("{words}" if painter.name == "mini" else ASKED)
    for one in combinations.spread(combinations.wanted(facts.brief), count, seed):
        asked = text.replace("{words}", combinations.told(one, facts.noun))
        told = combinations.told(one, facts.trigger, tags=tags)
        key = generated.key_of(one, asked, reference, (painter.name, painter.model), seed)
        found.append(Wanted(key, one, asked, told))
    return found


def refuse_cost(service: Service, missing: int) -> None:
    """Refuse to begin what would cost more than may be spent."""
    if not (math.isfinite(service.price) and service.price >= 0):
        raise PortraitistError(f"--price {service.price:g}", "What one picture costs, 0 or more.")
    cost = missing * service.price
    if cost > service.budget + 1e-9:
        raise PortraitistError(
            f"{missing} pictures at {service.price:g} cost {cost:.2f}, and {service.budget:.2f} may be spent",
            f"Allow it: --budget {cost:.2f}, or more for pictures that are drawn again; or ask for fewer.",
        )


@dataclass(slots=True)
class Session:
    """One sitting of a painter."""

    project: Project
    painter: Painter
    service: Service
    shown: Opened
    looks: "Looks | None"
    least: float
    redraws: int
    record: Sequence[Drawn]
    emit: Emit
    spent: float = 0.0
    failures: int = 0
    target: "np.ndarray | None" = None
    made: list[str] = field(default_factory=list)
    kept_out: dict[str, str] = field(default_factory=dict)

    def run(self, missing: Sequence[Wanted], done: int, total: int, stop: Stop) -> None:
        """Draw all that is missing."""
        if not missing:
            return
        self.painter.prepare([one.prompt for one in missing])
        for at, one in enumerate(missing, start=1):
            if stop():
                raise Interrupted("Stopped while drawing; the same command goes on from there.")
            name, why = self.one(one)
            if name:
                self.made.append(name)
            else:
                self.kept_out[combinations.told(one.combination, "it")] = why
                says = f"Kept out: {combinations.told(one.combination, 'it')}: {why}"
                self.emit(Warned(says=says, remedy="The same command tries it again, with other seeds."))
            self.emit(Measured(picture=name or one.stem, done=done + at, total=total))

    def one(self, wanted: Wanted) -> tuple[str, str]:
        """Draw one picture until it is like the reference: its name, or "" and the last reason."""
        before, why = sum(drawn.key == wanted.key for drawn in self.record), ""
        for attempt in range(before, before + 1 + self.redraws):
            if self.spent + self.service.price > self.service.budget + 1e-9:
                return "", why or "the budget is spent"
            name, why = self.left(wanted, attempt) or self.attempt(wanted, attempt)
            if name:
                return name, ""
        return "", why

    def blank(self, wanted: Wanted, attempt: int) -> Drawn:
        """What is known of an attempt before its picture."""
        return Drawn(
            key=wanted.key, attempt=attempt, picture="", outcome="unusable", combination=dict(wanted.combination),
            prompt=wanted.prompt, seed=wanted.seed(attempt), service=self.painter.name, model=self.painter.model,
            reference=self.shown.digest, sha256="", eyes=self.looks.digest if self.looks else "", likeness=-2.0,
            price=self.service.price, at=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip

    def left(self, wanted: Wanted, attempt: int) -> tuple[str, str] | None:
        """The picture of an attempt that a kill left without a record: recorded now, and not paid for again."""
        folder = self.project.pictures / generated.SET
        path = next((p for s in SUFFIXES.values() if (p := folder / f"{wanted.stem}-{attempt}{s}").is_file()), None)
        if path is None:
            return None
        likeness, drawn = self.likeness(open_upright(path)), self.blank(wanted, attempt)
        name = path.relative_to(self.project.folder).as_posix()
        self.describe(path, wanted)
        drawn = replace(drawn, picture=name, outcome="kept", sha256=durable.digest(path), likeness=likeness)
        self.recorded(path, drawn)
        generated.append(self.project, replace(drawn, says="found after a kill"))
        return name, ""

    def describe(self, path: Path, wanted: Wanted) -> None:
        """Write a picture's caption, unless it has one."""
        if captions.sidecar(path) is None:
            durable.write_text(path.with_suffix(".txt"), wanted.caption + "\n")

    def attempt(self, wanted: Wanted, attempt: int) -> tuple[str, str]:
        """Draw one picture once, look at it, keep it or not, and record that."""
        self.spent += self.service.price
        drawn = self.blank(wanted, attempt)
        try:
            data = self.painter.draw(wanted.prompt, drawn.seed)
            opened = open_data(Path(wanted.stem), data)
        except EndpointError as error:
            self.failures += 1
            generated.append(self.project, replace(drawn, says=error.problem))
            if error.final or self.failures >= IN_A_ROW:
                raise
            return "", error.problem
        except PortraitistError as error:
            generated.append(self.project, replace(drawn, says=error.problem))
            return "", "what came is no picture"
        self.failures = 0
        likeness = self.likeness(opened)
        drawn = replace(drawn, sha256=hashlib.sha256(data).hexdigest(), likeness=likeness)
        kept = likeness == -2.0 or likeness >= self.least
        path = self.place(wanted, attempt, data, kept)
        durable.write_bytes(path, data)
        says = "" if kept else f"likeness {likeness:.2f} to the reference; expected {self.least:.2f} or more"
        name = path.relative_to(self.project.folder).as_posix()
        if kept:
            self.describe(path, wanted)
            self.recorded(path, drawn)
        generated.append(self.project, replace(drawn, picture=name, outcome="kept" if kept else "rejected", says=says))
        return (name, "") if kept else ("", says)

    def recorded(self, path: Path, drawn: Drawn) -> None:
        """Write a picture that was kept into the project's ledger; first, because by its own record it is done."""
        source = f"generated by {drawn.service} {drawn.model}".rstrip()
        recording.brought(self.project, path, source, prompt=drawn.prompt, seed=drawn.seed, reference=drawn.reference)

    def place(self, wanted: Wanted, attempt: int, data: bytes, kept: bool) -> Path:
        """Where a picture goes: into its set, or beside the project's pictures where a person may look at it."""
        with Image.open(io.BytesIO(data)) as image:
            suffix = SUFFIXES.get(image.format or "", ".png")
        folder = self.project.pictures / generated.SET if kept else self.project.folder / "rejected"
        return folder / f"{wanted.stem}-{attempt}{suffix}"

    def likeness(self, opened: Opened) -> float:
        """Cosine of a picture to the reference by the eyes, -1 to 1; -2 without eyes."""
        if self.looks is None:
            return -2.0
        from portraitist.judge.measuring.definition import embedded

        if self.target is None:
            self.target = embedded(self.looks.pictures, [self.shown.pixels])
        return round(float((embedded(self.looks.pictures, [opened.pixels]) @ self.target.T)[0, 0]), 6)
