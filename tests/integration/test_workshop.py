"""Adapters merged, cut, rescaled, baked and compared, held to sums of the weights they change and to peft's ways."""

import json
from pathlib import Path

import pytest
import torch
from peft.utils import merge_utils
from safetensors.torch import load_file, save_file

from portraitist.adapters import changes, dialects, trees
from portraitist.adapters.ranks import Ranks
from portraitist.adapters.understanding import understood
from portraitist.bases import baking, headers
from portraitist.errors import PortraitistError
from portraitist.verbs.bake import bake
from portraitist.verbs.diff import diff
from portraitist.verbs.merge import merge
from portraitist.verbs.rescale import rescale
from portraitist.verbs.resize import resize
from tests import originals
from tests.adapters import lora, written

MINI = [f"transformer_blocks.0.attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")]
FLUX = [f"transformer_blocks.3.attn.{name}" for name in ("to_q", "to_k", "to_v")]


LAST = {"text_projection.weight": torch.eye(2)}


def saved(path, family, modules, row="", **facts):
    """A file of random factors in a dialect; its changes by module, multiplied out."""
    parts = lora(family, modules, **facts)
    save_file({n: t.contiguous() for n, t in written(parts, dialects.get(family, row)).items()}, path)
    return whole(path, family)


def whole(path, family=""):
    """Changes by module, multiplied out; of FLUX, whose layers are large, what they do to three inputs."""
    known, found = understood(path, family), {}
    for module, parts in known.modules().items():
        one, shape = changes.change(module, parts, known.tree[module]), known.tree[module]
        asked = torch.randn(shape[1], 3, generator=torch.Generator().manual_seed(0)) if family == "flux" else None
        found[module] = one.dense() if asked is None else one.up @ (one.down @ asked)
    return found


def close(one, other, **how):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], **{"rtol": 1e-4, "atol": 1e-4, **how})


def test_a_merge_is_the_weighted_sum_whatever_the_dialects(tmp_path):
    a = saved(tmp_path / "a.safetensors", "flux", FLUX, "kohya", rank=2, alpha=lambda r: 1.0)
    b = saved(tmp_path / "b.safetensors", "flux", [*FLUX[1:], "proj_out"], "ai-toolkit", rank=3, seed=1)
    said = merge(
        [tmp_path / "a.safetensors", tmp_path / "b.safetensors"], tmp_path / "c.safetensors", (0.5, -2), family="flux"
    )
    wanted = {name: 0.5 * a.get(name, 0) - 2 * b.get(name, 0) for name in {**a, **b}}
    close(whole(tmp_path / "c.safetensors", "flux"), wanted, rtol=1e-3, atol=1e-2)
    assert (said.dialect, said.ranks, said.kept) == ("diffusers", "2 to 5", 1.0)
    assert all(tensor.dtype == torch.float32 for tensor in load_file(tmp_path / "c.safetensors").values())


def test_a_merge_that_is_cut_is_the_best_of_its_rank_and_says_what_it_lost(tmp_path):
    files = [tmp_path / f"{i}.safetensors" for i in range(2)]
    given = [saved(path, "mini", MINI, rank=4, seed=i) for i, path in enumerate(files)]
    merge(files, tmp_path / "c.safetensors", ranks=Ranks(3), dtype="float16")
    told = {x["module"]: x for x in json.loads((tmp_path / "c.certificate.json").read_text())["layers"]}
    for name, got in whole(tmp_path / "c.safetensors", "mini").items():
        total = given[0][name] + given[1][name]
        least = float(torch.linalg.svdvals(total.double())[3:].square().sum())
        really = float((total - got).double().square().sum())
        assert told[name]["left"] == pytest.approx(really, rel=1e-3)
        assert really == pytest.approx(least, rel=1e-3)


@pytest.mark.parametrize("how", ["ties", "prune", "dare"])
def test_pefts_ways_are_pefts(how, tmp_path):
    files = [tmp_path / f"{i}.safetensors" for i in range(2)]
    given = [saved(path, "mini", MINI[:2], rank=2, seed=i) for i, path in enumerate(files)]
    full = Ranks(1024)
    merge(files, tmp_path / "c.safetensors", (1, 0.5), how, full, density=0.3)
    got = whole(tmp_path / "c.safetensors", "mini")
    if how == "dare":
        merge(files, tmp_path / "d.safetensors", (1, 0.5), how, full, density=0.3)
        close(whole(tmp_path / "d.safetensors", "mini"), got, rtol=0, atol=0)
        merge(files, tmp_path / "e.safetensors", (1, 0.5), how, full, density=0.3, seed=1)
        other = whole(tmp_path / "e.safetensors", "mini")
        assert not torch.allclose(other[MINI[0]], got[MINI[0]], atol=1e-2), "another seed, other entries"
        return
    theirs = {"ties": merge_utils.ties, "prune": merge_utils.magnitude_prune}[how]
    weights = torch.tensor([1, 0.5])
    close(got, {m: theirs([each[m] for each in given], weights, 0.3) for m in MINI[:2]}, atol=1e-3)


def test_a_resize_holds_a_share_or_fits_a_size_and_makes_any_kind_plain(tmp_path):
    path = tmp_path / "a.safetensors"
    before = saved(path, "mini", MINI, rank=16, dtype=torch.float16)
    said = resize(path, tmp_path / "b.safetensors", Ranks(energy=0.7))
    after = whole(tmp_path / "b.safetensors", "mini")
    for name, tensor in before.items():
        left = float((tensor - after[name]).square().sum() / tensor.square().sum())
        assert 0.2 < left < 0.3 + 1e-3
    assert load_file(tmp_path / "b.safetensors")["transformer." + MINI[0] + ".lora_A.weight"].dtype == torch.float16
    assert said.megabytes < 0.8 * path.stat().st_size / 1e6
    resize(path, tmp_path / "c.safetensors", Ranks(size=0.02))
    assert 0.015e6 < (tmp_path / "c.safetensors").stat().st_size < 0.02e6
    shape = trees.shapes("mini")[MINI[0]]
    left, right = torch.randn(4, 4), torch.randn(shape[0] // 4, shape[1] // 4)
    name = f"lycoris_{MINI[0].replace('.', '_')}"
    save_file({f"{name}.lokr_w1": left, f"{name}.lokr_w2": right}, tmp_path / "k.safetensors")
    resize(tmp_path / "k.safetensors", tmp_path / "l.safetensors", Ranks(1024), family="mini")
    close(whole(tmp_path / "l.safetensors", "mini"), {MINI[0]: torch.kron(left, right)}, atol=1e-3)


def test_a_rescaled_file_has_other_alphas_alone(tmp_path):
    path = tmp_path / "a.safetensors"
    before = saved(path, "mini", MINI, rank=4, alpha=lambda r: 2.0)
    rescale(path, tmp_path / "b.safetensors", 0.8)
    close(whole(tmp_path / "b.safetensors", "mini"), {name: 0.8 * tensor for name, tensor in before.items()})
    old, new = load_file(path), load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(old[name], new[name]) for name in old if not name.endswith(".alpha"))
    with pytest.raises(PortraitistError, match="nothing to use"):
        rescale(path, tmp_path / "c.safetensors", 0)


def test_baked_weights_are_the_sums_and_the_rest_stays_to_the_bit(tmp_path):
    layers = [f"down_blocks.1.attentions.0.transformer_blocks.0.attn1.{name}" for name in ("to_q", "to_v")]
    change = saved(tmp_path / "a.safetensors", "sdxl", layers, rank=1)
    draw = torch.Generator().manual_seed(0)
    inside = "model.diffusion_model.input_blocks"
    places = {name: f"{inside}.4.1.transformer_blocks.0.attn1.{name[-4:]}.weight" for name in layers}
    base = {place: torch.randn(640, 640, generator=draw).half() for place in places.values()}
    base |= {f"{inside}.0.0.weight": torch.ones(320, 4, 3, 3).half(), "first_stage_model.x": torch.ones(3)}
    save_file(base, tmp_path / "base.safetensors", {"whose": "theirs"})
    said = bake(tmp_path / "a.safetensors", tmp_path / "base.safetensors", tmp_path / "out.safetensors", 0.5)
    got = load_file(tmp_path / "out.safetensors")
    for name, place in places.items():
        torch.testing.assert_close(got[place], (base[place].float() + 0.5 * change[name]).half(), rtol=1e-3, atol=1e-6)
    assert all(torch.equal(got[name], base[name]) for name in base if name not in places.values())
    assert got.keys() == base.keys()
    assert said.layers == 2
    assert 0 < said.lost < 1e-3
    saved(tmp_path / "b.safetensors", "sdxl", ["mid_block.attentions.0.proj_in"], rank=1)
    with pytest.raises(PortraitistError, match="which the adapter changes"):
        bake(tmp_path / "b.safetensors", tmp_path / "base.safetensors", tmp_path / "no.safetensors")


def test_text_encoders_of_sdxl_are_baked_where_their_publisher_has_them(tmp_path):
    """The file's own layers by tests/originals.py, which the class reads back by diffusers' converter."""
    within = "text_model.encoder.layers.3."
    layers = [f"{within}{name}" for name in ("self_attn.q_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1")]
    change = saved(tmp_path / "a.safetensors", "sdxl", [f"clip_g.{name}" for name in layers], rank=2)
    tree = trees.shapes("sdxl")
    parts = [name for name in tree if name.startswith(f"clip_g.{within}")]
    weights = {f"{name.removeprefix('clip_g.')}.weight": torch.randn(tree[name]) for name in parts}
    prefix, unet = "conditioner.embedders.1.model.", "model.diffusion_model.input_blocks.0.0.weight"
    base = {prefix + name: tensor for name, tensor in originals.clip_g(weights | LAST).items()}
    save_file({unet: torch.ones(320, 4, 3, 3), **base}, tmp_path / "base.safetensors")
    bake(tmp_path / "a.safetensors", tmp_path / "base.safetensors", tmp_path / "out.safetensors", 0.5)
    for name in layers:
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + 0.5 * change[f"clip_g.{name}"]
    wanted = {prefix + name: tensor for name, tensor in originals.clip_g(weights | LAST).items()}
    got = load_file(tmp_path / "out.safetensors")
    close({name: got[name] for name in wanted}, wanted, atol=1e-5)


def test_in_flux_fused_rows_and_turned_halves_are_found():
    names = ("img_in.weight", "double_blocks.0.img_attn.qkv.weight", "double_blocks.3.img_attn.qkv.weight")
    header = headers.Header(Path("flux.safetensors"), dict.fromkeys(names, (1, 1)), {}, {}, {})
    places = baking.Places("flux", header)
    name, first, _ = places.of(FLUX[1])
    assert (name, first) == ("double_blocks.3.img_attn.qkv.", 3072)
    name, first, place = places.of("norm_out.linear")
    assert (name, first, place.swapped) == ("final_layer.adaLN_modulation.1.", 0, True)
    added = torch.arange(8.0).reshape(4, 2)
    piece = baking.Piece(1, 4, True, lambda weight: added + weight)
    base = torch.arange(12.0).reshape(6, 2)
    got = baking.put(base, [piece], baking.Baked())
    ours = torch.cat([base[3:5], base[1:3]])
    made = ours + (added + ours)
    assert torch.equal(got, torch.cat([base[:1], made[2:], made[:2], base[5:]]))


def test_two_adapters_are_compared_module_by_module(tmp_path):
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    one = saved(a, "mini", MINI, rank=2)
    two = saved(b, "mini", MINI[1:], rank=3, seed=4)
    said = diff(a, b)
    flat = [torch.cat([each.get(m, torch.zeros_like(one[m])).flatten() for m in MINI]) for each in (one, two)]
    assert said.cosine == pytest.approx(float(torch.cosine_similarity(*flat, dim=0)), abs=1e-5)
    assert said.distance == pytest.approx(float((flat[0] - flat[1]).norm()), rel=1e-5)
    assert said.only == {str(a): f"1 modules, such as {MINI[0]}"}
    rescale(a, tmp_path / "c.safetensors", 3.0)
    same = diff(a, tmp_path / "c.safetensors")
    assert same.cosine == pytest.approx(1)
    assert same.sizes[1] == pytest.approx(3 * same.sizes[0], rel=1e-5)


def test_what_cannot_be_done_is_refused(tmp_path):
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    saved(a, "mini", MINI, rank=2)
    saved(b, "flux", FLUX[:1], "kohya", rank=2)
    for call in (
        lambda: merge([a], tmp_path / "c.safetensors"),
        lambda: merge([a, a], tmp_path / "c.safetensors", (1.0,)),
        lambda: merge([a, a], tmp_path / "c.safetensors", (1.0, -1.0)),
        lambda: merge([a, b], tmp_path / "c.safetensors"),
        lambda: resize(a, tmp_path / "c.txt"),
        lambda: resize(a, b),
        lambda: diff(a, b),
        lambda: bake(a, tmp_path, tmp_path / "c.safetensors"),
        lambda: bake(a, b, tmp_path / "c.safetensors"),
    ):
        with pytest.raises(PortraitistError):
            call()
    assert not list(tmp_path.glob("c.*"))
