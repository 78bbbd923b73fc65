"""What judging costs: counted by hand where that can be done, and within the budget of every preset that is shipped."""

from pathlib import Path

import pytest

from portraitist import families, recipe
from portraitist.family import Profile
from portraitist.forecast import judging as costs
from portraitist.forecast import memory, pace
from portraitist.judge.design import Design
from portraitist.pictures import Picture
from portraitist.project import Facts
from portraitist.recipe import Recipe

NOWHERE = Path("nowhere.toml")
PAGE = Path(__file__).parents[2] / "docs" / "choosing.md"
FACTS = Facts(name="Z", trigger="zorblax", subject="fictional")
PLAIN = Profile(resolution=64, guidance=3.0, sampling_steps=20)


def shipped(name, *changes):
    """What judging costs by a preset on a usual project."""
    made = recipe.load(NOWHERE, [f"preset={name}", *changes])
    family = families.get(made.model.family)
    return costs.usual(made, family.profile, family.pixel_multiple)


@pytest.mark.parametrize("name", recipe.presets())
def test_judging_keeps_to_the_budget_of_every_preset(name):
    """At most training's own cost on the embedded base, and 15 % of it on the big ones."""
    cost = shipped(name)
    assert cost.share <= cost.recipe.judging.budget == (1.0 if cost.recipe.model.family == "mini" else 0.15)


def test_the_page_says_what_is_counted():
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    told = {name: values for name, *values in rows if name in recipe.presets()}
    assert set(told) == {name for name in recipe.presets() if not name.endswith("gb")}
    for name, values in told.items():
        cost, pictures = shipped(name), shipped(name).design.pictures(reports=True)
        drawn = cost.recipe.judging
        assert values == [
            f"{cost.uncut:.0%}", f"{cost.share:.1%}", str(pictures), str(drawn.sampling_steps), str(drawn.side)
        ]  # fmt: skip


def test_the_share_of_a_big_base_is_that_of_counted_operations():
    """FLUX: 40 pictures, of which 5 are held out; its guidance is distilled, so that one pass makes a step."""
    cost = shipped("flux")
    made, base = cost.recipe, memory.known("flux")
    forward = costs.passes(made, 1024)
    drawn = cost.design.pictures(reports=True) * made.judging.sampling_steps * forward(made.judging.side)
    samples = min(5, made.judging.losses)
    rehearsed = (samples + samples) * 8 * (10 + 1) * forward(1024)
    whole = 1000 * 4 * pace.batch_work(base, made, 1024)
    assert cost.share == pytest.approx((drawn + rehearsed) / whole)


def test_with_true_guidance_a_picture_is_two_passes_a_step():
    """By hand, in passes: 3 checkpoints and the base, 10 prompts from 2 seeds, of which the screen draws 8."""
    judging = {"sampling_steps": 5, "unnamed": 0, "paraphrases": 0, "restyled": 0, "cells": 3}
    made = Recipe.model_validate(
        {
            "model": {"family": "elsewhere"},
            "stages": [{"steps": 30}],
            "training": {"batch": 2, "save_every": 10},
            "judging": judging,
        }
    )
    cost = costs.fitted(made, FACTS, PLAIN, 8, [Picture(f"{i}", "", 9, 9) for i in range(9)], 3)
    base, screen, cells, reports = 10, 3 * 8, 3 * 10, 2 * 10
    assert cost.design.pictures(reports=True) == base + screen + cells + reports
    losses = (0 + 8) * 8 * 4  # nothing is held out, and eight stand for what is trained on
    passes = (base + screen + cells + reports) * 5 * 2 + losses
    assert cost.share == pytest.approx(passes / (2.2 * 60))
    assert cost.share == cost.uncut


def test_what_a_walk_may_draw_is_counted_cell_by_cell():
    """By hand: the base and each cell on the full grid and probed, and at full strength the screen's are theirs too."""
    design = Design(10, 5, 0, 8, 40, 1, 16, 0, 0)
    assert design.pictures(reports=False) == 10 * 8 + (1 + 5 + 1) * (40 + 16)
    assert Design(10, 5, 2, 8, 40, 1, 16, 0, 0).pictures(reports=False) == design.pictures(reports=False) - 2 * 8


def test_what_a_recipe_names_stays_and_the_rest_is_cut_as_little_as_will_do():
    named = shipped("flux", "judging.sampling_steps=28", "judging.side=1024")
    assert (named.recipe.judging.sampling_steps, named.recipe.judging.side) == (28, 1024)
    assert "nothing less would do, though judging.budget is 0.15" in named.says
    free = shipped("flux", "judging.budget=0")
    assert free.share == free.uncut == pytest.approx(named.uncut)
    assert (free.recipe.judging.sampling_steps, free.recipe.judging.side) == (28, 1024)
    some = [shipped("flux", f"judging.budget={budget}") for budget in (0.7, 0.4, 0.15)]
    assert [one.share <= one.recipe.judging.budget for one in some] == [True] * 3
    steps = [one.recipe.judging.sampling_steps for one in some]
    assert steps == sorted(steps, reverse=True)
    assert some[0].recipe.judging.side == 1024, "steps go first"
    assert "cut from 77% to keep to judging.budget = 0.15" in some[-1].says


def test_few_settings_are_not_raised_to_what_the_budget_would_bear():
    few = shipped("flux", "judging.screen=2", "judging.cells=1", "judging.seeds=1")
    assert (few.recipe.judging.screen, few.recipe.judging.cells, few.recipe.judging.seeds) == (2, 1, 1)


def test_the_base_looks_at_what_no_picture_shows_four_times_each():
    """All pictures are close-ups, and two of the guides' five prompts ask for full bodies, each from two seeds."""
    made = recipe.load(NOWHERE, ["preset=mini", "judging.budget=0", "judging.restyled=0", "judging.paraphrases=0"])
    family = families.get("mini")
    told = {}
    for name in ("close-up", "full body"):
        kinds = ["close-up"] * 8 + [name] * 8
        pictures = [Picture(f"{i}.png", "", 0, 0, f"{kind} of zorblax, scene {i}") for i, kind in enumerate(kinds)]
        told[name] = costs.fitted(made, FACTS, family.profile, family.pixel_multiple, pictures, 6)
    design = told["close-up"].design
    assert design == told["full body"].design
    cells = 1 + design.cells + design.guidances
    full, reports, screened = 2 * 2, 2 * 2, 2
    looks = cells * full + 2 * reports + (design.checkpoints - design.whole) * screened
    whole = costs.training(made, 128)
    assert told["close-up"].share - told["full body"].share == pytest.approx(4 * looks / whole)
