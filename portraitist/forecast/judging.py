"""What judging costs as a share of what training does, by counted operations; and how it is cut to a budget.

Where a base's laws are known the operations of a drawn picture and of a training step are counted by them. Elsewhere
both are told in forward passes. What is cut first is what changes the verdict least: the sampler's steps, for pictures
are compared with each other and not shown for their own sake; then their size; then how many there are. Loads no torch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from portraitist.family import Profile
from portraitist.forecast import memory, pace
from portraitist.forecast.laws import operations_at
from portraitist.judge.design import Design
from portraitist.judge.grid import Grid, grid
from portraitist.judge.measuring import strain
from portraitist.judge.overfit import FEWEST, LEVELS
from portraitist.pictures import Picture
from portraitist.project import Facts
from portraitist.recipe import Recipe
from portraitist.sections import Judging

BACK = 2.2
"""Forward passes that a training picture costs, where no laws are known: those of the published bases say 2.1 to 2.2
without gradient checkpointing."""

ON_CPU = {"mini": 4.0}
"""The same where it was measured, on one idle core: 18.3 ms a training picture; 137 ms a picture drawn in 20 steps of
two passes, and 46 ms to measure it. Loading, some 9 s in all, is not in it."""

DRAFTS = ((1.0, 1.0), (0.5, 1.0), (0.0, 1.0), (0.0, 0.75), (0.0, 0.625), (0.0, 0.5))
"""Shares of the base's sampling steps and of the picture's side that judging may draw with, but no less than: """

LEAST_STEPS = 10
"""or the base's own where that is less. Judged."""

LEAST_SIDES = {"sdxl": 640}
LEAST_SIDE = 512
"""or that of training where that is less: SDXL's base falls apart on smaller pictures. Judged."""

FEWER = {"screen": 4, "losses": 4}
PROBES = {"unnamed": 2, "paraphrases": 0}
COUNTS: tuple[dict[str, int], ...] = (
    {},
    FEWER,
    FEWER | PROBES,
    FEWER | PROBES | {"cells": 4, "losses": 3},
    FEWER | PROBES | {"cells": 3, "losses": 2, "seeds": 1},
)
"""Most of each, ever fewer; of probes those stay that a gate goes by, and two without the trigger, for advice."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What judging by a recipe costs.

    recipe    with the settings of judging as they are after any cut
    design    how many pictures of what
    share     of what training costs
    uncut     the same of the recipe before the cut
    """

    recipe: Recipe
    design: Design
    share: float
    uncut: float

    @property
    def says(self) -> str:
        """In words."""
        judging = self.recipe.judging
        pictures = self.design.pictures(reports=True)
        told = f"about {self.share:.0%} of what training costs: up to {pictures} pictures"
        told += f" of {judging.sampling_steps} steps at {judging.side} pixels, and losses of each checkpoint"
        if self.uncut > self.share:
            told += f"; cut from {self.uncut:.0%} to keep to judging.budget = {judging.budget:g}"
        if judging.budget and self.share > judging.budget:
            told += f"; nothing less would do, though judging.budget is {judging.budget:g}"
        return told


def fitted(
    recipe: Recipe, facts: Facts, profile: Profile, multiple: int, pictures: Sequence[Picture], checkpoints: int
) -> Cost:
    """The recipe with judging cut to its budget, as little as will do, and what that costs.

    pictures  of the manifest; checkpoints: how many will be judged
    Steps and side are filled in where the recipe leaves them to the base. Raises PortraitistError for prompts that
    cannot be drawn.
    """
    own = (recipe.data.resolution or profile.resolution) // multiple * multiple
    held = sum(picture.split == "held-out" for picture in pictures)
    whole, forward = training(recipe, own), passes(recipe, own)
    found: Cost | None = None
    for judging in ladder(recipe, profile, own, multiple):
        changed = recipe.model_copy(update={"judging": judging})
        shots = grid(facts, changed, profile, multiple, pictures)
        design = Design.of(judging, shots, checkpoints)
        done = design.pictures(reports=True) * drawing(shots, profile, forward)
        done += strains(design, shots, judging) * forward(shots.width)
        done += losses(min(held, judging.losses), judging.losses, checkpoints) * forward(own)
        found = Cost(changed, design, done / whole, found.uncut if found else done / whole)
        if not recipe.judging.budget or found.share <= recipe.judging.budget:
            break
    assert found is not None  # a ladder has at least one rung
    return found


def ladder(recipe: Recipe, profile: Profile, own: int, multiple: int) -> Iterator[Judging]:
    """Settings of judging, ever cheaper; what the recipe itself says is never exceeded, and steps and side that it
    names stay."""
    judging, seen = recipe.judging, list[Judging]()
    least = min(own, LEAST_SIDES.get(recipe.model.family, LEAST_SIDE))
    for most in COUNTS:
        fewer = {key: min(value, getattr(judging, key)) for key, value in most.items()}
        for share, part in DRAFTS:
            steps = max(min(LEAST_STEPS, profile.sampling_steps), round(profile.sampling_steps * share))
            side = max(least, int(own * part)) // multiple * multiple
            drawn = {"sampling_steps": judging.sampling_steps or steps, "side": judging.side or side}
            found = judging.model_copy(update=fewer | drawn)
            if found not in seen:
                seen.append(found)
                yield found


def training(recipe: Recipe, side: int) -> float:
    """Operations of all of training; in forward passes at its own side where no laws are known."""
    base = memory.known(recipe.model.family)
    if base is not None:
        return pace.batch_work(base, recipe, side) * recipe.training.accumulate * recipe.steps
    once = ON_CPU.get(recipe.model.family, BACK)
    each = 2 * once + 1 if recipe.training.preserve else once
    return each * recipe.pictures_per_step * recipe.steps


def passes(recipe: Recipe, own: int) -> Callable[[int], float]:
    """What a forward pass of one picture costs by its side, in the same measure."""
    base = memory.known(recipe.model.family)
    if base is None:
        return lambda side: (side / own) ** 2
    return lambda side: operations_at(base.laws.work_drawn, replace(memory.usual(base, recipe, side), batch=1))


def drawing(shots: Grid, profile: Profile, forward: Callable[[int], float]) -> float:
    """Of one drawn picture: with true guidance the negative is predicted as well."""
    double = profile.true_guidance and shots.guidance != 1
    return shots.steps * (2 if double else 1) * forward(shots.width)


def losses(held_out: int, most: int, checkpoints: int) -> int:
    """Forward passes of the losses on held-out samples and as many others, of each checkpoint and of the base."""
    return (held_out + (held_out or min(FEWEST, most))) * LEVELS * (checkpoints + 1)


def strains(design: Design, shots: Grid, judging: Judging) -> int:
    """Forward passes by which the base looks at pictures of framings that lack; none where another program draws."""
    if judging.render != "own":
        return 0
    stages = (shots.shots("screen"), (*shots.choosing, *shots.probing), shots.reporting)
    screen, full, reports = (len(strain.strained(some, shots.lacking)) for some in stages)
    cells = 1 + design.cells + design.guidances
    return strain.LEVELS * ((design.checkpoints - design.whole) * screen + cells * full + 2 * reports)


def usual(recipe: Recipe, profile: Profile, multiple: int, count: int = 40) -> Cost:
    """What a recipe's judging costs on a project as most are: so many captioned pictures, an eighth of them held out,
    and no brief. It is by this that presets keep to their budget (tests/unit/test_judging_cost.py)."""
    facts = Facts(name="Usual", trigger="zorblax", subject="fictional")
    every = max(2, round(1 / recipe.data.held_out)) if recipe.data.held_out else count + 1
    pictures = [
        Picture(f"{i}.png", "", 0, 0, f"zorblax, scene number {i}", split="train" if i % every else "held-out")
        for i in range(1, count + 1)
    ]
    saves = -(-recipe.steps // recipe.training.save_every)
    return fitted(recipe, facts, profile, multiple, pictures, saves)
