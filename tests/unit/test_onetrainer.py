"""OneTrainer's configs: each rule speaks where it should and is silent where it should not; arithmetic; migrations."""

import pytest

from portraitist.errors import PortraitistError
from portraitist.interop import tool
from portraitist.interop.diagnosis import rules
from portraitist.interop.onetrainer.reading import settings
from portraitist.interop.onetrainer.run import ages, buckets
from tests.trainers import GONE, changed, judged, pictured, read, said

PATTERNS = "attn,img_mlp,txt_mlp"
SOUND = {
    "__version": 11,
    "training_method": "LORA",
    "model_type": "QWEN",
    "base_model_name": "Qwen/Qwen-Image",
    "output_model_format": "COMFY_LORA",
    "resolution": "1024",
    "epochs": 10,
    "batch_size": 1,
    "gradient_accumulation_steps": 1,
    "learning_rate": 3e-4,
    "learning_rate_warmup_steps": 0.05,
    "train_dtype": "BFLOAT_16",
    "lora_rank": 16,
    "lora_alpha": 16.0,
    "layer_filter": PATTERNS,
    "layer_filter_preset": "attn-mlp",
    "save_every": 1,
    "save_every_unit": "EPOCH",
    "sample_after_unit": "EPOCH",
    "transformer": {"train": True, "weight_dtype": "FLOAT_8"},
    "text_encoder": {"train": False},
    "concepts": [{"__version": 2, "name": "maya", "path": "maya", "type": "STANDARD", "balancing": 1.0}],
}
SDXL = {
    "model_type": "STABLE_DIFFUSION_XL_10_BASE",
    "base_model_name": "sdxl",
    "layer_filter": "attn",
    "layer_filter_preset": "attn-only",
}
MASKED = {"masked_training": True, "normalize_masked_area_loss": True}
VALID = {"name": "held", "path": "held", "type": "VALIDATION", "__version": 2}
TUNED = {
    "training_method": "FINE_TUNE",
    "output_model_format": "DIFFUSERS",
    "learning_rate": 1e-5,
    "transformer.weight_dtype": "BFLOAT_16",
}
BOTH = {"concepts": [SOUND["concepts"][0], VALID]}
ROUNDED = {"lora_weight_dtype": "BFLOAT_16"}

CASES = {
    "unknown-key": ({"learning_rat": 1e-4}, {}),
    "refused-value": ({"ema": "ON"}, {"ema": "CPU"}),
    "refused-model": ({"model_type": "QWEN_EDIT"}, {}),
    "text-flag": ({"validation": "false"}, {"validation": False}),
    "newer-version": ({"__version": 12}, {}),
    "migrated": ({"__version": 10}, {}),
    "migration-stops": ({"__version": GONE}, {}),
    "edit-model": ({"base_model_name": "Qwen/Qwen-Image-Edit-2509"}, {}),
    "method-not-offered": ({"training_method": "EMBEDDING"}, {}),
    "format-not-offered": ({"output_model_format": "SAFETENSORS"}, {"output_model_format": "DIFFUSERS_LORA"}),
    "format-not-named": ({"output_model_format": GONE}, {}),
    "loss-weight-flow": ({"loss_weight_fn": "MIN_SNR_GAMMA"}, {"loss_weight_fn": "SIGMA"}),
    "loss-weight-diffusion": ({**SDXL, "loss_weight_fn": "SIGMA"}, {**SDXL, "loss_weight_fn": "MIN_SNR_GAMMA"}),
    "prior-needs-lora": ({**TUNED, "concepts.0.type": "PRIOR_PREDICTION"}, {"concepts.0.type": "PRIOR_PREDICTION"}),
    "masked-prior-needs-lora": ({**MASKED, **TUNED, "masked_prior_preservation_weight": 0.5}, {**MASKED, **TUNED}),
    "masked-prior-doubles": ({**MASKED, "masked_prior_preservation_weight": 0.5}, MASKED),
    "unmasked-probability": ({**MASKED, "unmasked_probability": 0.2}, {**MASKED, "unmasked_weight": 0.2}),
    "mask-not-normalised": ({"masked_training": True}, MASKED),
    "mask-ignored": ({**MASKED, "model_type": "FLUX_FILL_DEV_1"}, MASKED),
    "validation-no-concept": ({"validation": True}, {"validation": True, **BOTH}),
    "validation-off": (BOTH, {"validation": True, **BOTH}),
    "validation-one-level": ({"validation": True, **BOTH}, {}),
    "validation-not-ema": ({"validation": True, "ema": "CPU", **BOTH}, {"validation": True, **BOTH}),
    "alpha-scale": ({"lora_alpha": 1.0}, {}),
    "text-encoder-trained": ({"text_encoder": {}}, {}),
    "fp16-scaler": ({"train_dtype": "FLOAT_16"}, {}),
    "fp16-without-scaler": ({"train_dtype": "FLOAT_16", **ROUNDED}, ROUNDED),
    "quantised-tuned": ({**TUNED, "transformer.weight_dtype": "FLOAT_8"}, TUNED),
    "ema-outlasts": (
        {"ema": "CPU", "concepts.0.balancing_strategy": "SAMPLES", "concepts.0.balancing": 100},
        {"ema": "CPU", "ema_decay": 0.9, "concepts.0.balancing_strategy": "SAMPLES", "concepts.0.balancing": 100},
    ),
    "cache-stale": ({"clear_cache_before_training": False}, {}),
    "augmentation-frozen": (
        {"concepts.0.image": {"enable_random_flip": True}},
        {"concepts.0.image": {"enable_random_flip": True}, "concepts.0.image_variations": 10},
    ),
    "text-frozen": (
        {"concepts.0.text": {"enable_tag_shuffling": True}},
        {"concepts.0.text": {"enable_tag_shuffling": True}, "latent_caching": False},
    ),
    "trigger-shuffled": (
        {"concepts.0.text": {"enable_tag_shuffling": True, "keep_tags_count": 0}},
        {"concepts.0.text": {"enable_tag_shuffling": True, "keep_tags_count": 1}},
    ),
    "final-save-only": ({"save_every_unit": "NEVER"}, {}),
    "steps-are-batches": (
        {"gradient_accumulation_steps": 4, "save_every_unit": "STEP", "save_every": 400},
        {"save_every_unit": "STEP", "save_every": 400},
    ),
    "warmup-long": (
        {"learning_rate_warmup_steps": 200, "concepts.0.balancing_strategy": "SAMPLES", "concepts.0.balancing": 50},
        {"concepts.0.balancing_strategy": "SAMPLES", "concepts.0.balancing": 50},
    ),
    "samples-by-the-clock": ({"sample_after_unit": GONE}, {}),
    "samples-of-chance": ({"samples": [{"prompt": "x", "random_seed": True}]}, {"samples": [{"prompt": "x"}]}),
    "concepts-unseen": ({"concepts": GONE}, {}),
    "no-concepts": ({"concepts.0.enabled": False}, {}),
    "prompt-file-missing": (
        {"concepts.0.text": {"prompt_source": "concept", "prompt_path": ""}},
        {"concepts.0.text": {"prompt_source": "concept", "prompt_path": "captions.txt"}},
    ),
    "rate-low": ({"learning_rate": 3e-6}, {}),
    "rate-high": ({"learning_rate": 5e-3}, {}),
    "rate-adaptive": (
        {"optimizer": {"optimizer": "PRODIGY"}},
        {"optimizer": {"optimizer": "PRODIGY"}, "learning_rate": 1.0},
    ),
    "layer-preset-only": ({"layer_filter": ""}, {}),
    "layer-filter-disagrees": ({"layer_filter": "attn"}, {"layer_filter": "attn", "layer_filter_preset": "attn-only"}),
    "several-resolutions": ({"resolution": "768,1024"}, {}),
    "resolution-not-read": ({"resolution": "[1024]"}, {"resolution": "832x1216"}),
    "single-file-not-read": ({"base_model_name": "qwen.safetensors"}, {}),
    "backups-pile-up": ({**TUNED, "backup_after": 30}, {**TUNED, "backup_after": 30, "rolling_backup": True}),
    "scaled-twice": ({"loss_scaler": "BATCH", "learning_rate_scaler": "BATCH"}, {"learning_rate_scaler": "BATCH"}),
    "config-in-file": ({"include_train_config": "ALL"}, {"include_train_config": "NONE"}),
    "secret-in-config": ({"secrets": {"huggingface_token": "hf_x"}}, {"secrets": {"huggingface_token": ""}}),
    "fused-accumulated": (
        {"optimizer": {"optimizer": "ADAFACTOR", "fused_back_pass": True}, "gradient_accumulation_steps": 2},
        {"optimizer": {"optimizer": "ADAFACTOR", "fused_back_pass": True}},
    ),
    "offload-uncheckpointed": (
        {"transformer.offload_fraction": 0.5, "transformer.gradient_checkpointing": False},
        {"transformer.offload_fraction": 0.5},
    ),
}  # fmt: skip
SEEN = {
    "folder-masks-missing", "folder-remainders", "batch-too-large", "folder-missing", "captions-missing",
    "captions-too-long", "old-keys-in-preset", "not-json", "stands-twice",
}  # fmt: skip
"""Rules about pictures or names of files, each with a test of its own below."""


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_of_what_it_is_about_and_not_of_the_repaired_config(rule):
    broken, repaired = CASES[rule]
    assert rule in said(judged("onetrainer", changed(SOUND, broken)))
    assert rule not in said(judged("onetrainer", changed(SOUND, repaired)))


def test_no_rule_is_without_a_test():
    assert set(CASES) | SEEN == set(rules("onetrainer").rules)


def test_a_sound_config_is_judged_clean(tmp_path):
    pictured(tmp_path / "maya", 4)
    found = judged("onetrainer", SOUND, folder=tmp_path)
    assert [remark.rule for remark in found.remarks] == []
    assert not found.stops
    assert not found.differs


def test_what_stops_it_is_told_apart_from_what_trains_something_else():
    stopped = judged("onetrainer", changed(SOUND, {"loss_weight_fn": "P2"}))
    other = judged("onetrainer", changed(SOUND, {"base_model_name": "Qwen/Qwen-Image-Edit"}))
    assert "P2" in stopped.stops
    assert not stopped.differs
    assert "Edit" in other.differs
    assert not other.stops


def test_updates_are_pictures_times_repeats_over_batch_and_accumulation(tmp_path):
    """12 pictures x 2.5 repeats = 30 of one shape; batches of 4 = 7 whole ones; x 10 epochs = 70; over 3 = 23."""
    pictured(tmp_path / "maya", 12)
    changes = {"batch_size": 4, "gradient_accumulation_steps": 3, "concepts.0.balancing": 2.5}
    run = judged("onetrainer", changed(SOUND, changes), folder=tmp_path).effective
    assert (run.updates, run.pictures_per_update, run.exposures) == (23, 12, 276)
    assert run.sets[0].pictures == 12
    assert run.sets[0].repeats == 2.5
    assert run.per_pass == 30


def test_samples_count_pictures_whatever_the_folder_holds():
    """100 samples in batches of 4 = 25; x 10 epochs = 250 updates; saved after 9 of 10 epochs and at the end."""
    changes = {"batch_size": 4, "concepts.0.balancing_strategy": "SAMPLES", "concepts.0.balancing": 100}
    run = judged("onetrainer", changed(SOUND, changes)).effective
    assert run.updates == 250
    assert run.saves == 10


def test_bucket_remainders_are_dropped_and_counted(tmp_path):
    """5 wide and 3 square pictures in batches of 4: one batch of the wide, none of the square; 1 + 3 are left out."""
    pictured(tmp_path / "maya", 5, (200, 100))
    pictured(tmp_path / "maya", 3, (100, 100))
    found = judged("onetrainer", changed(SOUND, {"batch_size": 4}), folder=tmp_path)
    assert found.effective.updates == 10
    (remark,) = [one for one in found.remarks if one.rule.endswith("folder-remainders")]
    assert "4 of 8" in remark.says
    assert "1 buckets" in remark.says
    assert "folder-remainders" not in said(judged("onetrainer", SOUND, folder=tmp_path))


def test_a_batch_larger_than_every_bucket_trains_nothing(tmp_path):
    pictured(tmp_path / "maya", 3)
    found = judged("onetrainer", changed(SOUND, {"batch_size": 4}), folder=tmp_path)
    assert "batch-too-large" in said(found)
    assert found.stops
    assert "batch-too-large" not in said(judged("onetrainer", changed(SOUND, {"batch_size": 3}), folder=tmp_path))


def test_masks_and_captions_beside_pictures_are_looked_for(tmp_path):
    pictured(tmp_path / "maya", 2, texts=False)
    masked = changed(SOUND, MASKED)
    assert {"folder-masks-missing", "captions-missing"} <= said(judged("onetrainer", masked, folder=tmp_path))
    pictured(tmp_path / "maya", 2, masks=True)
    assert not {"folder-masks-missing", "captions-missing"} & said(judged("onetrainer", masked, folder=tmp_path))


def test_captions_longer_than_flux_reads_by_default_are_told(tmp_path):
    pictured(tmp_path / "maya", 1)
    (tmp_path / "maya" / "64x64-0.txt").write_text("word " * 90)
    flux = {"model_type": "FLUX_DEV_1", "layer_filter": "", "layer_filter_preset": "full"}
    assert "captions-too-long" in said(judged("onetrainer", changed(SOUND, flux), folder=tmp_path))
    longer = changed(SOUND, {**flux, "text_encoder_2_sequence_length": 512})
    assert "captions-too-long" not in said(judged("onetrainer", longer, folder=tmp_path))


def test_a_folder_that_is_not_there_is_told(tmp_path):
    assert "folder-missing" in said(judged("onetrainer", SOUND, folder=tmp_path))
    pictured(tmp_path / "maya", 1)
    assert "folder-missing" not in said(judged("onetrainer", SOUND, folder=tmp_path))


def test_a_preset_is_known_by_its_name_and_its_older_keys_count_for_nothing():
    preset = changed(SOUND, {"__version": GONE, "weight_dtype": "BFLOAT_16"})
    found = judged("onetrainer", preset, name="#mine.json")
    assert "old-keys-in-preset" in said(found)
    assert "unknown-key" not in said(found)
    assert not found.stops
    plain = changed(preset, {"weight_dtype": GONE})
    assert "old-keys-in-preset" not in said(judged("onetrainer", plain, name="#mine.json"))
    assert judged("onetrainer", preset, name="mine.json").stops


def full(version, **values):
    """A whole config of an older version, as its window wrote it."""
    parts = ("unet", "prior", "text_encoder", "text_encoder_2", "vae", "effnet_encoder", "decoder")
    parts = (*parts, "decoder_text_encoder", "decoder_vqgan")
    held = {"__version": version, "model_type": "STABLE_DIFFUSION_XL_10_BASE", "training_method": "LORA"}
    held |= {"weight_dtype": "FLOAT_16", "base_model_name": "sdxl", "workspace_dir": "w"}
    if version < 2:
        held |= {f"{part}_weight_dtype": "NONE" for part in parts}
    else:
        held |= {part: {"weight_dtype": "NONE"} for part in parts}
    return held | values


MIGRATIONS = {
    "optimisers got a table": (full(0, optimizer="ADAM", optimizer_k=2), ("optimizer", "k"), 2),
    "parts got tables": (full(1, train_text_encoder=False), ("text_encoder", "train"), False),
    "epochs of a part end it": (full(1, train_unet_epochs=7), ("unet", "stop_training_after_unit"), "EPOCH"),
    "min_snr_gamma is a loss weight": (full(2, min_snr_gamma=5), ("loss_weight_fn",), "MIN_SNR_GAMMA"),
    "and keeps its strength": (full(2, min_snr_gamma=5), ("loss_weight_strength",), 5),
    "a noising weight is a sigmoid": (full(3, noising_weight=2), ("timestep_distribution",), "SIGMOID"),
    "whose bias counts from 0": (full(3, noising_weight=2, noising_bias=0.5), ("noising_bias",), 0.0),
    "none is uniform": (full(3), ("timestep_distribution",), "UNIFORM"),
    "checkpointing goes to parts": (full(4, gradient_checkpointing=False), ("unet", "gradient_checkpointing"), False),
    "save_after is save_every": (full(5, save_after=3), ("save_every",), 3),
    "lora_layers are a filter": (full(7, lora_layers="attn"), ("layer_filter",), "attn"),
    "prior became transformer": (full(8, prior={"weight_dtype": "INT_8"}), ("transformer", "weight_dtype"), "INT_8"),
    "NONE is the common type": (full(9), ("unet", "weight_dtype"), "FLOAT_16"),
    "offloading went to parts": (
        changed(full(10, gradient_checkpointing="CPU_OFFLOADED", layer_offload_fraction=0.4), {"weight_dtype": GONE}),
        ("unet", "offload_fraction"),
        0.4,
    ),
    "formats got names": (
        changed(full(10, output_model_format="SAFETENSORS"), {"weight_dtype": GONE}),
        ("output_model_format",),
        "LEGACY_LORA",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MIGRATIONS)
def test_an_older_version_is_read_as_onetrainer_rewrites_it(what):
    given_config, path, value = MIGRATIONS[what]
    config = settings(read(given_config))
    assert not config.stops
    assert config.given(*path) == value


def test_every_older_version_comes_to_the_newest():
    for version in range(11):
        given_config = full(version) if version < 10 else changed(full(version), {"weight_dtype": GONE})
        assert not settings(read(given_config)).stops, version


def test_what_was_moved_is_remarked_on_where_it_stands():
    config = full(7, lora_layers="", lora_layer_preset="attn-mlp", output_model_format="SAFETENSORS")
    remarks = judged("onetrainer", config).remarks
    (remark,) = [one for one in remarks if one.rule == "onetrainer/layer-preset-only"]
    assert remark.path == ("lora_layer_preset",)
    assert remark.place.line > 1


def test_the_average_is_as_old_as_its_weights_say():
    """With decay 0.5 the ages 0, 1, 2 ... weigh 1/2, 1/4, 1/8 ...: mean 1; the newest is as old as no update."""
    assert ages(0.5, 1, 1000) == pytest.approx(1.0, abs=1e-3)
    assert ages(0.999, 5, 4000) == pytest.approx(1430, rel=0.02)


def test_buckets_hold_the_area_both_ways():
    for width, height in buckets(1024):
        assert (height, width) in buckets(1024)
        assert 0.85 < width * height / 1024**2 < 1.15


def test_a_list_of_concepts_is_judged_alone(tmp_path):
    pictured(tmp_path / "maya", 3)
    found = judged("onetrainer", [{**SOUND["concepts"][0], "tpye": "STANDARD"}], "concepts.json", tmp_path)
    assert said(found) == {"unknown-key"}
    assert found.effective.sets[0].pictures == 3


def test_what_is_carried_is_told_key_by_key_and_the_rest_with_a_reason(tmp_path):
    pictured(tmp_path / "maya", 8)
    config = changed(SOUND, {"ema": "CPU", "ema_decay": 0.99, "text_encoder.train": True, "masked_training": True})
    carried = tool("onetrainer").carried(read(config, folder=tmp_path))
    assert carried.recipe["model.family"] == "qwen-image"
    assert carried.recipe["model.quantised"] == "fp8"
    assert carried.recipe["stages"] == [{"name": "main", "steps": 80}]
    assert carried.recipe["training.ema"] == pytest.approx(0.99 ** (1 / 5))
    assert carried.kept["lora_rank",] == "adapter.rank"
    assert any(one.path == ("text_encoder", "train") and "frozen" in one.why for one in carried.left)


def test_a_base_that_is_not_trained_here_is_refused_by_name():
    for change in (
        {"model_type": "SANA"},
        {"training_method": "EMBEDDING", "model_type": "STABLE_DIFFUSION_XL_10_BASE"},
    ):
        with pytest.raises(PortraitistError):
            tool("onetrainer").carried(read(changed(SOUND, change)))


def test_a_list_of_samples_is_known_and_carries_nothing():
    samples = [{"prompt": "maya_char", "cfg_scale": 3.5, "random_seed": True, "promt": "x"}]
    assert said(judged("onetrainer", samples, "samples.json")) == {"samples-of-chance", "unknown-key"}
    with pytest.raises(PortraitistError, match="samples"):
        tool("onetrainer").carried(read(samples))
