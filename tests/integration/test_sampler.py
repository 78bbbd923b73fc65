"""The sampler that judging draws with: guidance as it is defined, and noise of nothing but seed and prompt."""

import torch

from portraitist import families
from portraitist.family import PromptSpec
from portraitist.judge import render
from portraitist.judge.render import Sampler
from portraitist.judge.shot import Shot
from tests.tiny import tiny


def test_guidance_is_a_line_through_what_the_prompt_and_the_empty_text_predict(tmp_path):
    """One step of a sampler is affine in the guidance: any two guidances tell the third."""
    family, base = families.get("sdxl"), tiny("sdxl", tmp_path / "base")
    encoder, denoiser = family.load_encoder(base), family.load_denoiser(base)
    given, empty = (encoder.conditions(render.Prompt(text)) for text in ("zorblax, smiling", ""))
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    one, two, four = (
        Sampler(family, denoiser, (4, 8, 8), 64, 64, 1, g, "float32").latents([given], empty, noise)
        for g in (1.0, 2.0, 4.0)
    )
    assert torch.allclose(four - one, 3 * (two - one), atol=1e-3 * float((four - one).abs().max()))
    assert not torch.equal(one, two)


def test_noise_is_of_the_seed_and_the_prompt_alone():
    sampler = Sampler(families.get("sdxl"), torch.nn.Identity(), (4, 8, 8), 64, 64, 2, 1.0, "float32")
    a, b = PromptSpec("a", "one text"), PromptSpec("b", "another")
    assert torch.equal(sampler.noise(Shot(a, 1)), sampler.noise(Shot(PromptSpec("renamed", "one text"), 1)))
    assert not torch.equal(sampler.noise(Shot(a, 1)), sampler.noise(Shot(a, 2)))
    assert not torch.equal(sampler.noise(Shot(a, 1)), sampler.noise(Shot(b, 1)))
    assert torch.equal(sampler.noise(Shot(a, 1)), sampler.noise(Shot(b, 1, "unnamed", "one text"))), "a probe's twin's"
