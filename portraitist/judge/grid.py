"""The grid: which prompts are drawn from which seeds, to choose by and, apart from those, to report by and to probe.

What probes has a purpose of its own. unnamed: the noun stands for the trigger, and what is drawn must be what the base
draws. paraphrase: the same asks in other words. restyled: style, outfit and scene that no caption names. All that
chooses and reports is `named`.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeVar

from portraitist.dataset import minors
from portraitist.family import Profile
from portraitist.judge import probes, prompts
from portraitist.judge.measures import MEASURES, READABLE
from portraitist.judge.measuring.references import framing_of, showing
from portraitist.judge.measuring.strain import lacking
from portraitist.judge.scorecard import OWN, Stage
from portraitist.judge.shot import Shot
from portraitist.pictures import Picture
from portraitist.project import Facts
from portraitist.recipe import Recipe
from portraitist.sections import Judging

REPORTING = 1000
"""Seeds to choose by count from 1; those to report by from here, so that the two never meet."""


T = TypeVar("T")

BLOCK = 8
"""Pictures by which a grid is drawn bit by bit, after those of the screen."""

COMPANIONS = 4
"""Pictures that are drawn again beside a second LoRA, at each of its strengths."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the sampler draws: guidance, and steps."""

    guidance: float
    steps: int


@dataclass(frozen=True, slots=True)
class Grid:
    """All pictures that judging may draw of one checkpoint at one strength.

    choosing, reporting  no text and no seed is in both; seed by seed, so that the first few are of different prompts
    screened             how many of `choosing`, from its start, the cheap screen draws
    kinds                known attribute values, which asked ones are held against
    guidance, steps      of the sampler; width, height in pixels
    probing              unnamed, reworded and restyled ones; changed: what restyled asks are held against
    references           SHA-256 of the reference pictures that every picture is drawn with
    models               what names those of `[sight]` that measures look through
    lacking              framings asked for that no picture of the character has (judge/measuring/strain.py)
    drawn_by             what names another program that draws; "" is the base itself, here
    """

    choosing: tuple[Shot, ...]
    reporting: tuple[Shot, ...]
    screened: int
    kinds: Mapping[str, tuple[str, ...]]
    guidance: float
    steps: int
    width: int
    height: int
    probing: tuple[Shot, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    drawn_by: str = ""

    def shots(self, stage: Stage) -> tuple[Shot, ...]:
        """The pictures of a stage."""
        found: dict[Stage, tuple[Shot, ...]] = {
            "screen": self.choosing[: self.screened],
            "grid": self.choosing,
            "report": self.reporting,
            "probe": self.probing,
            "companion": self.reporting[:COMPANIONS],
        }
        return found[stage]

    def parts(self, found: Sequence[T], stage: Stage) -> list[Sequence[T]]:
        """What is drawn for a stage, in the parts that are drawn one by one: the screen's, then BLOCK at a time; of the
        other stages all."""
        if stage not in ("screen", "grid"):
            return [found]
        starts = [0, *range(self.screened, len(found), BLOCK)]
        ends = [*starts[1:], len(found)]
        return [found[a:b] for a, b in zip(starts, ends, strict=True)]

    @property
    def twins(self) -> tuple[Shot, ...]:
        """What the probes are compared with: the choosing pictures of the prompts that they probe, from every seed."""
        probed = {shot.twin for shot in self.probing}
        return tuple(shot for shot in self.choosing if shot.prompt.text in probed)

    def manner(self, guidance: float = OWN) -> Manner:
        """How pictures are drawn at a guidance; OWN is the grid's."""
        return Manner(self.guidance if guidance == OWN else guidance, self.steps)

    @property
    def digest(self) -> str:
        """Names the grid, and what is measured on it, in scorecards: equal digests mean that numbers compare."""
        own = asdict(self)
        own |= {} if own.pop("references") == () else {"references": self.references}
        own |= {} if own.pop("models") == () else {"models": self.models}
        own |= {} if own.pop("lacking") == () else {"lacking": self.lacking}
        own |= {} if own.pop("drawn_by") == "" else {"drawn_by": self.drawn_by}
        parts = {"grid": own, "measures": [*MEASURES, READABLE]}
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=list).encode()).hexdigest()[:16]


def grid(facts: Facts, recipe: Recipe, profile: Profile, multiple: int, pictures: Sequence[Picture]) -> Grid:
    """The grid of a project: its brief's attributes combined, else the guides' five prompts, and captions seen and
    unseen in training; the recipe's own prompts stand in for all of these when it has any.

    pictures  of the manifest, with captions and splits; multiple: the family's pixel multiple
    Raises PortraitistError for prompts that sexualise minors or make one of a real person.
    """
    judging = recipe.judging
    known = prompts.kinds(facts, pictures)
    asked, captions, reporting = texts(facts, judging, pictures)
    choosing = shots(asked, captions, judging.seeds, known)
    probing, changed = probed(facts, recipe, profile, pictures, choosing, known)
    every = dict.fromkeys([*(shot.prompt.text for shot in (*choosing, *probing)), *reporting])
    said = {f"The prompt {text!r}": f"{text}, {facts.noun}" for text in every}
    minors.refuse(said, real=facts.subject == "real")
    side = (judging.side or recipe.data.resolution or profile.resolution) // multiple * multiple

    return Grid(
        choosing=choosing,
        reporting=shots(reporting, {}, judging.seeds, known, REPORTING),
        screened=min(judging.screen, len(choosing)),
        kinds=known,
        guidance=judging.guidance or profile.guidance,
        steps=judging.sampling_steps or profile.sampling_steps,
        width=side,
        height=side,
        probing=probing,
        changed=changed,
        lacking=lacking(
            [framing_of(picture) for picture in showing(pictures)], [shot.prompt.text for shot in choosing]
        ),
    )


def shots(
    asked: Mapping[str, str], captions: Mapping[str, str], seeds: int, known: prompts.Kinds, before: int = 0
) -> tuple[Shot, ...]:
    """Pictures of prompts with their names, seed by seed, from the seed after `before`.

    Captions go on from seed to seed, as many in each as there are of prompts.CAPTIONS a split: other captions say more
    than the same ones again, and only when all have come do they come again.
    """
    specs = [prompts.specified(name, text, known) for text, name in asked.items()]
    told = [prompts.specified(name, text, known) for text, name in captions.items()]
    splits = Counter(name.partition("-")[0] for name in captions.values())
    each = sum(min(prompts.CAPTIONS, count) for count in splits.values())
    found = []
    for turn in range(seeds):
        found += [Shot(spec, before + 1 + turn) for spec in specs]
        places = range(turn * each, (turn + 1) * each)
        found += [Shot(told[i % len(told)], before + 1 + i // len(told)) for i in places]
    return tuple(found)


def probed(
    facts: Facts,
    recipe: Recipe,
    profile: Profile,
    pictures: Sequence[Picture],
    choosing: Sequence[Shot],
    known: prompts.Kinds,
) -> tuple[tuple[Shot, ...], prompts.Kinds]:
    """The probes, from the noise of the named pictures that they probe; and what restyled asks are held against."""
    judging, named = recipe.judging, list({shot.prompt.text: shot.prompt for shot in choosing}.values())
    plain = probes.unnamed(named, facts, profile)
    restyled, changed = probes.restyled(facts, known, profile, pictures, judging.restyled)
    there = [shot for shot in choosing if shot.prompt.text in plain][: judging.unnamed]
    found = [Shot(plain[shot.prompt.text], shot.seed, "unnamed", shot.prompt.text) for shot in there]
    reworded = itertools.islice(probes.paraphrases(named, facts, profile), judging.paraphrases)
    found += [Shot(spec, 1, "paraphrase", text) for text, spec in reworded]
    found += [Shot(spec, 1, "restyled") for spec in restyled]
    return tuple(found), changed


def texts(
    facts: Facts, judging: Judging, pictures: Sequence[Picture]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Texts with their short names: to choose by, captions to choose by, seen and unseen by turns, and to report by;
    none is in two of them."""
    own = list(dict.fromkeys(prompts.filled(text, facts) for text in judging.prompts))
    longest = max((len(values) for values in facts.brief.values()), default=0)
    count = max(prompts.FEWEST, longest)
    taken = set(own)
    choosing = {text: f"asked-{i}" for i, text in enumerate(own, 1)}
    if not own:
        said = prompts.from_brief(facts, "choose", count, set())
        choosing = {text: f"brief-{i}" for i, text in enumerate(said, 1)}
        guides = [] if said else [prompts.filled(text, facts) for text in prompts.GUIDES]
        choosing |= {text: f"guide-{i}" for i, text in enumerate(guides, 1)}
        taken |= choosing.keys()
    said = prompts.from_brief(facts, "report", count, taken)
    reporting = {text: f"brief-{len(choosing) + i}" for i, text in enumerate(said, 1)}
    if len(reporting) < prompts.FEWEST:
        others = [prompts.filled(text, facts) for text in prompts.AFTERWARDS]
        reporting |= {text: f"guide-{5 + i}" for i, text in enumerate(others, 1) if text not in taken}
    columns = []
    for word, split in (("seen", "train"), ("unseen", "held-out")):
        first, second = prompts.from_captions(facts, pictures, split, prompts.CAPTIONS * judging.seeds)
        columns.append([(text, f"{word}-{i}") for i, text in enumerate(first, 1) if text not in choosing])
        some = enumerate(second[: prompts.CAPTIONS], len(first) + 1)
        reporting |= {text: f"{word}-{i}" for i, text in some if text not in reporting}
    turns = [pair for row in itertools.zip_longest(*columns) for pair in row if pair is not None]
    captions = {} if own else dict(turns)
    return choosing, captions, {t: name for t, name in reporting.items() if t not in choosing and t not in captions}
