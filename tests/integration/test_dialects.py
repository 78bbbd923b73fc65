"""One adapter in every dialect: names and numbers as diffusers' own converters have them, and back to the byte."""

import re
from types import SimpleNamespace

import pytest
import torch
from diffusers import FluxPipeline, QwenImagePipeline, StableDiffusionXLPipeline
from diffusers.utils import convert_state_dict_to_peft, convert_unet_state_dict_to_peft
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from portraitist import families
from portraitist.adapters import content, dialects, trees
from portraitist.adapters.facts import recognise
from portraitist.errors import PortraitistError
from tests.adapters import equal, lora, modules_of, probed, scale, words, written

DIALECTS = [row for family in dialects.families() for row in dialects.of(family)]
WRITTEN = [row for row in DIALECTS if row.written]
by_row = {"ids": lambda row: f"{row.family}-{row.name}"}


def test_the_trees_are_the_published_ones():
    """Parameter counts of the model cards, and the counts of layers that each trainer can be on."""
    count = {}
    for family, build in (("sdxl", trees.sdxl), ("flux", trees.flux), ("qwen-image", trees.qwen_image)):
        with torch.device("meta"):
            count[family] = sum(parameter.numel() for parameter in build().parameters())
    assert count == {"sdxl": 2_567_463_684, "flux": 11_901_408_320, "qwen-image": 20_430_401_088}
    sdxl, flux, qwen = (trees.layers(family) for family in count)
    assert [len(layers) for layers in (sdxl, flux, qwen)] == [794, 504, 846]
    assert sum("attentions" in name for name in sdxl) == 722  # sd-scripts without conv_dim: Transformer2DModel
    assert sum(bool(re.search("attentions|resnets|samplers", name)) for name in sdxl) == 788  # and with it
    assert sum("blocks." in name for name in flux) == 494
    assert sum(name.startswith("transformer_blocks.") for name in qwen) == 840


def test_text_encoders_are_those_of_transformers():
    """CLIP-L, OpenCLIP bigG and T5-XXL by their published sizes; transformers 5 leaves `text_model.` out."""
    with torch.device("meta"):
        models = {
            "clip_l": CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12)),
            "clip_g": CLIPTextModel(CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32)),
            "t5": T5EncoderModel(
                T5Config(d_model=4096, d_kv=64, num_heads=64, d_ff=10240, num_layers=24, feed_forward_proj="gated-gelu")
            ),
        }
    ours = trees.shapes("sdxl") | trees.shapes("flux")
    for name, model in models.items():
        linear = {
            f"{name}.{'' if name == 't5' or path.startswith('text_model.') else 'text_model.'}{path}": layer.weight
            for path, layer in model.named_modules()
            if isinstance(layer, torch.nn.Linear)
        }
        assert {path: tuple(weight.shape) for path, weight in linear.items()} == {
            path: shape for path, shape in ours.items() if path.startswith(f"{name}.")
        }
    assert sum(path.startswith("clip_") for path in trees.shapes("sdxl")) == 264


@pytest.mark.parametrize("row", DIALECTS, **by_row)
def test_a_file_on_every_layer_is_told_by_its_names_and_shapes(row):
    """On the meta device: the family, no name unmatched, every layer found; a dialect told apart from those unlike."""
    tree, tensors = trees.shapes(row.family), {}
    named = [module for module in trees.layers(row.family) if row.place(module)]
    named += [module for module in tree if trees.is_encoder(module) and row.place(module)]
    sizes = {}
    for module in named:
        place = row.place(module)
        rows, *rest = tree[module]
        sizes[place.name] = (sizes.get(place.name, (0,))[0] + rows, rest)
    for name, (rows, rest) in sizes.items():
        tensors[name + row.suffixes["down"]] = torch.empty(4, *rest, device="meta")
        tensors[name + row.suffixes["up"]] = torch.empty(rows, 4, *(1 for _ in rest[1:]), device="meta")
    known = recognise(tensors, {})
    family, said = known.family, known.content
    assert family == row.family
    assert said.strangers == ()
    assert {module for layer in said.layers for module in layer.entry.modules} == set(named)
    assert row.name in dialects.speakers(tensors, words(row.family))


@pytest.mark.parametrize("family", dialects.families())
def test_no_name_means_two_things(family):
    tree = trees.shapes(family)
    for row in dialects.of(family):
        seen = {}
        for module in tree:
            if place := row.place(module):
                assert words(family)[place.name].modules.index(module) == place.part
                assert seen.setdefault((place.name, place.part), module) == module


@pytest.mark.parametrize("family", sorted(set(families.FAMILIES) & set(dialects.families())))
def test_the_first_dialect_is_what_export_writes(family):
    row, exported = dialects.get(family), families.get(family).file_name
    assert all(row.place(module).name == exported(module) for module in trees.layers(family))
    assert row.lost is None or not any(re.search(row.lost, module) for module in trees.layers(family))


def test_names_are_the_trainers_own():
    """Written down from sd-scripts and musubi-tuner, which enumerate them."""
    flux = {dialects.get("flux", "kohya").place(module).name for module in trees.layers("flux")}
    blocks = {
        f"lora_unet_double_blocks_{i}_{side}_{part}"
        for i in range(19)
        for side in ("img", "txt")
        for part in ("attn_qkv", "attn_proj", "mlp_0", "mlp_2", "mod_lin")
    } | {f"lora_unet_single_blocks_{i}_{part}" for i in range(38) for part in ("linear1", "linear2", "modulation_lin")}
    assert len(blocks) == 304
    assert blocks <= flux
    assert len(flux) == 314
    qwen = {dialects.get("qwen-image", "musubi").place(module).name for module in trees.layers("qwen-image")}
    attention = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out_0", "to_add_out")
    parts = [f"attn_{part}" for part in attention]
    parts += [f"{side}_{part}" for side in ("img", "txt") for part in ("mlp_net_0_proj", "mlp_net_2", "mod_1")]
    assert {f"lora_unet_transformer_blocks_{i}_{part}" for i in range(60) for part in parts} <= qwen


def test_diffusers_reads_sdxls_kohya_names_as_we_do():
    """All 794 layers and both text encoders' first blocks, by the pipeline's own converter."""
    modules = [*trees.layers("sdxl"), *(m for m in trees.shapes("sdxl") if re.match(r"clip_.*layers\.0\.", m))]
    parts = lora("sdxl", modules, rank=1, alpha=lambda r: 0.5)
    for name in ("kohya", "kohya-diffusers"):
        if name == "kohya-diffusers":  # diffusers reads these names' attention only, as SD 1.5's
            parts = {m: p for m, p in parts.items() if re.search(r"attn\d\.to_|clip", m)}
        tensors = written(parts, dialects.get("sdxl", name))
        theirs, alphas = StableDiffusionXLPipeline.lora_state_dict(
            dict(tensors), unet_config=SimpleNamespace(layers_per_block=2)
        )
        assert set(alphas.values()) == {0.5}
        unet = convert_unet_state_dict_to_peft({k[5:]: v for k, v in theirs.items() if k.startswith("unet.")})
        ours = written({m: p for m, p in parts.items() if not trees.is_encoder(m)}, dialects.get("sdxl", "diffusers"))
        equal(unet, {k.removeprefix("unet."): v for k, v in ours.items() if not k.endswith(".alpha")})
        encoders = convert_state_dict_to_peft({k: v for k, v in theirs.items() if k.startswith("text_encoder")})
        ours = written({m: p for m, p in parts.items() if trees.is_encoder(m)}, dialects.get("sdxl", "diffusers"))
        equal(encoders, {k: v for k, v in ours.items() if not k.endswith(".alpha")})
        assert len(encoders) == 2 * 12


@pytest.mark.parametrize("rank", [2, 3])
def test_diffusers_reads_fluxs_kohya_names_as_we_do(rank):
    """Every layer; qkv fused from random factors, and from factors of its own for each (rank 3: thirds are tried)."""
    tree, row = trees.shapes("flux"), dialects.get("flux", "kohya")
    tensors, draw = {}, torch.Generator().manual_seed(0)
    chosen = [
        m for m in trees.layers("flux") if re.search(r"(_blocks\.(0|18|37)\.)|^[a-z]*_embed|norm_out|^proj_out", m)
    ]
    sizes = {}
    for module in chosen:
        name = row.place(module).name
        sizes[name] = (sizes.get(name, (0,))[0] + tree[module][0], tree[module][1])
    for name, (rows, width) in sizes.items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, width, generator=draw)
        tensors[f"{name}.lora_up.weight"] = torch.randn(rows, rank, generator=draw)
        if "final_layer" not in name:  # diffusers passes over the alphas of these two
            tensors[f"{name}.alpha"] = torch.tensor(0.7)
    theirs = FluxPipeline.lora_state_dict(dict(tensors))
    ours = modules_of(content.read(tensors, words("flux")), "flux")
    heard = {k.removeprefix("transformer.").removesuffix(".lora_A.weight") for k in theirs if ".lora_A." in k}
    assert ours.keys() == heard == set(chosen)
    for module, parts in ours.items():
        key = next(k for k in (f"transformer.{module}", module) if f"{k}.lora_A.weight" in theirs)
        expected = probed(theirs[f"{key}.lora_A.weight"], theirs[f"{key}.lora_B.weight"])
        torch.testing.assert_close(probed(parts["down"], parts["up"], scale(parts)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["musubi", "ai-toolkit", "comfyui", "diffusers"])
def test_diffusers_reads_qwens_names_as_we_do(name):
    parts = lora("qwen-image", trees.layers("qwen-image"), rank=1, alpha=lambda r: 0.25)
    theirs = QwenImagePipeline.lora_state_dict(written(parts, dialects.get("qwen-image", name)))
    theirs = {k.removeprefix("transformer.").removeprefix("transformer."): v for k, v in theirs.items()}
    assert {k.rpartition(".lora_")[0] for k in theirs} == parts.keys()
    for module, each in parts.items():
        expected = probed(theirs[f"{module}.lora_A.weight"], theirs[f"{module}.lora_B.weight"])
        torch.testing.assert_close(probed(each["down"], each["up"], 0.25), expected)


def test_diffusers_reads_onetrainers_names_for_flux_as_we_do():
    modules = [m for m in trees.layers("flux") if re.search(r"_blocks\.2\.attn", m)]
    parts = lora("flux", modules, rank=2, alpha=lambda r: 1.0)
    theirs = FluxPipeline.lora_state_dict(written(parts, dialects.get("flux", "onetrainer")))
    assert {k.removesuffix(".lora_A.weight") for k in theirs if ".lora_A." in k} == {
        f"transformer.{m}" for m in modules
    }


SOME = {
    "sdxl": ("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0", "up_blocks.0.resnets.1.conv_shortcut",
             "mid_block.attentions.0.proj_in", "up_blocks.1.upsamplers.0.conv", "time_embedding.linear_2"),
    "flux": ("transformer_blocks.1.attn.to_q", "transformer_blocks.1.attn.to_k", "transformer_blocks.1.attn.to_v",
             "transformer_blocks.1.attn.add_q_proj", "transformer_blocks.1.attn.add_v_proj", "norm_out.linear",
             "single_transformer_blocks.5.attn.to_q", "single_transformer_blocks.5.attn.to_k",
             "single_transformer_blocks.5.attn.to_v", "x_embedder", "transformer_blocks.7.norm1.linear"),
    "qwen-image": ("transformer_blocks.59.attn.to_out.0", "transformer_blocks.0.txt_mod.1", "norm_out.linear"),
    "mini": ("transformer_blocks.0.attn.add_k_proj", "transformer_blocks.5.img_mlp.net.0.proj", "proj_out"),
}  # fmt: skip


@pytest.mark.parametrize("row", WRITTEN, **by_row)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_there_and_back_is_the_same_to_the_byte(row, dtype):
    """Unequal ranks, alphas beside and without, text encoders where the dialect has names for them."""
    family, tree, home = row.family, trees.shapes(row.family), dialects.get(row.family)
    modules = [*SOME.get(family, trees.layers(family)[::60])]
    for encoder in home.encoders.keys() & row.encoders.keys():
        modules.append(next(module for module in tree if module.startswith(f"{encoder}.")))
    for alpha, rank in ((None, 3), (lambda r: r / 2, [1 + i % 3 for i in range(len(modules))])):
        original = written(lora(family, modules, rank, alpha, dtype), home)
        there = content.write(content.read(original, words(family)), row, tree)
        back = content.write(content.read(there, words(family)), home, tree)
        equal(back, original)
        again = content.write(content.read(back, words(family)), row, tree)
        equal(again, there)


@pytest.mark.parametrize(
    "roles",
    [dialects.LOHA[:4], ("lokr_w1", "lokr_w2_a", "lokr_w2_b"), ("dora_scale",)],
    ids=["LoHa", "LoKr", "DoRA"],
)
def test_other_kinds_are_renamed_where_there_are_names_and_refused_elsewhere(roles):
    family, module = "qwen-image", "transformer_blocks.0.attn.to_q"
    parts = {role: torch.randn(4, 4) for role in roles}
    if roles == ("dora_scale",):
        parts |= lora(family, [module])[module]
    tree = trees.shapes(family)
    original = written({module: parts}, dialects.get(family, "musubi"))
    there = content.write(content.read(original, words(family)), dialects.get(family, "lycoris"), tree)
    equal(content.write(content.read(there, words(family)), dialects.get(family, "musubi"), tree), original)
    with pytest.raises(PortraitistError, match="diffusers cannot hold") as caught:
        content.write(content.read(original, words(family)), dialects.get(family, "diffusers"), tree)
    assert "musubi" in caught.value.remedy


def test_a_layer_said_twice_and_an_encoder_without_names_are_refused():
    q = "transformer_blocks.0.attn.to_q"
    parts = lora("flux", [q])
    mixed = written(parts, dialects.get("flux")) | written(parts, dialects.get("flux", "onetrainer"))
    with pytest.raises(PortraitistError, match="twice"):
        content.write(content.read(mixed, words("flux")), dialects.get("flux"), trees.shapes("flux"))
    double = written(parts, dialects.get("flux"))
    with pytest.raises(PortraitistError, match="twice"):
        content.read({**double, f"transformer.{q}.lora_A.default.weight": torch.ones(1)}, words("flux"))
    encoder = lora("flux", ["clip_l.text_model.encoder.layers.0.mlp.fc1"])
    with pytest.raises(PortraitistError, match=r"lycoris has no name for clip_l") as caught:
        written(encoder, dialects.get("flux", "lycoris"))
    assert "kohya" in caught.value.remedy


def test_a_dialect_that_does_not_exist_gets_the_one_that_was_meant():
    with pytest.raises(PortraitistError, match="no dialect 'koyha' to write sdxl") as caught:
        dialects.get("sdxl", "koyha")
    assert "Did you mean kohya?" in caught.value.remedy
    with pytest.raises(PortraitistError, match="no dialect 'musubi' to write flux"):
        dialects.get("flux", "musubi")


def test_what_comfyui_loads_is_what_was_measured_there():
    """Modules of 794, 504 and 846 by ComfyUI 0.33's own loader, per dialect; SDXL's peft names lose 1120 keys."""
    measured = {
        "sdxl": {"kohya": 794, "kohya-diffusers": 794, "diffusers": 794 - 1120 // 2, "peft": 0, "lycoris": 794},
        "flux": {"diffusers": 504, "kohya": 504, "comfyui": 504, "onetrainer": 504, "diffsynth": 504, "peft": 0,
                 "lycoris": 504, "comfyui-diffusers": 0, "kohya-diffusers": 0},
        "qwen-image": {"diffusers": 846, "musubi": 846, "comfyui": 846, "diffsynth": 846, "lycoris": 846,
                       "onetrainer": 0, "peft": 0},
    }  # fmt: skip
    for family, counts in measured.items():
        rows = {row.name: row for row in dialects.of(family)}
        found = {name: sum(map(rows[name].loads, trees.layers(family))) for name in counts}
        assert found == counts
    flux = words("flux")
    assert not flux["text_encoder_2.encoder.block.0.layer.0.SelfAttention.q"].loads
    assert flux["lora_te3_encoder_block_0_layer_0_SelfAttention_q"].loads
    assert not words("sdxl")["text_encoder.encoder.layers.0.mlp.fc1"].loads
    assert words("sdxl")["text_encoder.text_model.encoder.layers.0.mlp.fc1"].loads
