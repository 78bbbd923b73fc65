"""Any file is told for what it is, or refused in two lines; what is converted is what it was."""

import json
import random
import resource
from pathlib import Path

import pytest
import safetensors.torch
import torch
from diffusers import FluxPipeline

from portraitist import families
from portraitist.adapters import content, dialects, files, trees
from portraitist.cli import obey
from portraitist.errors import PortraitistError
from portraitist.sections import Model
from portraitist.show import told
from portraitist.verbs.convert import convert
from portraitist.verbs.inspect import inspect

MODULES = ("transformer_blocks.0.attn.to_q", "transformer_blocks.1.img_mlp.net.2", "transformer_blocks.5.attn.to_k")


def mini(prefix="transformer.", suffixes=("lora_A", "lora_B"), ranks=(2, 4, 4), alpha=None):
    """An adapter on three layers of the embedded base."""
    tensors = {}
    for module, rank in zip(MODULES, ranks, strict=True):
        rows, width = trees.shapes("mini")[module]
        name = prefix + (module.replace(".", "_") if prefix.endswith("_") else module)
        tensors[f"{name}.{suffixes[0]}.weight"] = torch.randn(rank, width)
        tensors[f"{name}.{suffixes[1]}.weight"] = torch.randn(rows, rank)
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(float(alpha))
    return tensors


def saved(path, tensors, metadata=None):
    path.write_bytes(safetensors.torch.save(tensors, metadata or {}))
    return path


def checks(found, severity):
    return {remark.check for remark in found.findings if remark.severity == severity}


def test_a_healthy_file_is_told_in_a_table(tmp_path):
    facts = {
        "modelspec.trigger_phrase": "zorblax", "ss_steps": "600", "ss_base_model_version": "mini",
        "portraitist.strength": "0.85", "unknown": "x",
    }  # fmt: skip
    found = inspect(saved(tmp_path / "a.safetensors", mini(alpha=2), facts))
    assert (found.family, found.dialects[0], found.layers, found.of) == ("mini", "diffusers", 3, 90)
    assert found.kinds == {"LoRA": 3}
    assert found.rank == {"least": 2, "median": 4, "largest": 4, "differ": 1}
    assert found.alpha == {"least": 2, "median": 2, "largest": 2, "differ": 0}
    assert found.comfyui == {"loads": 3, "of": 3, "drops": [], "better": "diffusers"}
    assert found.metadata == {
        "trigger": "zorblax", "base": "mini", "steps": "600", "portraitist.strength": "0.85"
    }  # fmt: skip
    assert found.findings == ()
    assert not found.blocked
    text = told(found)
    assert (
        len({line.index("  ") > 0 and len(line) - len(line.split("  ", 1)[1].lstrip()) for line in text.split("\n")})
        == 1
    )
    assert "2 to 4, median 4, 1 layers differ" in text


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (lambda t: t.update({next(iter(t)): torch.full_like(t[next(iter(t))], float("nan"))}), "not_finite"),
        (lambda t: t.pop(next(iter(t))), "missing"),
        (lambda t: t.update({next(iter(t)): torch.ones(2, 7)}), "shape"),
        (lambda t: t.update({f"transformer.{MODULES[0]}.alpha": torch.ones(2)}), "shape"),
        (lambda t: t.update({name: torch.zeros_like(part) for name, part in t.items()}), "nothing"),
        (lambda t: [t.update({f"some_{i}.weight": torch.ones(2)}) for i in range(4)], "family"),
    ],
    ids=["not finite", "half", "shape", "alpha of two", "zero", "another family"],
)
def test_what_forbids_its_use_blocks_and_leaves_with_one(spoil, check, tmp_path, capsys):
    tensors = mini()
    spoil(tensors)
    path = saved(tmp_path / "a.safetensors", tensors)
    assert check in checks(inspect(path), "block")
    assert obey(["inspect", str(path)]) == 1
    assert f"[{check}]" in capsys.readouterr().out
    assert obey(["inspect", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["blocked"] is True
    with pytest.raises(PortraitistError):
        convert(path, tmp_path / "b.safetensors") if check != "nothing" else convert(path, path)


def test_dead_layers_and_strangers_are_named_and_do_not_block(tmp_path):
    tensors = mini()
    dead = f"transformer.{MODULES[1]}"
    tensors[f"{dead}.lora_B.weight"].zero_()
    tensors["transformer.nowhere\x1b[31m.lora_A.weight"] = torch.ones(2, 2)
    found = inspect(saved(tmp_path / "a.safetensors", tensors))
    assert found.dead == (dead,)
    assert found.unmatched == ("transformer.nowhere?[31m.lora_A.weight",)
    assert checks(found, "warn") == {"dead", "unmatched"}
    assert not found.blocked
    assert "\x1b" not in told(found)


def test_layers_that_no_training_can_move_are_those_without_a_gradient():
    """The text side of the last block goes nowhere: what autograd says of the embedded base's own class."""
    denoiser = families.get("mini").load_denoiser(families.resolve(Model())).float().requires_grad_(True)
    given = {"tokens": torch.randn(1, 5, 192), "tokens_mask": torch.ones(1, 5, dtype=torch.bool)}
    noisy = torch.randn(1, 16, 4, 4)
    families.get("mini").predict(denoiser, noisy, torch.tensor([0.5]), given).square().sum().backward()
    linear = {name: m.weight.grad for name, m in denoiser.named_modules() if isinstance(m, torch.nn.Linear)}
    still = {name for name, gradient in linear.items() if gradient is None or not gradient.any()}
    assert trees.idle("mini") == still
    assert len(trees.idle("qwen-image")) == len(still)
    assert trees.idle("sdxl") == trees.idle("flux") == frozenset()


def test_such_layers_are_not_told_as_dead(tmp_path):
    tensors = mini()
    for name in sorted(trees.idle("mini")):
        rows, width = trees.shapes("mini")[name]
        tensors[f"transformer.{name}.lora_A.weight"] = torch.randn(2, width)
        tensors[f"transformer.{name}.lora_B.weight"] = torch.zeros(rows, 2)
    found = inspect(saved(tmp_path / "a.safetensors", tensors))
    assert found.dead == ()
    assert not checks(found, "warn")


def test_a_family_whose_denoiser_is_anothers_may_be_named(tmp_path):
    module = "transformer_blocks.0.attn.to_q"
    rows, width = trees.shapes("qwen-image")[module]
    tensors = {f"transformer.{module}.lora_A.weight": torch.randn(2, width),
               f"transformer.{module}.lora_B.weight": torch.randn(rows, 2)}  # fmt: skip
    assert inspect(saved(tmp_path / "a.safetensors", tensors), "qwen-image-edit").family == "qwen-image"


def kinds():
    """One layer of the embedded base in each kind, by the tensors that trainers write."""
    rows, width = trees.shapes("mini")[MODULES[0]]
    half = {"lora_down.weight": torch.randn(2, width), "lora_up.weight": torch.randn(rows, 2)}
    loha = {
        f"hada_w{i}_{side}": torch.randn(*shape)
        for i in (1, 2)
        for side, shape in (("a", (rows, 2)), ("b", (2, width)))
    }
    return {
        "LoRA": half,
        "DoRA": {**half, "dora_scale": torch.ones(1, width)},
        "LoHa": loha,
        "LoKr": {
            "lokr_w1": torch.randn(4, 4),
            "lokr_w2_a": torch.randn(rows // 4, 2),
            "lokr_w2_b": torch.randn(2, width // 4),
        },
        "full difference": {"diff": torch.randn(rows, width), "diff_b": torch.randn(rows)},
        "OFT or GLoRA": {"oft_blocks": torch.randn(4, 4, 4)},
    }


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_is_named_and_converts_where_it_can_be_held(kind, tmp_path):
    name = "lora_unet_" + MODULES[0].replace(".", "_")
    path = saved(tmp_path / "a.safetensors", {f"{name}.{part}": t for part, t in kinds()[kind].items()})
    found = inspect(path)
    assert found.kinds == {kind: 1}
    if kind == "OFT or GLoRA":  # its shapes do not tell a family
        assert checks(found, "block") == {"family"}
        return
    assert found.dialects == ("musubi",)
    assert not found.blocked
    assert "dora" not in checks(found, "warn")  # by columns, as here, ComfyUI computes it rightly
    convert(path, tmp_path / "b.safetensors", "lycoris")
    convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors", "musubi")
    assert (tmp_path / "c.safetensors").read_bytes() == files.pack(files.read(path)[0], {})
    if kind != "LoRA":
        with pytest.raises(PortraitistError, match="diffusers cannot hold"):
            convert(path, tmp_path / "d.safetensors", "diffusers")
        assert not (tmp_path / "d.safetensors").exists()


@pytest.mark.parametrize("part", ["dora_scale", "lora_magnitude_vector"])
def test_a_dora_that_comfyui_computes_otherwise_is_told(part, tmp_path):
    """By rows of the weight, as LyCORIS has it by default and peft always: measured in ComfyUI 0.33."""
    name = "lora_unet_" + MODULES[0].replace(".", "_")
    rows = trees.shapes("mini")[MODULES[0]][0]
    tensors = {f"{name}.{other}": tensor for other, tensor in kinds()["LoRA"].items()}
    scale = torch.ones(rows, 1) if part == "dora_scale" else torch.ones(rows)
    found = inspect(saved(tmp_path / "a.safetensors", {**tensors, f"{name}.{part}": scale}))
    assert found.kinds == {"DoRA": 1}
    assert "dora" in checks(found, "warn")


def test_a_file_that_two_families_could_have_is_not_guessed_at(tmp_path):
    """The first block's attention is 3072 wide in FLUX and in Qwen-Image; CLIP-L alone is SDXL's and FLUX's."""
    name = "transformer.transformer_blocks.0.attn.to_q"
    tensors = {f"{name}.lora_A.weight": torch.ones(2, 3072), f"{name}.lora_B.weight": torch.ones(3072, 2)}
    path, out = saved(tmp_path / "a.safetensors", tensors), tmp_path / "out.safetensors"
    (remark,) = inspect(path).findings
    assert (remark.check, remark.says, remark.remedy) == (
        "family", "It fits flux and qwen-image alike", "Say which: --family flux"
    )  # fmt: skip
    with pytest.raises(PortraitistError, match="fits flux and qwen-image alike"):
        convert(path, out)
    assert inspect(path, "qwen-image").family == "qwen-image"
    assert convert(path, out, "kohya", family="flux").family == "flux"
    assert inspect(saved(path, tensors, {"modelspec.architecture": "flux-1-dev/lora"})).family == "flux"
    with pytest.raises(PortraitistError, match="no family 'qwen'"):
        inspect(path, "qwen")
    assert checks(inspect(path, "sdxl"), "block") == {"family"}


def test_text_encoders_are_counted_and_carried(tmp_path):
    name = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
    tensors = {f"{name}.lora_down.weight": torch.ones(2, 768), f"{name}.lora_up.weight": torch.ones(3072, 2)}
    assert checks(inspect(saved(tmp_path / "a.safetensors", tensors)), "block") == {"family"}
    other = "lora_te2_text_model_encoder_layers_31_self_attn_q_proj"
    tensors |= {f"{other}.lora_down.weight": torch.ones(2, 1280), f"{other}.lora_up.weight": torch.ones(1280, 2)}
    found = inspect(saved(tmp_path / "b.safetensors", tensors))
    assert (found.family, found.text_encoders, found.layers) == ("sdxl", {"clip_l": 1, "clip_g": 1}, 0)
    convert(tmp_path / "b.safetensors", tmp_path / "c.safetensors", "diffusers")
    assert inspect(tmp_path / "c.safetensors").text_encoders == found.text_encoders


def test_the_remedy_names_a_dialect_in_which_all_is_loaded(tmp_path):
    """T5 is not loaded by diffusers' names, which are FLUX's first."""
    t5, block = (
        "text_encoder_2.encoder.block.3.layer.0.SelfAttention.q",
        "transformer.single_transformer_blocks.0.attn.to_q",
    )
    tensors = {f"{t5}.lora_A.weight": torch.ones(2, 4096), f"{t5}.lora_B.weight": torch.ones(4096, 2)}
    tensors |= {f"{block}.lora_A.weight": torch.ones(2, 3072), f"{block}.lora_B.weight": torch.ones(3072, 2)}
    path, out = saved(tmp_path / "a.safetensors", tensors), tmp_path / "b.safetensors"
    (remark,) = inspect(path).findings
    assert (remark.check, f"--to {inspect(path).comfyui['better']} " in remark.remedy) == ("comfyui", True)
    convert(path, out, inspect(path).comfyui["better"])
    assert inspect(out).findings == ()


def test_a_convolution_is_called_locon_and_its_core_counts(tmp_path):
    module = "lora_unet_input_blocks_1_0_in_layers_2"
    tensors = {
        f"{module}.lora_down.weight": torch.randn(4, 320, 1, 1),
        f"{module}.lora_mid.weight": torch.randn(4, 4, 3, 3),
        f"{module}.lora_up.weight": torch.randn(320, 4, 1, 1),
    }
    found = inspect(saved(tmp_path / "a.safetensors", tensors))
    assert (found.family, found.kinds, found.blocked) == ("sdxl", {"LoCon": 1}, False)


def test_what_comfyui_drops_is_said_and_converting_mends_it(tmp_path):
    """peft's own folder is the file people ask about: it loads nothing, and nothing says so."""
    path = saved(tmp_path / "adapter_model.safetensors", mini("base_model.model."))
    found = inspect(path)
    assert found.comfyui["loads"] == 0
    assert "comfyui" in checks(found, "warn")
    result = convert(path, tmp_path / "out.safetensors")
    assert (result.dialect, result.was, result.tensors) == ("diffusers", ("peft",), 6)
    assert inspect(tmp_path / "out.safetensors").comfyui["drops"] == []


def test_an_alpha_that_only_diffusers_header_states_is_written_beside_its_factors(tmp_path):
    """The file is diffusers' own; the scale is peft's: alpha over rank, by pattern where there is one."""
    shapes, modules = trees.shapes("flux"), ("transformer_blocks.0.attn.to_q", "single_transformer_blocks.1.attn.to_k")
    layers = {}
    for module in modules:
        layers[f"{module}.lora_A.weight"] = torch.randn(4, shapes[module][1])
        layers[f"{module}.lora_B.weight"] = torch.randn(shapes[module][0], 4)
    facts = {"r": 4, "lora_alpha": 2, "alpha_pattern": {"single_transformer_blocks.1.attn.to_k": 6}, "rank_pattern": {}}
    FluxPipeline.save_lora_weights(
        tmp_path, transformer_lora_layers=layers, transformer_lora_adapter_metadata=facts, weight_name="a.safetensors"
    )
    found = inspect(tmp_path / "a.safetensors")
    assert "header_alpha" in checks(found, "warn")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", "comfyui")
    tensors, metadata = files.read(tmp_path / "b.safetensors")
    scales = {name: float(part) for name, part in tensors.items() if name.endswith(".alpha")}
    assert sorted(scales.values()) == [2, 6]
    assert content.METADATA not in metadata
    assert "header_alpha" not in checks(inspect(tmp_path / "b.safetensors"), "warn")
    stated = {"transformer.lora_alpha": 3, "transformer.use_rslora": True}
    words = dialects.lexicon("flux", tuple(shapes))
    said = content.read({f"transformer.{name}": part for name, part in layers.items()}, words)
    rooted = content.explicit(said, {content.METADATA: json.dumps(stated)})
    assert {float(layer.tensors["alpha"]) / 4 for layer in rooted.layers} == {3 / 4**0.5}
    thin = {name: part[:3] if "lora_A" in name else part[:, :3] for name, part in layers.items()}
    said = content.read({f"transformer.{name}": part for name, part in thin.items()}, words)
    with pytest.raises(PortraitistError, match=r"alpha / sqrt\(3\)"):
        content.explicit(said, {content.METADATA: json.dumps(stated)})
    open_ = '{"transformer.lora_alpha": 3, "transformer.alpha_pattern": {"(": 6}}'
    for broken in ("[1]", "{", '{"transformer.lora_alpha": "x"}', '{"transformer.lora_alpha": NaN}', open_):
        with pytest.raises(PortraitistError, match="cannot be understood"):
            content.explicit(said, {content.METADATA: broken})


def test_a_factor_without_a_side_beside_such_a_header_is_told_as_a_shape(tmp_path):
    tensors = mini()
    tensors[f"transformer.{MODULES[0]}.lora_A.weight"] = torch.ones(())
    header = {content.METADATA: json.dumps({"transformer.lora_alpha": 3})}
    assert "shape" in checks(inspect(saved(tmp_path / "a.safetensors", tensors, header)), "block")


def test_an_alpha_that_is_no_number_is_told_once_and_leaves_the_spread(tmp_path):
    tensors = mini(alpha=2)
    tensors[f"transformer.{MODULES[0]}.alpha"] = torch.tensor(float("nan"))
    found = inspect(saved(tmp_path / "a.safetensors", tensors))
    assert (found.alpha, checks(found, "block")) == (
        {"least": 2, "median": 2, "largest": 2, "differ": 0},
        {"not_finite"},
    )


def test_a_file_that_is_there_is_not_replaced_unasked(tmp_path, capsys):
    path = saved(tmp_path / "a.safetensors", mini())
    other = saved(tmp_path / "b.safetensors", mini())
    before = other.read_bytes()
    line = ["convert", str(path), "--to", "musubi", "--out", str(other)]
    assert obey(line) == 2
    assert "is there already" in capsys.readouterr().err
    assert other.read_bytes() == before
    assert obey([*line, "--overwrite"]) == 0
    assert inspect(other).dialects == ("musubi",)
    assert obey(["convert", str(path), "--out", str(tmp_path / "c.pt")]) == 2
    assert obey(["convert", str(path), "--to", "mussubi", "--out", str(tmp_path / "c.safetensors")]) == 2
    assert "Did you mean musubi?" in capsys.readouterr().err


def test_what_would_not_come_back_is_not_written(tmp_path):
    """A column of zeros beside unequal ranks: fused, nobody could say whose it was."""
    tensors = {}
    for module, rank in (("transformer_blocks.0.attn.to_q", 2), ("transformer_blocks.0.attn.to_k", 1)):
        tensors[f"transformer.{module}.lora_A.weight"] = torch.randn(rank, 3072)
        tensors[f"transformer.{module}.lora_B.weight"] = torch.randn(3072, rank)
    tensors["transformer.transformer_blocks.0.attn.to_q.lora_B.weight"][:, 1] = 0
    path = saved(tmp_path / "a.safetensors", tensors)
    with pytest.raises(PortraitistError, match="would not come back from kohya"):
        convert(path, tmp_path / "b.safetensors", "kohya", family="flux")
    assert not (tmp_path / "b.safetensors").exists()
    convert(path, tmp_path / "b.safetensors", "onetrainer", family="flux")


def test_metadata_come_along_and_hashes_are_those_of_the_new_file(tmp_path):
    path = saved(tmp_path / "a.safetensors", mini(), {"ss_tag_frequency": "{}", "sshs_model_hash": "old"})
    convert(path, tmp_path / "b.safetensors", "comfyui")
    tensors, metadata = files.read(tmp_path / "b.safetensors")
    assert metadata["ss_tag_frequency"] == "{}"
    assert metadata["sshs_model_hash"] == files.hashes(files.pack(tensors, {}))["sshs_model_hash"]


@pytest.mark.parametrize("seed", range(40))
def test_no_file_ends_in_a_traceback(seed, tmp_path, capsys):
    """Cut, overwritten, with foreign names, types and shapes: a table, or a problem and its remedy."""
    chance = random.Random(seed)
    torch.manual_seed(seed)
    roles = [*dialects.SUFFIXES, ".weight", ""]
    tensors = {}
    for _ in range(chance.randrange(1, 12)):
        module = chance.choice([*MODULES, "text_model", ""]).replace(".", chance.choice("._"))
        name = chance.choice(["transformer.", "lora_unet_", "diffusion_model.", ""]) + module + chance.choice(roles)
        shape = [chance.randrange(5) for _ in range(chance.randrange(5))]
        kind = chance.choice([torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.float8_e4m3fn])
        tensors[name or "x"] = torch.ones(shape).to(kind)
    facts = chance.choice([{}, {content.METADATA: "{"}, {"trained_words": "[" * 99}, {"ss_steps": "\x07"}])
    data = bytearray(safetensors.torch.save(tensors, facts))
    if seed % 2:
        del data[chance.randrange(len(data)) :]
    for _ in range(chance.randrange(4) if seed % 4 > 1 else 0):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    for line in (["inspect", str(path)], ["convert", str(path), "--out", str(tmp_path / "b.safetensors")]):
        code = obey(line)
        said = capsys.readouterr()
        assert code in (0, 1, 2), said.err
        assert (len(said.err.splitlines()) == 2) == (code == 2), said.err


def test_of_a_large_file_that_is_no_adapter_only_the_header_is_read(tmp_path):
    path, size = tmp_path / "base.safetensors", 3_000_000_000  # of which the disk holds nothing
    facts = {"dtype": "F16", "shape": [size // 2], "data_offsets": [0, size]}
    header = json.dumps({"model.diffusion_model.x.weight": facts}).encode()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert inspect(path).blocked
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    with path.open("r+b") as file:
        file.truncate(size - 1)
    with pytest.raises(PortraitistError, match="is damaged"):
        inspect(path)


def test_a_folder_or_nothing_at_all_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.safetensors", Path("/dev/null")):
        with pytest.raises(PortraitistError):
            inspect(path)
