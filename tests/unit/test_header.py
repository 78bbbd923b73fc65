"""Headers of LoRA files: made with safetensors as trainers make them, read without the tensors, and judged."""

import json

import numpy
import pytest
from safetensors.numpy import save_file

from portraitist.errors import PortraitistError
from portraitist.interop import opening, tool, whose
from portraitist.interop.diagnosis import rules
from tests.trainers import said
from tests.unit.test_onetrainer import SOUND as ONETRAINER

KOHYA = {
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "8",
    "ss_network_alpha": "8",
    "ss_unet_lr": "0.0001",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1)",
    "ss_steps": "100",
    "ss_max_train_steps": "100",
    "ss_seed": "42",
    "ss_gradient_accumulation_steps": "2",
    "ss_total_batch_size": "4",
    "ss_resolution": "(1024, 1024)",
    "ss_keep_tokens": "1",
    "ss_shuffle_caption": "False",
    "ss_dataset_dirs": json.dumps({"10_maya": {"n_repeats": 10, "img_count": 20}}),
}


def tensors(rank=8, encoder=False, wide=False):
    """The layers of a small LoRA by kohya's names."""
    found = {
        "lora_unet_a.lora_down.weight": numpy.zeros((rank, 4), numpy.float16),
        "lora_unet_a.lora_up.weight": numpy.zeros((4, rank), numpy.float16),
        "lora_unet_a.alpha": numpy.array(8, numpy.float16),
    }
    if encoder:
        found["lora_te1_b.lora_down.weight"] = numpy.zeros((rank, 4), numpy.float16)
    if wide:
        found["lora_unet_c.lora_down.weight"] = numpy.zeros((rank, 4, 3, 3), numpy.float16)
    return found


def made(folder, metadata=KOHYA, **kinds):
    """The header of a file that is made so."""
    held = kinds.pop("held", None) or tensors(**kinds)
    path = folder / f"maya-{len(list(folder.iterdir()))}.safetensors"
    save_file(held, path, {key: str(value) for key, value in metadata.items()})
    return opening.opened(path)


def judged(document):
    """The diagnosis of a header."""
    assert whose(document) == "header"
    return tool("header").diagnose(document)


SUBSET = {"img_count": 20, "num_repeats": 10, "shuffle_caption": True, "keep_tokens": 0, "flip_aug": True}
CONV = json.dumps({"algo": "locon", "preset": "attn-mlp"})
CASES = {
    "says-nothing": ({"ss_network_dim": "None", "ss_steps": "None"}, {}),
    "rank-differs": ({"ss_network_dim": "16", "ss_network_alpha": "16"}, {}),
    "alpha-scale": ({"ss_network_alpha": "1"}, {}),
    "no-convolution": ({"ss_network_module": "lycoris.kohya", "ss_network_args": CONV}, {}),
    "unfinished": ({"ss_steps": "50"}, {}),
    "seed-unknown": ({"ss_seed": "None"}, {}),
    "full-fp16": ({"ss_full_fp16": "True"}, {"ss_full_fp16": "False"}),
    "trigger-shuffled": ({"ss_shuffle_caption": "True", "ss_keep_tokens": "0"}, {"ss_shuffle_caption": "True"}),
    "flipped": ({"ss_flip_aug": "True"}, {"ss_flip_aug": "False"}),
    "rate-low": ({"ss_unet_lr": "1e-06"}, {}),
    "rate-high": ({"ss_unet_lr": "0.01"}, {}),
    "min-snr-flow": ({"ss_base_model_version": "flux1", "ss_min_snr_gamma": "5.0"}, {"ss_min_snr_gamma": "5.0"}),
    "seen-often": ({"ss_steps": "9000", "ss_max_train_steps": "9000"}, {}),
    "captions-inside": ({"ss_tag_frequency": json.dumps({"10_maya": {"maya_char": 20, "smile": 3}})}, {}),
    "paths-inside": ({"ss_vae_name": "/home/ann/vae.safetensors"}, {"ss_vae_name": "vae.safetensors"}),
    "config-not-read": ({"ot_config": "{cut"}, {}),
}
SEEN = {"no-adapter", "several-ranks", "text-encoder-trained"}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_of_what_it_is_about_and_not_of_the_repaired_header(rule, tmp_path):
    broken, repaired = CASES[rule]
    base = {} if rule == "says-nothing" else KOHYA
    assert rule in said(judged(made(tmp_path, {**base, **broken})))
    assert rule not in said(judged(made(tmp_path, {**KOHYA, **repaired})))


def test_no_rule_is_without_a_test():
    assert set(CASES) | SEEN == set(rules("header").rules)


def test_a_sound_header_is_judged_clean(tmp_path):
    found = judged(made(tmp_path))
    assert [remark.rule for remark in found.remarks] == []


def test_what_the_run_was_is_read_from_the_header(tmp_path):
    """100 steps of 4 pictures = 400 exposures, of 20 pictures x 10 = 200 a pass: two passes."""
    run = judged(made(tmp_path)).effective
    assert (run.updates, run.pictures_per_update, run.exposures, run.passes) == (100, 4, 400, 2.0)
    assert (run.family, run.rank, run.alpha, run.rate) == ("sdxl", 8, 8.0, 1e-4)
    assert run.resolutions == (1024,)
    assert run.optimiser == "AdamW8bit"


def test_shapes_are_told_beside_the_words(tmp_path):
    odd = {**tensors(), "lora_unet_d.lora_down.weight": numpy.zeros((4, 4), numpy.float16)}
    assert "several-ranks" in said(judged(made(tmp_path, held=odd)))
    assert "several-ranks" not in said(judged(made(tmp_path)))
    assert "text-encoder-trained" in said(judged(made(tmp_path, encoder=True)))
    assert "text-encoder-trained" not in said(judged(made(tmp_path)))
    locon = {**KOHYA, "ss_network_module": "lycoris.kohya", "ss_network_args": CONV}
    assert "no-convolution" not in said(judged(made(tmp_path, locon, wide=True)))


def test_a_file_without_an_adapter_says_so(tmp_path):
    found = judged(made(tmp_path, held={"weight": numpy.zeros((2, 2), numpy.float16)}))
    assert "no-adapter" in said(found)
    assert found.stops
    assert "no-adapter" not in said(judged(made(tmp_path)))


def test_sets_of_a_dataset_file_are_read_with_their_repeats(tmp_path):
    datasets = [{"batch_size_per_device": 2, "resolution": [512, 512], "tag_frequency": {}, "subsets": [SUBSET]}]
    plain = {key: value for key, value in KOHYA.items() if key not in ("ss_dataset_dirs", "ss_total_batch_size")}
    found = judged(made(tmp_path, {**plain, "ss_datasets": json.dumps(datasets)}))
    assert {"trigger-shuffled", "flipped"} <= said(found)
    assert found.effective.pictures_per_update == 4
    assert found.effective.sets[0].pictures == 20
    assert found.effective.resolutions == (512, 1024)


def test_onetrainers_whole_config_inside_is_judged_by_its_own_rules(tmp_path):
    config = {**ONETRAINER, "lora_alpha": 1.0, "validation": "false"}
    document = made(tmp_path, {"ot_branch": "master", "ot_config": json.dumps(config)})
    found = judged(document)
    assert {"alpha-scale", "text-flag"} <= said(found)
    assert found.effective.family == "qwen-image"
    (remark,) = [one for one in found.remarks if one.rule == "onetrainer/alpha-scale"]
    assert remark.path == ("ot_config", "lora_alpha")
    assert '"lora_alpha": 1.0' in document.text.splitlines()[remark.place.line - 1]
    assert tool("header").carried(document).recipe["adapter.alpha"] == 1.0


@pytest.mark.parametrize(
    ("key", "said_there", "family"),
    [
        ("ss_base_model_version", "flux.1", "flux"),
        ("ss_base_model_version", "flux.1_kontext", ""),
        ("ss_base_model_version", "flux_kontext", ""),
        ("ss_base_model_version", "flux_2_dev", ""),
        ("ss_base_model_version", "flux2_klein_4b", ""),
        ("ss_base_model_version", "qwen_image_layered", ""),
        ("modelspec.architecture", "qwen_image-edit-v2/lora", "qwen-image-edit"),
        ("modelspec.architecture", "z_image-turbo/lora", "z-image-turbo"),
        ("modelspec.architecture", "z_image-de-turbo/lora", "z-image"),  # another base, of no few steps
        ("ss_base_model_version", "zimage_deturbo", "z-image"),
        ("modelspec.architecture", "stable-diffusion-xl-v1-base/lora", "sdxl"),
    ],
)
def test_a_base_is_known_by_each_trainers_name_and_a_relative_is_not_taken_for_it(key, said_there, family, tmp_path):
    assert judged(made(tmp_path, {key: said_there})).effective.family == family


def test_ai_toolkits_step_is_the_run(tmp_path):
    metadata = {"training_info": json.dumps({"step": 750, "epoch": 3}), "software": json.dumps({"name": "ai-toolkit"})}
    assert judged(made(tmp_path, metadata)).effective.updates == 750


def test_a_header_is_carried_as_far_as_it_says(tmp_path):
    carried = tool("header").carried(made(tmp_path))
    assert carried.recipe["stages"] == [{"name": "main", "steps": 100}]
    assert carried.recipe["training.batch"] == 2
    assert carried.recipe["training.accumulate"] == 2
    assert carried.recipe["training.optimiser"] == "adamw8bit"
    assert carried.recipe["data.sets"] == [{"name": "maya", "weight": 10}]
    with pytest.raises(PortraitistError):
        tool("header").carried(made(tmp_path, {**KOHYA, "ss_base_model_version": "sd_1.5"}))


def test_a_damaged_file_is_refused_in_a_line(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(b"\x10\0\0\0\0\0\0\0{cut")
    with pytest.raises(PortraitistError, match="cut"):
        opening.opened(path)
