"""ai-toolkit's configs for tests: clean ones, a mistake for each rule, and the facts of the guides' YAML."""

from typing import Any

import yaml

from tests.foreign import GONE, as_json, changed

P = "config.process.0."
QWEN: dict[str, Any] = {
    "job": "extension",
    "config": {
        "name": "maya",
        "process": [
            {
                "type": "sd_trainer",
                "training_folder": "output",
                "network": {"type": "lora", "linear": 16},
                "save": {"dtype": "float16", "save_every": 100, "max_step_saves_to_keep": 10},
                "datasets": [{"folder_path": "identity", "caption_ext": "txt", "resolution": 1024}],
                "train": {
                    "steps": 1000, "batch_size": 1, "lr": 2e-4, "optimizer": "adamw8bit", "dtype": "bf16",
                    "noise_scheduler": "flowmatch", "timestep_type": "weighted", "train_text_encoder": False,
                },
                "model": {
                    "name_or_path": "Qwen/Qwen-Image", "arch": "qwen_image", "quantize": True, "qtype": "qfloat8",
                    "quantize_te": True,
                },
                "sample": {
                    "sample_every": 100, "width": 1024, "height": 1024, "walk_seed": True, "guidance_scale": 4,
                    "sample_steps": 20, "prompts": ["maya_char, portrait", "maya_char, dancing"],
                },
            }
        ],
    },
}  # fmt: skip
SDXL = changed(
    QWEN,
    {
        P + "model": {"name_or_path": "stabilityai/stable-diffusion-xl-base-1.0", "arch": "sdxl"},
        P + "network": {"type": "lora", "linear": 32, "linear_alpha": 32},
        P + "train.noise_scheduler": "ddpm",
        P + "train.timestep_type": GONE,
    },
)
FLUX = changed(
    QWEN,
    {
        P + "model": {"name_or_path": "black-forest-labs/FLUX.1-dev", "arch": "flux"},
        P + "sample.guidance_scale": 1,
    },
)
EDIT = changed(
    QWEN,
    {
        P + "model.name_or_path": "Qwen/Qwen-Image-Edit-2509",
        P + "model.arch": "qwen_image_edit_plus",
        P + "datasets.0.control_path": "controls",
        P + "sample.prompts": GONE,
        P + "sample.samples": [{"prompt": "maya_char, smiling", "ctrl_img_1": "controls/0.png"}],
    },
)
TWO = changed(
    QWEN,
    {
        P + "datasets": [
            {"folder_path": "identity", "caption_ext": "txt", "resolution": 1024},
            {"folder_path": "realism", "caption_ext": "txt", "resolution": 1024},
        ]
    },
)
CLEAN = {"qwen": QWEN, "sdxl": SDXL, "flux": FLUX, "edit": EDIT, "two": TWO}


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("no-job", "qwen", {"job": GONE}),
    ("unknown-job", "qwen", {"job": "training"}),
    ("no-name", "qwen", {"config.name": GONE}),
    ("name-not-text", "qwen", {"config.name": 2025}),
    ("no-process", "qwen", {"config.process": []}),
    ("unknown-type", "qwen", {P + "type": "sd_trainr"}),
    ("other-job", "qwen", {P + "type": "concept_slider"}),
    ("no-training-folder", "qwen", {P + "training_folder": GONE}),
    ("wrong-shape", "qwen", {P + "train": None}),
    ("wrong-shape", "qwen", {P + "datasets": {"folder_path": "identity"}}),
    ("not-a-number", "qwen", {P + "train.steps": "many"}),
    ("not-a-number", "qwen", {P + "train.lr": "fast"}),
    ("quoted-boolean", "qwen", {P + "model.quantize": "false"}),
    ("unknown-key", "qwen", {P + "train.learning_rate": 1e-4}),
    ("unknown-key", "qwen", {P + "datasets.0.num_repeat": 4}),
    ("no-such-flag", "qwen", {P + "model.is_qwen": True}),
    ("quantize-dtype", "qwen", {P + "model.quantize_dtype": "int8"}),
    ("device", "qwen", {P + "device": "cuda:0"}),
    ("epochs", "qwen", {P + "train.epochs": 10}),
    ("no-arch", "qwen", {P + "model.arch": GONE}),
    ("arch-default", "qwen", {P + "model": {"name_or_path": "/models/mine.safetensors"}}),
    ("unknown-arch", "qwen", {P + "model.arch": "qwen_img"}),
    ("arch-flags", "qwen", {P + "model.is_xl": True}),
    ("no-model", "qwen", {P + "model.name_or_path": GONE}),
    ("unknown-qtype", "qwen", {P + "model.qtype": "int7"}),
    ("qtype-idle", "qwen", {P + "model.quantize": GONE, P + "model.quantize_te": GONE}),
    ("quantize-text", "qwen", {P + "model.quantize_te": GONE}),
    ("few-bits", "qwen", {P + "model.qtype": "uint3"}),
    (
        "flux-text-qtype",
        "flux",
        {P + "model.quantize": True, P + "model.quantize_te": True, P + "model.qtype_te": "int8"},
    ),
    ("flux-only", "flux", {P + "model.attn_masking": True}),
    ("recovery-assistant", "qwen", {P + "model.qtype": "uint3|a/b/c", P + "model.assistant_lora_path": "x"}),
    ("alpha-ignored", "qwen", {P + "network.linear_alpha": 8}),
    ("alpha-equal", "qwen", {P + "network.linear_alpha": 16}),
    ("alpha-one", "sdxl", {P + "network.linear_alpha": GONE}),
    ("rank-default", "qwen", {P + "network.linear": GONE}),
    ("rank-twice", "qwen", {P + "network.rank": 8}),
    ("lokr-full", "qwen", {P + "network.type": "lokr"}),
    ("rank-range", "qwen", {P + "network.linear": 256}),
    ("accumulation-zeroed", "qwen", {P + "train.gradient_accumulation_steps": 4}),
    ("accumulation-epoch", "qwen", {P + "train.gradient_accumulation_steps": -1}),
    ("accumulation-twice", "qwen", {P + "train.gradient_accumulation_steps": 2, P + "train.gradient_accumulation": 2}),
    ("accumulation-sum", "qwen", {P + "train.gradient_accumulation": 4}),
    ("ema-slow", "qwen", {P + "train.ema_config": {"use_ema": True, "ema_decay": 0.999}}),
    ("ema-slow", "qwen", {P + "train.ema_config": {"use_ema": True}}),
    ("ema-off", "qwen", {P + "train.ema_config": {"ema_decay": 0.99}}),
    ("rate-default", "qwen", {P + "train.lr": GONE}),
    ("rate-range", "qwen", {P + "train.lr": 1e-3}),
    ("rate-range", "qwen", {P + "train.lr": 1e-6}),
    ("rate-finder", "qwen", {P + "train.optimizer": "prodigy"}),
    ("optimiser-shape", "qwen", {P + "train.optimizer": {"name": "adamw8bit", "lr": 2e-4}}),
    ("unknown-optimiser", "qwen", {P + "train.optimizer": "adamw16bit"}),
    ("unknown-schedule", "qwen", {P + "train.lr_scheduler": "cosine_with_warmup"}),
    ("linear-rises", "qwen", {P + "train.lr_scheduler": "linear"}),
    ("warmup-default", "qwen", {P + "train.lr_scheduler": "constant_with_warmup"}),
    ("flow-scheduler", "flux", {P + "train.noise_scheduler": GONE}),
    ("timesteps-unset", "qwen", {P + "train.noise_scheduler": "ddpm"}),
    ("unet-flow", "sdxl", {P + "train.noise_scheduler": "flowmatch"}),
    ("timestep-default", "qwen", {P + "train.timestep_type": GONE}),
    ("full-precision", "qwen", {P + "train.dtype": GONE}),
    ("half-precision", "qwen", {P + "train.dtype": "fp16"}),
    ("text-encoder", "qwen", {P + "train.train_text_encoder": True}),
    ("text-encoder", "sdxl", {P + "train.train_text_encoder": True}),
    ("text-encoder-cached", "sdxl", {P + "train.train_text_encoder": True, P + "train.cache_text_embeddings": True}),
    ("preservation-trigger", "qwen", {P + "train.diff_output_preservation": True}),
    (
        "preservation-twice",
        "qwen",
        {P + "train.diff_output_preservation": True, P + "train.blank_prompt_preservation": True},
    ),
    ("guidance-bypass", "flux", {P + "train.bypass_guidance_embedding": True, P + "train.do_guidance_loss": True}),
    ("unload-edit", "edit", {P + "model.arch": "qwen_image_edit", P + "train.unload_text_encoder": True}),
    ("cache-mixed", "two", {P + "datasets.0.cache_text_embeddings": True}),
    ("no-datasets", "qwen", {P + "datasets": GONE}),
    ("validation-edit", "edit", {P + "train.validation_config": {"validation_items": []}}),
    (
        "validation-leak",
        "qwen",
        {P + "train.validation_config": {"validation_items": [{"image_path": "identity/3.png"}]}},
    ),
    (
        "validation-leak",
        "qwen",
        {P + "train.validation_config": {"validation_items": [{"image_path": "val/3_crop.png"}]}},
    ),
    ("sampler", "qwen", {P + "sample.sampler": "flowmatch"}),
    ("one-seed", "qwen", {P + "sample.walk_seed": GONE}),
    ("sample-guidance", "qwen", {P + "sample.guidance_scale": GONE}),
    ("guidance-range", "qwen", {P + "sample.guidance_scale": 9}),
    ("flux-guidance", "flux", {P + "sample.guidance_scale": 3.5}),
    ("flux-negative", "flux", {P + "sample.neg": "blurry"}),
    ("sample-size", "qwen", {P + "sample.width": GONE, P + "sample.height": GONE}),
    ("sample-cost", "qwen", {P + "sample.prompts": ["a"] * 10, P + "sample.sample_steps": 30}),
    ("sample-control", "edit", {P + "sample.samples.0.ctrl_img_1": GONE}),
    ("saves-deleted", "qwen", {P + "save.max_step_saves_to_keep": 4}),
    ("save-never", "qwen", {P + "save.save_every": 1000}),
    ("sample-save", "qwen", {P + "sample.sample_every": 70}),
    ("save-format", "qwen", {P + "save.save_format": "ckpt"}),
    ("hub-name", "qwen", {P + "save.push_to_hub": True}),
    ("no-folder", "qwen", {P + "datasets.0.folder_path": GONE}),
    ("folder-missing", "qwen", {P + "datasets.0.folder_path": "/path/to/images/folder"}),
    ("folder-empty", "qwen", {P + "datasets.0.folder_path": "empty"}),
    ("folder-prefix", "two", {P + "datasets.0.folder_path": "40_identity", P + "datasets.1.folder_path": "20_realism"}),
    ("prefix-alone", "qwen", {P + "datasets.0.folder_path": "40_identity"}),
    ("nested-folders", "two", {P + "datasets.1.folder_path": "identity/inner"}),
    ("resolution-copies", "qwen", {P + "datasets.0.resolution": [1024, 1024]}),
    ("resolution-list", "qwen", {P + "datasets.0.resolution": [512, 1024]}),
    ("resolution-default", "qwen", {P + "datasets.0.resolution": GONE}),
    ("dropout-trigger", "qwen", {P + "trigger_word": "maya_char", P + "datasets.0.caption_dropout_rate": 0.05}),
    ("cached-tokens", "qwen", {P + "datasets.0.shuffle_tokens": True, P + "train.cache_text_embeddings": True}),
    ("augmented-cache", "qwen", {P + "datasets.0.augments": ["flip"], P + "datasets.0.cache_latents": True}),
    ("control-missing", "edit", {P + "datasets.0.control_path": GONE}),
    ("poi", "qwen", {P + "datasets.0.poi": "face"}),
    ("captions-missing", "qwen", {P + "datasets.0.folder_path": "bare"}),
    ("captions-long", "qwen", {P + "datasets.0.folder_path": "long"}),
    ("captions-encoding", "qwen", {P + "datasets.0.folder_path": "latin"}),
]


TEXTS: list[tuple[str, str, Any]] = [
    ("date", "train.yaml", lambda text: text.replace("name: maya", "name: 2025-11-28")),
    ("duplicate-key", "train.yaml", lambda text: text.replace("batch_size: 1", "batch_size: 1\n      batch_size: 4")),
    (
        "boolean-word",
        "train.yaml",
        lambda text: text.replace("training_folder: output", "trigger_word: on\n    training_folder: output"),
    ),
    ("environment", "train.yaml", lambda text: "# ${SOME_TOKEN}\n" + text),
    (
        "accumulation-memory",
        "train.yaml",
        lambda text: text.replace(
            "batch_size: 1", "batch_size: 1\n      gradient_accumulation: 1  # less if out of memory"
        ),
    ),
    ("save-epoch", "train.yaml", lambda text: text.replace("save_every: 100", "save_every: 100  # one epoch")),
    ("json-comment", "train.jsonc", lambda text: as_json(yaml.safe_load(text)).replace("{", "{ // mine", 1)),
    ("json-comment", "train.json", lambda text: as_json(yaml.safe_load(text))[:-2] + ",\n}"),
]


GUIDE = """\
job: extension
config:
  name: qwen_character_lora
  process:
    - type: sd_trainer
      training_folder: output
      device: cuda:0
      trigger_word: maya_char
      network: {type: lora, linear: 16, linear_alpha: 16}
      save: {dtype: float16, save_every: 340, max_step_saves_to_keep: 10}
      datasets:
        - folder_path: 40_identity
          caption_ext: "txt"
          caption_dropout_rate: 0.05
          cache_latents_to_disk: true
          resolution: [1024, 1024]
        - folder_path: 20_realism
          caption_ext: "txt"
          caption_dropout_rate: 0.05
          cache_latents_to_disk: true
          resolution: [1024, 1024]
      train:
        batch_size: 1
        steps: 3400
        gradient_accumulation_steps: 4
        train_unet: true
        train_text_encoder: false
        gradient_checkpointing: true
        noise_scheduler: flowmatch
        optimizer: adamw8bit
        lr: 2e-4
        dtype: bf16
        ema_config: {use_ema: true, ema_decay: 0.999}
      model:
        name_or_path: Qwen/Qwen-Image-Edit-2509
        is_qwen: true
        quantize: true
        quantize_dtype: int8
      sample:
        sampler: flowmatch
        sample_every: 340
        width: 1024
        height: 1024
        prompts: [maya_char smiling, maya_char dancing, maya_char in winter]
        neg: low quality
        guidance_scale: 3.5
        sample_steps: 28
"""
"""The facts of the guides' YAML, in our own words."""

DEVIATIONS = {
    "device", "alpha-equal", "folder-prefix", "dropout-trigger", "resolution-copies", "accumulation-zeroed",
    "timestep-default", "ema-slow", "no-such-flag", "no-arch", "quantize-dtype", "quantize-text", "sampler", "one-seed",
    "control-missing", "sample-control",
}  # fmt: skip
"""What a reading of the trainer's code found in it, key by key."""
