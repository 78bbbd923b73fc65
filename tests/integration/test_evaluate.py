"""evaluate: the same pictures and numbers however often it was cut, each judged once, and never by what chose."""

import json
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from portraitist import durable, families
from portraitist.adapters import files, inject
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Finished, Rendered, Scored
from portraitist.family import PromptSpec
from portraitist.judge import render, scorecard
from portraitist.judge.render import Sampler
from portraitist.judge.shot import Shot
from portraitist.verbs.choose import choose
from portraitist.verbs.evaluate import evaluate
from tests.judged import begin, renamed, sat, shown


def test_the_base_is_the_zero_line(uncut):
    made, _ = uncut
    base = next(card for card in made.cards() if (card.step, card.stage) == (0, "grid"))
    assert base.scores["identity"].mean == pytest.approx(0, abs=1e-5)
    assert base.scores["held_out"].mean == 1
    for card in made.cards():
        probe = card.stage == "probe"
        assert set(card.scores) >= ({"leak", "moved"} if probe else {"identity", "copying", "saturation"})
        assert ("held_out" in card.scores) == (card.strength in (0.0, 1.0) and not probe and not card.guidance)
        for got in card.scores.values():
            assert got.low <= got.mean <= got.high


def test_what_reports_has_no_prompt_and_no_seed_of_what_chose(uncut):
    made, _ = uncut
    texts, seeds = {True: set(), False: set()}, {True: set(), False: set()}
    for card in made.cards():
        for drawn in card.pictures:
            texts[card.stage == "report"].add(drawn.text)
            seeds[card.stage == "report"].add(drawn.seed)
    assert texts[True]
    assert not texts[True] & texts[False]
    assert not seeds[True] & seeds[False]


def test_every_card_names_its_pictures_and_they_are_there(uncut):
    made, _ = uncut
    for card in made.cards():
        for drawn in card.pictures:
            with Image.open(made.run.path / drawn.path) as image:
                assert image.size == (64, 64)
            assert card.stage == "probe" or set(drawn.scores) <= set(card.scores)
    drawn_once = {drawn.path for card in made.cards() for drawn in card.pictures}
    assert len(drawn_once) == len(made.pictures())


def test_losses_are_taken_at_eight_levels_on_as_many_training_samples_as_held_out_ones(uncut):
    made, _ = uncut
    found = scorecard.read_losses(made.run)
    assert [losses.step for losses in found] == [0, 2, 4, 6]
    for losses in found:
        assert losses.levels == [(k + 0.5) / 8 for k in range(8)]
        assert len(losses.train) == len(losses.held_out) == 8
        assert len(losses.train_each) == len(losses.held_each) >= 1
        assert losses.yardstick == found[0].yardstick
    assert found[-1].held_out != found[0].held_out


def test_again_nothing_is_drawn_and_nothing_written(uncut):
    made, _ = uncut
    before, pictures = made.run.scorecards.read_bytes(), made.pictures()
    told = []
    assert evaluate(made.project, made.recipe, emit=told.append).pictures == 0
    assert made.run.scorecards.read_bytes() == before
    assert made.pictures() == pictures
    assert not [event for event in told if isinstance(event, Rendered | Scored)]


def test_cut_after_every_batch_and_continued_it_ends_in_the_same_pictures_and_numbers(trained, uncut, tmp_path):
    made = trained.at(tmp_path / "p")

    def once():
        """Stops when the second batch or card of this call is told of."""
        told = []

        def stop():
            return sum(isinstance(event, Rendered | Scored) for event in told) >= 2

        return told, stop

    cuts = 0
    for _ in range(200):
        told, stop = once()
        try:
            evaluate(made.project, made.recipe, emit=told.append, stop=stop)
            if made.run.choice.is_file():
                break
            choose(made.project)
        except Interrupted:
            cuts += 1
            assert isinstance(told[-1], Finished)
            assert told[-1].interrupted
    assert cuts > 5
    assert made.pictures() == uncut[0].pictures()
    assert sorted(made.cards(), key=lambda card: card.key) == sorted(uncut[0].cards(), key=lambda card: card.key)
    assert made.run.choice.read_bytes() == uncut[0].run.choice.read_bytes()


def test_judged_again_by_the_first_grid_its_cards_and_its_pictures_are_the_last(uncut, tmp_path):
    """What is drawn otherwise is drawn again, and back; what chooses is what was last asked for."""
    made = uncut[0].at(tmp_path / "p")
    before, pictures, chosen = made.cards(), made.pictures(), made.run.choice.read_bytes()
    changed = made.recipe.model_copy(update={"judging": made.recipe.judging.model_copy(update={"guidance": 2.0})})
    evaluate(made.project, changed)
    assert all(made.pictures()[name] != data for name, data in pictures.items() if "screen" in name)
    assert len({card.grid for card in made.cards()}) == 2
    evaluate(made.project, made.recipe)
    assert made.cards()[-len(before) :] == before
    assert pictures.items() <= made.pictures().items()
    choose(made.project)
    assert made.run.choice.read_bytes() == chosen


def test_losses_are_held_to_the_bases_of_the_same_samples_though_it_was_taken_on_others_before(uncut, tmp_path):
    made = uncut[0].at(tmp_path / "p")
    lines = scorecard.lines(path := scorecard.losses_path(made.run))
    path.write_text("".join(json.dumps(line | {"yardstick": "older"}) + "\n" for line in lines if line["step"] < 6))
    card = next(card for card in made.cards() if (card.step, card.stage) == (6, "screen"))
    made.run.scorecards.unlink()
    assert sat(made).judge(6, 1.0, "screen").scores["held_out"] == card.scores["held_out"]


def test_a_half_written_picture_is_drawn_again(uncut, tmp_path):
    made = uncut[0].at(tmp_path / "p")
    before = made.pictures()
    name = next(name for name in before if name.startswith("step-000002-at-1/"))
    victim = made.run.evaluation / "renders" / name
    victim.write_bytes(victim.read_bytes()[:200])
    made.run.scorecards.unlink()
    made.run.choice.unlink()
    evaluate(made.project, made.recipe)
    assert made.pictures()[name] == before[name]


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


def test_two_loras_beside_each_other_add_up(uncut, tmp_path):
    """A checkpoint at half strength beside itself at half strength, under another program's names, is the checkpoint
    at its whole strength."""
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    step = result.contenders[0]
    style = made.project.folder / "style.safetensors"
    theirs = renamed(files.read(made.run.adapter(step))[0])
    save_file(theirs, style)
    sitting = sat(made, companion="style.safetensors", companion_strengths=(0.5,))
    (card,) = sitting.beside(step, 0.5)
    assert card.beside == f"{durable.digest(style)}@0.5"
    assert card.scores["companion"].count == len(card.pictures) == 4
    whole = [render.read(path).astype(float) for path in sitting.draw(step, 1.0, "report")][:4]
    half = [render.read(path).astype(float) for path in sitting.draw(step, 0.5, "report")][:4]
    assert np.abs(shown(made, card) - np.stack(whole)).max() <= 2
    assert np.abs(shown(made, card) - np.stack(half)).mean() > 2 * np.abs(shown(made, card) - np.stack(whole)).mean()
    assert sitting.beside(step, 0.5) == [card]
    save_file({name: 0 * tensor for name, tensor in theirs.items()}, made.project.folder / "weaker.safetensors")
    (other,) = sat(made, companion="weaker.safetensors", companion_strengths=(0.5,)).beside(step, 0.5)
    assert np.abs(shown(made, card) - shown(made, other)).max() > 0, "each has pictures of its own"
    assert sat(made).beside(step, 0.5) == []


def test_a_second_lora_that_is_not_there_or_of_another_base_is_refused(uncut, tmp_path):
    made, result = uncut[0].at(tmp_path / "p"), uncut[1]
    with pytest.raises(PortraitistError, match=r"companion.*no file"):
        sat(made, companion="style.safetensors")
    tensors, metadata = files.read(made.run.adapter(2))
    files.write(tmp_path / "other.safetensors", {f"mid.{name}": value for name, value in tensors.items()}, metadata)
    smaller = {name: value[..., :1, :] if "lora_B" in name else value for name, value in tensors.items()}
    files.write(tmp_path / "smaller.safetensors", smaller, metadata)
    durable.remove(made.run.evaluation)
    for name, problem in (("other", "belongs to no layer"), ("smaller", "another shape")):
        sitting = sat(made, companion=str(tmp_path / f"{name}.safetensors"))
        with pytest.raises(PortraitistError, match=problem):
            sitting.judge(result.contenders[0], 1.0, "screen")
        assert sitting.drawn == 0, "hours before it would be needed"


def test_a_second_run_of_a_project_does_not_draw_the_base_again(uncut, tmp_path):
    made = uncut[0].at(tmp_path / "p")
    before = made.pictures()
    durable.remove(made.run.evaluation)
    sitting = sat(made)
    sitting.judge(0, 0.0, "grid")
    assert sitting.drawn == 0
    assert len(made.pictures()) == len(sitting.grid.choosing)
    assert made.pictures().items() <= before.items()


def test_the_global_generator_is_left_alone(trained, tmp_path):
    """Who watches a training must not touch its random numbers, in whatever process."""
    made = trained.at(tmp_path / "p")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    evaluate(made.project, made.recipe)
    assert torch.equal(torch.get_rng_state(), before)


def test_only_one_judges_at_a_time(trained, tmp_path):
    made = trained.at(tmp_path / "p")
    with durable.lock(made.run.evaluation), pytest.raises(PortraitistError, match="Another process"):
        evaluate(made.project, made.recipe)


def test_an_adapter_of_another_base_is_refused(trained, tmp_path):
    made = trained.at(tmp_path / "p")
    path = made.run.adapter(2)
    tensors, metadata = files.read(path)
    files.write(path, tensors, {**metadata, "base": "0" * 64})
    said = made.run.manifest(2)
    said["files"][path.name] = durable.digest(path)
    durable.write_json(path.parent / "manifest.json", said)
    with pytest.raises(PortraitistError, match="another base"):
        evaluate(made.project, made.recipe)


def test_an_adapter_that_is_not_the_one_written_into_its_checkpoint_is_refused(trained, uncut, tmp_path):
    """Before it is judged, and afterwards."""
    for made, step in ((trained.at(tmp_path / "new"), 2), (uncut[0].at(tmp_path / "judged"), 4)):
        made.run.adapter(step).write_bytes(made.run.adapter(6).read_bytes())
        with pytest.raises(PortraitistError, match=f"Checkpoint {step} .*differs from what was written"):
            evaluate(made.project, made.recipe)


def test_following_it_asks_for_an_early_end_once_likeness_has_stopped_rising(trained, tmp_path):
    made = trained.at(tmp_path / "p")
    judging = made.recipe.judging.model_copy(update={"patience": 1})
    begin(made)
    end = time.monotonic() + 90
    with pytest.raises(Interrupted):
        evaluate(
            made.project,
            made.recipe.model_copy(update={"judging": judging}),
            follow=True,
            stop=lambda: made.run.stop_file.is_file() or time.monotonic() > end,
        )
    assert made.run.stop_file.is_file()
    assert "Likeness was best at step" in made.run.stop_file.read_text()


def test_following_without_patience_it_never_asks_for_an_end_and_ends_with_the_training(trained, tmp_path):
    made = trained.at(tmp_path / "p")
    begin(made)

    def emit(event):
        if isinstance(event, Scored) and event.step == 6:
            made.run.log.append(Finished(verb="train", seconds=1.0))

    result = evaluate(made.project, made.recipe, follow=True, emit=emit)
    assert result.checkpoints == (2, 4, 6)
    assert result.contenders == (6,)
    assert not made.run.stop_file.exists()


def test_a_checkpoint_is_judged_with_exactly_its_adapter(uncut):
    """A picture of the grid equals one drawn by hand: base, adapter file at the strength, sampler, decoder."""
    made, result = uncut
    step = result.contenders[-1]
    card = next(c for c in made.cards() if (c.step, c.strength, c.stage) == (step, 0.5, "grid"))
    family, base = families.get("sdxl"), families.resolve(made.recipe.model)
    encoder, denoiser = family.load_encoder(base), family.load_denoiser(base)
    crop = render.whole(64, 64)
    sampler = Sampler(family, denoiser, (4, 8, 8), 64, 64, 2, made.recipe.judging.guidance, "float32")
    drawn = card.pictures[0]
    noise = sampler.noise(Shot(PromptSpec("", drawn.text), drawn.seed))[None]
    given, empty = (encoder.conditions(render.Prompt(text, crop)) for text in (drawn.text, family.profile.negative))
    tensors, _ = files.read(made.run.adapter(step))
    with torch.no_grad(), inject.loaded(denoiser, family, tensors, 0.5):
        pixels = encoder.pixels(sampler.latents([given], empty, noise))[0]
    mine = ((pixels.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    theirs = render.read(made.run.path / drawn.path).astype(float)
    assert np.abs(mine - theirs).max() <= 1


def test_the_record_holds_what_was_judged(uncut):
    made, _ = uncut
    told = [json.loads(line) for line in made.run.log.path.read_text().splitlines()]
    scored = [(e["step"], e["strength"], e["stage"]) for e in told if e["kind"] == "scored"]
    assert sorted(scored) == sorted((c.step, c.strength, c.stage) for c in made.cards())
