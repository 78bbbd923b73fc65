"""The grid: which prompts are drawn from which seeds, to choose by and, apart from those, to report by."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from portraitist.dataset import minors
from portraitist.family import Profile, PromptSpec
from portraitist.judge import prompts
from portraitist.judge.measures import MEASURES, READABLE
from portraitist.judge.scorecard import Stage
from portraitist.pictures import Picture
from portraitist.project import Facts
from portraitist.recipe import Recipe

REPORTING = 1000
"""Seeds to choose by count from 1; those to report by from here, so that the two never meet."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to be drawn: its noise is a function of the seed and the prompt's text, whatever draws it."""

    prompt: PromptSpec
    seed: int


@dataclass(frozen=True, slots=True)
class Grid:
    """All pictures that judging may draw of one checkpoint at one strength.

    choosing, reporting  no text and no seed is in both; seed by seed, so that the first few are of different prompts
    screened             how many of `choosing`, from its start, the cheap screen draws
    kinds                known attribute values, which asked ones are held against
    guidance, steps      of the sampler; width, height in pixels
    references           SHA-256 of the reference pictures that every picture is drawn with
    """

    choosing: tuple[Shot, ...]
    reporting: tuple[Shot, ...]
    screened: int
    kinds: Mapping[str, tuple[str, ...]]
    guidance: float
    steps: int
    width: int
    height: int
    references: tuple[str, ...] = ()

    def shots(self, stage: Stage) -> tuple[Shot, ...]:
        """The pictures of a stage."""
        return {"screen": self.choosing[: self.screened], "grid": self.choosing, "report": self.reporting}[stage]

    @property
    def digest(self) -> str:
        """Names the grid, and what is measured on it, in scorecards: equal digests mean that numbers compare."""
        own = asdict(self)
        own |= {} if own.pop("references") == () else {"references": self.references}
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
    choosing, reporting = texts(facts, judging.prompts, pictures)
    said = {f"The prompt {text!r}": f"{text}, {facts.noun}" for text in (*choosing, *reporting)}
    minors.refuse(said, real=facts.subject == "real")
    side = (recipe.data.resolution or profile.resolution) // multiple * multiple

    def shots(named: Mapping[str, str], first: int) -> tuple[Shot, ...]:
        specs = [prompts.specified(name, text, known) for text, name in named.items()]
        return tuple(Shot(spec, first + i) for i in range(judging.seeds) for spec in specs)

    return Grid(
        choosing=shots(choosing, 1),
        reporting=shots(reporting, REPORTING + 1),
        screened=min(judging.screen, len(choosing) * judging.seeds),
        kinds=known,
        guidance=judging.guidance or profile.guidance,
        steps=judging.sampling_steps or profile.sampling_steps,
        width=side,
        height=side,
    )


def texts(facts: Facts, asked: Sequence[str], pictures: Sequence[Picture]) -> tuple[dict[str, str], dict[str, str]]:
    """Texts with their short names, to choose by and to report by; none is in both."""
    own = list(dict.fromkeys(prompts.filled(text, facts) for text in asked))
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
    most = min(prompts.CAPTIONS, (len(reporting) + 1) // 2)
    for word, split in (("seen", "train"), ("unseen", "held-out")):
        first, second = prompts.from_captions(facts, pictures, split, most)
        if not own:
            choosing |= {text: f"{word}-{i}" for i, text in enumerate(first, 1) if text not in choosing}
        reporting |= {text: f"{word}-{most + i}" for i, text in enumerate(second, 1) if text not in reporting}
    return choosing, {text: name for text, name in reporting.items() if text not in choosing}
