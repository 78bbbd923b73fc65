"""FLUX's fused layers: taken apart and put together exactly, or refused."""

import re
from itertools import accumulate

import pytest
import torch
from diffusers import FluxPipeline
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist.adapters import content, dialects, trees
from portraitist.adapters.fused import apart
from portraitist.errors import PortraitistError
from tests.adapters import equal, lora, modules_of, probed, scale, singles, words, written

WRITTEN = [row for row in dialects.of("flux") if row.written]
by_row = {"ids": lambda row: row.name}
NARROW = {
    "single_transformer_blocks.0.attn.to_q": (3, 4),
    "single_transformer_blocks.0.attn.to_k": (3, 4),
    "single_transformer_blocks.0.attn.to_v": (3, 4),
    "single_transformer_blocks.0.proj_mlp": (5, 4),
}


@pytest.mark.parametrize("row", WRITTEN, **by_row)
def test_a_fused_file_of_one_down_comes_back_from_every_dialect(row):
    """As sd-scripts trains it: q, k and v share their input's factor."""
    tree, kohya = trees.shapes("flux"), dialects.get("flux", "kohya")
    draw = torch.Generator().manual_seed(1)
    original = {
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.randn(4, 3072, generator=draw),
        "lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.randn(9216, 4, generator=draw),
        "lora_unet_double_blocks_0_img_attn_qkv.alpha": torch.tensor(1.0, dtype=torch.float16),
        "lora_unet_single_blocks_0_linear1.lora_down.weight": torch.randn(3, 3072, generator=draw),
        "lora_unet_single_blocks_0_linear1.lora_up.weight": torch.randn(21504, 3, generator=draw),
        "lora_unet_final_layer_adaLN_modulation_1.diff": torch.randn(6144, 3072, generator=draw),
    }
    if "diff" not in row.suffixes:
        del original["lora_unet_final_layer_adaLN_modulation_1.diff"]
    there = content.write(content.read(original, words("flux")), row, tree)
    equal(content.write(content.read(there, words("flux")), kohya, tree), original)


def test_what_cannot_be_fused_or_taken_apart_exactly_is_refused():
    kohya, plain = dialects.get("flux", "kohya"), dialects.get("flux", "lycoris")
    q, k = "transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_k"
    two = lora("flux", [q, k], alpha=lambda r: 1.0)
    unlike = {**two, k: {**two[k], "alpha": torch.tensor(2.0)}}
    typed = {**two, k: {**two[k], "up": two[k]["up"].half()}}
    bare = {**two, k: {role: part for role, part in two[k].items() if role != "alpha"}}
    shaped = {**two, k: {**two[k], "up": torch.ones(5, 2)}}
    lokr = {q: {"lokr_w1": torch.ones(4, 4), "lokr_w2": torch.ones(768, 768)}}
    for parts, why in (
        (unlike, "different scales"), (typed, "several types"), (bare, "some have an alpha"), (shaped, "shapes"),
        (lokr, "LoKr of single layers"),
    ):  # fmt: skip
        with pytest.raises(PortraitistError, match=why):
            written(parts, kohya)
    fused = {"lora_unet_double_blocks_0_img_attn_qkv.lokr_w1": torch.ones(4, 4)}
    with pytest.raises(PortraitistError, match="a LoKr over 3 fused layers"):
        content.write(content.read(fused, words("flux")), plain, trees.shapes("flux"))
    equal(content.write(content.read(fused, words("flux")), kohya, trees.shapes("flux")), fused)


def test_a_minus_zero_is_not_lost_between_layers():
    """Thirds would fit these columns but for the sign of a zero; `down` is shared instead."""
    name, up = "lora_unet_double_blocks_0_img_attn_qkv", torch.zeros(9216, 3)
    for i in range(3):
        up[3072 * i : 3072 * (i + 1), i] = 1
    tensors = {f"{name}.lora_down.weight": torch.randn(3, 3072), f"{name}.lora_up.weight": up}
    for sign, rank in ((1.0, 1), (-1.0, 3)):
        up[0, 2] = sign * 0.0
        said = content.read(tensors, words("flux"))
        assert {len(each["down"]) for each in modules_of(said, "flux").values()} == {rank}
        there = content.write(said, dialects.get("flux"), trees.shapes("flux"))
        back = content.write(content.read(there, words("flux")), dialects.get("flux", "kohya"), trees.shapes("flux"))
        equal(back, tensors)


@settings(max_examples=150, deadline=None)
@given(
    ranks=st.lists(st.integers(0, 4), min_size=4, max_size=4).filter(any),
    alpha=st.sampled_from([None, 0.3, 1.0, 2.5]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    blank=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_fused_or_refused_but_never_changed(ranks, alpha, dtype, blank, seed):
    """Whatever the ranks and scales: row by row, the fused layer's change is that of the layers in it."""
    draw, parts = torch.Generator().manual_seed(seed), {}
    for (module, (rows, width)), rank in zip(NARROW.items(), ranks, strict=True):
        if rank:
            each = {"down": torch.randn(rank, width, generator=draw), "up": torch.randn(rows, rank, generator=draw)}
            each["up"][:, -1] *= 0 if blank else 1
            each = {role: part.to(dtype) for role, part in each.items()}
            parts[module] = each if alpha is None else {**each, "alpha": torch.tensor(alpha * rank, dtype=dtype)}
    lexicon = dialects.lexicon("flux", tuple(NARROW))
    try:
        there = content.write(singles("flux", parts), dialects.get("flux", "kohya"), NARROW)
    except PortraitistError:
        assert alpha is not None  # equal scales whose alphas no bfloat16 states
        return
    said = content.read(there, lexicon)
    (layer,) = said.layers
    starts = [0, *accumulate(rows for rows, _ in NARROW.values())]
    whole = probed(layer.tensors["down"], layer.tensors["up"], scale(layer.tensors))
    for module, start, end in zip(NARROW, starts, starts[1:], strict=False):
        each = parts.get(module)
        expected = probed(each["down"], each["up"], scale(each)) if each else torch.zeros(end - start).double()
        torch.testing.assert_close(whole[start:end], expected)
    for module, each in apart(layer.name, layer.entry, layer.tensors, NARROW).items():
        start = starts[list(NARROW).index(module)]
        told = probed(each["down"], each["up"], scale(each))
        torch.testing.assert_close(told, whole[start : start + len(told)])
    if not content.lost(singles("flux", parts), said, NARROW):
        for module, each in apart(layer.name, layer.entry, layer.tensors, NARROW).items():
            equal(each, parts[module])
    else:
        assert blank or alpha is not None


def test_a_fused_layer_whose_columns_no_part_claims_is_shared():
    """Nothing is guessed: `down` is copied, the product is the same."""
    name, tree = "lora_unet_double_blocks_0_txt_attn_qkv", trees.shapes("flux")
    up = torch.zeros(9216, 2)
    up[:3072, 0] = up[3072:6144, 0] = up[6144:, 1] = 1
    tensors = {f"{name}.lora_down.weight": torch.randn(2, 3072), f"{name}.lora_up.weight": up}
    parts = modules_of(content.read(tensors, words("flux")), "flux")
    assert [len(each["down"]) for each in parts.values()] == [2, 2, 2]
    equal(content.write(content.read(tensors, words("flux")), dialects.get("flux", "kohya"), tree), tensors)


def test_what_is_fused_from_single_layers_is_taken_apart_by_diffusers_into_them():
    modules = [m for m in trees.layers("flux") if re.search(r"_blocks\.3\.(attn|proj_mlp)", m)]
    parts = lora("flux", modules, rank=4, alpha=lambda r: 2.0)
    theirs = FluxPipeline.lora_state_dict(written(parts, dialects.get("flux", "kohya")))
    assert {k.removesuffix(".lora_A.weight") for k in theirs if ".lora_A." in k} == {
        f"transformer.{m}" for m in modules
    }
    for module, each in parts.items():
        factors = theirs[f"transformer.{module}.lora_A.weight"], theirs[f"transformer.{module}.lora_B.weight"]
        assert len(factors[0]) == 4  # a rank of its own again
        torch.testing.assert_close(probed(*factors), probed(each["down"], each["up"], 0.5), rtol=1e-4, atol=1e-5)
