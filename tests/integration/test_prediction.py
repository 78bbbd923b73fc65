"""What an SDXL base predicts: who says so, who contradicts, and that a base of v is drawn as its pipeline draws it."""

import json
import shutil

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, StableDiffusionXLPipeline

from portraitist import families
from portraitist.errors import PortraitistError
from portraitist.families.sdxl import Sdxl
from portraitist.family import Prompt
from portraitist.judge.render import Sampler
from portraitist.learn.noise import Ddpm, alphas
from portraitist.pictures import Crop
from portraitist.sections import Model
from tests import originals
from tests.tiny import tiny

TEXT = "zorblax, a fox, waving, in a forest at night"


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Tiny bases in diffusers' layout."""
    folder = tmp_path_factory.mktemp("bases")
    for name in ("sdxl", "flux"):
        tiny(name, folder / name)
    return folder


def test_a_scheduler_says_what_is_predicted(shelf, tmp_path):
    copy = shutil.copytree(shelf / "sdxl", tmp_path / "sdxl")
    path = copy / "scheduler" / "scheduler_config.json"
    usual = json.loads(path.read_text())

    def pair(prediction="", **facts):
        path.write_text(json.dumps(usual | facts))
        return families.pair(Model(family="sdxl", base=str(copy), prediction=prediction))[0]

    assert pair() == pair("epsilon") == Sdxl() == families.get("sdxl")
    assert pair(prediction_type="v_prediction") == pair("v", prediction_type="v_prediction") == Sdxl("v")
    assert pair(prediction_type="v_prediction", rescale_betas_zero_snr=True) == Sdxl("v", zero_snr=True)
    for declared, facts, match in (
        ("v", {}, r"'v', but .*scheduler_config\.json says 'epsilon'"),
        ("epsilon", {"prediction_type": "v_prediction"}, "'epsilon', but .* says 'v'"),
        ("", {"prediction_type": "sample"}, "says prediction_type = 'sample'"),
        ("", {"beta_schedule": "linear"}, "says beta_schedule = 'linear'"),
        ("", {"rescale_betas_zero_snr": True}, "says zero terminal SNR"),
    ):
        with pytest.raises(PortraitistError, match=match) as caught:
            pair(declared, **facts)
        assert caught.value.remedy
    path.unlink()
    assert families.pair(Model(family="sdxl", base=str(copy), prediction="v"))[0] == Sdxl("v")
    with pytest.raises(PortraitistError, match="bases of flux have no choice of it"):
        families.pair(Model(family="flux", base=str(shelf / "flux"), prediction="v"))


@pytest.mark.parametrize(
    ("marks", "said", "declared", "expected"),
    [
        ((), "", "", Sdxl()),
        ((), "", "v", Sdxl("v")),
        (("v_pred",), "", "", Sdxl("v")),
        (("v_pred", "ztsnr"), "", "", Sdxl("v", zero_snr=True)),
        (("ztsnr",), "", "v", Sdxl("v", zero_snr=True)),
        ((), "v", "", Sdxl("v")),
        ((), "epsilon", "epsilon", Sdxl()),
        ((), "epsilon", "v", "'v', but .* says 'epsilon'"),
        (("v_pred",), "", "epsilon", "'epsilon', but .* says 'v'"),
        (("v_pred",), "epsilon", "", "by its tensor 'v_pred' the other"),
        (("ztsnr",), "", "", "says zero terminal SNR"),
        (("edm_vpred.sigma_max",), "", "", "taught by EDM"),
        ((), "flow", "", "'flow'"),
    ],
)
def test_a_file_says_what_is_predicted(shelf, tmp_path, marks, said, declared, expected):
    """By its metadata, or by tensors that are marks."""
    tensors = {"input_blocks.0.0.weight": torch.ones(2, 2), **{mark: torch.zeros(0) for mark in marks}}
    words = {"modelspec.prediction_type": said} if said else {}
    path = originals.saved(tmp_path / "unet.safetensors", tensors, **words)
    (copy := tmp_path / "sdxl").mkdir()
    for part in ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        (copy / part).symlink_to(shelf / "sdxl" / part)
    wanted = Model(family="sdxl", base=str(copy), parts={"unet": str(path)}, prediction=declared)
    if isinstance(expected, str):
        with pytest.raises(PortraitistError, match=expected):
            families.pair(wanted)
    else:
        assert families.pair(wanted)[0] == expected


SCHEDULERS = {
    Sdxl("v"): (EulerDiscreteScheduler, {"timestep_spacing": "leading", "steps_offset": 1}),
    Sdxl("v", zero_snr=True): (
        DDIMScheduler,
        {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "clip_sample": False},
    ),
}


@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("expected", SCHEDULERS, ids=["v", "v, zero terminal SNR"])
def test_an_sdxl_that_predicts_v_draws_what_its_pipeline_draws(shelf, tmp_path, expected, steps):
    kind, facts = SCHEDULERS[expected]
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = kind(prediction_type="v_prediction", **betas, **facts)
    copy = shutil.copytree(shelf / "sdxl", tmp_path / "sdxl")
    scheduler.save_pretrained(copy / "scheduler")
    family, base = families.pair(Model(family="sdxl", base=str(copy), precision="float32"))
    assert family == expected
    encoder, denoiser = family.load_encoder(base), family.load_denoiser(base)
    pipeline = StableDiffusionXLPipeline.from_pretrained(copy, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    given, negative = (encoder.conditions(Prompt(t, Crop(64, 64, 0, 0, 64, 64, 64, 64))) for t in (TEXT, "blurry"))
    sampler = Sampler(family, denoiser, noise.shape[1:], 64, 64, steps, 5.0, "float32")
    found = sampler.latents([given], negative, noise)
    theirs = pipeline(
        prompt=TEXT, negative_prompt="blurry", guidance_scale=5, height=64, width=64, num_inference_steps=steps,
        latents=noise, output_type="latent",
    ).images  # fmt: skip
    torch.testing.assert_close(found, theirs, rtol=1e-3, atol=1e-3)
    assert found.std() > 0.1


def test_the_noise_of_zero_terminal_snr_is_diffusers():
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    torch.testing.assert_close(alphas(1000, 0.00085, 0.012, True), scheduler.alphas_cumprod, rtol=1e-4, atol=1e-7)
    process = Ddpm("v", zero_snr=True)
    latents, noise = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    times = torch.tensor([0, 500, 999])
    level = (times + 1) / 1000
    torch.testing.assert_close(process.mix(latents, noise, level), scheduler.add_noise(latents, noise, times))
    torch.testing.assert_close(process.target(latents, noise, level), scheduler.get_velocity(latents, noise, times))
    assert torch.equal(process.mix(latents, noise, torch.ones(3)), noise)
    for steps in (1, 3, 30):
        scheduler.set_timesteps(steps)
        found = Sdxl("v", zero_snr=True).levels(steps, 64, 64)
        assert (found[:-1] * 1000 - 1).round().tolist() == scheduler.timesteps.tolist()
