"""Every family trains in the one loop: what holds for one holds for all."""

import pytest
import torch
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus

from portraitist import families
from portraitist.adapters import inject
from portraitist.dataset.encoding import Encoding
from portraitist.dataset.stream import course, stack
from portraitist.errors import PortraitistError
from portraitist.events import Stepped
from portraitist.learn import loop
from portraitist.learn.loss import picture_losses
from portraitist.learn.noise import noises
from portraitist.learn.state import Trainee
from portraitist.pictures import Crop, Opened
from portraitist.recipe import Recipe
from tests.pictures import scenery
from tests.tiny import KNOWN, tiny

STEPS = 20
"""Enough for the loss to level off, so that how a processor rounds decides nothing: of an adapter it is then at 0.72 to
0.89 of the first, of whole denoisers below."""


def encoded(family, base):
    """Four pictures of two shapes, with captions, one with a mask; in an edit family two of them with references."""
    encoding, found = Encoding(family.load_encoder(base)), []
    for i, (width, height) in enumerate([(64, 64), (128, 64), (64, 64), (128, 64)]):
        pixels = scenery(i, width, height)
        alpha = (pixels[..., 0] > 128).astype("uint8") * 255 if i == 0 else None
        crop = Crop(width, height, 0, 0, width, height, width, height)
        shown = [Opened(scenery(i + 9, 64, 48), None)] * i if family.name == "qwen-image-edit" and i < 3 else []
        found.append(encoding.sample(f"{i}", Opened(pixels, alpha), crop, [f"zorblax, scene {i}"], shown))
    return found


@torch.no_grad()
def measured(family, denoiser, samples):
    """Mean loss over fixed pictures, noises and levels."""
    losses = []
    for sample in samples:
        batch = stack([(i, sample, sample.captions[0]) for i in range(8)])
        level = (torch.arange(8) + 0.5) / 8
        losses.append(picture_losses(family, denoiser, batch, noises(1, range(8), batch.latents), level))
    return torch.cat(losses).mean().item()


def unreachable(family, trainee, batch, recipe):
    """Parameters that no loss reaches, such as the text's way out of Qwen-Image's last block: nobody reads it."""
    loop.batch_loss(family, trainee, batch, recipe).backward()
    found = {key for key, value in trainee.parameters.items() if value.grad is None or not value.grad.any()}
    assert len(found) < len(trainee.parameters) / 3
    return found


@pytest.mark.parametrize(
    ("precision", "taken", "remedy"),
    [
        ("float32", 0, "Nothing was trained yet: copy the base again"),
        ("bfloat16", 0, "model.precision=float32"),
        ("float32", 1, "Train with a lower rate"),
    ],
)
def test_a_loss_that_is_not_finite_from_the_start_is_no_fault_of_the_rate(precision, taken, remedy, tmp_path):
    """A base whose weights are not finite, and weights that training spoiled."""
    family, base = families.get("sdxl"), tiny("sdxl", tmp_path / "sdxl")
    model = {"family": "sdxl", "precision": precision, "device": "cpu"}
    recipe = Recipe.model_validate({"model": model, "stages": [{"steps": 4}], "training": {"batch": 1}})
    denoiser = family.load_denoiser(base)
    trainee = Trainee(denoiser, inject.attach(denoiser, recipe.adapter, family, seed=0), recipe.training, step=taken)
    denoiser.conv_out.bias.data[0] = float("nan")
    given = course(encoded(family, base), recipe)
    with pytest.raises(PortraitistError, match=f"Step {taken + 1}: loss nan") as told:
        loop.train(
            family, trainee, given, recipe, horizon=4, emit=print, checkpoint=lambda trainee: None, halt=lambda: ""
        )
    assert remedy in told.value.remedy
    assert ("rate" in told.value.remedy) == (taken > 0)


@pytest.mark.parametrize(("kind", "precision"), [("lora", "float32"), ("lora", "bfloat16"), ("full", "bfloat16")])
@pytest.mark.parametrize("name", KNOWN)
def test_every_family_learns_its_pictures_in_the_one_loop(name, kind, precision, tmp_path, monkeypatch):
    for size in ("CONDITION_IMAGE_SIZE", "VAE_IMAGE_SIZE"):  # of references: less than a megapixel
        monkeypatch.setattr(pipeline_qwenimage_edit_plus, size, 64 * 64)
    family, base = families.get(name), tiny(name, tmp_path / name, precision)
    settings = {
        "model": {"family": name, "precision": precision, "device": "cpu"},
        "adapter": {"kind": kind, "rank": 4},
        "stages": [{"steps": STEPS}],
        "training": {"batch": 2, "rate": {"lora": 1e-1, "full": 3e-3}[kind], "save_every": STEPS // 2},
        "data": {"dropout": 0.1},
    }
    recipe, samples = Recipe.model_validate(settings), encoded(family, base)
    denoiser = family.load_denoiser(base)
    trainee = Trainee(denoiser, inject.attach(denoiser, recipe.adapter, family, seed=0), recipe.training)
    before = {key: value.detach().clone() for key, value in trainee.parameters.items()}
    told, saved = [], []
    with loop.memory.autocast(trainee.device, precision):
        first = measured(family, denoiser.eval(), samples)
    ending = loop.train(
        family, trainee, course(samples, recipe), recipe, horizon=STEPS, emit=told.append,
        checkpoint=lambda trainee: saved.append(trainee.step), halt=lambda: "",
    )  # fmt: skip
    with loop.memory.autocast(trainee.device, precision):
        last = measured(family, denoiser.eval(), samples)
    assert last < 0.98 * first
    assert (ending, saved) == ("", [STEPS // 2, STEPS])
    assert [event.step for event in told if isinstance(event, Stepped)] == list(range(1, STEPS + 1))
    still = {key for key, value in trainee.parameters.items() if torch.equal(value, before[key])}
    assert still <= unreachable(family, trainee, course(samples, recipe).step(0)[0], recipe)
    assert all(value.dtype == torch.float32 for value in trainee.parameters.values())
    assert all(torch.isfinite(value).all() for value in trainee.trained.tensors().values())
    if kind == "lora":
        reached = {key.split(".lora_")[0] for key in trainee.parameters}
        assert reached == {n for n, _ in family.load_denoiser(base).named_modules() if n.endswith(family.targets)}
