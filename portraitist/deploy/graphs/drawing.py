"""Graphs in API format, of core nodes alone: a character's LoRA drawn by its base, as it was judged.

Samplers are Euler over the schedule that judging draws by, as near as ComfyUI's own come to it.
"""

import math
import re
from dataclasses import dataclass, replace

from portraitist.deploy.graphs.setting import Setting, require
from portraitist.deploy.server import Graph

Link = list[str | int]
"""A node's id and the slot of one of its outputs."""

FLUX_SHIFT = 1.15
"""The exponent that ComfyUI gives FLUX, whatever the picture's size: its publisher's for a megapixel."""

FITTED = "At the picture's size"
"""The title of the node that cuts the first reference."""

SEEN = 1.0
"""Megapixels that a reference is scaled to, as the base's own pipeline does."""


class Builder:
    """A graph while it is built: ids count up from 1, so equal settings make equal graphs."""

    def __init__(self) -> None:
        self.graph: Graph = {}

    def add(self, kind: str, title: str = "", **inputs: object) -> str:
        """Put a node in; returns its id."""
        key = str(len(self.graph) + 1)
        self.graph[key] = {"class_type": kind, "inputs": inputs, "_meta": {"title": title or kind}}
        return key


@dataclass(frozen=True, slots=True)
class Loaded:
    """A base's parts, where they come out of the graph."""

    model: Link
    clip: Link
    vae: Link


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: conditions, and where drawing starts."""

    positive: Link
    negative: Link
    latent: Link


def drawing(setting: Setting) -> Graph:
    """A graph that draws one picture with the LoRA, and the style's before it if there is one.

    Raises PortraitistError for a family that ComfyUI has no nodes for, and for references that it does not take.
    """
    require(setting)
    builder = Builder()
    loaded = base(builder, setting)
    if setting.style[0]:
        loaded = adapted(builder, setting, loaded, *setting.style, title="Style LoRA")
    loaded = adapted(builder, setting, loaded, setting.lora, setting.strength, title="Character LoRA")
    asked = conditions(builder, setting, loaded)
    picture = drawn(builder, setting, scheduled(builder, setting, loaded.model), loaded.vae, asked)
    builder.add("SaveImage", "Save", images=picture, filename_prefix=setting.name)
    return builder.graph


def places(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Where in such a graph each value stands that a drawing may be given anew, as "node.input", by what it is: prompt,
    negative, seed, lora, strength, guidance, steps, width, height, references (one place for each)."""
    named = {node["_meta"]["title"]: (key, node["inputs"]) for key, node in graph.items()}

    def where(title: str, *inputs: str) -> tuple[str, ...]:
        key, own = named.get(title, ("", {}))
        return tuple(f"{key}.{name}" for name in inputs if name in own and not isinstance(own[name], list))

    shown = [where(title, "image") for title in named if re.fullmatch(r"Reference \d", title)]
    found = {
        "prompt": where("Prompt", "text", "prompt"),
        "negative": where("Negative", "text", "prompt"),
        "seed": where("Sampler", "seed"),
        "lora": where("Character LoRA", "lora_name"),
        "strength": where("Character LoRA", "strength_model", "strength_clip"),
        "guidance": where("Guidance", "guidance") or where("Sampler", "cfg"),
        "steps": where("Sampler", "steps"),
        "references": tuple(place for one in shown for place in one),
    }
    sized = ("Size", "Schedule", FITTED)
    return found | {
        side: tuple(place for title in sized for place in where(title, side)) for side in ("width", "height")
    }


def base(builder: Builder, setting: Setting) -> Loaded:
    """The base's parts, loaded."""
    if setting.family == "sdxl":
        key = builder.add("CheckpointLoaderSimple", "Base", ckpt_name=setting.file("unet"))
        return Loaded([key, 0], [key, 1], [key, 2])
    model = builder.add("UNETLoader", "Base", unet_name=setting.file("transformer"), weight_dtype="default")
    if setting.family == "flux":
        clip = builder.add(
            "DualCLIPLoader",
            "Text encoders",
            clip_name1=setting.file("text_encoder"),
            clip_name2=setting.file("text_encoder_2"),
            type="flux",
            device="default",
        )
    else:
        kind = "qwen_image" if setting.family.startswith("qwen") else "lumina2"
        clip = builder.add(
            "CLIPLoader", "Text encoder", clip_name=setting.file("text_encoder"), type=kind, device="default"
        )
    vae = builder.add("VAELoader", "VAE", vae_name=setting.file("vae"))
    return Loaded([model, 0], [clip, 0], [vae, 0])


def adapted(
    builder: Builder, setting: Setting, loaded: Loaded, name: str, strength: float, title: str, *, words: bool = True
) -> Loaded:
    """The base with a LoRA.

    words  whether SDXL's text encoders go through it too: other people's files may hold something for them
    """
    if setting.family == "sdxl" and words:
        key = builder.add(
            "LoraLoader", title, model=loaded.model, clip=loaded.clip, lora_name=name,
            strength_model=strength, strength_clip=strength,
        )  # fmt: skip
        return replace(loaded, model=[key, 0], clip=[key, 1])
    key = builder.add("LoraLoaderModelOnly", title, model=loaded.model, lora_name=name, strength_model=strength)
    return replace(loaded, model=[key, 0])


def scheduled(builder: Builder, setting: Setting, model: Link) -> Link:
    """The model with its schedule, where that is not ComfyUI's own for it."""
    if setting.family == "sdxl":
        if setting.prediction != "v":
            return model
        return [builder.add("ModelSamplingDiscrete", "Predicts v", model=model, sampling="v_prediction", zsnr=False), 0]
    if setting.family == "flux":
        exponent = round(math.log(setting.shift), 2)
        if exponent == FLUX_SHIFT:
            return model
        size = {"width": setting.width, "height": setting.height}
        key = builder.add("ModelSamplingFlux", "Schedule", model=model, max_shift=exponent, base_shift=exponent, **size)
        return [key, 0]
    key = builder.add("ModelSamplingAuraFlow", "Schedule", model=model, shift=round(setting.shift, 2))
    if setting.family == "qwen-image-edit":
        key = builder.add("CFGNorm", "Guidance's norm", model=[key, 0], strength=1.0, pre_cfg=False)
    return [key, 0]


def conditions(builder: Builder, setting: Setting, loaded: Loaded) -> Asked:
    """The words, read by the family's text encoders, and an empty picture."""
    size = {"width": setting.width, "height": setting.height}
    if setting.family == "qwen-image-edit":
        return edited(builder, setting, loaded)
    told = builder.add("CLIPTextEncode", "Prompt", clip=loaded.clip, text=setting.prompt)
    if setting.family == "flux":
        positive = builder.add("FluxGuidance", "Guidance", conditioning=[told, 0], guidance=setting.guidance)
    else:
        positive = told
    if setting.family in ("flux", "z-image-turbo"):  # at cfg 1 nothing of a negative is asked
        negative = builder.add("ConditioningZeroOut", "No negative", conditioning=[told, 0])
    else:
        negative = builder.add("CLIPTextEncode", "Negative", clip=loaded.clip, text=setting.negative)
    kind = "EmptyLatentImage" if setting.family == "sdxl" else "EmptySD3LatentImage"
    latent = builder.add(kind, "Size", **size, batch_size=1)
    return Asked([positive, 0], [negative, 0], [latent, 0])


def edited(builder: Builder, setting: Setting, loaded: Loaded) -> Asked:
    """Words and references, as Qwen-Image-Edit is told them.

    The encoder's node gets no VAE: with one it scales every reference to another size than the picture has, which
    users see as zoom. References are encoded beside it, the first at the picture's own size.
    """
    size, shown, latents = {"width": setting.width, "height": setting.height}, {}, []
    for i, name in enumerate(setting.references, 1):
        image = builder.add("LoadImage", f"Reference {i}", image=name)
        if i == 1:
            fitted = builder.add(
                "ImageScale", FITTED, image=[image, 0], upscale_method="lanczos", **size, crop="center"
            )
        else:
            fitted = builder.add(
                "ImageScaleToTotalPixels", "A megapixel", image=[image, 0], upscale_method="lanczos",
                megapixels=SEEN, resolution_steps=32,
            )  # fmt: skip
        shown[f"image{i}"] = [fitted, 0]
        latents.append(builder.add("VAEEncode", f"Reference {i} encoded", pixels=[fitted, 0], vae=loaded.vae))
    sides = []
    for title, text in (("Prompt", setting.prompt), ("Negative", setting.negative)):
        key = builder.add("TextEncodeQwenImageEditPlus", title, clip=loaded.clip, prompt=text, **shown)
        for i, latent in enumerate(latents, 1):
            key = builder.add("ReferenceLatent", f"{title}: reference {i}", conditioning=[key, 0], latent=[latent, 0])
        sides.append(key)
    empty = builder.add("EmptySD3LatentImage", "Size", **size, batch_size=1)
    return Asked([sides[0], 0], [sides[1], 0], [empty, 0])


def drawn(builder: Builder, setting: Setting, model: Link, vae: Link, asked: Asked, title: str = "Sampler") -> Link:
    """A picture, sampled and decoded."""
    key = builder.add(
        "KSampler", title, model=model, positive=asked.positive, negative=asked.negative, latent_image=asked.latent,
        seed=setting.seed, steps=setting.steps, cfg=1.0 if setting.family == "flux" else setting.guidance,
        sampler_name="euler", scheduler="ddim_uniform" if setting.family == "sdxl" else "simple", denoise=1.0,
    )  # fmt: skip
    return [builder.add("VAEDecode", "Picture", samples=[key, 0], vae=vae), 0]
