"""Tiny random models of the real classes, saved as diffusers saves them: what a family's base looks like, small."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLQwenImage,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImageEditPlusPipeline,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2Model,
    Qwen2VLImageProcessorPil,
    Qwen3Config,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
)

from portraitist import families
from portraitist.families.mini_autoencoder import Autoencoder
from portraitist.family import Base
from portraitist.sections import Model
from tests.vocabularies import BEGIN, CAPTIONS, END, clip_tokenizer, qwen_tokenizer, t5_tokenizer

QWEN3_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
"""What is left of Qwen3's published template for one message without tools."""


def tiny(name: str, folder: Path, precision: str = "float32") -> Base:
    """A tiny base of a family in `folder`, the same every time; found there as a person's own would be."""
    if not folder.exists():
        state = torch.get_rng_state()
        torch.manual_seed(0)
        KNOWN[name].make(folder)
        torch.set_rng_state(state)
    return families.resolve(Model(family=name, base=str(folder), precision=precision))


def sdxl(folder: Path) -> None:
    """SDXL: the real UNet's levels, narrow and with one transformer layer each."""
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16, 16),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2, 2),
        transformer_layers_per_block=1,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 16,
        cross_attention_dim=16 + 16,
        norm_num_groups=4,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=vae(4, scaling_factor=0.13025),
        text_encoder=CLIPTextModel(clip_config()),
        text_encoder_2=CLIPTextModelWithProjection(clip_config()),
        tokenizer=clip_tokenizer(END),
        tokenizer_2=clip_tokenizer("!"),  # as the real second one pads
        unet=unet,
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
    )
    pipeline.save_pretrained(folder)


def flux(folder: Path) -> None:
    """FLUX.1-dev: one double and two single blocks."""
    pipeline = FluxPipeline(
        vae=vae(4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=CLIPTextModel(clip_config()),
        tokenizer=clip_tokenizer(END),
        text_encoder_2=T5EncoderModel(
            T5Config(vocab_size=len(t5_tokenizer()), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        ),
        tokenizer_2=t5_tokenizer(),
        transformer=FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
    )
    pipeline.save_pretrained(folder)


def qwen(folder: Path) -> None:
    """Qwen-Image: two blocks, the published schedule and the published scale of latents."""
    QwenImagePipeline(**qwen_parts()).save_pretrained(folder)


def qwen_edit(folder: Path) -> None:
    """Qwen-Image-Edit-2509: the same classes, and what cuts pictures into patches, set up as published."""
    QwenImageEditPlusPipeline(**qwen_parts(), processor=None).save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder / "processor")


def qwen_parts() -> dict[str, object]:
    """What the pipelines of Qwen-Image share."""
    tokenizer = qwen_tokenizer()
    ids = {f"{n}_token_id": tokenizer.convert_tokens_to_ids(f"<|{n}|>") for n in ("vision_start", "vision_end")}
    ids |= {f"{n}_token_id": tokenizer.convert_tokens_to_ids(f"<|{n}_pad|>") for n in ("image", "video")}
    told = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
            "max_position_embeddings": 4096,
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 16,
            "fullatt_block_indexes": [1],
        },
        **ids,
    )
    return {
        "vae": AutoencoderKLQwenImage(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1),
        "text_encoder": Qwen2_5_VLForConditionalGeneration(told),
        "tokenizer": tokenizer,
        "transformer": QwenImageTransformer2DModel(
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            axes_dims_rope=(4, 6, 6),
        ),
        "scheduler": FlowMatchEulerDiscreteScheduler(
            base_image_seq_len=256,
            base_shift=0.5,
            max_image_seq_len=8192,
            max_shift=0.9,
            shift_terminal=0.02,
            use_dynamic_shifting=True,
        ),
    }


def z_image(folder: Path, shift: float = 6.0) -> None:
    """Z-Image: two blocks and a refiner of each kind, the published VAE's scale and the published schedule."""
    tokenizer = qwen_tokenizer()
    tokenizer.chat_template = QWEN3_CHAT
    told = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        max_position_embeddings=4096,
    )
    pipeline = ZImagePipeline(
        vae=vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=Qwen3Model(told),
        tokenizer=tokenizer,
        transformer=ZImageTransformer2DModel(
            dim=32, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16, axes_dims=[4, 6, 6]
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
    )
    for token in (pipeline.transformer.x_pad_token, pipeline.transformer.cap_pad_token):
        token.data.normal_()  # zero when made
    pipeline.save_pretrained(folder)
    (folder / "tokenizer" / "chat_template.jinja").unlink()  # published in the tokenizer's settings
    tokenizer.save_pretrained(folder / "tokenizer", save_jinja_files=False)


def mini(folder: Path) -> None:
    """The embedded base's architecture, narrow: an own autoencoder and tokenizer, Qwen2, Qwen-Image's transformer."""
    places, width = 16, 32
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16 * 4 + places,
        out_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=width,
        axes_dims_rope=(4, 6, 6),
    )
    transformer.save_pretrained(folder / "transformer")
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        CAPTIONS,
        trainers.BpeTrainer(vocab_size=400, special_tokens=["<end>"], initial_alphabet=alphabet, show_progress=False),
    )
    made.save(str(folder / "tokenizer.json"))
    text = Qwen2Config(
        vocab_size=made.get_vocab_size(),
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    Qwen2Model(text).save_pretrained(folder / "text_encoder")
    Autoencoder(narrow=8, wide=8).save_pretrained(folder / "vae")


def vae(channels: int, **facts: object) -> AutoencoderKL:
    """An autoencoder that divides sides by eight, as the real ones do."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=64,
        **facts,
    )


def clip_config() -> CLIPTextConfig:
    """Of a CLIP text encoder three layers deep: the last but one is neither the first nor the last."""
    ids = clip_tokenizer(END).convert_tokens_to_ids([BEGIN, END])
    return CLIPTextConfig(
        vocab_size=len(clip_tokenizer(END)),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=ids[0],
        eos_token_id=ids[1],
        pad_token_id=ids[1],
        hidden_act="gelu",
    )


def exact(denoiser: torch.nn.Module) -> torch.nn.Module:
    """The denoiser in float64, whatever it is given; it answers in float32."""
    denoiser.double().register_forward_pre_hook(
        lambda _, given, named: (cast(given, torch.float64), cast(named, torch.float64)), with_kwargs=True
    )
    denoiser.register_forward_hook(lambda _, given, found: cast(found, torch.float32))
    return denoiser


def cast(values: Any, dtype: torch.dtype) -> Any:
    """Numbers in tuples, lists and tables as another type."""
    if isinstance(values, dict):
        return {name: cast(value, dtype) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(cast(value, dtype) for value in values)
    return values.to(dtype) if isinstance(values, torch.Tensor) and values.is_floating_point() else values


@dataclass(frozen=True)
class Known:
    """How tests of every family know one.

    make      writes its tiny base
    pipeline  diffusers' own, where it can be told all that we tell
    told      what the pipeline's call is told of guidance and negative prompt
    packed    whether the pipeline takes and gives its latents packed
    prefix    before the names in the adapter file that is exported
    """

    make: Callable[[Path], None]
    pipeline: type[DiffusionPipeline] | None = None
    told: Callable[[float, str], dict[str, object]] = lambda guidance, negative: {}
    denoiser: str = "transformer"
    channels: int = 16
    packed: bool = False
    prefix: str = "diffusion_model."

    def put(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (1, C, h, w) as the pipeline takes and gives them."""
        return FluxPipeline._pack_latents(latents, *latents.shape) if self.packed else latents


def beside(guidance: float, negative: str) -> dict[str, object]:
    """Z-Image's pipeline adds guidance times the difference to the prompt's prediction, not to the negative's."""
    return {"guidance_scale": guidance - 1, "negative_prompt": negative}


KNOWN = {
    "sdxl": Known(
        sdxl,
        StableDiffusionXLPipeline,
        lambda guidance, negative: {"guidance_scale": guidance, "negative_prompt": negative},
        denoiser="unet",
        channels=4,
        prefix="lora_unet_",
    ),
    "flux": Known(
        flux,
        FluxPipeline,
        lambda guidance, negative: {"guidance_scale": guidance},
        channels=4,
        packed=True,
        prefix="transformer.",
    ),
    "qwen-image": Known(
        qwen,
        QwenImagePipeline,
        lambda guidance, negative: {"true_cfg_scale": guidance, "negative_prompt": negative},
        packed=True,
    ),
    "qwen-image-edit": Known(qwen_edit),
    "z-image": Known(z_image, ZImagePipeline, beside),
    "z-image-turbo": Known(partial(z_image, shift=3.0), ZImagePipeline, beside),
    "mini": Known(mini),
}
PIPELINES = {name: known.pipeline for name, known in KNOWN.items() if known.pipeline}
OUTSIDE = [name for name in KNOWN if name != "mini"]
"""The families whose bases others publish."""
