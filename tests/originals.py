"""Parts of tiny bases as their publishers write them: diffusers' and transformers' names turned into the original ones.

Written against diffusers' converters, which go the other way.
"""

import re

import torch
from safetensors.torch import load_file, save_file

from portraitist.adapters.layouts import black_forest, ldm

VAE = (
    (r"(en|de)coder\.mid_block\.attentions\.0\.group_norm", r"\1coder.mid.attn_1.norm"),
    (r"(en|de)coder\.mid_block\.attentions\.0\.to_out\.0", r"\1coder.mid.attn_1.proj_out"),
    (r"(en|de)coder\.mid_block\.attentions\.0\.to_(q|k|v)", r"\1coder.mid.attn_1.\2"),
    (r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2"),
    (r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", lambda found: f"up.{3 - int(found[1])}.block.{found[2]}"),
    (r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{3 - int(found[1])}.upsample"),
    (r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}"),
    (r"conv_norm_out", "norm_out"),
    (r"conv_shortcut", "nin_shortcut"),
)
OPEN_CLIP = (
    (r"text_model\.embeddings\.token_embedding", "token_embedding"),
    (r"text_model\.embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"text_model\.final_layer_norm", "ln_final"),
    (r"text_projection\.weight", "text_projection"),
    (r"text_model\.encoder\.layers", "transformer.resblocks"),
    (r"self_attn", "attn"),
    (r"layer_norm(\d)", r"ln_\1"),
    (r"mlp\.fc1", "mlp.c_fc"),
    (r"mlp\.fc2", "mlp.c_proj"),
)
WAN = (
    (r"mid_block\.attentions\.0", "middle.1"),
    (r"mid_block\.resnets\.(\d)", lambda found: f"middle.{2 * int(found[1])}"),
    (r"encoder\.down_blocks\.(\d+)", r"encoder.downsamples.\1"),
    (r"decoder\.up_blocks\.(\d)\.resnets\.(\d)", lambda f: f"decoder.upsamples.{4 * int(f[1]) + int(f[2])}"),
    (r"decoder\.up_blocks\.(\d)\.upsamplers\.0", lambda f: f"decoder.upsamples.{4 * int(f[1]) + 3}"),
    (r"norm1\.gamma", "residual.0.gamma"),
    (r"conv1\.(weight|bias)$", r"residual.2.\1"),
    (r"norm2\.gamma", "residual.3.gamma"),
    (r"conv2\.(weight|bias)$", r"residual.6.\1"),
    (r"conv_shortcut", "shortcut"),
    (r"norm_out\.gamma", "head.0.gamma"),
    (r"conv_out", "head.2"),
    (r"coder\.conv_in", "coder.conv1"),
    (r"^quant_conv", "conv1"),
    (r"^post_quant_conv", "conv2"),
)


def weights(folder, part):
    """A part's tensors as diffusers or transformers saved them."""
    (path,) = (folder / part).glob("*.safetensors")
    return load_file(path)


def renamed(tensors, table):
    """Tensors by other names: each rule of a table in turn."""
    found = {}
    for name, tensor in tensors.items():
        for old, new in table:
            name = re.sub(old, new, name)
        found[name] = tensor
    return found


def unet(tensors):
    """SDXL's UNet in Stability's layout."""
    return {f"{ldm(name.rpartition('.')[0])}.{name.rpartition('.')[2]}": tensor for name, tensor in tensors.items()}


def vae(tensors):
    """The autoencoder of SDXL and FLUX in their publishers' layout: its attention is of 1 x 1 convolutions."""
    found = renamed(tensors, VAE)
    attention = re.compile(r".*\.attn_1\.(q|k|v|proj_out)\.weight")
    return {n: t[:, :, None, None].contiguous() if attention.fullmatch(n) else t for n, t in found.items()}


def clip_l(tensors):
    """CLIP-L as transformers wrote it before its fifth version."""
    inner = {f"text_model.{name}": tensor for name, tensor in tensors.items() if not name.startswith("text_model.")}
    found = inner or dict(tensors)
    return found | {"text_model.embeddings.position_ids": torch.arange(77)[None]}


def clip_g(tensors):
    """CLIP-G in OpenCLIP's layout: query, key and value are one matrix, and the projection is turned."""
    found = renamed(tensors, OPEN_CLIP)
    for name in [name for name in found if ".q_proj." in name]:
        kind = name.rpartition(".")[2]
        three = [found.pop(name.replace("q_proj", f"{one}_proj")) for one in "qkv"]
        found[name.replace(f".q_proj.{kind}", f".in_proj_{kind}")] = torch.cat(three)
    found["text_projection"] = found["text_projection"].T.contiguous()
    return found | {"logit_scale": torch.tensor(4.6)}


def flux(tensors):
    """FLUX's transformer in Black Forest Labs' layout."""
    scales = {"norm_q": "img_attn.norm.query_norm", "norm_k": "img_attn.norm.key_norm"}
    scales |= {"norm_added_q": "txt_attn.norm.query_norm", "norm_added_k": "txt_attn.norm.key_norm"}
    found, fused = {}, {}
    for name, tensor in tensors.items():
        module, _, kind = name.rpartition(".")
        norm = module.rpartition(".")[2]
        if norm in scales:
            block, number, *_ = module.split(".")
            double = block == "transformer_blocks"
            scale = scales[norm] if double else scales[norm].removeprefix("img_attn.")
            found[f"{'double' if double else 'single'}_blocks.{number}.{scale}.scale"] = tensor
            continue
        place = black_forest(module)
        if place.swapped:
            scale, shift = tensor.chunk(2)
            tensor = torch.cat([shift, scale])
        fused.setdefault(f"{place.name}.{kind}", {})[place.part] = tensor
    return found | {name: torch.cat([parts[i] for i in sorted(parts)]) for name, parts in fused.items()}


def t5(tensors):
    """T5's encoder, whose vectors of words are there once."""
    return {name: tensor for name, tensor in tensors.items() if name != "encoder.embed_tokens.weight"}


def qwen_text(tensors):
    """Qwen2.5-VL as it was first published, without the level that transformers added."""
    return renamed(tensors, ((r"^model\.language_model\.", "model."), (r"^model\.visual\.", "visual.")))


def wan_vae(tensors):
    """Qwen-Image's autoencoder in the layout of Wan's."""
    found = renamed(tensors, WAN)
    return {re.sub(r"^decoder\.upsamples\.4\.resnets\.0\.", "decoder.upsamples.4.", n): t for n, t in found.items()}


def saved(path, tensors, **metadata):
    """A file of tensors; the way there is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata=metadata or None)
    return path


def below(prefix, tensors):
    """Names with something before them."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


def sdxl_file(folder, path, **metadata):
    """A whole SDXL checkpoint of a base in diffusers' layout."""
    tensors = below("model.diffusion_model.", unet(weights(folder, "unet")))
    tensors |= below("first_stage_model.", vae(weights(folder, "vae")))
    tensors |= below("conditioner.embedders.0.transformer.", clip_l(weights(folder, "text_encoder")))
    tensors |= below("conditioner.embedders.1.model.", clip_g(weights(folder, "text_encoder_2")))
    return saved(path, tensors | {"denoiser.sigmas": torch.ones(1000)}, **metadata)


def flux_files(folder, to):
    """FLUX's four files, as they are published one by one, in ComfyUI's folders."""
    return {
        "transformer": saved(to / "diffusion_models" / "flux1-dev.safetensors", flux(weights(folder, "transformer"))),
        "vae": saved(to / "vae" / "ae.safetensors", vae(weights(folder, "vae"))),
        "text_encoder": saved(to / "text_encoders" / "clip_l.safetensors", clip_l(weights(folder, "text_encoder"))),
        "text_encoder_2": saved(to / "text_encoders" / "t5xxl_fp16.safetensors", t5(weights(folder, "text_encoder_2"))),
    }


def qwen_files(folder, to):
    """Qwen-Image's three files as Comfy-Org publishes them."""
    to = to / "split_files"
    return {
        "transformer": saved(to / "diffusion_models" / "qwen_image_bf16.safetensors", weights(folder, "transformer")),
        "vae": saved(to / "vae" / "qwen_image_vae.safetensors", wan_vae(weights(folder, "vae"))),
        "text_encoder": saved(
            to / "text_encoders" / "qwen_2.5_vl_7b.safetensors", qwen_text(weights(folder, "text_encoder"))
        ),
    }
