"""diffusion-pipe's configs: each rule speaks where it should and is silent where it should not; arithmetic."""

import pytest
import tomli_w

from portraitist.errors import PortraitistError
from portraitist.interop import tool
from portraitist.interop.diagnosis import rules
from tests.trainers import GONE, changed, judged, pictured, read, said

SOUND = {
    "output_dir": "runs",
    "dataset": "dataset.toml",
    "epochs": 100,
    "max_steps": 1000,
    "micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "save_every_n_steps": 100,
    "checkpoint_every_n_minutes": 60,
    "activation_checkpointing": True,
    "model": {"type": "flux", "diffusers_path": "FLUX.1-dev", "dtype": "bfloat16", "transformer_dtype": "float8"},
    "adapter": {"type": "lora", "rank": 32, "dtype": "bfloat16"},
    "optimizer": {"type": "adamw_optimi", "lr": 1e-4},
}
DATASET = {
    "resolutions": [64],
    "enable_ar_bucket": True,
    "min_ar": 0.5,
    "max_ar": 2.0,
    "num_ar_buckets": 3,
    "directory": [{"path": "maya", "num_repeats": 1}],
}
SDXL = {"model": {"type": "sdxl", "checkpoint_path": "x.safetensors", "dtype": "bfloat16"}}
EVALS = {"eval_datasets": [{"name": "held", "config": "held.toml"}], "eval_every_n_epochs": 1}
WANDB = {"enable_wandb": True, "wandb_api_key": "", "wandb_tracker_name": "t", "wandb_run_name": "r"}

CASES = {
    "unknown-key": ({"optimiser": 1}, {}),
    "key-missing": ({"model.dtype": GONE}, {}),
    "save-missing": ({"save_every_n_steps": GONE}, {}),
    "quoted-number": ({"optimizer.lr": "1e-4"}, {}),
    "alpha-refused": ({"adapter.alpha": 16}, {}),
    "unknown-adapter": ({"adapter.type": "loha"}, {}),
    "lokr-not-here": ({**SDXL, "adapter.type": "lokr"}, SDXL),
    "unknown-model": ({"model.type": "qwen-image"}, {"model.type": "qwen_image"}),
    "unknown-dtype": ({"model.transformer_dtype": "fp8"}, {}),
    "unknown-schedule": ({"lr_scheduler": "polynomial"}, {"lr_scheduler": "linear"}),
    "unknown-levels": ({"model.timestep_sample_method": "sigmoid"}, {"model.timestep_sample_method": "uniform"}),
    "swap-needs-lora": ({"blocks_to_swap": 8, "pipeline_stages": 2}, {"blocks_to_swap": 8}),
    "swap-not-here": ({**SDXL, "blocks_to_swap": 8}, SDXL),
    "swap-all": ({"blocks_to_swap": 8}, {}),
    "eval-by-name": ({**EVALS, "eval_datasets": ["held.toml"]}, EVALS),
    "eval-once": ({**EVALS, "eval_every_n_epochs": GONE}, EVALS),
    "eval-unused": ({"eval_every_n_epochs": 1}, {}),
    "text-encoders-trained": (SDXL, {**SDXL, "model.text_encoder_1_lr": 0, "model.text_encoder_2_lr": 0}),
    "rounding-lost": ({"optimizer.type": "AdamW8bit"}, {"optimizer.type": "AdamW8bit", "adapter.dtype": "float32"}),
    "fp8-tuned": ({"adapter": GONE}, {}),
    "rate-default": ({"optimizer.lr": GONE}, {"optimizer": {"type": "automagic"}}),
    "rate-low": ({"optimizer.lr": 1e-7}, {}),
    "rate-high": ({"optimizer.lr": 0.01}, {}),
    "rate-forced": ({"force_constant_lr": 1e-5}, {}),
    "steps-per-microbatch": (
        {"optimizer.gradient_release": True, "gradient_accumulation_steps": 4},
        {"optimizer.gradient_release": True},
    ),
    "two-clocks": ({"checkpoint_every_n_epochs": 1}, {}),
    "never-resumable": ({"checkpoint_every_n_minutes": GONE}, {}),
    "memory-kept": ({"activation_checkpointing": GONE}, {}),
    "guidance-trained": ({"model.guidance": 3.5}, {"model.guidance": 1.0}),
    "shift-twice": ({"model.flux_shift": True, "model.shift": 3}, {"model.shift": 3}),
    "wandb-keys": ({"monitoring": {"enable_wandb": True}}, {"monitoring": WANDB}),
    "secret-in-config": ({"monitoring": {**WANDB, "wandb_api_key": "abc"}}, {"monitoring": WANDB}),
}
DATASETS = {
    "no-directory": ({"directory": []}, {}),
    "path-not-named": ({"directory.0.path": GONE}, {}),
    "folder-missing": ({"directory.0.path": "nowhere"}, {}),
    "no-resolutions": ({"resolutions": GONE, "directory.0.resolutions": [64]}, {"directory.0.resolutions": [64]}),
    "no-range": ({"min_ar": GONE, "directory.0.min_ar": 0.5}, {}),
    "too-many-resolutions": ({"resolutions": [64, 128, 192, 256]}, {}),
    "copies": ({"resolutions": [64, 128]}, {"resolutions": [[64, 64]]}),
    "squares-alone": ({"enable_ar_bucket": False}, {}),
    "repeats-not-positive": ({"directory.0.num_repeats": 0}, {}),
    "mask-not-normalised": ({"directory.0.mask_path": "maya"}, {}),
    "one-control": ({"directory.0.control_path": "maya"}, {}),
    "trigger-shuffled": ({"cache_shuffle_num": 5}, {"cache_shuffle_num": 5, "caption_prefix": "maya_char, "}),
}
SEEN = {
    "no-samples", "data-unseen", "schedule-by-epochs", "folder-remainders", "nothing-left", "folder-masks-missing",
    "controls-missing", "captions-missing", "edit-without-control", "cache-beside",
}  # fmt: skip
"""Rules with a test of their own below."""


def beside(folder, dataset=DATASET, **changes):
    """The diagnosis of a config with its dataset in a file beside it."""
    (folder / "dataset.toml").write_text(tomli_w.dumps(dataset))
    return judged("diffusion_pipe", changed(SOUND, changes), "config.toml", folder)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_of_what_it_is_about_and_not_of_the_repaired_config(rule):
    broken, repaired = CASES[rule]
    assert rule in said(judged("diffusion_pipe", changed(SOUND, broken), "config.toml"))
    assert rule not in said(judged("diffusion_pipe", changed(SOUND, repaired), "config.toml"))


@pytest.mark.parametrize("rule", DATASETS)
def test_a_rule_about_data_speaks_where_it_should_alone(rule, tmp_path):
    pictured(tmp_path / "maya")
    broken, repaired = DATASETS[rule]
    alone = judged("diffusion_pipe", changed(DATASET, broken), "dataset.toml", tmp_path)
    assert rule in said(alone)
    assert rule in said(beside(tmp_path, changed(DATASET, broken)))
    assert rule not in said(beside(tmp_path, changed(DATASET, repaired)))


def test_no_rule_is_without_a_test():
    assert set(CASES) | set(DATASETS) | SEEN == set(rules("diffusion_pipe").rules)


def test_a_sound_config_has_notes_alone(tmp_path):
    pictured(tmp_path / "maya")
    found = beside(tmp_path)
    assert {remark.severity for remark in found.remarks} == {"note"}
    assert said(found) == {"no-samples", "cache-beside"}
    assert "no-samples" not in said(judged("diffusion_pipe", DATASET, "dataset.toml", tmp_path))
    assert "data-unseen" in said(judged("diffusion_pipe", SOUND, "config.toml"))
    assert "data-unseen" not in said(found)
    assert "cache-beside" not in said(judged("diffusion_pipe", DATASET, "dataset.toml"))


def test_every_bucket_of_every_resolution_is_cut_to_whole_batches(tmp_path):
    """9 square and 5 wide pictures, twice each, at 2 sizes: 18 and 10 a size; batches of 4: 4 + 2, at 2 sizes 12.

    Left out: 2 + 2 at each size. In 3 epochs 36 steps.
    """
    pictured(tmp_path / "maya", 9)
    pictured(tmp_path / "maya", 5, (128, 64))
    data = changed(DATASET, {"resolutions": [64, 128], "directory.0.num_repeats": 2})
    changes = {"micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "epochs": 3, "max_steps": GONE}
    found = beside(tmp_path, data, **changes)
    run = found.effective
    assert (run.updates, run.pictures_per_update) == (36, 4)
    assert run.sets[0].repeats == 4
    assert run.per_pass == 56
    (remark,) = [one for one in found.remarks if one.rule.endswith("folder-remainders")]
    assert "8 of 56" in remark.says
    assert "folder-remainders" not in said(beside(tmp_path))


def test_a_batch_larger_than_every_bucket_leaves_nothing(tmp_path):
    pictured(tmp_path / "maya", 3)
    found = beside(tmp_path, gradient_accumulation_steps=4)
    assert "nothing-left" in said(found)
    assert found.stops
    assert "nothing-left" not in said(beside(tmp_path, gradient_accumulation_steps=3))


def test_saves_are_counted_by_steps_and_the_last_one(tmp_path):
    pictured(tmp_path / "maya", 4)
    assert beside(tmp_path, epochs=1000, max_steps=250).effective.saves == 3
    assert beside(tmp_path, epochs=50, max_steps=GONE).effective.saves == 2


def test_a_schedule_over_more_epochs_than_steps_hardly_falls(tmp_path):
    """4 steps an epoch x 1,000 epochs = 4,000; cut at 1,000 the line is at three quarters."""
    pictured(tmp_path / "maya", 4)
    found = beside(tmp_path, lr_scheduler="linear", epochs=1000)
    (remark,) = [one for one in found.remarks if one.rule.endswith("schedule-by-epochs")]
    assert "75%" in remark.says
    assert "schedule-by-epochs" not in said(beside(tmp_path, lr_scheduler="linear", epochs=250))


def test_a_picture_without_a_caption_is_left_out_unless_that_is_switched_off(tmp_path):
    pictured(tmp_path / "maya", 3, texts=False)
    pictured(tmp_path / "maya", 2, (96, 64))
    assert beside(tmp_path, epochs=10, max_steps=GONE).effective.updates == 20
    kept = changed(DATASET, {"skip_empty_caption": False})
    assert beside(tmp_path, kept, epochs=10, max_steps=GONE).effective.updates == 50


def test_masks_controls_and_captions_are_looked_for_by_name(tmp_path):
    pictured(tmp_path / "maya", 3, texts=False)
    pictured(tmp_path / "masks", 2)
    data = changed(DATASET, {"directory.0.mask_path": "masks", "directory.0.control_path": "masks"})
    missing = {"folder-masks-missing", "controls-missing", "captions-missing"}
    assert missing <= said(beside(tmp_path, data))
    pictured(tmp_path / "maya", 3)
    pictured(tmp_path / "masks", 3)
    assert not missing & said(beside(tmp_path, data))


def test_an_edit_base_without_controls_is_told(tmp_path):
    pictured(tmp_path / "maya")
    edit = {"model": {"type": "qwen_image", "diffusers_path": "Qwen-Image-Edit-2509", "dtype": "bfloat16"}}
    assert "edit-without-control" in said(beside(tmp_path, **edit))
    shown = changed(DATASET, {"directory.0.control_path": "maya"})
    assert "edit-without-control" not in said(beside(tmp_path, shown, **edit))


def test_what_is_carried_is_told_key_by_key_and_the_rest_with_a_reason(tmp_path):
    pictured(tmp_path / "maya")
    data = changed(DATASET, {"caption_prefix": "maya_char, ", "directory.0.num_repeats": 3})
    (tmp_path / "dataset.toml").write_text(tomli_w.dumps(data))
    carried = tool("diffusion_pipe").carried(read(changed(SOUND, {"blocks_to_swap": 8}), "config.toml", tmp_path))
    assert carried.recipe["model.quantised"] == "fp8"
    assert carried.recipe["data.sets"] == [{"name": "", "weight": 3}]
    assert carried.trigger == "maya_char"
    assert carried.kept["adapter", "rank"] == "adapter.rank"
    assert any(one.path == ("blocks_to_swap",) for one in carried.left)


def test_a_base_that_is_not_trained_here_is_refused_by_name():
    with pytest.raises(PortraitistError, match="wan"):
        tool("diffusion_pipe").carried(read(changed(SOUND, {"model.type": "wan"}), "config.toml"))
