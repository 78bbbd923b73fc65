"""What judging draws besides the grid: probes, other guidances, parts of it, a second LoRA, the base of another run."""

import numpy as np
import pytest
from safetensors.torch import save_file

from portraitist import durable
from portraitist.adapters import files
from portraitist.errors import PortraitistError
from portraitist.judge import render, scorecard
from portraitist.stopping import never
from portraitist.verbs.evaluate import seated


def sat(made, **judging):
    """A sitting over a run, with other settings of judging."""
    recipe = made.recipe.model_copy(update={"judging": made.recipe.judging.model_copy(update=judging)})
    return seated(made.project, recipe, made.run, lambda event: None, never)


def shown(made, card):
    """The pictures of a card (N, H, W, 3)."""
    return np.stack([render.read(made.run.path / drawn.path).astype(float) for drawn in card.pictures])


def test_probes_are_scored_by_what_they_probe_and_the_base_leaks_nothing(uncut, tmp_path):
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    sitting = sat(made)
    base, card = sitting.judge(0, 0.0, "probe"), sitting.judge(result.contenders[0], 1.0, "probe")
    assert [drawn.purpose for drawn in card.pictures] == ["unnamed", "paraphrase", "restyled"]
    assert base.scores["leak"].mean == base.scores["moved"].mean == 0
    assert card.scores["moved"].mean > 0
    assert set(card.scores) == {"leak", "moved"}, "seeds are single, and these eyes do not read"
    assert all({"identity", "copying"} <= set(drawn.scores) for drawn in card.pictures)
    assert sitting.judge(result.contenders[0], 1.0, "probe") is card
    assert card in scorecard.read(made.run)
    assert all(("zorblax" in drawn.text) == (drawn.purpose != "unnamed") for drawn in card.pictures)


def test_another_guidance_draws_other_pictures_and_leaves_the_grids_own(uncut, tmp_path):
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    sitting, step = sat(made), result.contenders[0]
    own, before = sitting.card(step, 1.0, "grid"), made.pictures()
    card = sitting.judge(step, 1.0, "grid", guidance=6.0)
    assert card.guidance == 6
    assert [drawn.text for drawn in card.pictures] == [drawn.text for drawn in own.pictures]
    assert np.abs(shown(made, card) - shown(made, own)).max() > 1
    assert before.items() <= made.pictures().items()
    assert "held_out" not in card.scores
    assert sitting.card(step, 1.0, "grid") == own


def test_a_part_of_the_grid_is_judged_by_the_same_pictures_as_all_of_it(uncut, tmp_path):
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    step, before = result.contenders[0], made.pictures()
    made.run.scorecards.unlink()
    sitting = sat(made)
    few = sitting.judge(step, 1.0, "grid", count=1)
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


def test_two_loras_beside_each_other_add_up(uncut, tmp_path):
    """A checkpoint at half strength beside itself at half strength, under another program's names, is the checkpoint
    at its whole strength."""
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    step = result.contenders[0]
    style = made.project.folder / "style.safetensors"
    ends = {".lora_A.weight": ".lora_down.weight", ".lora_B.weight": ".lora_up.weight", ".alpha": ".alpha"}
    theirs = {}
    for name, tensor in files.read(made.run.adapter(step))[0].items():
        end = next(end for end in ends if name.endswith(end))
        theirs[f"lora_unet_{name.removesuffix(end).replace('.', '_')}{ends[end]}"] = tensor
    save_file(theirs, style)
    sitting = sat(made, companion="style.safetensors", companion_strengths=(0.5,))
    (card,) = sitting.beside(step, 0.5)
    assert card.beside == f"{durable.digest(style)}@0.5"
    assert card.scores["companion"].count == len(card.pictures) == 4
    whole = [render.read(path).astype(float) for path in sitting.draw(step, 1.0, "report")][:4]
    half = [render.read(path).astype(float) for path in sitting.draw(step, 0.5, "report")][:4]
    assert np.abs(shown(made, card) - np.stack(whole)).max() <= 2
    assert np.abs(shown(made, card) - np.stack(half)).max() > 2
    assert sitting.beside(step, 0.5) == [card]
    assert sat(made).beside(step, 0.5) == []


def test_a_second_lora_that_is_not_there_or_of_another_base_is_refused(uncut, tmp_path):
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    with pytest.raises(PortraitistError, match=r"companion.*no file"):
        sat(made, companion="style.safetensors")
    tensors, metadata = files.read(made.run.adapter(2))
    files.write(tmp_path / "other.safetensors", {f"mid.{name}": value for name, value in tensors.items()}, metadata)
    with pytest.raises(PortraitistError, match="belongs to no layer"):
        sat(made, companion=str(tmp_path / "other.safetensors")).beside(result.contenders[0], 1.0)


def test_a_second_run_of_a_project_does_not_draw_the_base_again(uncut, tmp_path):
    made = uncut[0].at(tmp_path / "p")
    before = made.pictures()
    durable.remove(made.run.evaluation)
    sitting = sat(made)
    sitting.judge(0, 0.0, "grid")
    assert sitting.drawn == 0
    assert len(made.pictures()) == len(sitting.grid.choosing)
    assert made.pictures().items() <= before.items()
