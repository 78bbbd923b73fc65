"""mini is a Qwen-Image: held to diffusers' pipeline. Its measures of truth are held to what is true by construction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    QwenImageEditPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
)
from PIL import Image
from torch import nn

from portraitist import families
from portraitist.errors import PortraitistError
from portraitist.families.mini import END, Mini, ids, places
from portraitist.families.mini_autoencoder import Autoencoder
from portraitist.family import Prompt
from portraitist.judge.render import Sampler
from portraitist.mini import truth
from portraitist.mini.characters import ZORBLAX, unseen
from portraitist.mini.corpus import scene, to_pixels
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import KINDS, caption
from portraitist.mini.storing import DIFFUSERS, store
from portraitist.mini.teach_autoencoder import set_linear
from portraitist.mini.teach_text import a_caption, answers, make_tokenizer
from portraitist.sections import Model
from tests.tiny import tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny("mini", tmp_path_factory.mktemp("mini") / "base")


class Placed(nn.Module):
    """The transformer as the stock pipeline knows it: it appends the places that mini gives."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.dtype, self.config = inner, torch.float32, inner.config
        self.cache_context = inner.cache_context

    def forward(self, hidden_states, **given):
        where = torch.cat([places(h, w) * (-1) ** i for i, (_, h, w) in enumerate(given["img_shapes"][0])])
        where = where.expand(len(hidden_states), -1, -1)
        return self.inner(hidden_states=torch.cat([hidden_states, where], -1), **given)


class Stock(QwenImagePipeline):
    """diffusers' pipeline with its inputs given: it need not know how to make noise of 16 channels for 80."""

    _execution_device = torch.device("cpu")

    def prepare_latents(self, *given):
        return next(one for one in reversed(given) if isinstance(one, torch.Tensor))


def by_pipeline(pipeline, given, latents, levels, **more):
    """Latents (1, 16, 16, 16) as a pipeline of diffusers finishes them: noise first, then a reference's."""
    packed = [x.view(1, 16, 8, 2, 8, 2).permute(0, 2, 4, 1, 3, 5).reshape(1, 64, 64) for x in latents]
    found = pipeline(
        prompt_embeds=given["tokens"][None],
        prompt_embeds_mask=given["tokens_mask"][None].long(),
        latents=torch.cat(packed, 1),
        height=128,
        width=128,
        sigmas=levels[:-1].tolist(),
        true_cfg_scale=1.0,
        output_type="latent",
        **more,
    ).images
    return found.view(1, 8, 8, 16, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(1, 16, 16, 16)


def test_sampling_equals_diffusers_own_pipeline(base):
    family = Mini()
    denoiser, encoder = family.load_denoiser(base), family.load_encoder(base)
    given = encoder.conditions(Prompt("close-up of zorblax, smiling"))
    noise = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    levels = family.levels(6, 128, 128)
    ours = Sampler(family, denoiser, (16, 16, 16), 128, 128, 6, 1.0, "float32").latents([given], given, noise)

    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False)
    pipeline = Stock(scheduler=scheduler, vae=None, text_encoder=None, tokenizer=None, transformer=Placed(denoiser))
    pipeline.set_progress_bar_config(disable=True)
    theirs = by_pipeline(pipeline, given, [noise], levels)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


class StockEdit(QwenImageEditPipeline):
    """diffusers' edit pipeline with its inputs given."""

    _execution_device = torch.device("cpu")

    def encode_prompt(self, prompt_embeds=None, prompt_embeds_mask=None, **_):
        return prompt_embeds, prompt_embeds_mask

    def prepare_latents(self, *given):
        return given[-1].chunk(2, dim=1)


def test_sampling_with_a_reference_equals_diffusers_own_edit_pipeline(base, monkeypatch):
    family = Mini()
    denoiser, encoder = family.load_denoiser(base), family.load_encoder(base)
    given = encoder.conditions(Prompt("close-up of zorblax, smiling"))
    noise, reference = torch.randn(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    levels = family.levels(6, 128, 128)
    sampler = Sampler(family, denoiser, (16, 16, 16), 128, 128, 6, 1.0, "float32")
    ours = sampler.latents([given], given, noise, [reference])
    assert not torch.allclose(ours, sampler.latents([given], given, noise), atol=1e-2)

    monkeypatch.setattr(f"{QwenImageEditPipeline.__module__}.calculate_dimensions", lambda *_: (128, 128, 0))
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=False)
    parts = dict.fromkeys(("vae", "text_encoder", "tokenizer", "processor"))
    pipeline = StockEdit(scheduler=scheduler, transformer=Placed(denoiser), **parts)
    pipeline.set_progress_bar_config(disable=True)
    theirs = by_pipeline(pipeline, given, [noise, reference], levels, image=Image.new("RGB", (128, 128)))
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def test_a_second_reference_is_refused_and_not_ignored(base):
    family = Mini()
    denoiser, encoder = family.load_denoiser(base), family.load_encoder(base)
    picture, latents = torch.zeros(3, 128, 128), torch.zeros(1, 16, 16, 16)
    with pytest.raises(PortraitistError, match="one reference"):
        encoder.conditions(Prompt("close-up of zorblax", references=(picture, picture)))
    given = encoder.conditions(Prompt("close-up of zorblax", references=(picture,)))
    sampler = Sampler(family, denoiser, (16, 16, 16), 128, 128, 1, 1.0, "float32")
    with pytest.raises(PortraitistError, match="one reference"):
        sampler.latents([given], given, latents, [latents, latents])


def test_a_reference_is_as_large_as_it_is_and_must_fill_its_tokens(base):
    encoder = Mini().load_encoder(base)
    picture = torch.rand(3, 128, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.equal(encoder.reference(picture), encoder.latents(picture[None])[0])
    with pytest.raises(PortraitistError, match="72 x 128 pixels"):
        encoder.reference(torch.zeros(3, 128, 72))


def test_a_base_comes_back_from_its_shards_as_it_was_stored(base, tmp_path, monkeypatch):
    monkeypatch.setattr("portraitist.mini.storing.SHARD", 20_000)
    family = Mini()
    before = family.load_denoiser(base)
    config = {"_class_name": "QwenImageTransformer2DModel", **{k: v for k, v in before.config.items() if k[0] != "_"}}
    store(tmp_path / "transformer", before.state_dict(), config, DIFFUSERS)
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 2
    after = QwenImageTransformer2DModel.from_pretrained(tmp_path / "transformer")
    for name, value in after.state_dict().items():
        assert torch.equal(value, before.state_dict()[name].bfloat16().float()), name
    assert all(p.stat().st_size < 60_000 for p in Path(tmp_path).rglob("*.safetensors"))
    first = next((tmp_path / "transformer").glob("*.safetensors"))
    assert {v.dtype for v in safetensors.torch.load_file(first).values()} == {torch.bfloat16}


def test_the_linear_path_is_the_best_there_is():
    """Sixteen principal components leave exactly the variance of the others (Eckart & Young 1936)."""
    pixels = to_pixels([draw(scene("test", i)).pixels for i in range(4)])
    model = Autoencoder()
    set_linear(model, pixels)
    with torch.no_grad():
        error = (model.decode(model.encode(pixels)) - pixels).square().mean()
    patches = torch.nn.functional.unfold(pixels, 8, stride=8).transpose(1, 2).reshape(-1, 192)
    values = torch.linalg.eigvalsh(torch.cov((patches - patches.mean(0)).T.double()))
    least = values[:-16].sum() / 192
    # the decoder's bias is three numbers and not a whole patch, which may cost a little
    assert least <= error * 1.001
    assert error <= least * 1.1


def test_the_tokenizer_keeps_phrases_whole_and_loses_no_letter():
    words = make_tokenizer()
    found = words.encode("close-up of zorblax, smiling, beach background")
    assert [token.strip() for token in found.tokens] == ["close-up of", *"zorblax", "smiling", "beach background"]
    assert words.encode("redhair").tokens == list("redhair")
    assert len(words.encode("naïve 日本").ids) >= 8
    assert ids(words, "") == [words.token_to_id(END)]
    assert len(ids(words, "zorblax " * 100)) == 64


def test_answers_are_asked_only_where_the_caption_tells_them():
    import random

    scenes, chance = [scene("test", i) for i in range(80)], random.Random(0)
    texts = [a_caption(one, chance) for one in scenes]
    wanted = answers(scenes, texts)
    for i, (one, text) in enumerate(zip(scenes, texts, strict=True)):
        for kind, numbers in wanted.items():
            if numbers[i] >= 0:
                assert KINDS[kind][numbers[i]] == one.attributes()[kind]
                assert KINDS[kind][numbers[i]] in text
        if not text:
            assert all(numbers[i] == -100 for numbers in wanted.values())
    whole = answers(scenes, [caption(one) for one in scenes])
    for i, one in enumerate(scenes):
        assert {k for k, numbers in whole.items() if numbers[i] >= 0} == set(one.attributes())


def test_likeness_is_one_for_the_truth_and_nothing_for_a_stranger(base):
    """The scale's ends are what they say, whatever the autoencoder."""
    asked = truth.prompts(ZORBLAX, "zorblax")[:4]
    other = truth.prompts(unseen(3), "zorblax")[:4]
    true = [truth.distance(p, p.drawings[0].pixels) for p in asked]
    fresh = [truth.distance(p, draw(replace(p.scene, seed=77)).pixels) for p in asked]
    strange = [truth.distance(p, q.drawings[0].pixels) for p, q in zip(asked, other, strict=True)]
    assert true == pytest.approx([0] * 4)
    assert all(a < b for a, b in zip(fresh, strange, strict=True))
    measure = truth.Scale(floor=float(np.mean(strange)), ceiling=float(np.mean(fresh)))
    assert measure(float(np.mean(strange))) == pytest.approx(0)
    assert measure(float(np.mean(fresh))) == pytest.approx(1)


def test_a_signature_needs_the_colours_and_not_only_some_paint():
    prompt = next(p for p in truth.prompts(ZORBLAX, "zorblax") if p.scene.context.framing == "half body")
    marks = ZORBLAX.marks.colours()
    right = truth.signature(prompt, prompt.drawings[0].pixels, marks)
    assert min(right.values()) == pytest.approx(1)
    assert {"hair", "hat", "sash"} <= set(right)
    grey = np.full_like(prompt.drawings[0].pixels, 128)
    assert max(truth.signature(prompt, grey, marks).values()) == 0
    flooded = np.broadcast_to(np.array(marks["hat"], np.uint8), grey.shape)
    assert max(truth.signature(prompt, flooded, marks).values()) < 0.5


@pytest.mark.parametrize(
    "who", [unseen(4002), *(pytest.param(who, marks=pytest.mark.proof) for who in (ZORBLAX, unseen(4001)))]
)
def test_a_mark_is_placed_where_a_drawing_has_it_and_nowhere_else(who):
    """True drawings of other seeds have their marks where they belong; without a mark they have not."""
    found: dict[str, list[tuple[bool, bool]]] = {}
    for prompt in truth.prompts(who, "zorblax")[:6]:
        scene = replace(prompt.scene, seed=31)
        there = truth.placed(prompt, draw(scene).pixels)
        for kind in there:
            bare = draw(replace(scene, character=truth.without(who, kind))).pixels
            found.setdefault(kind, []).append((there[kind], truth.placed(prompt, bare).get(kind, False)))
    assert len(found) >= len(who.marks.kinds()) - 1  # a colour that the character wears anyway is not asked for
    for kind, pairs in found.items():
        with_mark, without_mark = np.array(pairs, float).mean(0)
        assert with_mark >= 0.8, kind
        assert without_mark <= 0.2, kind


def test_the_reports_contexts_are_new_to_the_album():
    from portraitist.mini.characters import album

    taught = {one.context for one in album(ZORBLAX, 36, 0)}
    asked = truth.contexts()
    assert len(asked) == 12
    assert not taught & set(asked)
    assert sum(how.background in ("beach", "night sky", "sunset") for how in asked) == 8


def test_the_weights_keep_to_their_limits():
    """They are in everybody's clone: 24 MB for the base, 6 for the eyes, no file above 16."""
    weights = families.resolve(Model()).folder.parent
    sizes = {
        part: [p.stat().st_size for p in (weights / part).rglob("*.safetensors")] for part in ("mini", "eyes", "probe")
    }
    assert sum(sizes["mini"]) <= 24e6
    assert sum(sizes["eyes"]) <= 6e6
    assert max(size for found in sizes.values() for size in found) <= 16e6


def test_the_base_that_comes_with_the_package_is_found_without_a_word():
    base = families.resolve(Model())
    assert base.folder.name == "mini"
    assert len(base.digest) == 64
    assert Mini().count_tokens("half body of zorblax, smiling") == 9
