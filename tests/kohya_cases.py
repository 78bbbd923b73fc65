"""Command lines and config files of sd-scripts, one pair a rule: what triggers it, and its repaired form."""

from tests.doctoring import command

CLEAN = {
    "pretrained_model_name_or_path": "sd_xl_base_1.0.safetensors", "dataset_config": "data.toml", "output_dir": "out",
    "network_module": "networks.lora", "network_dim": 16, "network_alpha": 16, "network_train_unet_only": True,
    "learning_rate": "1e-4", "max_train_steps": 100, "save_every_n_steps": 10, "mixed_precision": "bf16",
    "max_data_loader_n_workers": 0,
}  # fmt: skip
FLUX = CLEAN | {
    "network_module": "networks.lora_flux", "guidance_scale": 1.0, "model_prediction_type": "raw",
    "timestep_sampling": "sigmoid", "clip_l": "c.safetensors", "t5xxl": "t.safetensors", "ae": "a.safetensors",
}  # fmt: skip
FOLDERS = CLEAN | {"dataset_config": None, "train_data_dir": "folders", "resolution": "1024,1024",
                   "enable_bucket": True, "max_bucket_reso": 2048, "caption_extension": ".txt"}  # fmt: skip
DATA = """[general]
enable_bucket = true
max_bucket_reso = 2048
caption_extension = ".txt"
[[datasets]]
resolution = 1024
[[datasets.subsets]]
image_dir = "pics"
"""
FILES = {
    "data.toml": DATA,
    "shuffled.toml": DATA + "shuffle_caption = true\n",
    "cropped.toml": DATA + "random_crop = true\n",
    "prefixed.toml": DATA + 'caption_prefix = "a "\n',
    "alpha.toml": DATA + "alpha_mask = true\n",
    "masked.toml": DATA + 'conditioning_data_dir = "pics"\n',
    "refused.toml": DATA + "shuffel = true\n",
    "split.toml": DATA.replace("1024\n[[", "1024\nvalidation_split = 0.1\nvalidation_seed = 1\n[["),
    "unsized.toml": DATA.replace("resolution = 1024\n", ""),
}


def sdxl(**changes):
    return command("sdxl_train_network", CLEAN | changes)


def flux(**changes):
    return command("flux_train_network", FLUX | changes)


def toml(text):
    return f'pretrained_model_name_or_path = "sdxl.safetensors"\nnetwork_dim = 8\ncache_latents = true\n{text}\n'


EXTRACT = {"model_org": "a", "model_tuned": "b", "save_to": "c", "dim": 16}
CASES = {
    "unknown-key-on-command": (sdxl(learnin_rate="1e-4"), sdxl(learning_rate="1e-4")),
    "lines-apart": (sdxl().replace("\\\n", "\n", 1), sdxl()),
    "unknown-key": (toml("optimiser = 1"), toml("max_train_steps = 100")),
    "flag-with-value": (sdxl(cache_latents="true"), sdxl(cache_latents=True)),
    "one-value": (sdxl(output_dir=["a", "b"]), sdxl(output_dir="a b")),
    "not-a-number": (sdxl(max_train_steps="1.5"), sdxl(max_train_steps="15")),
    "not-a-choice": (sdxl(mixed_precision="bfloat16"), sdxl()),
    "choice-in-file": (toml('save_precision = "float32"'), toml('save_precision = "float"')),
    "given-twice": (sdxl().rstrip() + " --output_dir other\n", sdxl()),
    "text-number": (toml('learning_rate = "1e-4"'), toml("learning_rate = 1e-4")),
    "text-list": (toml('network_args = "conv_dim=4"'), toml('network_args = ["conv_dim=4"]')),
    "text-flag": (toml('shuffle_caption = "false"'), toml("shuffle_caption = false")),
    "resolution-number": (toml("resolution = 1024"), toml('resolution = "1024"')),
    "no-network-module": (sdxl(network_module=None), sdxl()),
    "no-base": (sdxl(pretrained_model_name_or_path=None), sdxl()),
    "no-output-dir": (sdxl(output_dir=None), sdxl()),
    "no-data": (sdxl(dataset_config=None), sdxl()),
    "no-resolution": (sdxl(dataset_config=None, train_data_dir="folders"), command("sdxl_train_network", FOLDERS)),
    "config-not-here": (sdxl(dataset_config="nowhere.toml"), sdxl()),
    "data-beside-config": (sdxl(train_data_dir="folders"), sdxl()),
    "launcher-precision": (
        command("sdxl_train_network", CLEAN | {"mixed_precision": None}, "accelerate launch --mixed_precision bf16"),
        command("sdxl_train_network", CLEAN, "accelerate launch --mixed_precision bf16"),
    ),
    "full-of-another": (sdxl(full_fp16=True), sdxl(full_bf16=True)),
    "half-weights": (sdxl(full_bf16=True), sdxl()),
    "fp8-precision": (sdxl(fp8_base=True, mixed_precision="no"), sdxl(fp8_base=True)),
    "full-precision": (sdxl(mixed_precision="no"), sdxl()),
    "half-vae": (sdxl(mixed_precision="fp16"), sdxl(mixed_precision="fp16", no_half_vae=True)),
    "text-encoder-trained": (sdxl(network_train_unet_only=None), sdxl(network_train_unet_only=None, text_encoder_lr=0)),
    "cache-text-needs-unet": (
        sdxl(cache_text_encoder_outputs=True, network_train_unet_only=None),
        sdxl(cache_text_encoder_outputs=True),
    ),
    "changes-with-text-cache": (
        sdxl(cache_text_encoder_outputs=True, dataset_config="shuffled.toml"),
        sdxl(dataset_config="shuffled.toml"),
    ),
    "lost-by-text-cache": (
        sdxl(cache_text_encoder_outputs=True, dataset_config="prefixed.toml"),
        sdxl(dataset_config="prefixed.toml"),
    ),
    "changes-with-cache": (
        sdxl(cache_latents=True, dataset_config="cropped.toml"),
        sdxl(dataset_config="cropped.toml"),
    ),
    "flow-validation": (flux(dataset_config="split.toml"), sdxl(dataset_config="split.toml")),
    "locon-without-convolution": (
        sdxl(network_module="lycoris.kohya", network_args=["algo=locon", "preset=attn-mlp", "conv_dim=8"]),
        sdxl(network_module="lycoris.kohya", network_args=["algo=locon", "preset=full", "conv_dim=8"]),
    ),
    "conv-alpha-alone": (
        sdxl(network_args=["conv_alpha=4"]),
        sdxl(network_args=["conv_dim=4", "conv_alpha=4"]),
    ),
    "module-of-another": (flux(network_module="networks.lora"), flux()),
    "idle-on-flow": (flux(min_snr_gamma=5), sdxl(min_snr_gamma=5)),
    "timesteps-on-flow": (flux(min_timestep=100), sdxl(min_timestep=100)),
    "flux-guidance": (flux(guidance_scale=None), flux()),
    "flux-prediction": (flux(model_prediction_type=None), flux()),
    "too-many-blocks": (flux(blocks_to_swap=36), flux(blocks_to_swap=35)),
    "v2-on-sdxl": (sdxl(v2=True), sdxl()),
    "blocks-on-sdxl": (toml("blocks_to_swap = 10"), toml("")),
    "small-for-sdxl": (toml('resolution = "512"'), toml('resolution = "1024"')),
    "masks-without-flag": (sdxl(dataset_config="masked.toml"), sdxl(dataset_config="masked.toml", masked_loss=True)),
    "masks-without-masks": (sdxl(masked_loss=True), sdxl(masked_loss=True, dataset_config="alpha.toml")),
    "mask-scales": (sdxl(dataset_config="alpha.toml"), sdxl()),
    "epochs-over-steps": (sdxl(max_train_epochs=10), sdxl()),
    "only-the-end": (sdxl(save_every_n_steps=None), sdxl()),
    "saves-never": (sdxl(save_every_n_steps=101), sdxl(save_every_n_steps=100)),
    "last-n-steps": (sdxl(save_last_n_steps=3), sdxl(save_last_n_steps=30)),
    "rate-default": (sdxl(learning_rate=None), sdxl()),
    "rate-outside": (sdxl(learning_rate="2e-2"), sdxl()),
    "rank-outside": (sdxl(network_dim=512, network_alpha=512), sdxl()),
    "alpha-one": (sdxl(network_alpha=None), sdxl()),
    "adafactor-relative": (
        sdxl(optimizer_type="Adafactor"),
        sdxl(optimizer_type="Adafactor", optimizer_args=["relative_step=False", "scale_parameter=False"]),
    ),
    "adaptive-rate": (sdxl(optimizer_type="Prodigy"), sdxl(optimizer_type="Prodigy", learning_rate=1)),
    "warmup-of-constant": (sdxl(lr_warmup_steps=10), sdxl(lr_warmup_steps=10, lr_scheduler="constant_with_warmup")),
    "epoch-not-exact": (sdxl(max_data_loader_n_workers=None), sdxl()),
    "resume-counts-again": (sdxl(resume="state"), sdxl(resume="state", skip_until_initial_step=True)),
    "clamp-quantile": (
        command("networks/extract_lora_from_models", EXTRACT),
        command("networks/extract_lora_from_models", EXTRACT | {"clamp_quantile": 1}),
    ),
    "min-difference": (
        command("networks/extract_lora_from_models", EXTRACT | {"min_diff": 0.0001}),
        command("networks/extract_lora_from_models", EXTRACT),
    ),
    "no-prefixed-folder": (
        command("sdxl_train_network", FOLDERS | {"train_data_dir": "pics"}),
        command("sdxl_train_network", FOLDERS),
    ),
    "folder-without-repeats": (
        command("sdxl_train_network", FOLDERS | {"train_data_dir": "mixed"}),
        command("sdxl_train_network", FOLDERS),
    ),
}
