"""Qwen-Image-Edit-2509 computes what diffusers' pipeline computes, with no reference and with up to three."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import QwenImageEditPlusPipeline, QwenImagePipeline, QwenImageTransformer2DModel
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as plus
from PIL import Image
from transformers import ProcessorMixin, Qwen2VLImageProcessorPil, Qwen2VLProcessor

from portraitist import families
from portraitist.adapters import files, inject
from portraitist.dataset.encoding import Encoding, to_tensor
from portraitist.dataset.stream import stack
from portraitist.errors import PortraitistError
from portraitist.families import qwen
from portraitist.family import Prompt, collate
from portraitist.judge.render import Sampler, whole
from portraitist.pictures import Opened
from portraitist.sections import Adapter, Model
from tests.pictures import scenery
from tests.tiny import tiny
from tests.vocabularies import CAPTIONS

TEXT, HEIGHT, WIDTH = "zorblax waves in a forest at night", 64, 128
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
PICTURES = [scenery(1, 90, 60), scenery(2, 64, 64), scenery(3, 50, 120)]
"""References of three shapes, (H, W, 3) uint8."""


class Processor(Qwen2VLProcessor):
    """The pipeline's processor without films: transformers' own for those wants torchvision."""

    @classmethod
    def get_attributes(cls):
        return ["image_processor", "tokenizer"]

    def __init__(self, image_processor, tokenizer):
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id, self.video_token_id = tokenizer.convert_tokens_to_ids([self.image_token, self.video_token])
        ProcessorMixin.__init__(self, image_processor, tokenizer)


def with_places(model, given, told):
    """What the pipeline forgets to tell transformers 5: which tokens are pictures (huggingface/diffusers#14194)."""
    return given, {"mm_token_type_ids": (told["input_ids"] == model.config.image_token_id).int(), **told}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny("qwen-image-edit", tmp_path_factory.mktemp("bases") / "qwen-image-edit")


@pytest.fixture(scope="module")
def parts(base):
    family = families.get("qwen-image-edit")
    return family, family.load_encoder(base), family.load_denoiser(base)


@pytest.fixture(scope="module")
def pipeline(base, parts):
    processor = Processor(Qwen2VLImageProcessorPil.from_pretrained(base.folder / "processor"), parts[1].tokenizer)
    found = QwenImageEditPlusPipeline.from_pretrained(base.folder, processor=processor)
    found.set_progress_bar_config(disable=True)
    found.text_encoder.register_forward_pre_hook(with_places, with_kwargs=True)
    return found


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The pipeline's sizes for references, made small: at a megapixel every test would take a minute."""
    monkeypatch.setattr(plus, "CONDITION_IMAGE_SIZE", 112 * 112)
    monkeypatch.setattr(plus, "VAE_IMAGE_SIZE", 64 * 64)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shown(count):
    """References as a pipeline takes them, and as we do."""
    return [Image.fromarray(pixels) for pixels in PICTURES[:count]], tuple(map(to_tensor, PICTURES[:count]))


def sampled(parts, noise, steps, references, guidance, text=TEXT, negative=" "):
    """Latents as judging draws them."""
    family, encoder, denoiser = parts
    given, other = (encoder.conditions(Prompt(words, None, references)) for words in (text, negative))
    sampler = Sampler(family, denoiser, noise.shape[1:], WIDTH, HEIGHT, steps, guidance, "float32")
    return sampler.latents([given], other, noise, [encoder.reference(picture)[None] for picture in references])


def by_pipeline(pipeline, noise, steps, guidance, **told):
    """Latents (1, 16, h, w) as a pipeline finishes them."""
    packed = QwenImagePipeline._pack_latents(noise, *noise.shape)
    told |= {"height": HEIGHT, "width": WIDTH, "latents": packed, "num_inference_steps": steps}
    found = pipeline(**told, true_cfg_scale=guidance, output_type="latent").images
    return QwenImagePipeline._unpack_latents(found, HEIGHT, WIDTH, 8)[:, :, 0]


@pytest.mark.parametrize(("steps", "guidance"), [(2, 1.0), (3, 4.0)])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_it_draws_what_its_pipeline_draws(parts, pipeline, count, steps, guidance):
    theirs, ours = shown(count)
    noise = drawn(1, 16, HEIGHT // 8, WIDTH // 8)
    found = sampled(parts, noise, steps, ours, guidance)
    told = {"image": theirs, "prompt": TEXT, "negative_prompt": " "}
    torch.testing.assert_close(found, by_pipeline(pipeline, noise, steps, guidance, **told), **CLOSE)
    assert found.std() > 0.5
    for others in [ours[1:], *([ours[::-1]] if count > 1 else [])]:
        assert (found - sampled(parts, noise, steps, others, guidance)).abs().max() > 1e-3, "references do not matter"


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_without_a_reference_it_draws_as_qwen_image_does_by_the_edit_pipelines_words(parts, pipeline, guidance):
    """The edit pipeline asks for a picture to draw, but not to encode: the rest is Qwen-Image's own pipeline."""
    noise, names = drawn(1, 16, HEIGHT // 8, WIDTH // 8), ("scheduler", "vae", "text_encoder", "tokenizer")
    plain = QwenImagePipeline(**{name: pipeline.components[name] for name in (*names, "transformer")})
    plain.set_progress_bar_config(disable=True)
    with torch.no_grad():
        words, negative = (pipeline.encode_prompt(text)[0] for text in (TEXT, " "))
    told = {"prompt_embeds": words, "negative_prompt_embeds": negative}
    expected = by_pipeline(plain, noise, 3, guidance, **told)
    torch.testing.assert_close(sampled(parts, noise, 3, (), guidance), expected, **CLOSE)
    own = by_pipeline(plain, noise, 3, guidance, prompt=TEXT, negative_prompt=" ")
    assert (expected - own).abs().max() > 1e-3, "the template makes no difference"


@pytest.mark.parametrize("text", ["", TEXT, ", ".join(CAPTIONS[:40])], ids=["empty", "short", "long"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_conditions_are_what_the_pipeline_encodes_at_its_own_sizes(parts, pipeline, monkeypatch, count, text):
    monkeypatch.setattr(plus, "CONDITION_IMAGE_SIZE", 384 * 384)
    theirs, ours = shown(count)
    seen = []
    for picture in theirs:
        width, height = plus.calculate_dimensions(384 * 384, picture.width / picture.height)
        seen.append(pipeline.image_processor.resize(picture, height, width))
    with torch.no_grad():
        tokens, mask = pipeline.encode_prompt(text, seen or None)
    found = parts[1].conditions(Prompt(text, None, ours))
    assert mask is None
    torch.testing.assert_close(found["tokens"], tokens[0], **CLOSE)
    assert found["tokens_mask"].all()
    assert not found["tokens"].requires_grad
    assert len(found["tokens"]) > 180 * count


def test_the_eyes_get_the_very_pixels_that_the_pipelines_get(parts, pipeline):
    theirs, ours = shown(3)
    seen = []
    hooks = [
        model.visual.register_forward_pre_hook(lambda _, given, told: seen.append((given[0], told)), with_kwargs=True)
        for model in (parts[1].text.model, pipeline.text_encoder.model)
    ]
    noise = drawn(1, 16, HEIGHT // 8, WIDTH // 8)
    sampled(parts, noise, 1, ours, 1.0)
    by_pipeline(pipeline, noise, 2, 1.0, image=theirs, prompt=TEXT)
    for hook in hooks:
        hook.remove()
    assert len(seen) == 3, "two prompts of ours, one of theirs"
    assert torch.equal(seen[0][0], seen[2][0])
    assert torch.equal(seen[0][1]["grid_thw"], seen[2][1]["grid_thw"])


def test_patches_of_a_picture_have_places_in_a_plane_and_words_go_on_after_its_longer_side(parts):
    """M-RoPE by hand (arXiv 2409.12191, 2.1): words count in all three axes, a picture stands still in time."""
    _, encoder, _ = parts
    told = {}
    hook = encoder.text.model.register_forward_pre_hook(lambda _, given, k: told.update(k), with_kwargs=True)
    found = encoder.conditions(Prompt(TEXT, None, shown(2)[1]))
    hook.remove()
    places, at, i = [], 0, 0
    grids, ids = iter((told["image_grid_thw"] // torch.tensor([1, 2, 2])).tolist()), told["input_ids"][0].tolist()
    while i < len(ids):
        if ids[i] == encoder.text.config.image_token_id:
            _, rows, columns = next(grids)
            places += [(at, at + y, at + x) for y in range(rows) for x in range(columns)]
            i, at = i + rows * columns, at + max(rows, columns)
        else:
            places.append((at, at, at))
            i, at = i + 1, at + 1
    by_hand = {k: v for k, v in told.items() if k != "mm_token_type_ids"}
    with torch.no_grad():
        where = torch.tensor(places).T[:, None]
        expected = encoder.text.model(**by_hand, position_ids=where).last_hidden_state[0, qwen.EDIT_DROPPED :]
        unplaced = encoder.text.model(**by_hand).last_hidden_state[0, qwen.EDIT_DROPPED :]
    torch.testing.assert_close(found["tokens"], expected, **CLOSE)
    assert not torch.allclose(expected, unplaced, atol=1e-3)


@pytest.mark.parametrize("size", [(1024, 1024), (832, 1216), (300, 200), (123, 457)])
def test_references_are_scaled_as_the_pipeline_scales_them_for_eyes_and_autoencoder(pipeline, monkeypatch, size):
    monkeypatch.undo()
    assert (plus.CONDITION_IMAGE_SIZE, plus.VAE_IMAGE_SIZE) == (384 * 384, 1024 * 1024)
    pixels = scenery(4, *size)
    for area in (plus.CONDITION_IMAGE_SIZE, plus.VAE_IMAGE_SIZE):
        width, height = plus.calculate_dimensions(area, size[0] / size[1])
        expected = pipeline.image_processor.preprocess(Image.fromarray(pixels), height, width)[0]
        found = to_tensor(qwen.scaled(to_tensor(pixels), area))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        assert abs(found[0].numel() / area - 1) < 0.05


def test_latents_of_references_are_the_pipelines(parts, pipeline):
    theirs, ours = shown(3)
    for picture, tensor in zip(theirs, ours, strict=True):
        width, height = plus.calculate_dimensions(64 * 64, picture.width / picture.height)
        pixels = pipeline.image_processor.preprocess(picture, height, width)[:, :, None]
        with torch.no_grad():
            expected = pipeline._encode_vae_image(pixels, None)[0, :, 0]
        torch.testing.assert_close(parts[1].reference(tensor), expected, **CLOSE)


def test_a_sample_keeps_its_references_and_the_empty_caption_sees_them_too(parts):
    family, encoder, denoiser = parts
    opened = [Opened(pixels, None) for pixels in PICTURES[:2]]
    encoding, target, crop = Encoding(encoder), Opened(scenery(9, 64, 64), None), whole(64, 64)
    sample = encoding.sample("a", target, crop, [TEXT], opened)
    for conditions, text in ((sample.captions[0], TEXT), (sample.empty, "")):
        expected = encoder.conditions(Prompt(text, crop, shown(2)[1]))
        assert torch.equal(conditions["tokens"], expected["tokens"])
    bare = encoding.sample("b", target, crop, [TEXT])
    assert not bare.references
    assert len(bare.empty["tokens"]) < len(sample.empty["tokens"])
    batch = stack([(0, sample, sample.captions[0]), (1, sample, sample.empty)])
    level = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        together = family.predict(denoiser, batch.latents, level, batch.given)
        for i, conditions in enumerate((sample.captions[0], sample.empty)):
            given = collate([conditions]) | {f"reference_{k}": r[None] for k, r in enumerate(sample.references)}
            alone = family.predict(denoiser, batch.latents[i : i + 1], level[i : i + 1], given)
            torch.testing.assert_close(together[i : i + 1], alone, **CLOSE)


@pytest.mark.parametrize("strength", [0.0, 0.7, 1.0])
def test_its_pipeline_loads_an_exported_adapter_at_any_strength_and_draws_the_same(base, parts, pipeline, strength):
    family, encoder, denoiser = parts
    trained = inject.attach(family.load_denoiser(base), Adapter(rank=2, alpha=3.0), family, seed=0)
    for i, parameter in enumerate(trained.parameters().values()):
        parameter.data = 0.3 * drawn(*parameter.shape, seed=i)
    tensors = {name: tensor.clone() for name, tensor in trained.tensors().items()}
    theirs, ours = shown(2)
    noise, told = drawn(1, 16, HEIGHT // 8, WIDTH // 8), {"image": theirs, "prompt": TEXT, "negative_prompt": " "}
    with inject.loaded(denoiser, family, tensors, strength):
        found = sampled((family, encoder, denoiser), noise, 2, ours, 4.0)
    plain = by_pipeline(pipeline, noise, 2, 4.0, **told)
    file = files.to_comfy(tensors, family)
    pipeline.load_lora_weights({n: t.clone() for n, t in file.items()}, adapter_name="zorblax")
    try:
        pipeline.set_adapters("zorblax", strength)
        expected = by_pipeline(pipeline, noise, 2, 4.0, **told)
    finally:
        pipeline.unload_lora_weights()
    torch.testing.assert_close(found, expected, **CLOSE)
    assert torch.allclose(expected, plain, **CLOSE) is (strength == 0)


def test_the_template_and_what_is_dropped_of_it_are_the_pipelines(pipeline):
    assert pipeline.prompt_template_encode == qwen.EDIT_TEMPLATE
    assert pipeline.prompt_template_encode_start_idx == qwen.EDIT_DROPPED
    assert pipeline.tokenizer_max_length == qwen.READ


def test_transformers_of_the_later_kind_whose_references_are_told_no_noise_are_drawn_too(parts, pipeline):
    """Edit-2511's: `zero_cond_t` in its config.json."""
    family, encoder, _ = parts
    torch.manual_seed(0)
    later = QwenImageTransformer2DModel(**{**dict(pipeline.transformer.config), "zero_cond_t": True}).eval()
    noise = drawn(1, 16, HEIGHT // 8, WIDTH // 8)
    theirs, ours = shown(2)
    found = sampled((family, encoder, later), noise, 2, ours, 1.0)
    before, pipeline.transformer = pipeline.transformer, later
    try:
        expected = by_pipeline(pipeline, noise, 2, 1.0, image=theirs, prompt=TEXT)
    finally:
        pipeline.transformer = before
    torch.testing.assert_close(found, expected, **CLOSE)


def test_what_the_family_cannot_take_is_refused(parts):
    family, encoder, denoiser = parts
    one = to_tensor(PICTURES[0])
    with pytest.raises(PortraitistError, match="3 reference pictures at most, not 4"):
        encoder.conditions(Prompt(TEXT, None, (one,) * 4))
    with pytest.raises(PortraitistError, match="too narrow"):
        encoder.reference(torch.zeros(3, 1, 201))
    with pytest.raises(PortraitistError, match="image_pad"):
        encoder.conditions(Prompt("a <|image_pad|> b", None, (one,)))
    with pytest.raises(PortraitistError, match="reads 1024"):
        encoder.conditions(Prompt("," * 1025))
    assert len(encoder.conditions(Prompt("," * 1024))["tokens"]) == 1024 + qwen.CLOSING
    given = collate([encoder.conditions(Prompt(TEXT))])
    given |= {f"reference_{i}": drawn(1, 16, 4, 4) for i in range(4)}
    with pytest.raises(PortraitistError, match="at most, not 4"):
        family.predict(denoiser, drawn(1, 16, 8, 8), torch.tensor([0.5]), given)
    with pytest.raises(PortraitistError, match="qwen-image takes no reference"):
        families.get("qwen-image").predict(denoiser, drawn(1, 16, 8, 8), torch.tensor([0.5]), given)


def test_a_base_of_the_other_pipeline_or_of_the_first_edit_model_is_refused(base, tmp_path):
    """They have the same parts, and read: only the prompts would be others than those the weights know."""
    folder = tmp_path / "base"
    shutil.copytree(base.folder, folder)
    index = json.loads((folder / "model_index.json").read_text())
    for kind, family, remedy in (
        ("QwenImageEditPlusPipeline", "qwen-image", "model.family to qwen-image-edit"),
        ("QwenImagePipeline", "qwen-image-edit", "model.family to qwen-image."),
        ("QwenImageEditPipeline", "qwen-image-edit", "folder of a base"),
    ):
        (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": kind}))
        with pytest.raises(PortraitistError, match=f"a base for {kind}") as caught:
            families.resolve(Model(family=family, base=str(folder)))
        assert remedy in caught.value.remedy


def test_references_of_any_kind_of_pixels_come_back_as_they_were():
    pixels = np.arange(256, dtype=np.uint8).repeat(48).reshape(64, 64, 3)
    assert np.array_equal(qwen.scaled(to_tensor(pixels), 64 * 64), pixels)
