"""Adapters: what peft computes, what diffusers and ComfyUI load, and a denoiser that is left as it was."""

import json

import pytest
import torch
from safetensors.torch import save

from portraitist.adapters import files, inject
from portraitist.adapters.files import factors
from portraitist.errors import PortraitistError
from portraitist.family import Base
from portraitist.sections import Adapter
from tests.learning import BASE, Painter, Weaver

FAMILIES = [Painter(), Weaver()]
by_name = {"ids": lambda family: getattr(family, "name", None)}


def inputs(seed=3):
    draw = torch.Generator().manual_seed(seed)
    noisy = torch.randn(2, 4, 8, 8, generator=draw)
    return noisy, torch.tensor([0.3, 0.8]), {"tokens": torch.randn(2, 5, 8, generator=draw)}


@torch.no_grad()
def predicted(family, denoiser):
    return family.predict(denoiser, *inputs())


def fitted(family, adapter, seed=0):
    """A denoiser with an adapter whose every factor is away from zero, and what its file would hold."""
    denoiser = family.load_denoiser(BASE)
    trained = inject.attach(denoiser, adapter, family, seed)
    draw = torch.Generator().manual_seed(seed + 1)
    for parameter in trained.parameters().values():
        parameter.data = parameter.data + 0.2 * torch.randn(parameter.shape, generator=draw)
    return denoiser, trained, {name: tensor.clone() for name, tensor in trained.tensors().items()}


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize("adapter", [Adapter(rank=3), Adapter(rank=4, alpha=0.7), Adapter(rank=1, alpha=30)], ids=str)
def test_loaded_again_it_is_what_peft_computes_bit_for_bit(family, adapter):
    denoiser, _, tensors = fitted(family, adapter)
    fresh = family.load_denoiser(BASE)
    base = predicted(family, fresh)
    with inject.loaded(fresh, family, tensors, 1.0):
        again = predicted(family, fresh)
    assert torch.equal(again, predicted(family, denoiser))
    assert (again - base).abs().max() > 1e-3, "the adapter did nothing"


@pytest.mark.parametrize("family", FAMILIES, **by_name)
def test_diffusers_loads_it_and_computes_the_same(family):
    _, _, tensors = fitted(family, Adapter(rank=4, alpha=6))
    ours = family.load_denoiser(BASE)
    with inject.loaded(ours, family, tensors, 1.0):
        expected = predicted(family, ours)
    theirs = family.load_denoiser(BASE)
    weights = {f"unet.{name}": t for name, t in tensors.items() if not name.endswith(".alpha")}
    alphas = {f"unet.{name}": float(t) for name, t in tensors.items() if name.endswith(".alpha")}
    theirs.load_lora_adapter(weights, prefix="unet", network_alphas=alphas)
    torch.testing.assert_close(predicted(family, theirs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES, **by_name)
@pytest.mark.parametrize(("kind", "merged"), [("lora", False), ("lora", True), ("full", False)])
def test_at_strength_zero_and_afterwards_the_base_is_the_base_bit_for_bit(family, kind, merged):
    _, _, tensors = fitted(family, Adapter(kind=kind, rank=2))
    denoiser = family.load_denoiser(BASE)
    names = [name for name, _ in denoiser.named_modules()]
    weights = {name: (p.data_ptr(), p.dtype, p.clone()) for name, p in denoiser.named_parameters()}
    base, strengths = predicted(family, denoiser), []
    for strength in (1.0, 0.0, 0.5, 0.0, 1.0):
        with inject.loaded(denoiser, family, tensors, strength, merged=merged):
            strengths.append(predicted(family, denoiser))
            hooked = any(module._forward_hooks for module in denoiser.modules())
            assert hooked == (kind == "lora" and strength != 0 and not merged)
        assert torch.equal(predicted(family, denoiser), base)
    assert torch.equal(strengths[1], base)
    assert torch.equal(strengths[3], base)
    assert torch.equal(strengths[0], strengths[4])
    assert not torch.equal(strengths[2], strengths[0])
    with pytest.raises(KeyError), inject.loaded(denoiser, family, tensors, 1.0, merged=merged):
        raise KeyError
    assert torch.equal(predicted(family, denoiser), base)
    assert [name for name, _ in denoiser.named_modules()] == names
    for name, parameter in denoiser.named_parameters():
        place, dtype, value = weights[name]
        assert (parameter.data_ptr(), parameter.dtype) == (place, dtype)
        assert torch.equal(parameter, value)


def test_strength_is_a_factor_on_the_change_of_each_weight():
    """Against the weights merged by hand: W + s * alpha / rank * up @ down."""
    family = Painter()
    _, _, tensors = fitted(family, Adapter(rank=3, alpha=2, targets=("to_q", "conv1", "conv_shortcut")))
    parts = factors(tensors)
    assert {part.down.ndim for part in parts.values()} == {2, 4}
    for strength in (-1.0, 0.6, 2.0):
        denoiser, merged = family.load_denoiser(BASE), family.load_denoiser(BASE)
        for module, part in parts.items():
            weight = merged.get_submodule(module).weight
            delta = (part.up.flatten(1) @ part.down.flatten(1)).reshape(weight.shape)
            weight.data += strength * 2 / 3 * delta
        with inject.loaded(denoiser, family, tensors, strength):
            got = predicted(family, denoiser)
        torch.testing.assert_close(got, predicted(family, merged), rtol=1e-4, atol=1e-5)
        with inject.loaded(denoiser, family, tensors, strength, merged=True):
            for module in parts:
                ours, theirs = (one.get_submodule(module).weight for one in (denoiser, merged))
                torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
            torch.testing.assert_close(predicted(family, denoiser), predicted(family, merged), rtol=1e-5, atol=1e-6)


def test_merged_into_weights_in_half_precision_it_is_rounded_once_and_the_type_stays():
    """As ComfyUI adds it: in float32, then to the weight's own type; two LoRAs, one after the other."""
    family, half = Weaver(), Base(BASE.folder, BASE.digest, "bfloat16")
    _, _, tensors = fitted(family, Adapter(rank=2))
    denoiser, before = family.load_denoiser(half), family.load_denoiser(half)
    module, part = next(iter(factors(tensors).items()))
    once = (before.get_submodule(module).weight.float() + 0.5 * part.alpha / 2 * (part.up @ part.down)).bfloat16()
    twice = (once.float() + 0.25 * part.alpha / 2 * (part.up @ part.down)).bfloat16()
    weight = denoiser.get_submodule(module).weight
    with inject.loaded(denoiser, family, tensors, 0.5, merged=True):
        assert torch.equal(weight, once)
        with inject.loaded(denoiser, family, tensors, 0.25, merged=True):
            assert torch.equal(weight, twice)
        assert torch.equal(weight, once)
    assert torch.equal(weight, before.get_submodule(module).weight)


@pytest.mark.parametrize("family", FAMILIES, **by_name)
def test_a_fresh_adapter_changes_nothing_and_is_drawn_from_its_seed_alone(family):
    first, base = family.load_denoiser(BASE), predicted(family, family.load_denoiser(BASE))
    torch.manual_seed(1)
    one = inject.attach(first, Adapter(rank=4), family, 5).tensors()
    assert torch.equal(predicted(family, first), base)
    torch.manual_seed(2)
    two = inject.attach(family.load_denoiser(BASE), Adapter(rank=4), family, 5).tensors()
    other = inject.attach(family.load_denoiser(BASE), Adapter(rank=4), family, 6).tensors()
    downs = [name for name in one if name.endswith(".lora_A.weight")]
    assert list(one) == list(two)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in downs)
    assert all(one[name].abs().max() <= one[name].shape[1] ** -0.5 for name in downs)


@pytest.mark.parametrize("rank", [1, 1024])
def test_ranks_from_one_to_beyond_the_layers_width_are_the_same_arithmetic(rank):
    family = Weaver()
    denoiser, _, tensors = fitted(family, Adapter(rank=rank, alpha=1))
    fresh = family.load_denoiser(BASE)
    with inject.loaded(fresh, family, tensors, 1.0):
        assert torch.equal(predicted(family, fresh), predicted(family, denoiser))
    assert {part.rank for part in factors(tensors).values()} == {rank}


def test_in_half_precision_the_adapter_itself_stays_float32():
    family, half = Weaver(), Base(BASE.folder, BASE.digest, "bfloat16")
    denoiser = family.load_denoiser(half)
    trained = inject.attach(denoiser, Adapter(rank=2), family, 0)
    assert {p.dtype for p in trained.parameters().values()} == {torch.float32}
    for parameter in trained.parameters().values():
        parameter.data += 0.1
    fresh = family.load_denoiser(half)
    with torch.autocast("cpu", torch.bfloat16):
        expected = predicted(family, denoiser)
        with inject.loaded(fresh, family, trained.tensors(), 1.0):
            assert torch.equal(predicted(family, fresh), expected)


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_what_peft_would_cast_up_and_autocast_down_again_is_left_alone_to_the_bit(kind):
    """Outputs and gradients, against peft's own way."""
    family, found = Weaver(), []
    for cast in (False, True):
        denoiser = family.load_denoiser(Base(BASE.folder, BASE.digest, "bfloat16"))
        trained = inject.attach(denoiser, Adapter(kind=kind, rank=2), family, 0)
        for layer in trained.layers.values():
            assert not layer.cast_input_dtype_enabled
            layer.cast_input_dtype_enabled = cast
        for parameter in trained.parameters().values():
            parameter.data += 0.1
        with torch.autocast("cpu", torch.bfloat16):
            output = family.predict(denoiser, *inputs())
        output.float().square().sum().backward()
        found.append([output, *(parameter.grad for parameter in trained.parameters().values())])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))
    assert all(gradient.abs().max() > 0 for gradient in found[0][1:])


def test_only_the_adapter_learns_and_with_full_everything_does():
    family = Painter()
    denoiser = family.load_denoiser(BASE)
    trained = inject.attach(denoiser, Adapter(rank=2), family, 0)
    learning = {id(p) for p in denoiser.parameters() if p.requires_grad}
    assert learning == {id(p) for p in trained.parameters().values()}
    whole = family.load_denoiser(Base(BASE.folder, BASE.digest, "bfloat16"))
    trained = inject.attach(whole, Adapter(kind="full"), family, 0)
    assert set(trained.parameters()) == {name for name, _ in whole.named_parameters()}
    assert all(p.requires_grad and p.dtype == torch.float32 for p in whole.parameters())
    with pytest.raises(PortraitistError, match="No weight has moved"):
        trained.tensors()
    narrow = family.load_denoiser(Base(BASE.folder, BASE.digest, "bfloat16"))
    inject.attach(narrow, Adapter(kind="full", weights="bfloat16"), family, 0)
    assert all(p.requires_grad and p.dtype == torch.bfloat16 for p in narrow.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_whole_denoiser_is_loaded_itself_and_between_it_and_the_base_by_strength(dtype):
    family, base = Painter(), Base(BASE.folder, BASE.digest, dtype)
    tuned = family.load_denoiser(base)
    trained = inject.attach(tuned, Adapter(kind="full", weights=dtype), family, 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in trained.parameters().values():
        parameter.data += 0.01 * torch.randn(parameter.shape, generator=draw)
    fresh, tensors = family.load_denoiser(base), trained.tensors()
    before = {name: p.detach().clone() for name, p in fresh.named_parameters()}
    with inject.loaded(fresh, family, tensors, 1.0):
        assert all(torch.equal(p, dict(tuned.named_parameters())[name]) for name, p in fresh.named_parameters())
    with inject.loaded(fresh, family, tensors, 0.25):
        for name, parameter in fresh.named_parameters():
            middle = 0.75 * before[name].double() + 0.25 * dict(tuned.named_parameters())[name].detach().double()
            torch.testing.assert_close(
                parameter.double(), middle, rtol=2**-8 if dtype == "bfloat16" else 1e-6, atol=1e-7
            )
    assert all(torch.equal(p, before[name]) and p.dtype == before[name].dtype for name, p in fresh.named_parameters())
    tensors.popitem()
    with pytest.raises(PortraitistError, match="does not fit this base"), inject.loaded(fresh, family, tensors, 1.0):
        pass


@pytest.mark.parametrize("family", FAMILIES, **by_name)
def test_comfyuis_names_lead_there_and_back(family):
    _, _, tensors = fitted(family, Adapter(rank=3, alpha=5))
    there = files.to_comfy(tensors, family)
    modules = [name for name, _ in family.load_denoiser(BASE).named_modules()]
    back = files.from_comfy(there, family, modules)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)
    up = ".lora_up.weight" if isinstance(family, Painter) else ".lora_B.weight"
    names = {name.removesuffix(up) for name in there if name.endswith(up)}
    assert {name + ".alpha" for name in names} == {name for name in there if name.endswith(".alpha")}
    assert len(there) == 3 * len(names)
    assert all(name.startswith(("lora_unet_", "transformer.")) for name in there)


def test_an_adapter_of_another_model_is_refused_before_anything_is_touched():
    painter, weaver = FAMILIES
    _, _, tensors = fitted(weaver, Adapter(rank=2))
    denoiser = painter.load_denoiser(BASE)
    with pytest.raises(PortraitistError, match="does not fit this base"), inject.loaded(denoiser, painter, tensors, 1):
        pass
    with pytest.raises(PortraitistError, match="belongs to no module"):
        files.from_comfy(files.to_comfy(tensors, weaver), painter, [name for name, _ in denoiser.named_modules()])
    _, _, tensors = fitted(painter, Adapter(rank=2))
    first = next(name for name in tensors if name.endswith("lora_B.weight"))
    wrong = {**tensors, first: tensors[first][:-1]}
    with pytest.raises(PortraitistError, match="another shape"), inject.loaded(denoiser, painter, wrong, 1):
        pass
    assert not any(module._forward_hooks for module in denoiser.modules())


@pytest.mark.parametrize("targets", [("to_nowhere",), ("conv_norm_out",), ("attn1",)], ids=" ".join)
def test_targets_that_take_no_adapter_are_refused_with_a_remedy(targets):
    family = Painter()
    with pytest.raises(PortraitistError, match=r"adapter\.targets"):
        inject.attach(family.load_denoiser(BASE), Adapter(targets=targets), family, 0)


def test_equal_adapters_make_equal_files_and_come_back_whole(tmp_path):
    _, _, tensors = fitted(Painter(), Adapter(rank=2))
    metadata = {f"key{i}": "wörd" * i for i in range(9)}
    files.write(tmp_path / "a.safetensors", tensors, metadata)
    files.write(tmp_path / "b.safetensors", dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    back, told = files.read(tmp_path / "a.safetensors")
    assert told == metadata
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


def test_what_is_all_zero_or_not_finite_is_never_written(tmp_path):
    path = tmp_path / "a.safetensors"
    family = Painter()
    fresh = inject.attach(family.load_denoiser(BASE), Adapter(rank=2), family, 0).tensors()
    _, _, tensors = fitted(family, Adapter(rank=2))
    dead = {name: torch.zeros_like(t) if "lora_A" in name else t for name, t in tensors.items()}
    whole = {"full.conv_in.weight": torch.zeros(3, 3)}
    for nothing in (fresh, dead, whole, {}):
        with pytest.raises(PortraitistError, match="all zero"):
            files.write(path, nothing, {})
    for value in (float("nan"), float("inf")):
        name = next(iter(tensors))
        with pytest.raises(PortraitistError, match="not finite"):
            files.write(path, {**tensors, name: torch.full_like(tensors[name], value)}, {})
    assert list(tmp_path.iterdir()) == []


def damage(name, whole):
    """An adapter file with something wrong about it."""
    size = int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8 : 8 + size])

    def with_header(value):
        text = json.dumps(value).encode()
        return len(text).to_bytes(8, "little") + text + whole[8 + size :]

    first = next(key for key in head if key != "__metadata__")
    return {
        "empty": b"",
        "cut short": whole[:-4],
        "cut in the header": whole[: size // 2],
        "a header of exabytes": (2**60).to_bytes(8, "little") + whole[8:],
        "no header": b"\xff" * 64,
        "a list for a header": with_header([1]),
        "deep": (200_000).to_bytes(8, "little") + b"[" * 200_000 + whole,
        "a list for a type": with_header({**head, first: {**head[first], "dtype": ["F32"]}}),
        "many dimensions": save({"a.lora_A.weight": torch.ones([1] * 9)}),
        "too many tensors": with_header({f"t{i}": {"dtype": "F32", "shape": [0]} for i in range(20_001)}),
        "metadata that are not text": with_header({**head, "__metadata__": {"step": 3}}),
        "offsets beyond the end": with_header({**head, first: {**head[first], "data_offsets": [0, 10**9]}}),
        "a shape that is none": with_header({**head, first: {**head[first], "shape": [-1, 2]}}),
        "not finite": save({"a.lora_A.weight": torch.full((2, 2), float("nan"))}),
    }[name]


DAMAGES = [
    "empty", "cut short", "cut in the header", "a header of exabytes", "no header", "a list for a header", "deep",
    "a list for a type", "many dimensions", "too many tensors", "metadata that are not text", "offsets beyond the end",
    "a shape that is none", "not finite",
]  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_by_its_name(name, tmp_path):
    _, _, tensors = fitted(Painter(), Adapter(rank=2))
    path = tmp_path / "adapter.safetensors"
    files.write(path, tensors, {"format": "1"})
    path.write_bytes(damage(name, path.read_bytes()))
    with pytest.raises(PortraitistError, match=r"adapter\.safetensors is damaged"):
        files.read(path)


@pytest.mark.parametrize(("kind", "word"), [(torch.int64, "I64"), (torch.float8_e4m3fn, "F8_E4M3")])
def test_values_of_another_type_are_told_as_such(kind, word, tmp_path):
    """The file is whole: nobody should fetch it again."""
    (tmp_path / "a.safetensors").write_bytes(save({"a.lora_A.weight": torch.ones(2, 2).to(kind)}))
    with pytest.raises(PortraitistError, match=f"holds values of type {word}, such as a.lora_A.weight") as told:
        files.read(tmp_path / "a.safetensors")
    assert "BF16" in told.value.remedy


@pytest.mark.parametrize(
    "tensors",
    [
        {"a.lora_A.weight": torch.ones(2, 3)},
        {"a.lora_B.weight": torch.ones(3, 2)},
        {"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(3, 4)},
        {"a.lora_A.weight": torch.ones(0, 3), "a.lora_B.weight": torch.ones(3, 0)},
        {"a.lora_A.weight": torch.ones(2, 3, 3, 3), "a.lora_B.weight": torch.ones(3, 2, 3, 3)},
        {"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(3, 2), "a.alpha": torch.ones(2)},
        {"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(3, 2), "a.dora_scale": torch.ones(2)},
        {"a.alpha": torch.ones(())},
    ],
    ids=["no up", "no down", "unequal ranks", "rank 0", "up no 1x1", "alpha of two", "something else", "alpha alone"],
)
def test_halves_that_do_not_fit_are_no_adapter(tensors):
    with pytest.raises(PortraitistError, match="Not an adapter"):
        factors(tensors)


def test_without_an_alpha_the_scale_is_one():
    """As ComfyUI and peft have it."""
    down, up = torch.ones(2, 3), torch.ones(3, 2)
    part = factors({"a.lora_A.weight": down, "a.lora_B.weight": up})["a"]
    assert part.alpha / part.rank == 1
    assert part.shape == (3, 3)
