"""Rounds: run, take advice, run again with the recipe changed by it; keep what is surely not worse, and tell it all.

Each round is a whole `run`, and a run of its own on disk. What has been decided is written down before the next round
begins, so that after a stop the same command goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portraitist import durable, runs
from portraitist.errors import PortraitistError
from portraitist.events import Emit, ignore
from portraitist.judge import settings
from portraitist.judge.advising import changes, gain
from portraitist.judge.advising.advice import Advice, Expected, shown
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.run import RunResult, fingerprint, run
from portraitist.runs import Choice
from portraitist.stopping import Stop, never

if TYPE_CHECKING:
    from portraitist.judge.advising.evidence import Seen

FORMAT = 1
FILE, PAGE = "rounds.json", "rounds.html"


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the job.

    name       of the run
    settings   what differs from the recipe that was begun with, by dotted key
    why        the advice that it follows, in words; "" of the first
    step, strength, scores    of its choice; scores are means by measure
    against    its likeness less that of the best before it, with the interval; {} where nothing compares
    kept       whether it became the best; verdict: why, or why not
    """

    name: str
    settings: Mapping[str, Any]
    why: str
    step: int
    strength: float
    scores: Mapping[str, float]
    kept: bool
    verdict: str
    against: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The round that comes next: settings against the recipe begun with, why, and what is to move."""

    settings: Mapping[str, Any]
    why: str = ""
    expects: tuple[Expected, ...] = ()


@dataclass(frozen=True, slots=True)
class Story:
    """All rounds so far, as rounds.json has them.

    start   digest of the recipe that was begun with, and of the pictures after the first round
    next    the round that is under way or to come; None when there is none
    ended   why there is none
    todo    what the last advice asks for that no recipe can do
    """

    start: str
    pictures: str = ""
    rounds: tuple[Round, ...] = ()
    next: Plan | None = field(default_factory=lambda: Plan({}))
    ended: str = ""
    todo: tuple[str, ...] = ()

    @property
    def best(self) -> Round:
        """The last round that was kept; the first always is."""
        return [one for one in self.rounds if one.kept][-1]


@dataclass(frozen=True, slots=True)
class RoundsResult:
    """What came of it: the best run with its LoRA and report, every round, why there are no more, what is left to do.

    page  the archive: the same prompts and seeds round by round
    """

    blocked: bool = False
    run: str = ""
    checkpoint: int = 0
    strength: float = 0.0
    rounds: tuple[Round, ...] = ()
    ended: str = ""
    todo: tuple[str, ...] = ()
    lora: str = ""
    report: str = ""
    page: str = ""
    findings: tuple[Any, ...] = ()

    def table(self) -> list[tuple[str, str]]:
        """In lines: round by round, then the best, its files, and why there are no more."""
        rows = []
        for number, one in enumerate(self.rounds, 1):
            because = f"; tried since: {one.why}" if one.why else ""
            rows.append((f"round {number}", f"{one.name}, step {one.step} at strength {one.strength:g}{because}"))
            rows += [("", f"{key} = {shown(value)}") for key, value in one.settings.items()]
            rows.append(("", f"{'kept' if one.kept else 'not kept'}: {one.verdict}"))
        rows.append(("best", self.run) if self.run else ("blocked", "the audit stopped it"))
        rows += [("ended", self.ended)] + [("left to do", action) for action in self.todo]
        files = (("LoRA", self.lora), ("report", self.report), ("archive", self.page))
        return [(name, value) for name, value in [*rows, *files] if value]


def rounds(project: Project, recipe: Recipe, count: int, emit: Emit = ignore, stop: Stop = never) -> RoundsResult:
    """Do the whole job at most `count` times, each time with the recipe that the last advice asks for.

    It ends early when nothing is advised that a recipe can do, when a round brought nothing, or when a recipe comes
    again. Raises as `run` does, and PortraitistError for a count below 1.
    """
    from portraitist.verbs.advise import advise

    if count < 1:
        raise PortraitistError(f"--rounds {count}: there must be at least one", "Say --rounds 3, for example.")
    story, result = read(project, recipe), RunResult()
    while story.next is not None and len(story.rounds) < count:
        write(project, story)
        result = run(project, coming(project, recipe, story), emit, stop)
        if result.blocked:
            return RoundsResult(blocked=True, findings=result.findings, rounds=story.rounds)
        advised = advise(project, run=result.run, emit=emit)
        story = follow(project, recipe, story, result.run, advised.advice)
        write(project, story)
    return closed(project, story, count)


def coming(project: Project, recipe: Recipe, story: Story) -> Recipe:
    """The recipe of the next round, judged as the first was: what `judging.budget` pays for hangs on how long a
    training is, and pictures of other prompts would not compare."""
    wanted = changes.changed(recipe, story.next.settings if story.next else {})
    if not story.rounds:
        return wanted
    judging = settings.read(runs.find(project, story.rounds[0].name))
    return wanted.model_copy(update={"judging": judging.model_copy(update={"budget": 0.0})})


def follow(project: Project, recipe: Recipe, story: Story, name: str, advice: Sequence[Advice]) -> Story:
    """The story with the round that was just run, and with what comes next."""
    plan = story.next or Plan({})
    seen, choice = known(project, name)
    card = gain.cell(seen, choice)
    done = Round(
        name=name,
        settings=dict(plan.settings),
        why=plan.why,
        step=choice.step,
        strength=choice.strength,
        scores={measure: got.mean for measure, got in card.scores.items()} if card else {},
        kept=True,
        verdict="the first",
    )
    if story.rounds:
        found = gain.held((seen, choice), known(project, story.best.name), plan.expects)
        got = found.likeness
        against = {"mean": got.mean, "low": got.low, "high": got.high} if got.count else {}
        done = replace(done, kept=found.kept, verdict=found.says, against=against)
    story = replace(story, rounds=(*story.rounds, done), next=None, pictures=story.pictures or listing(project))
    if not done.kept:
        return replace(story, ended=f"round {len(story.rounds)} brought nothing: {done.verdict}")
    return planned(recipe, story, advice)


def planned(recipe: Recipe, story: Story, advice: Sequence[Advice]) -> Story:
    """The story with the first advice that a recipe can follow as its next round; judging stays as it is, since rounds
    are held against each other by it."""
    todo = tuple(action.told for one in advice for action in one.dataset)
    story = replace(story, todo=todo)
    for one in advice:
        if one.recipe and not any(key.startswith("judging.") for key in one.settings):
            wanted = {**story.best.settings, **one.settings}
            if any(wanted == dict(past.settings) for past in story.rounds):
                return replace(story, ended="the same recipe is advised again")
            return replace(story, next=Plan(wanted, one.symptom.says, one.expects))
    if advice:
        return replace(story, ended="what is advised is not of the recipe")
    return replace(story, ended="nothing measured calls for a change")


def known(project: Project, name: str) -> "tuple[Seen, Choice]":
    """What was measured of a run, and its choice."""
    from portraitist.verbs.advise import gather

    found = runs.find(project, name)
    choice = found.chosen()
    if choice is None:
        raise PortraitistError(f"{found.choice} is gone", f"Run: portraitist choose {project.folder} --run {name}")
    return gather(project, found), choice


def closed(project: Project, story: Story, count: int) -> RoundsResult:
    """The result: the best round's files, the page of all of them, and why it ended."""
    from portraitist.judge import archive

    best, page = story.best, project.folder / PAGE
    told = [archive.of_run(project, r.name, r.why, r.settings, r.verdict, kept=r.kept) for r in story.rounds]
    durable.write_text(page, archive.page(told, project.facts.name))
    done = len(story.rounds)
    ended = story.ended or f"{done} of {max(count, done)} rounds are done; --rounds {done + 1} goes on"
    lora = sorted(project.exports.glob(f"*{best.name}/*.safetensors"))
    return RoundsResult(
        run=best.name,
        checkpoint=best.step,
        strength=best.strength,
        rounds=story.rounds,
        ended=ended,
        todo=story.todo,
        lora=str(lora[0]) if lora else "",
        report=str(project.runs / best.name / "report.html"),
        page=str(page),
    )


def read(project: Project, recipe: Recipe) -> Story:
    """The story of this recipe as far as it has come; a fresh one for another recipe, or for other pictures."""
    start, path = fingerprint(recipe.digest()), project.folder / FILE
    if not path.is_file():
        return Story(start)
    values = durable.read_json(path)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise PortraitistError(f"{path} is damaged or of another version", "Move it away to begin anew.")
    try:
        if values["start"] != start or (values["pictures"] and values["pictures"] != listing(project)):
            return Story(start)
        plan, done = values["next"], tuple(Round(**one) for one in values["rounds"])
        if plan:
            plan = Plan(plan["settings"], plan["why"], tuple(Expected(**one) for one in plan["expects"]))
        return Story(start, values["pictures"], done, plan, values["ended"], tuple(values["todo"]))
    except (KeyError, TypeError) as error:
        raise PortraitistError(f"{path} is damaged: {error}", "Move it away to begin anew.") from error


def write(project: Project, story: Story) -> None:
    """Write the story down."""
    durable.write_json(project.folder / FILE, {"format": FORMAT, **asdict(story)})


def listing(project: Project) -> str:
    """Digest of the names, sizes and times of all that lies in `pictures/`: enough to see that something changed."""
    found = sorted(path for path in project.pictures.rglob("*") if path.is_file())
    return fingerprint([[str(p.relative_to(project.pictures)), p.stat().st_size, p.stat().st_mtime_ns] for p in found])
