"""Recipes become configs of sd-scripts and musubi-tuner, clean by the doctor, and come back as they were."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portraitist import interop, recipe
from portraitist.errors import PortraitistError
from portraitist.interop import opening
from portraitist.project import Facts
from portraitist.tables import value_at
from tests.doctoring import command, pictures
from tests.kohya_cases import CLEAN
from tests.musubi_cases import preset

FACTS = Facts(name="Maya", trigger="maya_char", subject="fictional", noun="woman")
SHARED = (
    "model.family", "adapter.kind", "adapter.rank", "training.batch", "training.accumulate", "training.rate",
    "training.schedule", "training.warmup", "training.optimiser", "training.weight_decay", "training.max_gradient",
    "training.save_every", "training.seed", "stages",
)  # fmt: skip
SDXL = ("data.dropout", "data.held_out", "training.snr_gamma")
TOOLS = {"sdxl": "kohya", "flux": "kohya", "qwen-image": "musubi", "qwen-image-edit": "musubi"}
PRESETS = [name for family in TOOLS for name in recipe.presets(family) if name != "sdxl-full"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A character's folder with two sets of pictures, and a reference for each picture."""
    folder = tmp_path_factory.mktemp("carrying")
    pictures(folder / "pictures" / "faces", 2)
    pictures(folder / "pictures" / "bodies", 1)
    pictures(folder / "references", 2, caption="")
    return folder


def made(name, changes=()):
    """A preset with the test's sets, and changes."""
    family = recipe.shipped(name)["model"]["family"]
    shown = 'references = ["references"]' if family == "qwen-image-edit" else ""
    sets = f'[{{name = "faces", weight = 40, {shown}}}, {{name = "bodies", weight = 20, {shown}}}]'.replace(", }", "}")
    from pathlib import Path

    return recipe.load(Path("absent"), [f'preset="{name}"', f"data.sets={sets}", *changes])


def there(written, folder, place):
    """The document of a written recipe: its command, beside its other files."""
    target = place / folder
    target.mkdir(exist_ok=True)
    for name, text in written.items():
        (target / name).write_text(text, encoding="utf-8")
    return opening.opened(target / "train.sh")


def back(ours, place):
    """A recipe written by its tool, judged, and carried back."""
    tool = interop.tool(TOOLS[ours.model.family])
    document = there(tool.written(ours, FACTS, str(place / "pictures")), "theirs", place)
    assert interop.whose(document) == TOOLS[ours.model.family]
    return tool.diagnose(document), tool.carried(document)


def same(ours, carried):
    """Every field that both sides have is as it was."""
    values = ours.model_dump(mode="json")
    for key in (*SHARED, *(SDXL if ours.model.family == "sdxl" else ())):
        wanted = value_at(values, key) if key != "stages" else [{"name": "main", "steps": ours.steps}]
        if key == "training.snr_gamma" and not wanted:
            continue
        if key in ("training.warmup", "data.dropout") and not wanted:
            assert not carried.recipe.get(key, 0)
            continue
        assert carried.recipe[key] == wanted, key
    assert carried.recipe["adapter.alpha"] == (ours.adapter.alpha or ours.adapter.rank)
    assert carried.recipe["data.resolution"] == (ours.data.resolution or 1024)
    weights = {one["name"]: one["weight"] for one in carried.recipe["data.sets"]}
    assert weights == {one.name: one.weight for one in ours.data.sets}
    if TOOLS[ours.model.family] == "kohya":
        assert (carried.trigger, carried.noun) == (FACTS.trigger, FACTS.noun)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_written_clean_and_comes_back(name, place):
    ours = made(name)
    diagnosis, carried = back(ours, place)
    assert [(one.rule, one.says) for one in diagnosis.remarks if one.severity != "note"] == []
    assert diagnosis.effective.updates == ours.steps
    assert diagnosis.effective.pictures_per_update == ours.pictures_per_step
    same(ours, carried)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["sdxl", "flux", "qwen-image"]), rank=st.integers(1, 256), alpha=st.integers(0, 256),
    rate=st.floats(1e-7, 1, allow_nan=False), batch=st.integers(1, 8), accumulate=st.integers(1, 8),
    steps=st.integers(1, 5000), every=st.integers(1, 500), seed=st.integers(0, 2**31 - 1),
    optimiser=st.sampled_from(["adamw", "adamw8bit", "adafactor"]), warmup=st.integers(0, 50),
    schedule=st.sampled_from(["constant", "linear", "cosine"]), decay=st.floats(0, 1),
)  # fmt: skip
def test_any_recipe_comes_back(place, name, rank, alpha, rate, batch, accumulate, steps, every, seed, optimiser,
                               warmup, schedule, decay):  # fmt: skip
    said = {"rank": rank, "alpha": float(alpha)}
    run = {"batch": batch, "accumulate": accumulate, "rate": rate, "save_every": every, "seed": seed, "warmup": warmup,
           "optimiser": optimiser, "schedule": schedule, "weight_decay": decay}  # fmt: skip
    changes = [f"adapter.{key}={json.dumps(value)}" for key, value in said.items()]
    changes += [f"training.{key}={json.dumps(value)}" for key, value in run.items()]
    ours = made(name, [*changes, f"stages.0.steps={steps}"])
    diagnosis, carried = back(ours, place)
    assert not diagnosis.stops
    same(ours, carried)


@pytest.mark.parametrize(("changes", "word"), [
    (['adapter.kind="full"'], "adapters alone"),
    (['model.quantised="nf4"'], "8 bits"),
    (['adapter.modules="attention"'], "selects layers"),
])  # fmt: skip
def test_what_sd_scripts_cannot_train_is_refused(changes, word, place):
    with pytest.raises(PortraitistError, match=word):
        interop.tool("kohya").written(made("flux", changes), FACTS, str(place / "pictures"))


def test_a_family_is_written_by_its_own_trainer_alone(place):
    for tool, name in (("kohya", "qwen-image"), ("musubi", "sdxl"), ("kohya", "z-image")):
        with pytest.raises(PortraitistError, match="not written for"):
            interop.tool(tool).written(made(name), FACTS, str(place / "pictures"))
    with pytest.raises(PortraitistError, match="not written"):
        interop.tool("kohyagui").written(made("sdxl"), FACTS, str(place / "pictures"))


def test_an_edit_model_without_references_is_refused(place):
    ours = made("qwen-image-edit", ['data.sets=[{name = "faces"}]'])
    with pytest.raises(PortraitistError, match="one folder of control pictures"):
        interop.tool("musubi").written(ours, FACTS, str(place / "pictures"))


def test_what_was_not_carried_is_told_with_a_reason_and_nothing_is_lost(place):
    """Every option of a config is either kept, with our key, or left, with a reason."""
    text = 'network_module = "networks.lora"\nnetwork_dim = 8\ntrain_batch_size = 2\nkeep_tokens = 1\nflip_aug = true\n'
    (place / "train.toml").write_text(text)
    document = opening.opened(place / "train.toml")
    carried = interop.tool("kohya").carried(document)
    told = {*carried.kept, *(left.path for left in carried.left)}
    assert told == {path for path, _ in document.leaves()}
    assert all(left.why for left in carried.left)
    assert carried.recipe["adapter.alpha"] == 1  # what it is where nothing is said


def of(script, options, place):
    """A command carried, and the recipe that it makes."""
    (place / "bare.sh").write_text(command(script, options))
    document = opening.opened(place / "bare.sh")
    tool = interop.tool(interop.whose(document))
    return tool.diagnose(document).effective, tool.carried(document)


@pytest.mark.parametrize(("script", "options"), [
    ("sdxl_train_network", {"pretrained_model_name_or_path": "sdxl.safetensors", "network_module": "networks.lora"}),
    ("flux_train_network", {"pretrained_model_name_or_path": "f", "network_module": "networks.lora_flux"}),
    ("qwen_image_train_network", {"dit": "q.safetensors", "network_module": "networks.lora_qwen_image"}),
])  # fmt: skip
def test_what_a_command_does_not_say_is_what_the_doctor_says_results(script, options, place):
    """A preset of ours accumulates, averages and warms up; sd-scripts and musubi-tuner do not unless they are told."""
    effective, carried = of(script, {**options, "max_train_steps": 500, "output_dir": "out"}, place)
    ours = recipe.made(carried.tables(), "bare.sh")
    assert ours.steps == effective.updates
    assert ours.training.batch * ours.training.accumulate == 1
    assert ours.adapter.rank == effective.rank
    assert ours.adapter.alpha == effective.alpha
    assert ours.training.rate == effective.rate
    training = ours.training
    assert (training.ema, training.warmup, training.schedule, ours.data.dropout) == (0, 0, "constant", 0)
    assert (training.optimiser, training.beta1, training.beta2) == ("adamw", 0.9, 0.999)


@pytest.mark.parametrize("more", [
    {"max_train_epochs": 3, "unet_lr": 2e-4},
    {"timestep_sampling": "flux_shift", "discrete_flow_shift": 3, "sigmoid_scale": 2},
    {"guidance_scale": 1, "model_prediction_type": "raw"},
    {"optimizer_type": "adafactor", "optimizer_args": ["relative_step=False"]},
    {"lr_scheduler": "constant", "lr_scheduler_min_lr_ratio": 0.1},
])  # fmt: skip
def test_no_option_of_a_command_is_passed_over_in_silence(more, place):
    options = {"pretrained_model_name_or_path": "f", "network_module": "networks.lora_flux", "output_dir": "out",
               "max_train_steps": 500, "learning_rate": 1e-4, **more}  # fmt: skip
    _, carried = of("flux_train_network", options, place)
    told = {path[0] for path in (*carried.kept, *(left.path for left in carried.left))}
    assert told == set(options)
    assert {key for key in carried.kept.values() if key not in carried.recipe} == set()


def test_adafactor_by_its_own_steps_is_left_with_a_word(place):
    options = {"pretrained_model_name_or_path": "f", "network_module": "networks.lora_flux", "output_dir": "out",
               "optimizer_type": "adafactor", "optimizer_args": ["relative_step=True"]}  # fmt: skip
    _, carried = of("flux_train_network", options, place)
    assert [left.value for left in carried.left if left.path == ("optimizer_args",)] == ["relative_step=True"]


def test_a_config_of_the_gui_is_carried_at_its_fields(place):
    (place / "gui.json").write_text(preset(network_dim=32, network_alpha=16, LoRA_type="Kohya LoCon", conv_dim=8))
    carried = interop.tool("kohyagui").carried(opening.opened(place / "gui.json"))
    assert carried.recipe["adapter.rank"] == 32
    assert carried.recipe["adapter.modules"] == "locon"
    assert carried.kept["unet_lr",] == "training.rate"


def test_folders_of_a_dataset_become_sets_with_their_repeats_and_roles(place):
    text = f"""[[datasets]]
resolution = [832, 1216]
[[datasets.subsets]]
image_dir = "{place}/pictures/faces"
num_repeats = 40
[[datasets.subsets]]
image_dir = "{place}/pictures/bodies"
num_repeats = 2
is_reg = true
"""
    (place / "data.toml").write_text(text)
    carried = interop.tool("kohya").carried(opening.opened(place / "data.toml"))
    assert carried.recipe["data.sets"] == [
        {"name": "faces", "weight": 40}, {"name": "bodies", "weight": 2, "role": "prior"},
    ]  # fmt: skip
    assert carried.recipe["data.resolution"] == 1024
    assert [name for _, name in carried.pictures] == ["faces", "bodies"]


def test_where_sets_differ_in_what_ours_have_once_the_first_counts_and_the_others_are_told(place):
    text = "".join(
        f"""[[datasets]]
resolution = {side}
batch_size = {batch}
[[datasets.subsets]]
image_dir = "{place}/pictures/{name}"
caption_dropout_rate = {dropped}
alpha_mask = {mask}
"""
        for name, side, batch, dropped, mask in (("faces", 1024, 2, 0.1, "true"), ("bodies", 768, 4, 0.3, "false"))
    )
    (place / "data.toml").write_text(text)
    options = {
        "dataset_config": "data.toml",
        "train_batch_size": 8,
        "pretrained_model_name_or_path": "sdxl.safetensors",
    }
    _, carried = of("sdxl_train_network", options, place)
    first = {"data.resolution": 1024, "training.batch": 2, "data.dropout": 0.1, "data.masks": 0.0}
    assert {key: carried.recipe[key] for key in first} == first
    told = {(left.path[-1], left.value) for left in carried.left}
    assert {("resolution", 768), ("batch_size", 4), ("caption_dropout_rate", 0.3), ("alpha_mask", False)} <= told
    assert ("train_batch_size", 8) in told  # a dataset's own counts before the command's
    assert not {left.path for left in carried.left} & set(carried.kept)


def test_the_files_of_a_model_of_no_family_here_are_left(place):
    text = command("train_network", CLEAN | {"pretrained_model_name_or_path": "sd-v1-5.safetensors"})
    (place / "old.sh").write_text(text)
    carried = interop.tool("kohya").carried(opening.opened(place / "old.sh"))
    assert "model.base" not in carried.recipe
    assert "model.family" not in carried.recipe
    assert any("no family sd" in left.why for left in carried.left)


def test_the_name_of_a_folder_gives_trigger_noun_and_weight(place):
    pictures(place / "dream" / "20_ohwx tall woman", 1)
    carried = interop.tool("kohya").carried(opening.repeated(place / "dream"))
    assert (carried.trigger, carried.noun) == ("ohwx", "tall woman")
    assert carried.recipe["data.sets"] == [{"name": "20_ohwx tall woman", "weight": 20}]
