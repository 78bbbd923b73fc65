"""What judging found, one line a card: a checkpoint at a strength, measured on one set of pictures.

Cards name the digests of the grid and of the eyes they were made with, so that numbers of different yardsticks are
never mixed. The base is step 0 at strength 0: the zero line that all else is compared with.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.runs import RunFolder

FORMAT = 1
BASE = 0
"""The step that stands for the base without an adapter; its strength is 0."""

WHOLE = 1.0
"""The strength an adapter was trained at: that of the screen."""

OWN = 0.0
"""The guidance that stands for the grid's own: that of the recipe, else of the base."""

Stage = Literal["screen", "grid", "report", "probe", "companion"]
Purpose = Literal["named", "unnamed", "paraphrase", "restyled"]


Key = tuple[int, float, float, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Score:
    """One measure over the pictures of a card: the mean, and the bootstrap interval (90 %) around it.

    count  pictures it was taken over; 0 when the measure could not be taken, and the numbers then mean nothing
    """

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture that was judged.

    prompt  the grid's short name for the prompt; text: as the encoder got it
    path    of the PNG, relative to the run's folder
    scores  each measure's value on this picture alone
    purpose why it was drawn: named by its trigger, as all that chooses; or see judge/grid.py
    """

    prompt: str
    text: str
    seed: int
    path: str
    scores: Mapping[str, float] = field(default_factory=dict)
    purpose: Purpose = "named"


@dataclass(frozen=True, slots=True)
class Scorecard:
    """A checkpoint at a strength on one stage's pictures.

    stage     screen (all checkpoints, few pictures), grid (cells drawn in full), report (nobody chose by it),
              probe (other purposes than naming the character), companion (beside a second LoRA)
    scores    by measure: see judge/measures.py
    grid      digest of prompts, seeds, guidance, steps and size
    eyes      digest of the embedders; "plain" when the family ships none
    guidance  that it was drawn with; OWN: the grid's
    beside    SHA-256 of the second LoRA, "@" and the strength that it had; "" without one
    usual     the guidance that OWN stands for; 0 where that is not known, as in cards of earlier versions
    """

    step: int
    strength: float
    stage: Stage
    scores: Mapping[str, Score]
    grid: str
    eyes: str
    pictures: Sequence[Drawn] = ()
    guidance: float = OWN
    beside: str = ""
    usual: float = 0.0

    @property
    def key(self) -> Key:
        """What there is one valid card of."""
        return (self.step, self.strength, self.guidance, self.stage, self.grid, self.eyes, self.beside)


@dataclass(frozen=True, slots=True)
class Losses:
    """Losses of one checkpoint (step 0: the base) by noise level, mean over pictures; the same noise for each step.

    levels      noise levels in (0, 1), ascending: each stands for a band of equal width around it
    train       per level, over as many training samples as there are held-out ones (eight when there are none)
    held_out    per level, over the held-out samples; empty when none were held out
    train_each  per training sample, mean over the levels; held_each: the same of the held-out ones
    yardstick   digest of samples, noise and precision: only lines of one yardstick are compared
    """

    step: int
    levels: Sequence[float]
    train: Sequence[float]
    held_out: Sequence[float]
    train_each: Sequence[float] = ()
    held_each: Sequence[float] = ()
    yardstick: str = ""


def usual(at: tuple[int, float, float], cards: Sequence[Scorecard]) -> tuple[int, float, float]:
    """A cell as cards name it: the grid's own guidance, where it is told by its number, is OWN."""
    step, strength, guidance = at
    return step, strength, OWN if any(card.usual and abs(card.usual - guidance) < 1e-9 for card in cards) else guidance


def append(run: RunFolder, card: Scorecard) -> None:
    """Add a card to the run's scorecards."""
    durable.append_line(run.scorecards, json.dumps({"format": FORMAT, **asdict(card)}, ensure_ascii=False))


def read(run: RunFolder) -> list[Scorecard]:
    """The run's cards in the order they were last told; of equal keys the latest counts. A torn last line does not.

    Raises PortraitistError for a newer format.
    """
    found: dict[Key, Scorecard] = {}
    for values in lines(run.scorecards):
        card = Scorecard(
            step=int(values["step"]),
            strength=float(values["strength"]),
            stage=values["stage"],
            scores={name: Score(**score) for name, score in values["scores"].items()},
            grid=values["grid"],
            eyes=values["eyes"],
            pictures=tuple(Drawn(**picture) for picture in values["pictures"]),
            guidance=float(values.get("guidance", OWN)),
            beside=values.get("beside", ""),
            usual=float(values.get("usual", 0.0)),
        )
        found.pop(card.key, None)
        found[card.key] = card
    return list(found.values())


def losses_path(run: RunFolder) -> Path:
    """Where a run's losses at fixed levels lie: one line a checkpoint."""
    return run.evaluation / "losses.jsonl"


def append_losses(run: RunFolder, losses: Losses) -> None:
    """Add one checkpoint's losses."""
    durable.append_line(losses_path(run), json.dumps({"format": FORMAT, **asdict(losses)}))


def read_losses(run: RunFolder) -> list[Losses]:
    """The losses of the run's checkpoints by step; of equal steps the latest counts."""
    found = {}
    for values in lines(losses_path(run)):
        values.pop("format")
        found[values["step"]] = Losses(**values)
    return [found[step] for step in sorted(found)]


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of ours; what a killed writer left torn is passed over."""
    if not path.is_file():
        return []
    found = []
    for line in durable.read_text(path).splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if values.get("format", 0) > FORMAT:
            raise PortraitistError(
                f"{path} has format {values['format']}; this version reads up to {FORMAT}",
                "Install a newer portraitist.",
            )
        found.append(values)
    return found


def renders(run: RunFolder, step: int, strength: float, guidance: float = OWN, beside: str = "") -> Path:
    """Where the pictures of a checkpoint at a strength and a guidance lie, beside what a card names so."""
    apart = f"-guided-{guidance:g}" if guidance != OWN else ""
    digest, _, much = beside.rpartition("@")
    apart += f"-beside-{digest[:8]}-{much}" if beside else ""
    return run.evaluation / "renders" / f"step-{step:06d}-at-{strength:g}{apart}"
