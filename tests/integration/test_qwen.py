"""Qwen-Image computes what diffusers' pipelines compute, on tiny models of the same classes."""

import json
import shutil

import pytest
import torch
from diffusers import QwenImagePipeline, QwenImageTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Qwen2Tokenizer

from portraitist import families
from portraitist.adapters import files, inject
from portraitist.errors import PortraitistError
from portraitist.families import qwen
from portraitist.family import Prompt, collate
from portraitist.judge.render import Sampler, as_long
from portraitist.sections import Adapter, Model
from tests.tiny import tiny
from tests.vocabularies import CAPTIONS

TEXT, OTHER, HEIGHT, WIDTH = "zorblax, a fox, waving, in a forest at night", "a robot", 64, 128
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("bases")


@pytest.fixture(scope="module")
def base(shelf):
    return tiny("qwen-image", shelf / "qwen-image")


@pytest.fixture(scope="module")
def parts(base):
    family = families.get("qwen-image")
    return family, family.load_encoder(base), family.load_denoiser(base)


@pytest.fixture(scope="module")
def pipeline(base):
    return quiet(QwenImagePipeline.from_pretrained(base.folder))


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sampled(family, denoiser, noise, steps, given, negative, guidance, references=()):
    """Latents as judging draws them."""
    sampler = Sampler(family, denoiser, noise.shape[1:], WIDTH, HEIGHT, steps, guidance, "float32")
    return sampler.latents([given] * len(noise), negative, noise, references)


def by_pipeline(pipeline, noise, **told):
    """Latents (B, 16, h, w) as a pipeline of diffusers finishes them."""
    packed = pipeline._pack_latents(noise, *noise.shape)
    told |= {"height": HEIGHT, "width": WIDTH, "latents": packed, "output_type": "latent"}
    return pipeline._unpack_latents(pipeline(**told).images, HEIGHT, WIDTH, 8)[:, :, 0]


@pytest.mark.parametrize(("steps", "guidance"), [(2, 1.0), (4, 4.0), (3, 2.5)])
def test_it_draws_what_its_pipeline_draws(parts, pipeline, steps, guidance):
    family, encoder, denoiser = parts
    noise = drawn(1, 16, HEIGHT // 8, WIDTH // 8)
    given, negative = (encoder.conditions(Prompt(text)) for text in (TEXT, "blurry, bad"))
    found = sampled(family, denoiser, noise, steps, given, negative, guidance)
    told = {"prompt": TEXT, "negative_prompt": "blurry, bad", "true_cfg_scale": guidance, "num_inference_steps": steps}
    expected = by_pipeline(pipeline, noise, **told)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert found.std() > 0.5
    assert (found - sampled(family, denoiser, noise, steps, negative, negative, guidance)).abs().max() > 1e-3


def test_guided_predictions_keep_the_norm_of_the_prompts_own_in_each_token():
    """What the pipeline does to packed predictions, done to unpacked ones."""
    asked, plain = drawn(2, 16, 6, 8), drawn(2, 16, 6, 8, seed=1)
    guided = plain + 4 * (asked - plain)
    one, other = (QwenImagePipeline._pack_latents(x, 2, 16, 6, 8) for x in (asked, guided))
    expected = other * (one.norm(dim=-1, keepdim=True) / other.norm(dim=-1, keepdim=True))
    found = QwenImagePipeline._pack_latents(as_long(guided, asked, 2), 2, 16, 6, 8)
    torch.testing.assert_close(found, expected)
    assert as_long(torch.zeros(1, 16, 2, 2), torch.zeros(1, 16, 2, 2), 2).isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(1024, 1024), (1328, 1328), (512, 512), (832, 1216), (256, 256)])
@pytest.mark.parametrize("steps", [2, 20, 50])
def test_levels_are_those_the_published_scheduler_is_given(pipeline, steps, height, width):
    from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift, np

    facts = pipeline.scheduler.config
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    mu = calculate_shift(height // 16 * (width // 16), *(facts[name] for name in names))
    pipeline.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    found = families.get("qwen-image").levels(steps, height, width)
    torch.testing.assert_close(found, pipeline.scheduler.sigmas)
    assert found[-2] == pytest.approx(0.02)


def test_a_single_step_is_from_noise_to_the_picture():
    assert families.get("qwen-image").levels(1, 1024, 1024).tolist() == [1, 0]


@pytest.mark.parametrize("text", ["", " ", TEXT, "{} {0}", ", ".join(CAPTIONS[:60])], ids=str.__len__)
def test_conditions_are_what_the_pipeline_encodes(parts, pipeline, text):
    with torch.no_grad():
        tokens, _ = pipeline.encode_prompt(text, max_sequence_length=512)  # as its own call does
    found = parts[1].conditions(Prompt(text))
    assert torch.equal(found["tokens"], tokens[0])
    assert found["tokens_mask"].all()
    assert found["tokens_mask"].shape == (len(tokens[0]),)
    assert not found["tokens"].requires_grad


def test_a_caption_at_the_limit_is_read_to_its_end_and_one_over_it_is_not(parts):
    limit = parts[0].profile.token_limit
    close = parts[1].tokenizer(qwen.TEMPLATE.partition("{}")[2]).input_ids
    assert len(close) == qwen.CLOSING
    for count, whole in ((limit, True), (limit + 6, False)):
        found = [parts[1].conditions(Prompt("," * (count - 1) + end))["tokens"] for end in ("!", "?")]
        assert len(found[0]) == 512
        assert torch.equal(*found) is not whole


def test_templates_and_what_is_dropped_of_them_are_the_pipelines(pipeline):
    assert pipeline.prompt_template_encode == qwen.TEMPLATE
    assert pipeline.prompt_template_encode_start_idx == qwen.DROPPED
    assert pipeline.tokenizer_max_length == qwen.READ


def test_a_tokenizer_that_splits_the_template_otherwise_is_refused(base, tmp_path):
    """Another model's vocabulary reads, too; the words would only be shifted."""
    folder = tmp_path / "qwen-image"
    shutil.copytree(base.folder, folder)
    path = folder / "tokenizer" / "tokenizer.json"
    whole = json.loads(path.read_text())
    whole["model"]["merges"] = whole["model"]["merges"][:-40]
    path.write_text(json.dumps(whole))
    with pytest.raises(PortraitistError, match=r"not Qwen2.5-VL's: .* not 34") as caught:
        families.get("qwen-image").load_encoder(families.resolve(Model(family="qwen-image", base=str(folder))))
    assert str(folder) in caught.value.problem


def test_latents_are_scaled_channel_by_channel_as_the_vaes_authors_say_and_come_back(parts, pipeline):
    """Against the pipelines' own steps; the VAE takes films, and a picture is one of a single frame."""
    _, encoder, _ = parts
    vae, pixels = pipeline.vae, drawn(2, 3, 64, 96).clamp(-1, 1)
    with torch.no_grad():
        mode = vae.encode(pixels[:, :, None]).latent_dist.mode()
        again = vae.decode(mode).sample.clamp(-1, 1)[:, :, 0]
    found = encoder.latents(pixels)
    assert found.shape == (2, 16, 8, 12)
    mean, spread = (torch.tensor(vae.config[name]).view(16, 1, 1) for name in ("latents_mean", "latents_std"))
    torch.testing.assert_close(found * spread + mean, mode[:, :, 0], **CLOSE)
    torch.testing.assert_close(encoder.pixels(found), again, **CLOSE)
    assert torch.equal(found, encoder.latents(pixels)), "encoding draws at random"
    assert len(set(vae.config.latents_std)) == 16, "one scale for all would pass"


def test_finished_latents_become_the_pipelines_picture(parts, pipeline):
    family, encoder, denoiser = parts
    noise, given = drawn(1, 16, HEIGHT // 8, WIDTH // 8), encoder.conditions(Prompt(TEXT))
    pixels = encoder.pixels(sampled(family, denoiser, noise, 2, given, given, 1.0))
    told = {"prompt": TEXT, "height": HEIGHT, "width": WIDTH, "num_inference_steps": 2, "true_cfg_scale": 1.0}
    packed = pipeline._pack_latents(noise, *noise.shape)
    expected = pipeline(**told, latents=packed, output_type="pt").images * 2 - 1
    torch.testing.assert_close(pixels, expected, **CLOSE)


def test_prompts_of_unequal_length_in_a_batch_are_drawn_as_if_alone(parts):
    family, encoder, denoiser = parts
    noise, negative = drawn(3, 16, 8, 8), encoder.conditions(Prompt(" "))
    given = [encoder.conditions(Prompt(text)) for text in (TEXT, "", OTHER)]
    assert len({len(one["tokens"]) for one in given}) == 3
    sampler = Sampler(family, denoiser, (16, 8, 8), 64, 64, 3, 4.0, "float32")
    together = sampler.latents(given, negative, noise)
    for i, one in enumerate(given):
        torch.testing.assert_close(together[i : i + 1], sampler.latents([one], negative, noise[i : i + 1]), **CLOSE)


@pytest.mark.parametrize("strength", [0.0, 0.7, 1.0])
def test_its_pipeline_loads_an_exported_adapter_at_any_strength_and_draws_the_same(base, parts, pipeline, strength):
    family, encoder, _ = parts
    trained = inject.attach(family.load_denoiser(base), Adapter(rank=2, alpha=3.0), family, seed=0)
    for i, parameter in enumerate(trained.parameters().values()):
        parameter.data = 0.3 * drawn(*parameter.shape, seed=i)
    tensors, denoiser = {n: t.clone() for n, t in trained.tensors().items()}, family.load_denoiser(base)
    noise, given = drawn(1, 16, HEIGHT // 8, WIDTH // 8), encoder.conditions(Prompt(TEXT))
    negative = encoder.conditions(Prompt(" "))
    with inject.loaded(denoiser, family, tensors, strength):
        found = sampled(family, denoiser, noise, 2, given, negative, 4.0)
    told = {"prompt": TEXT, "negative_prompt": " ", "num_inference_steps": 2}
    plain = by_pipeline(pipeline, noise, **told)
    file = files.to_comfy(tensors, family)
    pipeline.load_lora_weights({n: t.clone() for n, t in file.items()}, adapter_name="zorblax")
    try:
        pipeline.set_adapters("zorblax", strength)
        expected = by_pipeline(pipeline, noise, **told)
    finally:
        pipeline.unload_lora_weights()
    torch.testing.assert_close(found, expected, **CLOSE)
    assert (torch.allclose(expected, plain, **CLOSE)) is (strength == 0)


def test_every_layer_of_the_published_transformer_has_a_name_and_720_are_trained():
    """By its config.json, without weights. 846 is all there are: 14 in each of 60 blocks, and six outside them."""
    with torch.device("meta"):
        model = QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=64,
            out_channels=16,
            num_layers=60,
            attention_head_dim=128,
            num_attention_heads=24,
            joint_attention_dim=3584,
            guidance_embeds=False,
            axes_dims_rope=(16, 56, 56),
        )
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    blocks = [name for name in linear if name.startswith("transformer_blocks.")]
    assert (len(linear), len(blocks)) == (846, 840)
    assert round(sum(p.numel() for p in model.parameters()) / 1e9, 2) == 20.43
    family = families.get("qwen-image")
    targets = [name for name in linear if any(name.endswith(f".{end}") for end in family.targets)]
    left = {name.split(".", 2)[2] for name in set(blocks) - set(targets)}
    assert (len(targets), left) == (720, {"img_mod.1", "txt_mod.1"})
    assert {family.file_name(name) for name in linear} == {f"diffusion_model.{name}" for name in linear}


def test_captions_are_counted_by_the_bases_vocabulary_in_the_published_files_too(base, tmp_path):
    """The published tokenizer is vocab.json and merges.txt, as CLIP's old one is; the two split words differently."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    saved = json.loads((base.folder / "tokenizer" / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(saved["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in saved["merges"]) + "\n")
    theirs = Qwen2Tokenizer.from_pretrained(base.folder / "tokenizer")
    counters = [families.token_counter(Model(family="qwen-image", base=str(f))) for f in (base.folder, tmp_path)]
    for text in (*CAPTIONS[::7], CAPTIONS[1].upper(), "Zorblax's café, 12 o'clock\n\n 🌸 e\u0301", ""):
        assert [count(text) for count in counters] == [len(theirs(text).input_ids)] * 2, text


def test_text_encoders_of_the_published_layout_are_read(base, tmp_path, parts):
    """Published before transformers moved the towers: `visual.`, `model.` and `lm_head` at the top."""
    folder = tmp_path / "qwen-image"
    shutil.copytree(base.folder, folder)
    path = folder / "text_encoder" / "model.safetensors"
    old = {
        n.replace("model.language_model.", "model.").replace("model.visual.", "visual."): t
        for n, t in load_file(path).items()
    }
    assert {name.split(".")[0] for name in old} == {"model", "visual", "lm_head"}
    save_file(old, path, metadata={"format": "pt"})
    again = families.get("qwen-image").load_encoder(
        families.resolve(Model(family="qwen-image", base=str(folder), precision="float32"))
    )
    assert torch.equal(again.conditions(Prompt(TEXT))["tokens"], parts[1].conditions(Prompt(TEXT))["tokens"])


def test_batches_without_padding_are_told_so_and_others_are_masked(parts):
    """Attention without a mask is the faster one; a mask of ones must change nothing."""
    family, encoder, denoiser = parts
    given = collate([encoder.conditions(Prompt(TEXT))])
    noisy, level, seen = drawn(1, 16, 8, 8), torch.tensor([0.5]), []
    hook = denoiser.register_forward_pre_hook(
        lambda _, a, k: seen.append(k["encoder_hidden_states_mask"]), with_kwargs=True
    )
    with torch.no_grad():
        plain = family.predict(denoiser, noisy, level, given)
        more = {"tokens": torch.cat([given["tokens"], drawn(1, 3, 16)], 1)}
        more["tokens_mask"] = torch.arange(more["tokens"].shape[1])[None] < given["tokens"].shape[1]
        masked = family.predict(denoiser, noisy, level, more)
    hook.remove()
    assert seen[0] is None
    assert seen[1] is not None
    torch.testing.assert_close(masked, plain, **CLOSE)
