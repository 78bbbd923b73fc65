"""Where a base's profile says so, judging draws with a LoRA in the weights: the same pictures, under marks of their
own, and a base that is what it was."""

from dataclasses import replace

import pytest
import torch

from portraitist.events import ignore
from portraitist.families.sdxl import Sdxl
from portraitist.stopping import never
from portraitist.verbs.evaluate import seated
from tests.judged import trained_in


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_in(tmp_path_factory.mktemp("merged"))


def sat(made):
    sitting = seated(made.project, made.recipe, made.run, ignore, never)
    sitting.take(6)
    return sitting


def hooked(denoiser):
    return any(module._forward_hooks for module in denoiser.modules())


def test_a_lora_goes_into_the_weights_and_out_again(trained, monkeypatch):
    plain = sat(trained)
    shot, given = plain.grid.choosing[0], plain.grid.manner()
    with plain.adapted(0.5):
        assert hooked(plain.bench().sampler().denoiser)
    beside = plain.artist().rendered([shot], lambda: plain.adapted(0.5), given)
    monkeypatch.setattr(Sdxl, "profile", replace(Sdxl.profile, merged=True))
    merged = sat(trained)
    denoiser = merged.bench().sampler().denoiser
    before = {name: value.clone() for name, value in denoiser.named_parameters()}
    with merged.adapted(0.5):
        assert not hooked(denoiser)
        assert any(not torch.equal(value, before[name]) for name, value in denoiser.named_parameters())
    assert all(torch.equal(value, before[name]) for name, value in denoiser.named_parameters())
    within = merged.artist().rendered([shot], lambda: merged.adapted(0.5), given)
    assert abs(within.astype(int) - beside).max() <= 1, "float32: rounding alone"
    assert abs(within.astype(int) - merged.artist().rendered([shot], lambda: merged.adapted(0.0), given)).max() > 1


def test_pictures_drawn_in_the_weights_are_not_taken_for_those_beside_them(trained, monkeypatch):
    artist = sat(trained).artist()
    shot = artist.grid.choosing[0]
    beside, base = artist.mark(shot, "a", 0.5), artist.mark(shot, "", 0.0)
    monkeypatch.setattr(Sdxl, "profile", replace(Sdxl.profile, merged=True))
    assert artist.mark(shot, "a", 0.5) != beside
    assert artist.mark(shot, "", 0.0) == base, "the base's own are the same"
    artist.base = replace(artist.base, quantised="int8")
    assert not artist.merged, "weights in few bits take no addition"
