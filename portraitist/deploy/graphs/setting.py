"""What a graph is to draw: all that a project, a run's choice and a base's profile say of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from portraitist.errors import PortraitistError
from portraitist.family import Family

FILES: Mapping[str, Mapping[str, str]] = {
    "sdxl": {"unet": "sd_xl_base_1.0.safetensors"},
    "flux": {
        "transformer": "flux1-dev.safetensors",
        "text_encoder": "clip_l.safetensors",
        "text_encoder_2": "t5xxl_fp16.safetensors",
        "vae": "ae.safetensors",
    },
    "qwen-image": {
        "transformer": "qwen_image_fp8_e4m3fn.safetensors",
        "text_encoder": "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "vae": "qwen_image_vae.safetensors",
    },
    "qwen-image-edit": {
        "transformer": "qwen_image_edit_2509_fp8_e4m3fn.safetensors",
        "text_encoder": "qwen_2.5_vl_7b_fp8_scaled.safetensors",
        "vae": "qwen_image_vae.safetensors",
    },
    "z-image": {
        "transformer": "z_image_bf16.safetensors",
        "text_encoder": "qwen_3_4b.safetensors",
        "vae": "ae.safetensors",
    },
    "z-image-turbo": {
        "transformer": "z_image_turbo_bf16.safetensors",
        "text_encoder": "qwen_3_4b.safetensors",
        "vae": "ae.safetensors",
    },
}
"""Files of each family's parts, by diffusers' names, as Comfy-Org packs them; SDXL's `unet` is the whole checkpoint."""

HUB = "https://huggingface.co/{}/resolve/main/{}"

PUBLISHED = {
    "sd_xl_base_1.0.safetensors": ("stabilityai/stable-diffusion-xl-base-1.0", ""),
    "flux1-dev.safetensors": ("Comfy-Org/flux1-dev", ""),
    "clip_l.safetensors": ("comfyanonymous/flux_text_encoders", ""),
    "t5xxl_fp16.safetensors": ("comfyanonymous/flux_text_encoders", ""),
    "ae.safetensors": ("Comfy-Org/z_image_turbo", "split_files/vae/"),
    "qwen_image_fp8_e4m3fn.safetensors": ("Comfy-Org/Qwen-Image_ComfyUI", "split_files/diffusion_models/"),
    "qwen_2.5_vl_7b_fp8_scaled.safetensors": ("Comfy-Org/Qwen-Image_ComfyUI", "split_files/text_encoders/"),
    "qwen_image_vae.safetensors": ("Comfy-Org/Qwen-Image_ComfyUI", "split_files/vae/"),
    "qwen_image_edit_2509_fp8_e4m3fn.safetensors": (
        "Comfy-Org/Qwen-Image-Edit_ComfyUI",
        "split_files/diffusion_models/",
    ),
    "z_image_bf16.safetensors": ("Comfy-Org/z_image", "split_files/diffusion_models/"),
    "z_image_turbo_bf16.safetensors": ("Comfy-Org/z_image_turbo", "split_files/diffusion_models/"),
    "qwen_3_4b.safetensors": ("Comfy-Org/z_image_turbo", "split_files/text_encoders/"),
}
"""Where those files are, by ComfyUI's own templates (0.11.44): the model, and the folder in it. Its editor offers to
fetch what is missing; nothing is fetched here."""

EDITS = {"qwen-image-edit": 3}
"""Families that are shown reference pictures, and how many at most."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One drawing.

    lora        the character's file, in ComfyUI's folder `loras`; strength: of it
    width, height  in pixels
    shift       of the schedule towards noise, as t goes to shift t / (1 + (shift - 1) t); timesteps have none
    files       of the base's parts that are called otherwise than in FILES
    style       a second LoRA's file, and its strength; "" for none
    references  names of pictures in ComfyUI's folder `input`, for edit families
    prediction  "v" for an SDXL base of whose file nobody knows that it predicts v
    name        what saved pictures' names begin with
    """

    family: str
    lora: str
    strength: float
    prompt: str
    steps: int
    guidance: float
    width: int
    height: int
    negative: str = ""
    seed: int = 0
    shift: float = 1.0
    files: Mapping[str, str] | None = None
    style: tuple[str, float] = ("", 0.0)
    references: tuple[str, ...] = ()
    prediction: str = ""
    name: str = "portraitist"

    def file(self, part: str) -> str:
        """What the file of a part is called."""
        return (self.files or {}).get(part) or FILES[self.family][part]


def published(name: str) -> str:
    """Where a file of FILES is; "" for others."""
    return HUB.format(PUBLISHED[name][0], PUBLISHED[name][1] + name) if name in PUBLISHED else ""


def require_able(family: str) -> None:
    """Refuse a family that ComfyUI has no nodes for."""
    if family not in FILES:
        raise PortraitistError(
            f"ComfyUI has no nodes for a base of {family}", f"Workflows are written for {', '.join(FILES)}."
        )


def require(setting: Setting) -> None:
    """Refuse what no graph can be made of. Raises PortraitistError."""
    require_able(setting.family)
    most, shown = EDITS.get(setting.family, 0), len(setting.references)
    if shown > most:
        takes = f"{most} at most" if most else "none"
        raise PortraitistError(
            f"{shown} reference pictures: a base of {setting.family} takes {takes}", f"Ask for {most} at most."
        )
    known = FILES[setting.family]
    for part in setting.files or ():
        if part not in known:
            raise PortraitistError(
                f"A base of {setting.family} has no file for {part!r} in ComfyUI", f"Its files: {', '.join(known)}."
            )


def shifted(family: Family, steps: int, side: int) -> float:
    """How far a family's schedule is shifted towards noise for a square picture: s of s t / (1 + (s - 1) t); 1 for one
    with timesteps, which is not.

    Taken a quarter into the steps; where a schedule is stretched besides, as Qwen-Image's, it is near that alone.
    """
    if family.profile.timesteps:
        return 1.0
    at = max(1, steps // 4)
    even, level = 1 - at / steps, float(family.levels(steps, side, side)[at])
    return level * (1 - even) / (even * (1 - level)) if 0 < level < 1 and 0 < even < 1 else 1.0
