"""SimpleTuner's configs: each rule speaks where it should and is silent where it should not; arithmetic."""

import json

import pytest

from portraitist.errors import PortraitistError
from portraitist.interop import tool
from portraitist.interop.diagnosis import rules
from tests.trainers import GONE, changed, judged, pictured, read, said

SOUND = {
    "model_family": "flux",
    "model_type": "lora",
    "lora_type": "standard",
    "lora_rank": 16,
    "lora_dropout": 0.0,
    "data_backend_config": "multidatabackend.json",
    "max_train_steps": 1000,
    "num_train_epochs": 0,
    "train_batch_size": 1,
    "learning_rate": 1e-4,
    "grad_clip_method": "norm",
    "max_grad_norm": 1.0,
    "caption_dropout_probability": 0.05,
    "checkpoint_step_interval": 100,
    "checkpoints_total_limit": 10,
    "optimizer": "adamw_bf16",
    "seed": 42,
}
PICTURES = {
    "id": "maya",
    "type": "local",
    "dataset_type": "image",
    "instance_data_dir": "maya",
    "caption_strategy": "textfile",
    "resolution": 64,
    "resolution_type": "pixel_area",
}
TEXTS = {"id": "text", "type": "local", "dataset_type": "text_embeds", "default": True, "cache_dir": "cache"}
HELD = {**PICTURES, "id": "held", "dataset_type": "eval"}
MASKS = {"id": "masks", "type": "local", "dataset_type": "conditioning", "conditioning_type": "mask"}
EDIT = {"model_family": "qwen_image", "model_flavour": "edit-v2"}
REFERENCES = {"id": "shown", "type": "local", "dataset_type": "conditioning", "conditioning_type": "reference_strict"}
EVALUATED = {"eval_steps_interval": 100, "num_eval_images": 100, "caption_dropout_probability": 0.0}
AREA = {"resolution_type": "area"}

CASES = {
    "unknown-option": ({"lora_rnak": 8}, {}),
    "option-not-listed": ({"qqqqqq": 1}, {}),
    "not-a-choice": ({"model_type": "LoRA"}, {}),
    "old-name": ({"validation_steps": 100}, {"validation_step_interval": 100}),
    "dataset-key": ({"repeats": 10}, {}),
    "false-text": ({"gradient_checkpointing": "false"}, {"gradient_checkpointing": False}),
    "no-family": ({"model_family": GONE}, {}),
    "unknown-family": ({"model_family": "qwen"}, {"model_family": "qwen_image"}),
    "steps-and-epochs": ({"num_train_epochs": 10}, {}),
    "epochs-by-default": ({"num_train_epochs": GONE}, {}),
    "no-length": ({"max_train_steps": 0}, {}),
    "precision-not-known": ({"base_model_precision": "int8"}, {"base_model_precision": "int8-quanto"}),
    "optimiser-gone": ({"optimizer": "adamw8bit"}, {"optimizer": "bnb-adamw8bit"}),
    "size-without-target": ({"maximum_image_size": 1024}, {"maximum_image_size": 1024, "target_downsample_size": 1024}),
    "megapixels-meant": (
        {"resolution_type": "area", "resolution": 1024},
        {"resolution_type": "area", "resolution": 1.0},
    ),
    "pixels-meant": ({"resolution_type": "pixel", "resolution": 1}, {"resolution_type": "pixel", "resolution": 1024}),
    "deletes-pictures": ({"delete_problematic_images": True}, {"delete_problematic_images": False}),
    "caption-dropout-default": ({"caption_dropout_probability": GONE}, {}),
    "eval-subset": ({"eval_steps_interval": 100}, {}),
    "eval-dropout": ({"eval_steps_interval": 100}, EVALUATED),
    "clips-values": ({"grad_clip_method": GONE}, {}),
    "alpha-scale": ({"lora_alpha": 1}, {"lora_alpha": 16}),
    "dropout-default": ({"lora_dropout": GONE}, {}),
    "lycoris-ignores": ({"lora_type": "lycoris"}, {"lora_type": "lycoris", "lora_rank": GONE}),
    "rate-low": ({"learning_rate": GONE}, {}),
    "rate-high": ({"learning_rate": 0.01}, {}),
    "rate-adaptive": ({"optimizer": "prodigy"}, {"optimizer": "prodigy", "learning_rate": 1.0}),
    "two-bits": ({"base_model_precision": "int2-quanto"}, {"base_model_precision": "int4-quanto"}),
    "text-encoder-trained": ({"train_text_encoder": True}, {"train_text_encoder": False}),
    "seed-by-clock": ({"seed": 0}, {}),
    "warmup-long": ({"lr_warmup_steps": 500}, {"lr_warmup_steps": 50}),
    "wave": ({"lr_scheduler": "cosine", "lr_warmup_steps": 50}, {"lr_scheduler": "cosine", "lr_warmup_steps": 1000}),
    "end-above-rate": ({"lr_scheduler": "polynomial", "lr_end": 1e-4}, {"lr_scheduler": "polynomial", "lr_end": 1e-6}),
    "checkpoints-lost": ({"checkpoints_total_limit": 2}, {}),
    "never-saved": ({"checkpoint_step_interval": 1000}, {}),
    "published": ({"push_to_hub": True}, {"push_to_hub": False}),
    "fused-qkv": ({"fuse_qkv_projections": True}, {}),
    "no-data-config": ({"data_backend_config": GONE}, {}),
    "data-unseen": ({"data_backend_config": "elsewhere.json"}, None),
    "cache-kept": ({"preserve_data_backend_cache": True}, {}),
}
"""By what is changed of the config alone; None is the config with its data backends beside it."""

BACKENDS = {
    "all-too-small": ([{**PICTURES, "minimum_image_size": 128}, TEXTS], [PICTURES, TEXTS]),
    "no-id": ([PICTURES, {**TEXTS, "id": ""}], [PICTURES, TEXTS]),
    "same-id": ([PICTURES, {**TEXTS, "id": "maya"}], [PICTURES, TEXTS]),
    "unknown-key": ([{**PICTURES, "reapeats": 1}, TEXTS], [PICTURES, TEXTS]),
    "unknown-type": ([{**PICTURES, "type": "folder"}, TEXTS], [PICTURES, TEXTS]),
    "no-text-embeds": ([PICTURES], [PICTURES, TEXTS]),
    "no-pictures": ([TEXTS], [PICTURES, TEXTS]),
    "repeats-again": ([{**PICTURES, "repeats": 10}, TEXTS], [{**PICTURES, "repeats": 0}, TEXTS]),
    "ignore-epochs": ([{**PICTURES, "ignore_epochs": True}, TEXTS], [PICTURES, TEXTS]),
    "names-as-captions": (
        [{key: value for key, value in PICTURES.items() if key != "caption_strategy"}, TEXTS],
        [PICTURES, TEXTS],
    ),
    "prompt-missing": (
        [{**PICTURES, "caption_strategy": "instanceprompt"}, TEXTS],
        [{**PICTURES, "caption_strategy": "instanceprompt", "instance_prompt": "maya_char"}, TEXTS],
    ),
    "one-caption": (
        [{**PICTURES, "caption_strategy": "instanceprompt", "instance_prompt": "maya_char"}, TEXTS],
        [PICTURES, TEXTS],
    ),
    "folder-missing": ([{**PICTURES, "instance_data_dir": "nowhere"}, TEXTS], [PICTURES, TEXTS]),
    "mask-not-joined": ([PICTURES, MASKS, TEXTS], [{**PICTURES, "conditioning_data": "masks"}, MASKS, TEXTS]),
}
SEEN = {
    "folder-too-small", "captions-missing", "folder-pruned", "eval-without-data", "edit-without-references",
    "text-embeds-elsewhere", "not-json", "stands-twice",
}  # fmt: skip
"""Rules with a test of their own below."""


def beside(folder, backends, **changes):
    """The diagnosis of a config with its data backends in a file beside it."""
    (folder / "multidatabackend.json").write_text(json.dumps(backends))
    return judged("simpletuner", changed(SOUND, changes), folder=folder)


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_of_what_it_is_about_and_not_of_the_repaired_config(rule, tmp_path):
    broken, repaired = CASES[rule]
    assert rule in said(judged("simpletuner", changed(SOUND, broken)))
    if repaired is None:
        pictured(tmp_path / "maya")
        assert rule not in said(beside(tmp_path, [PICTURES, TEXTS]))
    else:
        assert rule not in said(judged("simpletuner", changed(SOUND, repaired)))


@pytest.mark.parametrize("rule", BACKENDS)
def test_a_rule_about_data_speaks_where_it_should_alone(rule, tmp_path):
    pictured(tmp_path / "maya")
    broken, repaired = BACKENDS[rule]
    assert rule in said(beside(tmp_path, broken))
    assert rule not in said(beside(tmp_path, repaired))


def test_no_rule_is_without_a_test():
    assert set(CASES) | set(BACKENDS) | SEEN == set(rules("simpletuner").rules)


def test_a_sound_config_is_judged_clean(tmp_path):
    pictured(tmp_path / "maya")
    found = beside(tmp_path, [PICTURES, TEXTS])
    assert [remark.rule for remark in found.remarks] == []
    assert not found.stops


def test_dashes_before_keys_and_the_interfaces_wrapping_mean_the_same():
    plain = judged("simpletuner", changed(SOUND, {"seed": 0}))
    dashed = judged("simpletuner", {f"--{key}": value for key, value in changed(SOUND, {"seed": 0}).items()})
    wrapped = judged("simpletuner", {"_metadata": {"name": "x"}, "config": changed(SOUND, {"seed": 0})})
    assert said(plain) == said(dashed) == said(wrapped)
    assert plain.effective == dashed.effective == wrapped.effective
    (remark,) = [one for one in wrapped.remarks if one.rule.endswith("seed-by-clock")]
    assert remark.path == ("config", "seed")


def test_repeats_count_what_comes_after_the_first(tmp_path):
    """4 pictures, repeats 2 = 12 a pass; batches of 5 = 3; accumulated twice = 2 updates; x 3 epochs = 6."""
    pictured(tmp_path / "maya", 4)
    changes = {"max_train_steps": 0, "num_train_epochs": 3, "train_batch_size": 5, "gradient_accumulation_steps": 2}
    run = beside(tmp_path, [{**PICTURES, "repeats": 2}, TEXTS], **changes).effective
    assert run.updates == 6
    assert run.pictures_per_update == 10
    assert run.sets[0].repeats == 3
    assert run.per_pass == 12


def test_steps_that_are_asked_for_are_taken_and_old_checkpoints_go(tmp_path):
    run = judged("simpletuner", changed(SOUND, {"checkpoints_total_limit": 3})).effective
    assert (run.updates, run.saves, run.kept) == (1000, 10, 3)


def test_pictures_that_are_too_small_are_counted_in_each_unit(tmp_path):
    pictured(tmp_path / "maya", 2, (100, 100))
    pictured(tmp_path / "maya", 2, (300, 300))
    pixels = {**PICTURES, "resolution_type": "pixel", "minimum_image_size": 200, "resolution": 256}
    area = {**PICTURES, "resolution_type": "area", "minimum_image_size": 0.04, "resolution": 0.06}
    edge = {**PICTURES, "minimum_image_size": 200}
    for held in (pixels, area, edge):
        found = beside(tmp_path, [held, TEXTS])
        (remark,) = [one for one in found.remarks if one.rule.endswith("folder-too-small")]
        assert "2 of 4" in remark.says
    assert "folder-too-small" not in said(beside(tmp_path, [{**edge, "minimum_image_size": 100}, TEXTS]))


def test_captions_and_buckets_of_what_is_there(tmp_path):
    pictured(tmp_path / "maya", 3, (100, 100), texts=False)
    pictured(tmp_path / "maya", 1, (200, 100))
    wide = beside(tmp_path, [PICTURES, TEXTS], train_batch_size=2)
    assert {"captions-missing", "folder-pruned"} <= said(wide)
    pictured(tmp_path / "maya", 3, (100, 100))
    assert not {"captions-missing", "folder-pruned"} & said(beside(tmp_path, [PICTURES, TEXTS]))


def test_evaluation_wants_pictures_of_its_own(tmp_path):
    pictured(tmp_path / "maya")
    assert "eval-without-data" in said(beside(tmp_path, [PICTURES, TEXTS], **EVALUATED))
    held = said(beside(tmp_path, [PICTURES, HELD, TEXTS], **EVALUATED))
    assert not {"eval-without-data", "eval-subset", "eval-dropout"} & held


def test_a_remark_on_another_files_part_names_it(tmp_path):
    pictured(tmp_path / "maya")
    held = [{**PICTURES, "repeats": 10}, TEXTS]
    (remark,) = [one for one in beside(tmp_path, held).remarks if one.rule.endswith("repeats-again")]
    assert remark.path == ("data_backend_config",)
    assert remark.says.startswith("maya: repeats 10")
    (alone,) = [one for one in judged("simpletuner", held, "m.json").remarks if one.rule.endswith("repeats-again")]
    assert alone.path == (0, "repeats")
    assert alone.says.startswith("repeats 10")


def test_an_edit_model_wants_references(tmp_path):
    pictured(tmp_path / "maya")
    found = beside(tmp_path, [PICTURES, TEXTS], **EDIT)
    assert "edit-without-references" in said(found)
    assert found.stops
    assert "edit-without-references" not in said(beside(tmp_path, [PICTURES, REFERENCES, TEXTS], **EDIT))


def test_backends_alone_leave_open_what_the_config_decides():
    alone = judged("simpletuner", [PICTURES], "multidatabackend.json")
    assert "text-embeds-elsewhere" in said(alone)
    assert not alone.stops
    assert "text-embeds-elsewhere" not in said(judged("simpletuner", [PICTURES, TEXTS], "multidatabackend.json"))


def test_what_is_carried_is_told_key_by_key_and_the_rest_with_a_reason(tmp_path):
    pictured(tmp_path / "maya")
    held = [{**PICTURES, "repeats": 4, "instance_prompt": "maya_char"}, TEXTS]
    (tmp_path / "multidatabackend.json").write_text(json.dumps(held))
    config = changed(SOUND, {"base_model_precision": "int8-quanto", "train_text_encoder": True})
    carried = tool("simpletuner").carried(read(config, folder=tmp_path))
    assert carried.recipe["model.quantised"] == "int8"
    assert carried.recipe["data.sets"] == [{"name": "", "weight": 5}]
    assert carried.trigger == "maya_char"
    assert carried.kept["lora_rank",] == "adapter.rank"
    assert any(one.path == ("train_text_encoder",) for one in carried.left)


def test_a_base_that_is_not_trained_here_is_refused_by_name():
    with pytest.raises(PortraitistError, match="wan"):
        tool("simpletuner").carried(read(changed(SOUND, {"model_family": "wan"})))
