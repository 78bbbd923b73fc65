"""Preserving the noun: what the base draws of it is computed by the base alone, on the exposure's own noise."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from portraitist.dataset import stream
from portraitist.dataset.stream import course, stack
from portraitist.errors import PortraitistError
from portraitist.events import Stepped
from portraitist.learn import loop, memory
from portraitist.learn.loss import held_out
from portraitist.learn.noise import levels, noises
from portraitist.recipe import Recipe
from tests.learning import BASE, Painter, Weaver, drawn, job

KINDS = {
    "lora": {"kind": "lora"},
    "dropout": {"kind": "lora", "dropout": 0.5},
    "loha": {"kind": "loha"},
    "lokr": {"kind": "lokr", "factor": 2},
}


def told(count=6, **facts):
    """Samples whose second caption has no trigger, and so no noun."""
    found = []
    for i, sample in enumerate(drawn(count, **facts)):
        draw = torch.Generator().manual_seed(500 + i)
        found.append(replace(sample, nouns=({"tokens": torch.randn(5, 8, generator=draw)}, None)))
    return found


def moved(work):
    """A trainee whose adapter does something."""
    trainee = work.trainee()
    with torch.no_grad():
        for i, parameter in enumerate(trainee.parameters.values()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            parameter.add_(0.1 * noise.to(parameter))
    return trainee


@pytest.mark.parametrize(
    ("family", "kind", "precision"),
    [
        (Painter(), "lora", "float32"),
        (Painter(), "dropout", "bfloat16"),
        (Painter(), "lokr", "float32"),
        (Weaver(), "lora", "bfloat16"),
        (Weaver(), "loha", "float32"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_straying_adds_is_held_to_a_base_that_nothing_was_put_into(family, kind, precision, tmp_path):
    """Gradients and loss against the formula with a second copy of the base; training's own mode throughout."""
    settings = {"adapter": {"rank": 3, **KINDS[kind]}, "model__precision": precision, "training__preserve": 2.0}
    work = job(tmp_path, family, told(), **settings, data__dropout=0.0)
    trainee, plain = moved(work), family.load_denoiser(BASE).train()
    trainee.denoiser.train()
    batch = next(b for b in course(work.samples, work.recipe).step(0) if b.nouns is not None).nouns
    noise = noises(work.recipe.training.seed, batch.index, batch.latents)
    level = levels(work.recipe.training.seed, batch.index, family.process, work.recipe.training, 4)
    noisy = family.process.mix(batch.latents, noise, level)
    torch.manual_seed(1)
    loss = loop.straying(family, trainee, batch, work.recipe)
    loss.backward()
    found = {name: p.grad.clone() for name, p in trainee.parameters.items() if p.grad is not None}
    assert found
    assert all(p.requires_grad for p in trainee.parameters.values())
    for parameter in trainee.parameters.values():
        parameter.grad = None
    with torch.no_grad(), memory.autocast(trainee.device, precision):
        held = family.predict(plain, noisy, level, batch.given)
    torch.manual_seed(1)
    with memory.autocast(trainee.device, precision):
        ours = family.predict(trainee.denoiser, noisy, level, batch.given)
    expected = ((ours.float() - held.float()) ** 2).flatten(1).mean(1).sum()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert loss.item() > 0
    for name, gradient in found.items():
        assert torch.equal(gradient, trainee.parameters[name].grad), name


@pytest.mark.parametrize("kind", KINDS)
def test_switched_off_it_is_the_base_and_on_again_what_it_was(kind, tmp_path):
    family = Weaver()
    work = job(tmp_path, family, adapter={"rank": 3, **KINDS[kind]})
    trainee = moved(work)
    batch = stack([(0, work.samples[0], work.samples[0].captions[0])])
    level = torch.tensor([0.4])
    trainee.denoiser.eval()

    def seen(denoiser):
        with torch.no_grad():
            return family.predict(denoiser, batch.latents, level, batch.given)

    before, base = seen(trainee.denoiser), seen(family.load_denoiser(BASE))

    def failing():
        with trainee.trained.off():
            assert torch.equal(seen(trainee.denoiser), base)
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        failing()
    assert torch.equal(seen(trainee.denoiser), before)
    assert not torch.equal(before, base)


def test_with_all_weights_trained_there_is_no_base_to_hold_them_to():
    with pytest.raises(PortraitistError, match=r'training.preserve = 1.0 means nothing with adapter.kind = "full"'):
        Recipe.model_validate({"adapter": {"kind": "full"}, "training": {"preserve": 1.0}, "stages": [{"steps": 9}]})


def test_an_exposure_without_the_trigger_is_not_preserved_and_the_others_keep_their_noise():
    samples = told(8)
    training = {"batch": 4, "preserve": 1.0}
    recipe = Recipe.model_validate({"training": training, "stages": [{"steps": 9}], "data": {"dropout": 0.2}})
    stages = course(samples, recipe)
    seen = stages.step(0) + stages.step(1)
    kept = {i for batch in seen if batch.nouns is not None for i in batch.nouns.index}
    everything = {i for batch in seen for i in batch.index}
    assert kept
    assert kept < everything
    for batch in seen:
        if batch.nouns is None:
            continue
        rows = [batch.index.index(i) for i in batch.nouns.index]
        assert torch.equal(batch.latents[rows], batch.nouns.latents)
        assert torch.equal(
            noises(0, batch.index, batch.latents)[rows], noises(0, batch.nouns.index, batch.nouns.latents)
        )
        for row, i in zip(rows, batch.nouns.index, strict=True):
            sample = next(s for s in samples if s.key == batch.keys[row])
            told_by = batch.given["tokens"][row]
            assert any(torch.equal(told_by, c["tokens"]) for c in (sample.captions[0], sample.empty)), i
            assert torch.equal(batch.nouns.given["tokens"][batch.nouns.index.index(i)], sample.nouns[0]["tokens"])


class Killed(BaseException):
    """The process is gone."""


def test_killed_and_continued_it_equals_the_uncut_run_bit_for_bit(tmp_path):
    settings = {"training__preserve": 0.7, "training__ema": 0.9, "adapter__dropout": 0.3}
    whole = job(tmp_path / "whole", Weaver(), told(7, size=(8, 12)), **settings)
    whole.go()
    cut = job(tmp_path / "cut", Weaver(), told(7, size=(8, 12)), **settings)

    def dying(event):
        if isinstance(event, Stepped) and event.step == 5:
            raise Killed

    with pytest.raises(Killed):
        cut.go(watch=dying)
    cut.go()
    assert cut.files() == whole.files()
    without = job(tmp_path / "without", Weaver(), drawn(7, size=(8, 12)), **{**settings, "training__preserve": 0.0})
    without.go()
    assert not set(without.files().values()) & set(whole.files().values())
    first = [next(e for e in one.told if isinstance(e, Stepped)) for one in (whole, without)]
    assert first[0].loss == pytest.approx(first[1].loss, rel=1e-6), "a fresh adapter does not stray"


def test_the_noun_stays_nearer_to_the_base_and_the_character_is_learnt_all_the_same(tmp_path):
    family, samples = Weaver(), [replace(s, nouns=s.nouns[:1] * 2) for s in told(2)]
    plain = family.load_denoiser(BASE)
    asked = [(i, s, s.nouns[0]) for i, s in enumerate(samples)]
    given = stack(asked)
    noise, level = noises(3, given.index, given.latents), torch.tensor([0.3, 0.6])
    noisy = family.process.mix(given.latents, noise, level)
    strayed, learnt = [], []
    settings = {"stages": [{"steps": 40}], "training__save_every": 40, "training__batch": 2, "training__accumulate": 1}
    for weight in (0.0, 3.0):
        told_by = samples if weight else [replace(sample, nouns=()) for sample in samples]
        settings |= {"training__preserve": weight, "data__dropout": 0.0, "training__rate": 2e-2}
        work = job(tmp_path / f"{weight}", family, told_by, **settings)
        denoiser = work.go().denoiser.eval()
        with torch.no_grad():
            found, base = (family.predict(each, noisy, level, given.given) for each in (denoiser, plain))
        strayed.append((found - base).square().mean().item())
        learnt.append(held_out(family, denoiser, work.samples, 0).mean().item())
    before = held_out(family, plain, samples, 0).mean().item()
    assert strayed[1] < 0.5 * strayed[0]
    assert max(learnt) < 0.97 * before, (strayed, learnt, before)


def test_digests_of_samples_without_nouns_are_what_they_were():
    """Runs are named by them."""
    plain = [SimpleNamespace(key="a", set="40_face", weight=2, loss_weight=1.0, nouns=())]
    assert stream.digest(plain) == "d573848bdf3687ca623c330ef338c04c7a751cff41f52fd7496670ae6544c946"
    assert stream.digest([SimpleNamespace(**{**vars(plain[0]), "nouns": ("b",)})]) != stream.digest(plain)
