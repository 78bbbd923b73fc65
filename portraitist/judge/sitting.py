"""A sitting of the panel: one run's checkpoints drawn, measured and put down in scorecards, each once.

Models are loaded when the first picture is missing; where all is judged nothing heavy is touched.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from portraitist import durable
from portraitist.adapters import files, inject
from portraitist.audit.content import sights
from portraitist.dataset import cache as caching
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Rendered, Scored, Warned
from portraitist.family import Base, Family
from portraitist.judge import companions, measures, overfit, render, scorecard
from portraitist.judge.bench import Bench
from portraitist.judge.grid import Grid
from portraitist.judge.measuring.definition import Case, Pictures
from portraitist.judge.measuring.references import References
from portraitist.judge.panel import Panel
from portraitist.judge.render import Artist, Elsewhere
from portraitist.judge.scorecard import BASE, OWN, WHOLE, Drawn, Losses, Score, Scorecard, Stage
from portraitist.judge.shot import Shot
from portraitist.judge.surprise import Surprised
from portraitist.learn import memory
from portraitist.pictures import Opened
from portraitist.project import Project
from portraitist.recipe import Recipe
from portraitist.runs import RunFolder
from portraitist.sight.eyes import Looks
from portraitist.stopping import Stop


@dataclass(slots=True)
class Sitting:
    """Judging of one run by one grid and one pair of eyes.

    elsewhere  another program, where that draws: then nothing of the base is needed here, and no losses are taken
    others     whether the run was judged by others since
    """

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
    elsewhere: Elsewhere | None = None
    cards: dict[scorecard.Key, Scorecard] = field(default_factory=dict)
    losses: dict[int, Losses] = field(default_factory=dict)
    others: bool = False
    adapter: tuple[int, str, dict[str, Tensor]] = (BASE, "", {})
    kept_bench: Bench | None = None
    kept_artist: Artist | None = None
    kept_panel: Panel | None = None
    kept_base: dict[Stage, list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        companions.path(self.project, self.recipe.judging)  # refuses before anything is drawn
        for card in scorecard.read(self.run):
            self.others = (card.grid, card.eyes) != (self.grid.digest, self.looks.digest)
            if not self.others:
                self.cards[card.key] = card
        self.losses = {found.step: found for found in scorecard.read_losses(self.run)}

    @property
    def drawn(self) -> int:
        """Pictures that were drawn, and not only taken from where another run has left them."""
        return self.kept_artist.drawn if self.kept_artist else 0

    def card(
        self, step: int, strength: float, stage: Stage, guidance: float = OWN, beside: str = ""
    ) -> Scorecard | None:
        """The card of a cell on a stage, where it has been judged."""
        return self.cards.get((step, strength, guidance, stage, self.grid.digest, self.looks.digest, beside))

    def has(self, step: int, strength: float, stage: Stage, guidance: float = OWN) -> bool:
        """Whether a card is there, of all the stage's pictures."""
        card = self.card(step, strength, stage, guidance)
        return card is not None and len(card.pictures) >= len(self.grid.shots(stage))

    def of_stage(self, stage: Stage) -> list[Scorecard]:
        """The checkpoints' cards of a stage, without the base's."""
        return [card for card in self.cards.values() if card.stage == stage and card.step != BASE]

    def judge(self, step: int, strength: float, stage: Stage, guidance: float = OWN) -> Scorecard:
        """The card of a checkpoint (BASE at strength 0: the base) on a stage's pictures; made if it is not there.

        guidance  of the sampler; the base's pictures that it is compared with are those at the grid's own
        Raises Interrupted when a stop is asked for: whole pictures stay. Raises PortraitistError for an adapter that
        is damaged or of another base.
        """
        found = self.card(step, strength, stage, guidance)
        if found is not None and self.has(step, strength, stage, guidance):
            return found
        self.take(step)
        whole = strength in (0.0, WHOLE) and guidance == OWN and stage != "probe"
        if whole and self.elsewhere is None:
            self.rehearse(step)
        panel, shots, base = self.panel(), self.grid.shots(stage), self.of_base(stage)
        paths = self.draw(step, strength, stage, guidance)
        drawn = Pictures(shots, [render.read(path) for path in paths], base[: len(shots)])
        if stage == "probe":  # measured beside what they probe
            values = panel.measure(self.joined(drawn, step, strength, guidance))[: len(shots)]
            scores = {name: got for name, got in measures.scores(values).items() if name in measures.PROBED}
        else:
            values = panel.measure(drawn)
            scores = measures.scores(values)
        if whole and (ratios := self.ratios(step)):
            scores["held_out"] = measures.score(ratios)
        return self.put_down(step, strength, stage, guidance, "", self.told(shots, paths, values), scores)

    def beside(self, step: int, strength: float, guidance: float = OWN) -> list[Scorecard]:
        """The cards of a checkpoint beside the second LoRA, one at each of its strengths; none without one.

        Its first reporting pictures are drawn again so; what the base draws beside the second LoRA stands for the base.
        """
        file, found = companions.path(self.project, self.recipe.judging), []
        digest = durable.digest(file) if file else ""
        shots = self.grid.shots("companion")
        for much in self.recipe.judging.companion_strengths if file else ():
            name = f"{digest}@{much:g}"
            card = self.card(step, strength, "companion", guidance, name)
            if card is None:
                panel = self.panel()
                base, plain = self.of_base("report")[: len(shots)], self.read(step, strength, "report", guidance)
                alone = Pictures(shots, plain[: len(shots)], base)
                self.take(BASE)
                base = [
                    render.read(path) for path in self.draw(BASE, 0.0, "companion", guidance, beside=(digest, much))
                ]
                self.take(step)
                paths = self.draw(step, strength, "companion", guidance, beside=(digest, much))
                values = panel.measure(Pictures(shots, [render.read(path) for path in paths], base, alone))
                pictures, scores = self.told(shots, paths, values), measures.scores(values)
                card = self.put_down(step, strength, "companion", guidance, name, pictures, scores)
            found.append(card)
        return found

    def joined(self, probes: Pictures, step: int, strength: float, guidance: float) -> Pictures:
        """Probes of a checkpoint, and after them the named pictures that they are compared with."""
        twins = [i for i, shot in enumerate(self.grid.choosing) if shot in self.grid.twins]
        named, base = self.read(step, strength, "grid", guidance), self.of_base("grid")
        return Pictures(
            [*probes.shots, *(self.grid.choosing[i] for i in twins)],
            [*probes.pictures, *(named[i] for i in twins)],
            [*probes.base, *(base[i] for i in twins)],
        )

    def back(self) -> None:
        """Make the cards of this grid and these eyes the last again where the run was judged by others since, and what
        lies on the disk their pictures: choosing and pages go by what was used last."""
        cards = list(self.cards.values()) if self.others else []
        there = {BASE, *self.run.steps()}
        for card in cards:
            part = len(card.pictures) < len(self.grid.shots(card.stage))  # as earlier versions drew in rounds
            if card.step in there and not card.beside and not part:
                self.take(card.step)
                self.draw(card.step, card.strength, card.stage, card.guidance)
        for card in cards:
            scorecard.append(self.run, card)

    def told(
        self, shots: Sequence[Shot], paths: Sequence[Path], values: Sequence[Mapping[str, float]]
    ) -> tuple[Drawn, ...]:
        """Pictures as cards have them."""
        return tuple(
            Drawn(s.prompt.name, s.prompt.text, s.seed, str(path.relative_to(self.run.path)), got, s.purpose)
            for s, path, got in zip(shots, paths, values, strict=True)
        )

    def put_down(
        self,
        step: int,
        strength: float,
        stage: Stage,
        guidance: float,
        beside: str,
        pictures: tuple[Drawn, ...],
        scores: dict[str, Score],
    ) -> Scorecard:
        """Write a card, and tell of it."""
        own = (self.grid.digest, self.looks.digest)
        card = Scorecard(step, strength, stage, scores, *own, pictures, guidance, beside, self.grid.guidance)
        scorecard.append(self.run, card)
        self.cards[card.key] = card
        means = {name: got.mean for name, got in scores.items()}
        self.record(Scored(step=step, strength=strength, stage=stage, scores=means, guidance=guidance, beside=beside))
        return card

    def read(self, step: int, strength: float, stage: Stage, guidance: float) -> list[np.ndarray]:
        """The pictures of a cell, drawn where they are not there."""
        self.take(step)
        return [render.read(path) for path in self.draw(step, strength, stage, guidance)]

    def draw(
        self,
        step: int,
        strength: float,
        stage: Stage,
        guidance: float = OWN,
        beside: tuple[str, float] = ("", 0.0),
    ) -> list[Path]:
        """See that a stage's pictures lie there; returns their paths in the grid's order.

        beside  SHA-256 of a second LoRA, and its strength
        The screen's pictures are the first of the full grid at full strength: they are drawn once, side by side.
        """
        name = f"{beside[0]}@{beside[1]:g}" if beside[0] else ""
        folder = scorecard.renders(self.run, step, strength, guidance, name)
        shared = self.grid.screened if strength in (0.0, WHOLE) and guidance == OWN and stage == "grid" else 0
        placed = [
            (shot, folder / f"{'screen' if i < shared else stage}-{shot.prompt.name}-{shot.seed}.png")
            for i, shot in enumerate(self.grid.shots(stage))
        ]
        mark = self.adapter[1] + (f"+{name}" if name else "")
        how = self.grid.manner(guidance)

        def adapted() -> AbstractContextManager[None]:
            return self.adapted(strength, beside)

        for part in [placed] if self.elsewhere else self.grid.parts(placed, stage):
            for many in self.artist().draw(part, mark, strength, adapted, how, shelved=step == BASE):
                place = str(folder.relative_to(self.run.path))
                self.record(Rendered(step=step, strength=strength, pictures=many, path=place))
                self.heed()
        return [path for _, path in placed]

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

    @contextmanager
    def adapted(self, strength: float, beside: tuple[str, float] = ("", 0.0)) -> Iterator[None]:
        """Within: the denoiser is the checkpoint at hand, at a strength, and what lies beside it."""
        if self.elsewhere is not None:
            self.elsewhere.wear(self.adapter[1], self.adapter[2], strength)
        parts = [(self.adapter[2], strength)] if self.adapter[0] != BASE and self.elsewhere is None else []
        with ExitStack() as stack:
            bench = self.bench()
            for tensors, how_much in [*parts, (bench.companion(), beside[1])] if beside[0] else parts:
                denoiser, merged = bench.sampler().denoiser, self.artist().merged
                stack.enter_context(inject.loaded(denoiser, self.family, tensors, how_much, merged=merged))
            yield

    def rehearse(self, step: int) -> None:
        """Take the losses of the checkpoint at hand, and before them the base's, unless they are there."""
        if step in self.losses and (step == BASE or self.ratios(step)):
            return
        train, held = (
            caching.load_samples(self.project, self.family, self.base, self.recipe, split) for split in SPLITS
        )
        rehearsal = overfit.Rehearsal.of(
            train, held, self.recipe.training.seed, self.base.dtype, self.recipe.judging.losses
        )
        at_hand = self.adapter
        for one in dict.fromkeys((BASE, step)):
            if one in self.losses and self.losses[one].yardstick == rehearsal.yardstick:
                continue
            denoiser = self.bench().sampler().denoiser
            device = next(denoiser.parameters()).device
            self.adapter = at_hand if one == step else (BASE, "", {})
            with self.adapted(WHOLE):
                precisely = memory.autocast(device, self.recipe.model.precision)
                found = rehearsal.losses(self.family, denoiser, one, precisely)
            self.adapter = at_hand
            scorecard.append_losses(self.run, found)
            self.losses[one] = found
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
            kinds, changed, lacks = self.grid.kinds, self.grid.changed, self.grid.lacking
            seen_by = sights(self.recipe, self.project.folder)
            surprise = None if self.elsewhere else Surprised(self.bench(), self.artist())
            named = (facts.trigger, facts.noun)
            case = Case(references, zero, self.looks, kinds, *named, changed, seen_by, lacks, surprise)
            self.kept_panel = Panel.of(case)
            for note in () if self.cards else self.kept_panel.notes:
                self.record(Warned(says=note))
        return self.kept_panel

    def artist(self) -> Artist:
        """Who draws."""
        if self.kept_artist is None:
            bench = self.bench()
            shelf = bench.cache.folder / "drawn"
            self.kept_artist = Artist(
                self.family, self.base, self.grid, bench.sampler, bench.encoder, bench.prompts, shelf,
                self.elsewhere,
            )  # fmt: skip
        return self.kept_artist

    def bench(self) -> Bench:
        """The base's parts on this machine."""
        if self.kept_bench is None:
            self.kept_bench = Bench(
                self.project, self.recipe, self.family, self.base, self.grid, self.record, self.references
            )
        return self.kept_bench


SPLITS = ("train", "held-out")
