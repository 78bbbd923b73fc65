"""evaluate: which checkpoints and strengths are drawn in full, and by how many pictures."""

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from portraitist.events import Rendered, Started
from portraitist.judge import choosing, render, scorecard
from portraitist.judge.gates import Gate
from portraitist.verbs.choose import choose
from portraitist.verbs.evaluate import evaluate, guided
from tests.judged import sat


def test_all_are_screened_and_cells_are_drawn_in_full_from_the_latest_at_the_weakest_strength(uncut):
    made, result = uncut
    assert result.checkpoints == (2, 4, 6)
    assert result.contenders == (6,), "it keeps to the gates"
    cards = [card for card in made.cards() if card.stage != "companion"]
    guided = [card for card in cards if card.guidance and card.stage != "report"]
    assert [(card.stage, card.guidance) for card in guided] == [("grid", 2.0), ("probe", 2.0)], "3 is the grid's"
    assert guided[0].step in result.contenders
    keys = {(card.step, card.strength, card.stage) for card in cards if card not in guided}
    chosen = tomllib.loads(made.run.choice.read_text())
    assert keys == {
        (0, 0.0, "screen"), (0, 0.0, "grid"), (0, 0.0, "report"), (chosen["step"], chosen["strength"], "report"),
        *((step, 1.0, "screen") for step in (2, 4, 6)),
        *((step, at, kind) for step in result.contenders for at in (0.5, 1.0) for kind in ("grid", "probe")),
        (0, 0.0, "probe"),
    }  # fmt: skip


def test_where_a_gate_is_evidently_broken_an_earlier_checkpoint_is_drawn_and_again_it_goes_the_same_way(
    trained, tmp_path, monkeypatch
):
    """Each cell is seen by those before it alone: what lies there of later ones leads nowhere else."""
    made, held = trained.at(tmp_path / "p"), choosing.weighed

    def copies(base, cards, max_drop):
        """Each cell of the last checkpoint is a copy, but not once all are there."""
        few = Gate("copying", 1.0, 0.9, 1.1, 0.5, "it copies")
        found = held(base, cards, max_drop)
        return [replace(one, gates=(few,) if one.card.step == 6 and len(cards) < 3 else ()) for one in found]

    monkeypatch.setattr(choosing, "weighed", copies)
    judging = made.recipe.judging.model_copy(update={"guidances": ()})
    recipe = made.recipe.model_copy(update={"judging": judging})
    assert evaluate(made.project, recipe).contenders == (4, 6)
    cells = [(card.step, card.strength) for card in made.cards() if card.stage == "grid" and card.step]
    assert cells == [(6, 0.5), (4, 0.5), (4, 1.0)]
    again = evaluate(made.project, recipe)
    assert (again.contenders, again.pictures) == ((4, 6), 0)
    few = made.recipe.model_copy(update={"judging": judging.model_copy(update={"cells": 1})})
    evaluate(made.project, few)
    more = [(card.step, card.strength) for card in made.cards() if card.stage == "grid" and card.step]
    assert more == [*cells, (2, 0.5)], (
        "two cells, one for each strength: 6, and as far back as there is, and no further"
    )


def test_the_start_says_how_many_pictures_there_will_be_at_most(trained, tmp_path):
    """And where a walk can only go one way, how many there will be."""
    for name, settings in (("exactly", {"cells": 1, "strengths": (1.0,)}), ("most", {})):
        made, told = trained.at(tmp_path / name), []
        judging = made.recipe.judging.model_copy(update=settings)
        evaluate(made.project, made.recipe.model_copy(update={"judging": judging}), emit=told.append)
        started = next(event for event in told if isinstance(event, Started))
        drawn = sum(event.pictures for event in told if isinstance(event, Rendered))
        assert started.total == drawn if settings else started.total > drawn
        assert started.done == 0


def test_other_guidances_are_tried_on_the_cell_that_would_be_chosen(uncut, tmp_path):
    """What probes found counts too: here the likest heeds nothing any more."""
    made = uncut[0].at(tmp_path / "p")
    for stage in ("grid", "probe"):
        sat(made).judge(4, 1.0, stage)
    lines = [line for line in scorecard.lines(made.run.scorecards) if not line["guidance"]]
    likest = tomllib.loads(made.run.choice.read_text())["step"]
    for line in lines:
        for drawn in line["pictures"] if line["stage"] == "probe" else ():
            drawn["scores"]["obedience"] = float(line["step"] != likest)
    made.run.scorecards.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    chosen = choose(made.project)
    assert chosen.step != likest
    sitting = sat(made, guidances=(5.0,))
    guided(sitting)
    found = [card for card in sitting.of_stage("grid") if card.guidance == 5]
    assert [(card.step, card.strength) for card in found] == [(chosen.step, chosen.strength)]


def test_the_screen_is_judged_by_the_first_pictures_of_the_grid(uncut, tmp_path):
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    step, before = result.contenders[0], made.pictures()
    made.run.scorecards.unlink()
    sitting = sat(made)
    few = sitting.judge(step, 1.0, "screen")
    assert len(few.pictures) == made.recipe.judging.screen
    assert not sitting.has(step, 1.0, "grid")
    whole = sitting.judge(step, 1.0, "grid")
    for early, late in zip(few.pictures, whole.pictures, strict=False):
        assert (early.text, early.seed, early.path) == (late.text, late.seed, late.path)
        for name in ("identity", "copying"):
            assert early.scores[name] == pytest.approx(late.scores[name], abs=1e-4)
    assert [card for card in scorecard.read(made.run) if card.stage == "grid"] == [whole]
    assert sitting.drawn == 0
    assert made.pictures() == before


def test_a_strength_between_draws_what_lies_between(uncut):
    """Pictures at half strength differ from the base's less than those at full strength."""
    made, result = uncut

    def pictures(step, strength):
        card = next(c for c in made.cards() if (c.step, c.strength, c.stage) == (step, strength, "grid"))
        return np.stack([render.read(made.run.path / drawn.path).astype(float) for drawn in card.pictures])

    base, half, full = pictures(0, 0.0), pictures(result.contenders[-1], 0.5), pictures(result.contenders[-1], 1.0)
    assert 0 < np.abs(half - base).mean() < np.abs(full - base).mean()
