"""Configs of musubi-tuner and of kohya_ss, one pair a rule: what triggers it, and its repaired form."""

import json
from pathlib import Path

from tests.doctoring import command, pictures

CLEAN = {
    "dit": "q.safetensors", "vae": "v.safetensors", "text_encoder": "t.safetensors", "dataset_config": "data.toml",
    "output_dir": "out", "network_module": "networks.lora_qwen_image", "network_dim": 16, "network_alpha": 16,
    "network_args": ["exclude_patterns=['.*_mod[.]1']"], "learning_rate": "1e-4", "max_train_steps": 100,
    "save_every_n_steps": 10, "mixed_precision": "bf16", "sdpa": True, "timestep_sampling": "shift",
    "max_data_loader_n_workers": 0,
}  # fmt: skip
GENERAL = 'enable_bucket = true\nresolution = [1024, 1024]\ncaption_extension = ".txt"\n'
CONTROLS = 'image_directory = "pics"\ncontrol_directory = "controls"\n'


def qwen(**changes: object) -> str:
    """A training of Qwen-Image."""
    return command("src/musubi_tuner/qwen_image_train_network", CLEAN | changes)


def dataset(own: str = 'image_directory = "pics"\n', general: str = GENERAL) -> str:
    """A config of one dataset."""
    return f"[general]\n{general}[[datasets]]\n{own}"


def toml(text: str) -> str:
    """A training config."""
    return f'dit = "q.safetensors"\nnetwork_module = "networks.lora_qwen_image"\nnetwork_dim = 4\n{text}\n'


def made(place: Path) -> Path:
    """Files and folders that the configs name."""
    pictures(place / "pics", 2)
    pictures(place / "controls", 2, caption="")
    pictures(place / "one", 1, caption="")
    pictures(place / "10_maya", 2)
    pictures(place / "long", 1, caption="dress " * 1100)
    pictures(place / "half", 2)
    (place / "half" / "1.txt").unlink()
    (place / "data.toml").write_text(dataset())
    (place / "general.toml").write_text(f"[general]\n{GENERAL}")
    (place / "edit.toml").write_text(dataset(CONTROLS + "control_resolution = [1024, 1024]\n"))
    return place


EXTRACT = {"model_org": "a", "model_tuned": "b", "save_to": "c"}
CASES = {
    "unknown-key-on-command": (qwen(shuffle_caption=True), qwen()),
    "lines-apart": (qwen().replace("\\\n", "\n", 1), qwen()),
    "unknown-key": (toml("shuffle_caption = true"), toml("seed = 1")),
    "flag-with-value": (qwen(fp8_base="true"), qwen(fp8_base=True)),
    "one-value": (qwen(output_dir=["a", "b"]), qwen(output_dir="a b")),
    "not-a-number": (qwen(seed="x"), qwen(seed=1)),
    "not-a-choice": (qwen(weighting_scheme="uniform"), qwen(weighting_scheme="none")),
    "choice-in-file": (toml('weighting_scheme = "uniform"'), toml('weighting_scheme = "none"')),
    "given-twice": (qwen().rstrip() + " --sdpa\n", qwen()),
    "text-number": (toml('seed = "1"'), toml("seed = 1")),
    "text-list": (toml('optimizer_args = "a=1"'), toml('optimizer_args = ["a=1"]')),
    "text-flag": (toml('sdpa = "false"'), toml("sdpa = true")),
    "no-network-module": (qwen(network_module=None), qwen()),
    "no-output-dir": (qwen(output_dir=None), qwen()),
    "no-dit": (qwen(dit=None), qwen()),
    "no-dataset-config": (qwen(dataset_config=None), qwen()),
    "no-attention": (qwen(sdpa=None), qwen()),
    "sage-attention": (qwen(sage_attn=True), qwen()),
    "config-not-here": (qwen(dataset_config="nowhere.toml"), qwen()),
    "module-of-another": (qwen(network_module="networks.lora_wan"), qwen()),
    "fp8-scaled-alone": (qwen(fp8_scaled=True), qwen(fp8_scaled=True, fp8_base=True)),
    "fp8-unscaled": (qwen(fp8_base=True), qwen(fp8_scaled=True, fp8_base=True)),
    "too-many-blocks": (qwen(blocks_to_swap=60), qwen(blocks_to_swap=59)),
    "timesteps-default": (qwen(timestep_sampling=None), qwen()),
    "modulation-trained": (qwen(network_args=None), qwen()),
    "edit-without-control": (
        qwen(model_version="edit-2509"),
        qwen(model_version="edit-2509", dataset_config="edit.toml"),
    ),
    "control-without-edit": (qwen(dataset_config="edit.toml"), qwen(model_version="edit", dataset_config="edit.toml")),
    "epochs-over-steps": (qwen(max_train_epochs=10), qwen()),
    "only-the-end": (qwen(save_every_n_steps=None), qwen()),
    "saves-never": (qwen(save_every_n_steps=101), qwen()),
    "last-n-steps": (qwen(save_last_n_steps=2), qwen(save_last_n_steps=20)),
    "rate-default": (qwen(learning_rate=None), qwen()),
    "rate-outside": (qwen(learning_rate="1e-2"), qwen()),
    "rank-outside": (qwen(network_dim=512), qwen()),
    "alpha-one": (qwen(network_alpha=None), qwen()),
    "adafactor-relative": (
        qwen(optimizer_type="adafactor"),
        qwen(optimizer_type="adafactor", optimizer_args=["relative_step=False"]),
    ),
    "adaptive-rate": (qwen(optimizer_type="prodigyopt.Prodigy"), qwen(optimizer_type="adamw")),
    "warmup-of-constant": (qwen(lr_warmup_steps=10), qwen(lr_warmup_steps=10, lr_scheduler="constant_with_warmup")),
    "epoch-not-exact": (qwen(max_data_loader_n_workers=2), qwen()),
    "resume-counts-again": (qwen(resume="state"), qwen()),
    "clamp-quantile": (
        command("qwen_extract_lora", EXTRACT),
        command("qwen_extract_lora", EXTRACT | {"clamp_quantile": 1}),
    ),
    "misplaced-key": (dataset(general=GENERAL + 'image_directory = "pics"\n'), dataset()),
    "unknown-key-in-dataset": (dataset('image_dir = "pics"\nimage_directory = "pics"\n'), dataset()),
    "wrong-type": (dataset(general=GENERAL.replace("[1024, 1024]", '"1024"')), dataset()),
    "no-datasets": (qwen(dataset_config="general.toml"), qwen()),
    "extension-without-dot": (dataset(general=GENERAL.replace(".txt", "txt")), dataset()),
    "repeats-in-name": (
        dataset('image_directory = "10_maya"\n'),
        dataset('image_directory = "10_maya"\nnum_repeats = 10\n'),
    ),
    "captions-too-long": (dataset('image_directory = "long"\n'), dataset()),
    "no-source": (dataset("num_repeats = 1\n[[datasets]]\nimage_directory = 'pics'\n"), dataset()),
    "list-without-cache": (
        dataset("image_jsonl_file = 'a.jsonl'\n"),
        dataset("image_jsonl_file = 'a.jsonl'\ncache_directory = 'cache'\n"),
    ),
    "cache-shared": (
        dataset('image_directory = "pics"\n[[datasets]]\nimage_directory = "pics"\n'),
        dataset('image_directory = "pics"\n[[datasets]]\nimage_directory = "pics"\ncache_directory = "c"\n'),
    ),
    "folder-not-here": (dataset('image_directory = "nowhere"\n'), dataset()),
    "repeats-zero": (dataset('image_directory = "pics"\nnum_repeats = 0\n'), dataset()),
    "resolution-default": (dataset(general=GENERAL.replace("resolution = [1024, 1024]\n", "")), dataset()),
    "no-buckets": (dataset(general=GENERAL.replace("true", "false")), dataset()),
    "no-extension": (dataset(general=GENERAL.replace('caption_extension = ".txt"\n', "")), dataset()),
    "captions-not-read": (dataset('image_directory = "controls"\n'), dataset()),
    "captions-missing": (dataset('image_directory = "half"\n'), dataset()),
    "controls-resized": (dataset(CONTROLS), dataset(CONTROLS + "no_resize_control = true\n")),
    "folder-without-controls": (dataset(CONTROLS.replace("controls", "one")), dataset(CONTROLS)),
}

PRESET = {
    "LoRA_type": "Standard", "sdxl": True, "epoch": 1, "max_train_steps": 100, "train_batch_size": 1,
    "optimizer": "AdamW", "max_resolution": "1024,1024", "network_dim": 16, "network_alpha": 16, "unet_lr": 1e-4,
    "text_encoder_lr": 0, "learning_rate": 1e-4, "lr_scheduler": "constant", "save_every_n_steps": 10, "conv_dim": 1,
}  # fmt: skip


def preset(**changes: object) -> str:
    """A config of the GUI."""
    return json.dumps(PRESET | changes, indent=2)


GUI_CASES = {
    "unknown-key": (preset(network_dimension=8), preset()),
    "old-field": (preset(lora_network_weights="a.safetensors"), preset(lora_network_weights="")),
    "epoch-ignored": (preset(epoch=10), preset(epoch=10, max_train_steps=0)),
    "default-steps": (preset(dataset_config="data.toml", max_train_steps=0), preset(dataset_config="data.toml")),
    "saves-none": (preset(save_every_n_steps=0, save_every_n_epochs=0), preset(save_every_n_epochs=0)),
    "no-rate": (preset(learning_rate=0, unet_lr=0), preset()),
    "flux-type": (preset(sdxl=False, flux1_checkbox=True), preset(sdxl=False, flux1_checkbox=True, LoRA_type="Flux1")),
    "standard-convolution": (preset(conv_dim=8), preset(conv_dim=8, LoRA_type="Kohya LoCon")),
    "stop-ignored": (preset(stop_text_encoder_training=50), preset(stop_text_encoder_training=0)),
    "warmup-twice": (
        preset(lr_scheduler="cosine", lr_warmup=10, lr_warmup_steps=10),
        preset(lr_scheduler="cosine", lr_warmup=10),
    ),
}
