"""caption: say beside pictures what is known or what a model sees; never over what a person wrote or changed."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from portraitist import durable, families
from portraitist.crew import Crew
from portraitist.dataset import captions, captions_render, captions_rules, intake
from portraitist.dataset.captions_plan import Plan, planned
from portraitist.dataset.captions_rules import Manner
from portraitist.dataset.captions_written import Change, Own, Undone, undo, write
from portraitist.dataset.minors import UNFIT, unfit
from portraitist.dataset.taxonomy import Part, is_identity, kind_of
from portraitist.errors import PortraitistError
from portraitist.events import Captioned, Emit, Finished, Started, Warned, ignore
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.sight import proposals
from portraitist.sight.describe import Usage

MOST_PHRASES = 300
"""Of a line that rules are put over: each phrase is held to every other, and no encoder reads so many."""

DIFF = 3
"""Pictures whose new captions a terminal shows whole; of a preview all are."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture that got no caption, with the reason."""

    picture: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rewording:
    """One caption before and after, and what the rules changed."""

    picture: str
    before: str
    after: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """Names of pictures by what became of their captions.

    written          that were missing, or were ours and out of date
    kept             written by a person, or ours and right
    without_trigger  among the kept: a person's captions that lack the trigger and were left alone
    failed           that a model said nothing usable of, each with the reason; their captions are as they were
    rewordings       what was written, or would be: with `preview` nothing was
    identity         what becomes of features of the character itself, in words
    cost             tokens that a model was asked and answered, and their price where prices are given
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    without_trigger: tuple[str, ...]
    failed: tuple[Failure, ...] = ()
    rewordings: tuple[Rewording, ...] = ()
    identity: str = ""
    cost: str = ""
    preview: bool = False

    def table(self) -> list[tuple[str, str]]:
        """What a terminal shows: all changes of a preview, the first few of what was written."""
        rows = [("would be written" if self.preview else "written", str(len(self.written)))]
        rows += [("kept", str(len(self.kept)))]
        shown = self.rewordings if self.preview else self.rewordings[:DIFF]
        for one in shown:
            told = [f"- {line}" for line in one.before.splitlines()] + [f"+ {line}" for line in one.after.splitlines()]
            told += [f"  ({'; '.join(one.changes)})"] if one.changes and self.preview else []
            rows += [(one.picture if not i else "", line) for i, line in enumerate(told)]
        left = len(self.rewordings) - len(shown)
        rows += [("", f"and {left} more")] if left else []
        rows += [("identity", self.identity)] if self.identity else []
        rows += [("cost", self.cost)] if self.cost else []
        return rows + [(f"failed: {one.picture}", f"{one.why.rstrip('.')}. {one.remedy}") for one in self.failed]


@dataclass(slots=True)
class Work:
    """One captioning: how captions are put, and what came of it."""

    project: Project
    recipe: Recipe
    emit: Emit
    manner: Manner
    count: Callable[[str], int]
    changes: dict[str, Change] = field(default_factory=dict)
    reasons: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    rated: list[str] = field(default_factory=list)
    lettered: dict[str, str] = field(default_factory=dict)
    usage: Usage | None = None

    def take(self, plan: Plan, text: str, own: Own | None, reasons: Sequence[str] = (), beside: str = "") -> None:
        """Have a caption written, unless it stands there already or may not."""
        facts = self.project.facts
        if reason := unfit(text, beside, *([facts.noun] if plan.subject.trigger else [])):
            self.failed.append(Failure(plan.source.name, f"unfit: {reason}", UNFIT))
            return
        there = plan.words == text + "\n" if own is not None else lines(plan.words) == lines(text)
        if text.strip() and not there:
            self.changes[plan.source.name] = Change(plan.path, plan.before, text + "\n", own)
            self.reasons[plan.source.name] = tuple(reasons)

    def put(self, plan: Plan, parts: Sequence[Part], by: str, beside: str = "") -> None:
        """The caption of parts, by the rules and the template."""
        found = captions_rules.settled(parts, self.ways(plan), lambda some: self.count(self.rendered(some, plan)))
        self.dropped.update(p.text for p in parts if f"{p.text}: the character itself" in found.changes)
        own = Own(tuple(parts), plan.subject.trigger, plan.subject.noun, by)
        text = self.rendered(found.parts, plan) if found.parts else plan.plain()
        self.take(plan, text, own, found.changes, " ".join([beside, *(part.text for part in parts)]))

    def ways(self, plan: Plan) -> Manner:
        """The rules for a picture: of others, whom no trigger stands for, looks are named."""
        return self.manner if plan.subject.trigger else replace(self.manner, identity="name")

    def rendered(self, parts: Sequence[Part], plan: Plan) -> str:
        """Parts as a caption of a picture."""
        return captions_render.render(parts, plan.subject, plan.template)

    def known(self, plans: Sequence[Plan]) -> None:
        """Trigger and noun beside what nobody has captioned; what a model said for another name is put anew."""
        for plan in plans:
            own = plan.ours
            now, tag = (plan.subject.trigger, plan.subject.noun), plan.subject.tag
            if own is None or not own.parts:
                self.take(plan, plan.plain(), Own((), *now))
            elif (own.trigger, own.noun) != now or (tag and not captions.holds(plan.words, tag)):
                self.put(plan, own.parts, own.by)

    def proposed(self, plans: Sequence[Plan]) -> None:
        """What the recipe's model says of each picture."""
        captioning, kept = self.recipe.captioning, self.project.cache / "words"
        paths = [plan.source.path for plan in plans]
        if captioning.source == "tagger":
            work = self.recipe.work
            crew = Crew(max(work.processes, 1), work.ray)
            answers = proposals.by_tagger(paths, self.tagger(), kept, captioning.tagger, crew)
        else:
            model = proposals.describer(captioning.endpoint, self.project.facts.noun)
            self.usage = model.usage
            if cost := proposals.cost_before(len(plans), captioning.endpoint):
                says = f"Asking {model.model} about {len(plans)} pictures costs about {cost:.2g} at most"
                self.emit(Warned(says=says, remedy="Answers are kept: asking again costs nothing."))
            answers = proposals.gathered(paths, proposals.by_endpoint(model, kept), captioning.endpoint.at_once)
        for done, (place, found) in enumerate(answers, start=1):
            plan = plans[place]
            if isinstance(found, PortraitistError):
                self.failed.append(Failure(plan.source.name, found.problem, found.remedy))
            else:
                parts = captions_render.parts_of([(kind or kind_of(text), text) for kind, text in found.values])
                parts = tuple(part for part in parts if not captions.holds(part.text, self.trigger))
                self.put(plan, parts, found.by, found.beside)
                self.rated += [plan.source.name] if found.rating in ("questionable", "explicit") else []
                self.lettered |= {plan.source.name: found.text} if found.text else {}
            change = self.changes.get(plan.source.name)
            text = change.after.strip() if change else plan.words.strip()
            self.emit(Captioned(picture=plan.source.name, text=text, done=done, total=len(plans)))

    @property
    def trigger(self) -> str:
        """The project's."""
        return self.project.facts.trigger

    def tagger(self) -> Path:
        """The tagger's folder, from the character's where it is not absolute."""
        name = self.recipe.captioning.tagger.folder
        if not name:
            raise PortraitistError(
                "captioning.tagger.folder is not set",
                "Name the folder of a WD14 tagger: model.onnx, selected_tags.csv.",
            )
        return self.project.folder / durable.expanded(name)

    def ruled(self, plans: Sequence[Plan], everyone: bool) -> None:
        """The rules over captions that stand there: ours from what they were made of, a person's only when asked to."""
        for plan in plans:
            if plan.ours is not None and plan.ours.parts:
                self.put(plan, plan.ours.parts, plan.ours.by)
            elif plan.ours is not None:
                self.take(plan, plan.plain(), Own((), plan.subject.trigger, plan.subject.noun))
            elif everyone and max(map(signs, lines(plan.words)), default=0) > MOST_PHRASES:
                why = f"its caption has more than {MOST_PHRASES} phrases and was left alone"
                self.failed.append(Failure(plan.source.name, why, "Shorten it: no encoder reads so many."))
            elif everyone and plan.words.strip() and "\ufffd" not in plan.words:
                who = plan.subject.trigger or plan.subject.noun
                done = [captions_rules.revised(line, who, self.ways(plan), self.count) for line in lines(plan.words)]
                reasons = [change for _, found in done for change in found.changes]
                text = "\n".join(line for line, _ in done if line)
                if text.strip():
                    self.take(plan, text, None, reasons)


def caption(
    project: Project,
    recipe: Recipe,
    emit: Emit = ignore,
    *,
    preview: bool = False,
    rules: bool = False,
    everyone: bool = False,
) -> CaptionResult:
    """Write a caption beside every picture without one, from the recipe's `captioning.source`.

    preview   says what would be written, and writes no caption
    rules     asks no model: the recipe's rules go over the captions of ours that stand there
    everyone  with `rules`, over a person's captions too

    In sets of the role prior the noun stands for the trigger. What we wrote is known by its SHA-256 in captions.jsonl;
    any other caption is a person's and stays as it is. What stood there before can be put back (`undone`). Raises
    PortraitistError when `pictures/` holds no picture, and for a model that cannot be used at all.
    """
    began = time.monotonic()
    sources = intake.listed(project.pictures).pictures
    if not sources:
        raise PortraitistError(
            f"{project.pictures} holds no pictures", f"Add some: portraitist add {project.folder} FOLDER_OR_PICTURES"
        )
    if everyone and not rules:
        raise PortraitistError("Only rules go over a person's captions", "Add --rules.")
    how = recipe.captioning.style
    style = families.get(recipe.model.family).profile.captions if how == "family" else how
    plans = list(planned(project, recipe, sources, style))
    work = Work(project, recipe, emit, manner(project, recipe, plans), families.token_counter(recipe.model))
    free = [plan for plan in plans if plan.free]
    emit(Started(verb="caption", total=len(free)))
    if rules:
        work.ruled(plans, everyone)
    elif recipe.captioning.source == "none":
        work.known(free)
    else:
        work.proposed(free)
    if work.failed and len(work.failed) == len(plans if everyone else free) and not work.changes:
        raise PortraitistError(f"No picture was captioned: {work.failed[0].why}", work.failed[0].remedy)
    wanted = list(work.changes.values())
    written = {change.path for change in (wanted if preview else write(project, wanted))}
    result = concluded(work, plans, written, preview)
    for done, one in enumerate(result.rewordings if not preview else (), start=1):
        if rules or recipe.captioning.source == "none":
            emit(Captioned(picture=one.picture, text=one.after, done=done, total=len(result.written)))
    emit(Finished(verb="caption", seconds=time.monotonic() - began, facts={"written": len(result.written)}))
    return result


def undone(project: Project, emit: Emit = ignore) -> Undone:
    """Put back the captions that stood there before the last captioning; what a person changed since is left alone."""
    began = time.monotonic()
    emit(Started(verb="caption"))
    found = undo(project)
    if found.changed_since:
        says = (
            f"{len(found.changed_since)} captions were changed since and were left alone: {found.changed_since[0]} ..."
        )
        emit(Warned(says=says, remedy="Put them right by hand."))
    emit(Finished(verb="caption", seconds=time.monotonic() - began, facts={"restored": len(found.restored)}))
    return found


def manner(project: Project, recipe: Recipe, plans: Sequence[Plan]) -> Manner:
    """The recipe's rules. A person's words for things, in the brief and then in captions, go before the usual ones."""
    captioning, profile = recipe.captioning, families.get(recipe.model.family).profile
    said = Counter(phrase.strip() for plan in plans if not plan.free for phrase in plan.words.split(","))
    brief = [value for values in project.facts.brief.values() for value in values]
    return Manner(
        replace=captioning.replace,
        drop=captioning.drop,
        always=captioning.always,
        varies=captioning.varies,
        identity=captioning.identity,
        most=captioning.most,
        limit=captioning.limit or profile.token_limit,
        own=(*brief, *(phrase for phrase, _ in said.most_common(200))),
        one_word=profile.captions != "phrases",
    )


def concluded(work: Work, plans: Sequence[Plan], written: set[Path], preview: bool) -> CaptionResult:
    """What became of every picture, and what a person should know of it."""
    done = [plan for plan in plans if plan.source.name in work.changes and plan.path in written]
    names = {plan.source.name for plan in done} | {one.picture for one in work.failed}
    kept = [plan for plan in plans if plan.source.name not in names]
    trigger = work.trigger
    without = [
        plan.source.name
        for plan in kept
        if plan.subject.trigger and plan.words.strip() and not captions.holds(plan.words, trigger)
    ]
    if without:
        says = f"{len(without)} captions lack the trigger {trigger} and were left alone: {without[0]} ..."
        work.emit(Warned(says=says, remedy=f"Put {trigger} first in each."))
    if work.rated:
        says = f"The tagger rates {len(work.rated)} pictures questionable or explicit: {work.rated[0]} ..."
        work.emit(Warned(says=says, remedy="Nothing of it is in the captions; make sure that they belong here."))
    if work.lettered:
        name, words = next(iter(work.lettered.items()))
        says = f'The model reads words in {len(work.lettered)} pictures: "{words[:60]}" in {name} ...'
        work.emit(Warned(says=says, remedy="Nothing of it is in the captions; look whether these are watermarks."))
    return CaptionResult(
        written=tuple(plan.source.name for plan in done),
        kept=tuple(plan.source.name for plan in kept),
        without_trigger=tuple(without),
        failed=tuple(work.failed),
        rewordings=tuple(
            Rewording(
                plan.source.name,
                plan.words.strip(),
                work.changes[plan.source.name].after.strip(),
                work.reasons[plan.source.name],
            )
            for plan in done
        ),
        identity=consequence(work),
        cost=spent(work),
        preview=preview,
    )


def consequence(work: Work) -> str:
    """What leaving out or naming features of the character itself comes to, where captions say what is seen."""
    own = [change.own for change in work.changes.values() if change.own is not None and change.own.parts]
    if not own:
        return ""
    if work.manner.identity == "omit":
        most = ", ".join(text for text, _ in work.dropped.most_common(3))
        told = f" ({most})" if most else ""
        return f"left out{told}: learnt as part of {work.trigger}, and not to be changed by words"
    rules = work.recipe.captioning
    named = Counter(p.text for one in own for p in one.parts if is_identity(p.text, rules.always, rules.varies, p.kind))
    most = ", ".join(text for text, _ in named.most_common(3))
    told = f" ({most})" if most else ""
    return f"named{told}: to be changed by words, and missing where a prompt does not say it"


def spent(work: Work) -> str:
    """Tokens that were asked and answered, and what they cost."""
    if work.usage is None:
        return ""
    use, prices = work.usage, work.recipe.captioning.endpoint
    untold = f"; {use.untold} answers did not say" if use.untold else ""
    cost = use.cost(prices.price_in, prices.price_out)
    price = f", {cost:.2g} at the prices given" if prices.price_in or prices.price_out else ""
    return f"{use.asked:,} tokens asked, {use.answered:,} answered{price}{untold}"


def signs(line: str) -> int:
    """Commas and full stops of a line: about as many as it has phrases."""
    return line.count(",") + line.count(".")


def lines(text: str) -> list[str]:
    """The caption and its variants, a line each."""
    first, more = captions.parse(text)
    return [first, *more] if first else []
