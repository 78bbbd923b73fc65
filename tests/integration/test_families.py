"""Families compute what diffusers' pipelines compute, on tiny models of the same classes."""

import json
import logging
import shutil
from copy import deepcopy

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

from portraitist import families
from portraitist.adapters import files, inject
from portraitist.errors import PortraitistError
from portraitist.families.sdxl import native
from portraitist.family import Prompt, collate
from portraitist.judge.render import Sampler
from portraitist.learn.memory import autocast
from portraitist.learn.noise import Ddpm
from portraitist.pictures import Crop
from portraitist.sections import Adapter, Model
from tests.tiny import KNOWN, OUTSIDE, PIPELINES, exact, tiny
from tests.vocabularies import CAPTIONS

NAMES = OUTSIDE
CHANNELS = {name: KNOWN[name].channels for name in KNOWN}
TEXT, HEIGHT, WIDTH = "zorblax, a fox, waving, in a forest at night", 64, 128
WHOLE = Crop(WIDTH, HEIGHT, 0, 0, WIDTH, HEIGHT, WIDTH, HEIGHT)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    return {name: tiny(name, folder / name) for name in KNOWN}


@pytest.fixture(scope="module")
def pipelines(bases):
    found = {name: PIPELINES[name].from_pretrained(bases[name].folder) for name in PIPELINES}
    for pipeline in found.values():
        pipeline.set_progress_bar_config(disable=True)
    return found


def loaded(bases, name):
    family = families.get(name)
    return family, family.load_encoder(bases[name]), family.load_denoiser(bases[name])


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def sampled(family, denoiser, noise, steps, given, negative=None, guidance=1.0):
    """Latents as judging draws them."""
    sampler = Sampler(family, denoiser, noise.shape[1:], WIDTH, HEIGHT, steps, guidance, "float32")
    return sampler.latents([given], negative or given, noise)


def asked(name, steps, noise, guidance=1.0, negative=""):
    """A pipeline's arguments for a picture."""
    told = {"prompt": TEXT, "height": HEIGHT, "width": WIDTH, "num_inference_steps": steps}
    return told | {"latents": KNOWN[name].put(noise)} | KNOWN[name].told(guidance, negative)


def spread(latents, pixels):
    """Latents far enough from one another that a mistake shows, whatever a random autoencoder makes of them."""
    assert latents.std() > 0.5
    assert pixels.std() > 1e-3


@pytest.mark.parametrize("steps", [1, 3, 4])
@pytest.mark.parametrize("name", PIPELINES)
def test_a_family_draws_what_its_pipeline_draws(bases, pipelines, name, steps):
    """From the same noise, prompt, negative and guidance, over the family's own schedule: latents and pixels."""
    steps = max(steps, 2) if name == "qwen-image" else steps  # its pipeline divides by zero for a single one
    family, encoder, denoiser = loaded(bases, name)
    family = families.pair(Model(family=name, base=str(bases[name].folder)))[0]
    noise, guidance = drawn(1, CHANNELS[name], HEIGHT // 8, WIDTH // 8), 3.5
    given, negative = (encoder.conditions(Prompt(text, WHOLE)) for text in (TEXT, "blurry"))
    found = sampled(family, denoiser, noise, steps, given, negative, guidance)
    wanted = asked(name, steps, noise, guidance, "blurry")
    expected = pipelines[name](**wanted, output_type="latent").images
    scale = max(1.0, float(expected.abs().max()))  # SDXL's schedule begins at 13 times the unit noise
    torch.testing.assert_close(KNOWN[name].put(found), expected, rtol=1e-5, atol=1e-5 * scale)
    drawn_pixels = pipelines[name](**wanted, output_type="pt").images * 2 - 1
    torch.testing.assert_close(encoder.pixels(found), drawn_pixels, rtol=1e-3, atol=1e-3)
    spread(found, drawn_pixels)


@pytest.mark.parametrize(("height", "width"), [(1024, 1024), (512, 512), (832, 1216), (256, 256), (2048, 1024)])
def test_flux_levels_are_those_its_scheduler_is_given(pipelines, height, width):
    from diffusers.pipelines.flux.pipeline_flux import calculate_shift, np

    scheduler = pipelines["flux"].scheduler
    sigmas = np.linspace(1.0, 1 / 20, 20)
    scheduler.set_timesteps(sigmas=sigmas, mu=calculate_shift(height // 16 * (width // 16)))
    torch.testing.assert_close(families.get("flux").levels(20, height, width), scheduler.sigmas)


@pytest.mark.parametrize("steps", [1, 2, 30, 50, 200])
def test_sdxl_levels_are_those_its_scheduler_is_given(pipelines, steps):
    scheduler = pipelines["sdxl"].scheduler
    scheduler.set_timesteps(steps)
    found = families.get("sdxl").levels(steps, 1024, 1024)
    assert (found[:-1] * 1000 - 1).round().tolist() == scheduler.timesteps.tolist()
    assert found[-1] == 0


def test_sdxl_is_told_what_its_pipeline_would_be_told_of_a_crop(bases, pipelines):
    """Sizes as (height, width); the corner in pixels of the picture after it was scaled."""
    family, encoder, denoiser = loaded(bases, "sdxl")
    crop = Crop(
        source_width=400, source_height=300, left=100, top=40, width=200, height=100, to_width=128, to_height=64
    )
    given = encoder.conditions(Prompt(TEXT, crop))
    assert given["sizes"].tolist() == [300, 400, 26, 64, 64, 128]
    noise = drawn(1, 4, 8, 16)
    found = sampled(family, denoiser, noise, 2, given)
    expected = pipelines["sdxl"](
        prompt=TEXT, height=64, width=128, guidance_scale=1, num_inference_steps=2, latents=noise, output_type="latent",
        original_size=(300, 400), crops_coords_top_left=(26, 64), target_size=(64, 128),
    ).images  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    elsewhere = sampled(family, denoiser, noise, 2, encoder.conditions(Prompt(TEXT, WHOLE)))
    assert (found - elsewhere).abs().max() > 0.01, "the crop makes no difference"


def test_sdxl_takes_a_prompt_without_a_crop_to_be_for_a_whole_picture_of_its_own_size(bases):
    _, encoder, _ = loaded(bases, "sdxl")
    assert encoder.conditions(Prompt(TEXT))["sizes"].tolist() == [1024, 1024, 0, 0, 1024, 1024]


@pytest.mark.parametrize("text", ["", TEXT, ", ".join(CAPTIONS[:40])], ids=["empty", "short", "too long"])
@pytest.mark.parametrize("name", ["sdxl", "flux"])
def test_conditions_are_what_the_pipeline_encodes(bases, pipelines, name, text):
    _, encoder, _ = loaded(bases, name)
    found = encoder.conditions(Prompt(text))
    with torch.no_grad():
        told = pipelines[name].encode_prompt(text, text, device="cpu")
    tokens, pooled = (told[0], told[2]) if name == "sdxl" else (told[0], told[1])
    assert torch.equal(found["tokens"], tokens[0])
    assert torch.equal(found["pooled"], pooled[0])
    assert found["tokens_mask"].shape == found["tokens"].shape[:1]
    assert not any(tensor.requires_grad for tensor in found.values())


@pytest.mark.parametrize("name", ["sdxl", "flux"])
def test_latents_are_scaled_as_the_vaes_authors_say_and_come_back(bases, pipelines, name):
    """The way back is the pipeline's own; what a random autoencoder loses is not the scaling's doing."""
    _, encoder, _ = loaded(bases, name)
    vae, pixels = pipelines[name].vae, drawn(2, 3, 64, 64).clamp(-1, 1)
    with torch.no_grad():
        mode = vae.encode(pixels).latent_dist.mode()
        again = vae.decode(mode).sample.clamp(-1, 1)
    found = encoder.latents(pixels)
    shift = {"sdxl": 0.0, "flux": 0.1159}[name]
    scale = {"sdxl": 0.13025, "flux": 0.3611}[name]
    torch.testing.assert_close(found / scale + shift, mode)
    torch.testing.assert_close(encoder.pixels(found), again)
    assert torch.equal(found, encoder.latents(pixels)), "encoding draws at random"


@pytest.mark.parametrize("name", NAMES)
def test_pictures_in_a_batch_do_not_touch_each_other(bases, name):
    """Each picture has its own level, prompt and sizes: a batch of three predicts what three of one do."""
    family, encoder, denoiser = loaded(bases, name)
    crops = [WHOLE, Crop(300, 200, 10, 20, 256, 128, 128, 64), None]
    texts = [TEXT, "", "a robot, smiling"]
    parts = [encoder.conditions(Prompt(text, crop)) for text, crop in zip(texts, crops, strict=True)]
    noisy, level = drawn(3, CHANNELS[name], 8, 16), torch.tensor([0.05, 0.5, 1.0])
    with torch.no_grad():
        together = family.predict(denoiser, noisy, level, collate(parts))
        for i in range(3):
            alone = family.predict(denoiser, noisy[i : i + 1], level[i : i + 1], collate(parts[i : i + 1]))
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)
    assert together.shape == noisy.shape
    pixels = drawn(3, 3, 64, 64).clamp(-1, 1)
    torch.testing.assert_close(encoder.latents(pixels)[1:2], encoder.latents(pixels[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_is_told_to_the_denoiser_matters(bases, name):
    family, encoder, denoiser = loaded(bases, name)
    given = collate([encoder.conditions(Prompt(TEXT, WHOLE))])
    noisy, level = drawn(1, CHANNELS[name], 8, 8), torch.tensor([0.5])
    if name == "flux":
        given["guidance"] = torch.tensor([1.0])
    with torch.no_grad():
        plain = family.predict(denoiser, noisy, level, given)
        assert not torch.equal(plain, family.predict(denoiser, noisy, torch.tensor([0.6]), given))
        for key in given.keys() - {"tokens_mask"}:
            other = family.predict(denoiser, noisy, level, given | {key: given[key] + 1})
            assert not torch.equal(plain, other), key


def test_flux_is_trained_at_guidance_one_unless_told_otherwise(bases):
    family, encoder, denoiser = loaded(bases, "flux")
    given = collate([encoder.conditions(Prompt(TEXT))])
    noisy, level = drawn(1, 4, 8, 8), torch.tensor([0.5])
    with torch.no_grad():
        plain = family.predict(denoiser, noisy, level, given)
        one = family.predict(denoiser, noisy, level, given | {"guidance": torch.tensor([1.0])})
    assert torch.equal(plain, one)


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_it_predicts_the_same_but_for_rounding(bases, name):
    family, encoder, denoiser = loaded(bases, name)
    given = collate([encoder.conditions(Prompt(TEXT))])
    noisy, level = drawn(1, CHANNELS[name], 8, 8), torch.tensor([0.7])
    half = tiny(name, bases[name].folder, "bfloat16")
    assert half.digest == bases[name].digest
    narrow, told = family.load_denoiser(half), collate([family.load_encoder(half).conditions(Prompt(TEXT))])
    assert {p.dtype for p in narrow.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        exact = family.predict(denoiser, noisy, level, given)
        with autocast(torch.device("cpu"), "bfloat16"):
            rounded = family.predict(narrow, noisy, level, told)
    assert (rounded.float() - exact).norm() < 0.03 * exact.norm()
    assert not torch.equal(rounded.float(), exact)


@pytest.mark.parametrize("name", NAMES)
def test_a_denoiser_comes_frozen_and_spares_memory_without_changing_gradients(bases, name):
    family, encoder, denoiser = loaded(bases, name)
    assert not denoiser.training
    assert not any(p.requires_grad for p in denoiser.parameters())
    given = collate([encoder.conditions(Prompt(TEXT))])
    gradients = []
    for sparing in (True, False):
        assert denoiser.is_gradient_checkpointing
        model = denoiser.train().requires_grad_(True)
        if not sparing:
            model.disable_gradient_checkpointing()
        model.zero_grad()
        family.predict(model, drawn(1, CHANNELS[name], 8, 8), torch.tensor([0.5]), given).square().sum().backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        if sparing:
            assert gradients[0], "nothing was learnt from"
    assert gradients[0].keys() == gradients[1].keys()
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KNOWN)
def test_gradients_are_those_of_finite_differences(bases, name):
    """In float64, along a random direction of all an adapter's numbers."""
    family, encoder, denoiser = loaded(bases, name)
    denoiser = denoiser.double()
    trained = inject.attach(denoiser, Adapter(rank=2), family, seed=0)
    given = {
        key: t.double() if t.is_floating_point() else t
        for key, t in collate([encoder.conditions(Prompt(TEXT))]).items()
    }
    noisy, level = drawn(1, CHANNELS[name], 8, 8).double(), torch.tensor([0.5], dtype=torch.float64)
    parameters, way = list(trained.parameters().values()), []
    for i, parameter in enumerate(parameters):
        parameter.data = 0.3 * drawn(*parameter.shape, seed=i).double()
        way.append(drawn(*parameter.shape, seed=100 + i).double())

    def loss(far):
        for parameter, step in zip(parameters, way, strict=True):
            parameter.data += far * step
        found = family.predict(denoiser, noisy, level, given).square().sum()
        for parameter, step in zip(parameters, way, strict=True):
            parameter.data -= far * step
        return found

    gradients = torch.autograd.grad(loss(0.0), parameters, allow_unused=True)
    along = sum((g * step).sum() for g, step in zip(gradients, way, strict=True) if g is not None)
    with torch.no_grad():
        near, far = ((loss(h) - loss(-h)) / (2 * h) for h in (1e-3, 2e-3))
        expected = (4 * near - far) / 3  # Richardson's: what is left is of the fourth order
    torch.testing.assert_close(along, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", PIPELINES)
def test_references_are_refused(bases, name):
    _, encoder, _ = loaded(bases, name)
    with pytest.raises(PortraitistError, match="no reference pictures"):
        encoder.conditions(Prompt(TEXT, references=(torch.zeros(3, 64, 64),)))
    with pytest.raises(PortraitistError, match="no reference pictures"):
        encoder.reference(torch.zeros(3, 64, 64))


def real_unet():
    """SDXL's UNet as published (its config.json), without weights."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            block_out_channels=(320, 640, 1280),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=(5, 10, 20),
            transformer_layers_per_block=(1, 2, 10),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=2816,
            cross_attention_dim=2048,
        )


def test_sdxl_names_are_those_of_the_publishers_checkpoint():
    """diffusers' converter of whole checkpoints, fed with our names, gives back its own for every layer."""
    unet = real_unet()
    names = list(unet.state_dict())
    theirs = {}
    for name in names:
        module, _, kind = name.rpartition(".")
        theirs[f"model.diffusion_model.{native(module)}.{kind}"] = name
    assert len(theirs) == len(names), "two layers of one name"
    found = convert_ldm_unet_checkpoint(dict(theirs), dict(unet.config))
    assert {name: found.get(name) for name in names} == {name: name for name in names}


@pytest.mark.parametrize("targets", [(), ("proj_in", "ff.net.2", "to_k", "proj_mlp", "img_mod.1", "feed_forward.w2")])
@pytest.mark.parametrize("name", PIPELINES)
def test_its_pipeline_loads_an_exported_adapter_and_draws_what_we_draw(bases, pipelines, monkeypatch, name, targets):
    """Denoisers in float64: in float32 SDXL's rounds by 2.3e-5 with AVX2. The rest is 1.4e-6 of latents up to 7.

    Of Z-Image's it is 2e-6 of up to 5, in float32 2.6e-6: it is told 1000 times 1 - level, in float32, which its
    pipeline rounds once more; Turbo, whose levels are exact there, is off by 5e-7.
    """
    family, encoder, denoiser = loaded(bases, name)
    alpha = 0.0 if name == "flux" else 6.0  # diffusers reads no alpha of FLUX beside peft's suffixes
    trained = inject.attach(denoiser, Adapter(rank=2, alpha=alpha, targets=targets), family, seed=0)
    for i, parameter in enumerate(trained.parameters().values()):
        parameter.data = 0.3 * drawn(*parameter.shape, seed=i)
    tensors = {n: t.clone() for n, t in trained.tensors().items()}
    file = {n: t for n, t in files.to_comfy(tensors, family).items() if name != "flux" or not n.endswith(".alpha")}
    noise = drawn(1, CHANNELS[name], HEIGHT // 8, WIDTH // 8)
    given, pipeline, part = encoder.conditions(Prompt(TEXT, WHOLE)), pipelines[name], KNOWN[name].denoiser
    monkeypatch.setattr(pipeline, part, exact(deepcopy(getattr(pipeline, part))))
    told = asked(name, 2, noise) | {"output_type": "latent"}
    plain = pipeline(**told).images
    whole = sampled(family, exact(denoiser), noise, 2, given)
    denoiser = exact(family.load_denoiser(bases[name]))
    pipeline.load_lora_weights(file, adapter_name="maya")
    getattr(pipeline, part).double()
    for strength in (0.0, 0.7, 1.0):
        pipeline.set_adapters("maya", strength)
        expected = pipeline(**told).images
        with inject.loaded(denoiser, family, {n: t.double() for n, t in tensors.items()}, strength):
            found = KNOWN[name].put(sampled(family, denoiser, noise, 2, given))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(expected, plain) == (strength == 0)
    torch.testing.assert_close(KNOWN[name].put(whole), expected, rtol=1e-5, atol=1e-5)
    assert (expected - plain).abs().max() > 0.01, "the adapter was not loaded"


def spoiled(base, folder, part, **facts):
    """A copy of a base with other words in one of its JSON files."""
    path = shutil.copytree(base.folder, folder) / part
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return folder


def test_a_base_that_wants_other_than_its_family_does_is_refused_before_it_is_read(bases, tmp_path):
    """FLUX.1-schnell has dev's pipeline and layers but guidance's; Kontext's pipeline wants a picture."""
    schnell = spoiled(bases["flux"], tmp_path / "schnell", "transformer/config.json", guidance_embeds=False)
    with pytest.raises(PortraitistError, match="is told no guidance"):
        families.pair(Model(family="flux", base=str(schnell)))
    single = tmp_path / "flux1-schnell.safetensors"
    files.tensorfile.write(single, {"double_blocks.0.img_attn.qkv.weight": torch.zeros(2, 2)})
    parts = {"transformer": str(single)}
    with pytest.raises(PortraitistError, match=r"flux1-schnell\.safetensors is told no guidance"):
        families.pair(Model(family="flux", base=str(bases["flux"].folder), parts=parts))
    kontext = spoiled(bases["flux"], tmp_path / "kontext", "model_index.json", _class_name="FluxKontextPipeline")
    with pytest.raises(PortraitistError, match="a base for FluxKontextPipeline, not one of flux"):
        families.pair(Model(family="flux", base=str(kontext)))
    with pytest.raises(PortraitistError, match="a base for FluxPipeline, not one of sdxl") as told:
        families.pair(Model(family="sdxl", base=str(bases["flux"].folder)))
    assert told.value.remedy == "Set model.family to flux."
    assert families.pair(Model(family="flux", base=str(bases["flux"].folder)))[0] == families.get("flux")


@pytest.mark.parametrize(("name", "part"), [("flux", "model_index.json"), ("sdxl", "scheduler/scheduler_config.json")])
def test_a_damaged_file_of_a_base_is_to_be_copied_and_not_deleted(name, part, bases, tmp_path):
    folder = spoiled(bases[name], tmp_path / "base", part)
    for text in ("{", "[]"):
        (folder / part).write_text(text)
        with pytest.raises(PortraitistError, match=f"{part} is damaged") as told:
            families.pair(Model(family=name, base=str(folder)))
        assert told.value.remedy == "Copy this file again."


@pytest.mark.parametrize("name", KNOWN)
def test_a_family_says_without_torch_whether_its_noise_has_timesteps(name):
    assert families.get(name).profile.timesteps == isinstance(families.get(name).process, Ddpm)


def test_what_bitsandbytes_tells_of_its_kernels_reaches_nobody():
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)


def test_a_module_without_a_name_in_the_publishers_layout_is_refused():
    with pytest.raises(PortraitistError, match="no module transformer_blocks"):
        families.get("sdxl").file_name("transformer_blocks.0.attn.to_q")
