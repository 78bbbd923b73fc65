"""Our recipe as ai-toolkit's config and back: what both sides have comes back as it was, and the config is clean."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portraitist import recipe, registry
from portraitist.errors import PortraitistError
from portraitist.interop import aitoolkit, opening, telling
from portraitist.interop.document import Document
from portraitist.project import Facts
from portraitist.recipe import Recipe
from portraitist.rules import value_of
from tests.aitoolkit import CLEAN, GUIDE, QWEN, P
from tests.foreign import GONE, as_yaml, changed, read

FACTS = Facts(name="Maya", trigger="maya_char", subject="fictional", noun="robot")
SHARED = (
    "model.family", "model.base", "model.precision", "model.quantised", "model.offload", "data.dropout", "data.masks",
    "data.sets", "adapter.kind", "adapter.factor", "adapter.dropout", "adapter.start", "training.batch",
    "training.accumulate", "training.rate", "training.schedule", "training.floor", "training.warmup",
    "training.optimiser", "training.beta1", "training.beta2", "training.weight_decay", "training.max_gradient",
    "training.ema", "training.level", "training.snr_gamma", "training.recompute", "training.preserve", "training.seed",
    "judging.guidance", "judging.sampling_steps",
)  # fmt: skip
"""Keys that both sides have, beside steps, resolution, alpha and rank, which either side may leave to a default."""

PRESETS = [name for name in recipe.presets() if name.endswith(("-12gb", "-80gb")) or name in ("flux", "sdxl-full")]


def there(made: Recipe, pictures: str = "/nowhere/pictures") -> Document:
    """A recipe as ai-toolkit's own file, read."""
    ((name, text),) = aitoolkit.written(made, FACTS, pictures).items()
    return opening.of_text(text, name, "/nowhere")


def back(document: Document) -> Recipe:
    """What is carried over of a file."""
    return recipe.made(aitoolkit.carried(document).tables(), document.name)


def same(one: Recipe, other: Recipe) -> None:
    """Both mean the same wherever both sides can say it."""
    full = one.adapter.kind == "full"
    for key in SHARED:
        if not (full and key.startswith("adapter.") and key != "adapter.kind"):
            assert value_of(one, key) == value_of(other, key), key
    assert one.steps == other.steps
    sides = [made.data.resolution or registry.get(made.model.family).profile.resolution for made in (one, other)]
    assert sides[0] == sides[1]
    if not full:
        assert one.adapter.rank == other.adapter.rank
        assert (one.adapter.alpha or one.adapter.rank) == (other.adapter.alpha or other.adapter.rank)


def paired(values: dict) -> Recipe:
    """A recipe over its preset, with references where its family is trained on pairs."""
    if values["preset"].startswith("qwen-image-edit"):
        values = {**values, "data": {**values.get("data", {}), "sets": [{"name": "walk", "references": ["/r"]}]}}
    family = recipe.shipped(values["preset"])["model"]["family"]
    values = {**values, "model": {"base": f"somebody/{family}", **values.get("model", {})}}
    return recipe.made(values, "test")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_goes_there_clean_and_comes_back_the_same(name):
    made = paired({"preset": name})
    document = there(made)
    found = aitoolkit.diagnose(document)
    assert [(one.rule, one.says) for one in found.remarks if one.severity != "note"] == []
    assert found.effective.updates == made.steps
    assert found.effective.pictures_per_update == made.pictures_per_step
    assert found.effective.family == made.model.family
    same(made, back(document))


FAMILIES = ["sdxl", "flux", "qwen-image", "z-image", "z-image-turbo"]


@st.composite
def recipes(draw):
    """Recipes of any family with whatever both sides can say."""
    family, any_of = draw(st.sampled_from(FAMILIES)), lambda *choices: draw(st.sampled_from(choices))
    unet, rank = family == "sdxl", draw(st.integers(1, 64))
    optimiser = any_of("adamw", "adamw8bit", "adafactor", "prodigy")
    schedule, kind = any_of("constant", "linear", "cosine"), any_of("lora", "lora", "lokr")
    adapter = {"kind": kind, "rank": rank, "alpha": any_of(0.0, 1.0, 16.0) if unet else any_of(0.0, float(rank))}
    adapter |= {"dropout": any_of(0.0, 0.1)} if kind == "lora" else {"factor": draw(st.integers(0, 8))}
    training = {
        "batch": draw(st.integers(1, 8)),
        "accumulate": draw(st.integers(1, 8)),
        "schedule": schedule,
        "optimiser": optimiser,
        "rate": 1.0 if optimiser == "prodigy" else draw(st.floats(5e-5, 5e-4)),
        "ema": any_of(0.0, 0.5, 0.9),
        "weight_decay": any_of(0.0, 0.01, 0.1),
        "max_gradient": any_of(0.0, 1.0, 2.5),
        "recompute": any_of("family", "off"),
        "seed": draw(st.integers(0, 2**31 - 1)),
        "warmup": draw(st.integers(0, 100)) if schedule == "constant" else 0,
        "save_every": draw(st.integers(10, 500)),
    }
    training |= {"floor": any_of(0.0, 0.1, 0.5)} if schedule != "constant" else {}
    training |= {"beta1": any_of(0.9, 0.95), "beta2": any_of(0.99, 0.999)} if optimiser != "adafactor" else {}
    training |= {"snr_gamma": any_of(0.0, 5.0)} if unet else {"level": any_of("family", "uniform", "logit-normal")}
    data = {"resolution": any_of(0, 512, 768, 1024), "dropout": any_of(0.0, 0.1), "masks": any_of(1.0, 0.1, 0.0)}
    data["sets"] = [
        {"name": f"set{n}", "weight": weight, "loss_weight": float(n + 1), "role": ("identity", "prior")[n % 2]}
        for n, weight in enumerate(draw(st.lists(st.integers(1, 40), max_size=3)))
    ]
    model = {"precision": any_of("bfloat16", "float32"), "quantised": any_of("", "int8", "fp8")}
    model["offload"] = any_of(0.0, 0.5, 1.0) if training["recompute"] != "off" else 0.0
    stages = [{"name": "main", "steps": draw(st.integers(100, 5000))}]
    sections = {"model": model, "data": data, "adapter": adapter, "training": training, "stages": stages}
    return paired({"preset": family, **sections})


@settings(max_examples=30)
@given(recipes())
def test_what_both_sides_can_say_comes_back_as_it_was_and_trains_what_it_says(made):
    document = there(made)
    found = aitoolkit.diagnose(document)
    assert (found.stops, found.differs) == ("", "")
    assert found.effective.exposures == made.steps * made.pictures_per_step
    assert found.effective.kept == found.effective.saves
    same(made, back(document))


REFUSED = {
    "bases of mini": {"preset": "mini"},
    "LoHa": {"preset": "flux", "adapter": {"kind": "loha"}},
    "an alpha": {"preset": "flux", "adapter": {"alpha": 4.0}},
    "schedule-free": {"preset": "flux", "training": {"optimiser": "schedulefree", "ema": 0.0}},
    "a warm-up": {"preset": "flux", "training": {"schedule": "cosine"}},
    "stages": {"preset": "flux", "stages": [{"steps": 10}, {"steps": 20}]},
    "weights in nf4": {"preset": "flux", "model": {"quantised": "nf4"}},
    "control pictures": {"preset": "qwen-image-edit"},
    "preservation": {"preset": "flux", "training": {"preserve": 1.0}},
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_cannot_train_is_refused_by_name(what):
    with pytest.raises(PortraitistError, match=re.escape(what)):
        aitoolkit.written(recipe.made(REFUSED[what], "test"), FACTS, "/nowhere")


def test_pictures_beside_sets_are_refused_because_a_folder_is_read_with_all_below_it(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(PortraitistError, match="beside its sets"):
        aitoolkit.written(recipe.made({"preset": "flux"}, "test"), FACTS, str(tmp_path))


def test_folders_with_repeats_are_written_as_repeats(tmp_path):
    for name in ("40_maya", "20_body"):
        (tmp_path / name).mkdir()
    document = there(recipe.made({"preset": "flux"}, "test"), str(tmp_path))
    listed = document.get("config", "process", 0, "datasets")
    assert [(one["folder_path"], one["num_repeats"]) for one in listed] == [
        (str(tmp_path / "20_body"), 20),
        (str(tmp_path / "40_maya"), 40),
    ]


def test_the_guides_yaml_becomes_what_was_meant_by_it():
    found = aitoolkit.carried(read(GUIDE, "/nowhere"))
    made = recipe.made(found.tables(), "guide")
    assert (made.model.family, made.model.quantised) == ("qwen-image-edit", "int8")
    assert (made.steps, made.pictures_per_step, made.steps * made.pictures_per_step) == (850, 4, 3400)
    assert (made.training.rate, made.training.warmup, made.data.resolution) == (2e-4, 0, 0)
    assert (found.trigger, made.training.save_every) == ("maya_char", 85)
    assert found.pictures == (("40_identity", "40_identity"), ("20_realism", "20_realism"))
    assert made.judging.prompts[0] == "{trigger} smiling"


@pytest.mark.parametrize("base", [*CLEAN, "guide"])
def test_every_setting_is_kept_or_left_with_a_reason(base):
    document = read(GUIDE if base == "guide" else as_yaml(CLEAN[base]), "/nowhere")
    found = aitoolkit.carried(document)
    told = [*found.kept, *(one.path for one in found.left)]
    for path, _ in document.leaves():
        assert any(path[: len(one)] == one or one[: len(path)] == path for one in told), path
    assert all(one.why or one.path[-1] == "name" for one in found.left)


@pytest.mark.parametrize(
    ("key", "value", "ours"),
    [
        ("train.lr", 3.0, "training.rate"),
        ("train.optimizer_params", {"weight_decay": 50.0}, "training.weight_decay"),
        ("train.steps", 20_000_000, "stages"),
        ("network.dropout", 1.0, "adapter.dropout"),
        ("network.linear", 2000, "adapter.rank"),
        ("train.batch_size", 10_000, "training.batch"),
        ("sample.guidance_scale", 99.0, "judging.guidance"),
    ],
)
def test_what_is_out_of_range_here_is_told_and_not_passed_on(key, value, ours):
    found = aitoolkit.carried(read(as_yaml(changed(QWEN, {P + key: value})), "/nowhere"))
    recipe.made(found.tables(), "test")
    assert ours not in found.recipe
    told = [one.why for one in found.left if ".".join(map(str, one.path)).startswith(f"config.process.0.{key}")]
    assert any("out of range" in why for why in told)


def test_a_loss_weight_out_of_range_is_told_and_a_set_keeps_the_rest():
    one = {"folder_path": "maya", "num_repeats": 20_000, "loss_multiplier": 1000.0}
    found = aitoolkit.carried(read(as_yaml(changed(QWEN, {P + "datasets": [one]})), "/nowhere"))
    recipe.made(found.tables(), "test")
    assert [one["weight"] for one in found.recipe["data.sets"]] == [10_000]
    assert any(one.path[-1] == "loss_multiplier" for one in found.left)


@pytest.mark.parametrize(
    "changes",
    [
        {P + "model.arch": "wan22_14b"},
        {P + "type": "concept_slider"},
        {P + "model": {"name_or_path": "ostris/Flex.1-alpha", "arch": "flex1"}},
        {P + "model": GONE},
    ],
)
def test_a_base_that_is_not_trained_here_is_refused(changes):
    with pytest.raises(PortraitistError):
        aitoolkit.carried(read(as_yaml(changed(QWEN, changes)), "/nowhere"))


def test_colours_change_nothing_but_colours():
    document = read(GUIDE, "/nowhere")
    found = aitoolkit.diagnose(document)
    plain = telling.told(document, found, {"memory": "about 1 GB"})
    coloured = telling.told(document, found, {"memory": "about 1 GB"}, coloured=True)
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert plain.splitlines()[-1].startswith("It will not start")


def test_what_a_config_says_cannot_move_the_terminals_cursor():
    text = as_yaml(changed(QWEN, {P + "model.arch": GONE})).replace("Qwen/Qwen-Image", '"qwen-image\\e[2J"')
    document = read(text, "/nowhere")
    found = aitoolkit.diagnose(document)
    assert any("\x1b" in one.says for one in found.remarks)
    assert "\x1b" not in telling.told(document, found, {})
