"""A sitting of the panel: one run's checkpoints drawn, measured and put down in scorecards, each once.

Models are loaded when the first picture is missing; where all is judged nothing heavy is touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from portraitist.adapters import files, inject
from portraitist.dataset import cache as caching
from portraitist.dataset.cache import Cache
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Rendered, Scored, Warned
from portraitist.family import Base, Encoder, Family
from portraitist.judge import measures, overfit, render, scorecard
from portraitist.judge.grid import Grid, Shot
from portraitist.judge.measuring.definition import Case, Pictures
from portraitist.judge.measuring.references import References
from portraitist.judge.panel import Panel
from portraitist.judge.render import Artist, Prompts, Sampler
from portraitist.judge.scorecard import BASE, WHOLE, Drawn, Losses, Scorecard, Stage
from portraitist.learn import encoders, memory, offload
from portraitist.pictures import Opened
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder
from portraitist.sight.eyes import Looks
from portraitist.stopping import Stop


@dataclass(slots=True)
class Sitting:
    """Judging of one run by one grid and one pair of eyes."""

    project: Project
    recipe: Recipe
    run: RunFolder
    family: Family
    base: Base
    grid: Grid
    looks: Looks
    record: Emit
    stop: Stop
    references: Sequence[Opened] = ()
    drawn: int = 0
    cards: dict[tuple[int, float, Stage], Scorecard] = field(default_factory=dict)
    losses: dict[int, Losses] = field(default_factory=dict)
    adapter: tuple[int, str, dict[str, Tensor]] = (BASE, "", {})
    kept_sampler: Sampler | None = None
    kept_encoder: Encoder | None = None
    kept_artist: Artist | None = None
    kept_panel: Panel | None = None
    kept_base: dict[Stage, list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for card in scorecard.read(self.run):
            if (card.grid, card.eyes) == (self.grid.digest, self.looks.digest):
                self.cards[card.step, card.strength, card.stage] = card
        self.losses = {found.step: found for found in scorecard.read_losses(self.run)}

    def has(self, step: int, strength: float, stage: Stage) -> bool:
        """Whether a card is there."""
        return (step, strength, stage) in self.cards

    def of_stage(self, stage: Stage) -> list[Scorecard]:
        """The checkpoints' cards of a stage, without the base's."""
        return [card for (step, _, kind), card in self.cards.items() if kind == stage and step != BASE]

    def judge(self, step: int, strength: float, stage: Stage) -> Scorecard:
        """The card of a checkpoint (BASE at strength 0: the base) on a stage's pictures; made if it is not there.

        Raises Interrupted when a stop is asked for: whole pictures stay. Raises PortraitistError for an adapter that
        is damaged or of another base.
        """
        if self.has(step, strength, stage):
            return self.cards[step, strength, stage]
        self.take(step)
        if strength in (0.0, WHOLE):
            self.rehearse(step)
        panel = self.panel()
        shots = self.grid.shots(stage)
        base = self.of_base(stage)
        paths = self.draw(step, strength, stage)
        drawn = Pictures(shots, [render.read(path) for path in paths], base)
        values = panel.measure(drawn)
        pictures = [
            Drawn(shot.prompt.name, shot.prompt.text, shot.seed, str(path.relative_to(self.run.path)), got)
            for shot, path, got in zip(shots, paths, values, strict=True)
        ]
        scores = measures.scores(values)
        if strength in (0.0, WHOLE) and (ratios := self.ratios(step)):
            scores["held_out"] = measures.score(ratios)
        card = Scorecard(step, strength, stage, scores, self.grid.digest, self.looks.digest, pictures)
        scorecard.append(self.run, card)
        self.cards[step, strength, stage] = card
        means = {name: got.mean for name, got in scores.items()}
        self.record(Scored(step=step, strength=strength, stage=stage, scores=means))
        return card

    def draw(self, step: int, strength: float, stage: Stage) -> list[Path]:
        """See that a stage's pictures lie there; returns their paths in the grid's order.

        The screen's pictures are the first of the full grid at full strength: they are drawn once.
        """
        folder = scorecard.renders(self.run, step, strength)
        shots, shared = self.grid.shots(stage), 0
        if stage == "grid" and strength in (0.0, WHOLE):
            shared = self.grid.screened

        def placed(some: Sequence[Shot], kind: Stage) -> list[tuple[Shot, Path]]:
            return [(shot, folder / f"{kind}-{shot.prompt.name}-{shot.seed}.png") for shot in some]

        parts = [placed(shots[:shared], "screen"), placed(shots[shared:], stage)]
        for part in parts:
            for count in self.artist().draw(part, self.adapter[1], strength, lambda: self.adapted(strength)):
                self.drawn += count
                place = str(folder.relative_to(self.run.path))
                self.record(Rendered(step=step, strength=strength, pictures=count, path=place))
                self.heed()
        return [path for part in parts for _, path in part]

    def heed(self) -> None:
        """Leave when a stop is asked for; all files are whole here."""
        if self.stop():
            raise Interrupted("Stopped while judging; the same command goes on from there.")

    def take(self, step: int) -> None:
        """Have a checkpoint's adapter at hand."""
        if step == BASE:
            self.adapter = (BASE, "", {})
        elif self.adapter[0] != step:
            path = self.run.adapter(step)
            self.vouch(step)
            tensors, metadata = files.read(path)
            if metadata.get("base", self.base.digest) != self.base.digest:
                raise PortraitistError(
                    f"Run {self.run.name} was trained on another base than the one at hand",
                    "Judge it on its own base: set model.base to the folder it was trained on.",
                )
            self.adapter = (step, render.digest(path, self.run.manifest(step)), tensors)

    def vouch(self, step: int) -> None:
        """Refuse a checkpoint whose adapter is not what was written into it: what was judged would be another."""
        path = self.run.adapter(step)
        if problem := self.run.damage(step, path.name):
            raise PortraitistError(
                f"Checkpoint {step} of {self.run.name} cannot be judged: {problem}",
                f"Put its file back, or delete {path.parent} and train again.",
            )

    def adapted(self, strength: float) -> AbstractContextManager[object]:
        """Within: the denoiser is the checkpoint at hand, at a strength."""
        if self.adapter[0] == BASE:
            return nullcontext()
        return inject.loaded(self.sampler().denoiser, self.family, self.adapter[2], strength)

    def rehearse(self, step: int) -> None:
        """Take the losses of the checkpoint at hand, and before them the base's, unless they are there."""
        if step in self.losses and (step == BASE or self.ratios(step)):
            return
        train, held = (
            caching.load_samples(self.project, self.family, self.base, self.recipe, split) for split in SPLITS
        )
        rehearsal = overfit.Rehearsal.of(train, held, self.recipe.training.seed, self.recipe.model.precision)
        if step in self.losses and self.losses[step].yardstick == rehearsal.yardstick:
            return
        denoiser = self.sampler().denoiser
        device = next(denoiser.parameters()).device
        with self.adapted(WHOLE):
            precisely = memory.autocast(device, self.recipe.model.precision)
            found = rehearsal.losses(self.family, denoiser, step, precisely)
        scorecard.append_losses(self.run, found)
        self.losses[step] = found
        self.heed()

    def ratios(self, step: int) -> list[float]:
        """Held-out losses of a checkpoint over the base's, per sample."""
        if BASE not in self.losses or step not in self.losses:
            return []
        return overfit.ratios(self.losses[step], self.losses[BASE])

    def of_base(self, stage: Stage) -> list[np.ndarray]:
        """The base's pictures of a stage: drawn where they are not there, and kept, for every card is paired with
        them."""
        if stage not in self.kept_base:
            at_hand, self.adapter = self.adapter, (BASE, "", {})
            self.kept_base[stage] = [render.read(path) for path in self.draw(BASE, 0.0, stage)]
            self.adapter = at_hand
        return self.kept_base[stage]

    def panel(self) -> Panel:
        """The measures; the base's pictures of the choosing prompts are drawn for it first."""
        if self.kept_panel is None:
            base, facts = self.of_base("grid"), self.project.facts
            references = References.of(self.project, self.project.read_manifest(), self.grid.width, self.grid.height)
            zero = Pictures(self.grid.choosing, base, base)
            self.kept_panel = Panel.of(Case(references, zero, self.looks, self.grid.kinds, facts.trigger, facts.noun))
            for note in () if self.cards else self.kept_panel.notes:
                self.record(Warned(says=note))
        return self.kept_panel

    def artist(self) -> Artist:
        """Who draws."""
        if self.kept_artist is None:
            crop = render.whole(self.grid.width, self.grid.height)
            cache = Cache.of(self.project, self.family.name, self.base)
            prompts = Prompts(self.family, self.base, cache, self.words, crop, self.references)
            precision = self.recipe.model.precision
            self.kept_artist = Artist(self.family, self.base, self.grid, self.sampler, self.encoder, prompts, precision)
        return self.kept_artist

    def device(self) -> torch.device:
        """Where judging works."""
        return memory.place(self.recipe.model.device)

    @contextmanager
    def words(self) -> Iterator[Encoder]:
        """Within: the base's text encoders, for prompts that are not in the cache."""
        encoder = encoders.read(self.family, self.base, "words", self.device(), self.record)
        yield encoder
        encoders.let_go(encoder)

    def encoder(self) -> Encoder:
        """The base's decoder of pictures."""
        if self.kept_encoder is None:
            pixels, device = self.grid.width * self.grid.height, self.device()
            self.kept_encoder = encoders.read(self.family, self.base, "pictures", device, self.record, pixels)
        return self.kept_encoder

    def sampler(self) -> Sampler:
        """The base's denoiser, ready to draw; all prompts are encoded before it comes."""
        if self.kept_sampler is None:
            device = self.device()
            memory.autocast(device, self.recipe.model.precision)  # refuses before anything is loaded
            offload.check(device, self.recipe.model.offload)
            shots = [*self.grid.choosing, *self.grid.reporting]
            self.artist().prompts.prepare([shot.prompt.text for shot in shots] + [self.family.profile.negative])
            entry = caching.load_index(self.project, self.recipe, self.base)[0]
            latents = Cache.of(self.project, self.family.name, self.base).read_sample(entry.key).latents
            cell = entry.width // latents.shape[-1]
            self.kept_sampler = Sampler(
                family=self.family,
                denoiser=offload.settle(self.family.load_denoiser(self.base), self.recipe.model.offload, device),
                latent=(int(latents.shape[0]), self.grid.height // cell, self.grid.width // cell),
                width=self.grid.width,
                height=self.grid.height,
                steps=self.grid.steps,
                guidance=self.grid.guidance,
                precision=self.recipe.model.precision,
            )
        return self.kept_sampler


SPLITS = ("train", "held-out")
