"""A whole denoiser trained, judged at a strength and handed out: the file is a model by its publisher's names."""

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import load_file

from portraitist import tensorfile
from portraitist.adapters import files, inject
from portraitist.bases.forms import black_forest
from portraitist.errors import PortraitistError
from portraitist.events import Finished, Saved, Started
from portraitist.forecast import room
from portraitist.judge import keeping, scorecard
from portraitist.judge.following import Training
from portraitist.judge.scorecard import Drawn, Score, Scorecard
from portraitist.recipe import load
from portraitist.runs import RunFolder
from portraitist.verbs.choose import choose
from portraitist.verbs.export import export
from portraitist.verbs.plan import plan
from portraitist.verbs.train import train
from tests.learning import Painter, job
from tests.projects import SETTINGS, made

WHOLE = ["adapter.kind=full", "training.optimiser=adafactor"]
NARROW = [*WHOLE, "adapter.weights=bfloat16", "model.precision=bfloat16"]


@pytest.fixture(scope="module", params=["sdxl", "flux", "qwen-image"])
def tuned(request, tmp_path_factory):
    """A tiny base trained whole, step 2 at strength 0.7 chosen; SDXL's in bfloat16."""
    changes = NARROW if request.param == "sdxl" else WHOLE
    return made(tmp_path_factory.mktemp(request.param), request.param, changes, SETTINGS.replace("alpha = 5.0\n", ""))


def back(name, file, model):
    """diffusers' own reading of the file, by its names."""
    if name == "sdxl":
        return convert_ldm_unet_checkpoint(file, model.config)
    return black_forest(file, model) if name == "flux" else file


def test_it_is_handed_out_as_a_model_at_the_chosen_strength(tuned):
    judged, _ = files.read(tuned.run.adapter(2))
    model = tuned.family.load_denoiser(tuned.base)
    if tuned.family.name == "sdxl":
        model = model.bfloat16()
    result = export(tuned.project)
    file = load_file(result.lora)
    got = back(tuned.family.name, dict(file), model)
    base = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert got.keys() == base.keys()
    with inject.loaded(model, tuned.family, judged, 0.7):
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, got[name]), name
    assert any(not torch.equal(base[name], got[name]) for name in base)
    names = set(file)
    if tuned.family.name == "sdxl":
        assert all(name.startswith("model.diffusion_model.") for name in names)
        assert {tensor.dtype for tensor in file.values()} == {torch.bfloat16}
    if tuned.family.name == "flux":
        assert "double_blocks.0.img_attn.qkv.weight" in names


def test_fluxs_fused_layers_are_what_diffusers_takes_apart():
    """Its converter cuts in three, or at the hidden size, and takes the halves of the last norm the other way round."""
    from portraitist.bases import writing

    draw = torch.Generator().manual_seed(0)
    wide, block, single = 48, "transformer_blocks.0", "single_transformer_blocks.0"
    shapes = {f"{block}.attn.{part}.weight": (wide, 2) for part in ("to_q", "to_k", "to_v")}
    shapes |= {f"{single}.attn.{part}.weight": (wide, 2) for part in ("to_q", "to_k", "to_v")}
    shapes |= {f"{single}.proj_mlp.weight": (4 * wide, 2), "norm_out.linear.weight": (2 * wide, 2)}
    ours = {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}
    plans = writing.published("flux", {name: tensorfile.planned(tensor) for name, tensor in ours.items()})
    file = {name: plan.make() for name, plan in plans.items()}
    assert file["double_blocks.0.img_attn.qkv.weight"].shape == (3 * wide, 2)
    q, k, v = file["double_blocks.0.img_attn.qkv.weight"].chunk(3)
    assert all(torch.equal(got, ours[f"{block}.attn.to_{part}.weight"]) for got, part in ((q, "q"), (k, "k"), (v, "v")))
    four = torch.split(file["single_blocks.0.linear1.weight"], (wide, wide, wide, 4 * wide))
    for got, part in zip(four, ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"), strict=True):
        assert torch.equal(got, ours[f"{single}.{part}.weight"])
    shift, scale = file["final_layer.adaLN_modulation.1.weight"].chunk(2)
    assert torch.equal(torch.cat([scale, shift]), ours["norm_out.linear.weight"])


def test_it_is_judged_with_exactly_the_weights_that_were_trained(tmp_path):
    work = job(tmp_path, Painter(), adapter__kind="full", training__rate=1e-3)
    trainee = work.go()
    tensors, _ = files.read(work.run.adapter(9))
    fresh = Painter().load_denoiser(type("B", (), {"dtype": "float32"}))
    with inject.loaded(fresh, Painter(), tensors, 1.0):
        for name, parameter in fresh.named_parameters():
            assert torch.equal(parameter, trainee.parameters[name]), name


def test_its_weights_lie_on_the_disk_once_and_the_forecast_is_what_they_take(tmp_path):
    settings = {"adapter__kind": "full", "training__rate": 1e-3, "stages": [{"steps": 1}]}
    work = job(tmp_path, Painter(), **settings)
    trainee = work.go()
    folder = work.run.checkpoint(1)
    assert not any(name.startswith("raw/") for name in load_file(folder / "resume.safetensors"))
    real = sum(path.stat().st_size for path in folder.iterdir())
    said = room.needed(work.recipe, sum(p.numel() for p in trainee.parameters.values()), 1)[0]
    assert said < real < 1.25 * said, "names are the rest: the model is small"


def card(step, likeness):
    drawn = [Drawn("p", "a text", seed, "", {"likeness": likeness}) for seed in range(4)]
    return Scorecard(
        step, float(step > 0), "screen", {"likeness": Score(likeness, likeness, likeness, 4)}, "g", "e", drawn
    )


def test_older_ones_go_but_for_those_that_judging_has_a_use_for(tmp_path):
    settings = {"adapter__kind": "full", "training__rate": 1e-3, "training__save_every": 1, "training__keep": 1}
    work = job(tmp_path, Painter(), judging={"cells": 2, "strengths": [1.0]}, **settings)
    work.run.lock.write_text(work.recipe.to_toml())
    judge, kept = Training(work.run, "evaluate"), {}

    def hear(event):
        if isinstance(event, Saved):
            kept[event.step] = work.run.steps()
        elif event.step == 2:
            work.run.log.append(Started(verb="evaluate", total=1))
            for one in (card(0, 0.1), card(1, 0.9)):
                scorecard.append(work.run, one)
        elif event.step == 4:
            for one in (card(2, 0.3), card(3, 0.95)):
                scorecard.append(work.run, one)
        elif event.step == 6:
            work.run.log.append(Finished(verb="evaluate", seconds=1.0))
            work.run.choice.write_text("step = 5\nstrength = 1.0\n")

    work.held = lambda: keeping.held(work.run, judge)
    work.go(watch=hear)
    assert kept[1] == [1]
    assert kept[2] == [1, 2], "the judging under way has looked at step 1 alone, and found it best"
    assert kept[3] == [1, 2, 3], "steps 2 and 3 wait"
    assert kept[4] == [1, 3, 4], "from 3, the likest, judging may go back as far as 1, by two cells"
    assert kept[5] == [1, 3, 4, 5]
    assert kept[6] == [1, 3, 5, 6], "nobody judges any more: 4 goes, and 5 is the chosen one"
    assert work.run.steps() == [1, 3, 5, 9]
    assert not (work.run.checkpoint(4)).exists()


def test_what_was_let_go_is_not_chosen(tmp_path):
    made_up = type("P", (), {"folder": tmp_path, "runs": tmp_path / "runs"})
    run = RunFolder(tmp_path / "runs" / "r")
    work = job(run.path, Painter(), adapter__kind="full", training__rate=1e-3)
    run.lock.write_text(work.recipe.to_toml())
    work.go()
    for one in (card(0, 0.1), card(3, 0.9), card(6, 0.5), card(9, 0.4)):
        scorecard.append(run, one)
    assert choose(made_up, "r").step == 3
    (run.checkpoint(3) / "manifest.json").unlink()
    assert choose(made_up, "r").step == 6


def test_a_disk_without_room_is_refused_before_the_first_step(tuned):
    """Ten million checkpoints fit no disk."""
    if tuned.family.name != "sdxl":
        pytest.skip("one family shows it")
    many = ["stages.0.steps=9999999", "training.save_every=1", "training.keep=9999999", "training.seed=5"]
    recipe = load(tuned.project.recipe, [*NARROW, *many])
    assert "GB of checkpoints" in plan(tuned.project, recipe).disk
    before = set(tuned.project.runs.iterdir())
    with pytest.raises(PortraitistError, match="The disk has room for") as caught:
        train(tuned.project, recipe)
    assert "training.keep" in caught.value.remedy
    assert set(tuned.project.runs.iterdir()) == before
