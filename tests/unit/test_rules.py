"""Settings that do not go together are refused, and so is every key that nothing would read."""

import pytest

from portraitist import rules
from portraitist.errors import PortraitistError
from portraitist.recipe import Recipe, keys, load, read_lock


def refused(**sections):
    with pytest.raises(PortraitistError) as caught:
        Recipe.model_validate(sections)
    assert caught.value.remedy
    return caught.value.problem


@pytest.mark.parametrize(
    ("training", "says"),
    [
        ({"optimiser": "prodigy", "rate": 1e-4}, "training.rate = 0.0001: Prodigy finds the rate itself"),
        ({"optimiser": "adafactor", "beta2": 0.9}, 'training.beta2 = 0.9 means nothing with training.optimiser = "ada'),
        ({"optimiser": "adafactor", "beta1": 0.5}, "training.beta1 = 0.5"),
        ({"optimiser": "schedulefree", "ema": 0.9}, "training.ema = 0.9"),
        ({"optimiser": "schedulefree", "schedule": "cosine"}, 'training.schedule = "cosine"'),
        ({"optimiser": "schedulefree", "beta1": 0.0}, "training.beta1 = 0"),
        ({"level_mean": 0.5}, 'training.level_mean = 0.5 means nothing with training.level = "family"'),
        ({"level": "uniform", "level_spread": 0.5}, "training.level_spread = 0.5"),
        ({"level_shift": 3.0}, "training.level_shift = 3.0"),
        ({"floor": 0.5}, 'training.floor = 0.5 means nothing with training.schedule = "constant"'),
    ],
)
def test_an_optimiser_or_a_distribution_refuses_what_is_not_of_it(training, says):
    assert says in refused(training=training)


@pytest.mark.parametrize(
    "training",
    [
        {"optimiser": "prodigy", "rate": 1.0, "warmup": 5, "schedule": "cosine", "floor": 0.0, "ema": 0.9},
        {"optimiser": "schedulefree", "warmup": 5},
        {"optimiser": "adamw", "level": "logit-normal", "level_mean": 0.5, "level_spread": 0.5, "level_shift": 3.0},
        {"optimiser": "adafactor", "ema": 0.9, "weight_decay": 0.0},
    ],
)
def test_what_is_of_it_is_taken(training):
    assert Recipe.model_validate({"training": training}).training.optimiser == training["optimiser"]


def test_a_key_that_a_person_writes_counts_even_at_its_default(tmp_path):
    """The lock, which spells every default out, does not say any of them."""
    path = tmp_path / "recipe.toml"
    path.write_text('[training]\noptimiser = "adafactor"\nbeta2 = 0.99\n')
    with pytest.raises(PortraitistError, match=r"training\.beta2 = 0\.99 means nothing"):
        load(path)
    with pytest.raises(PortraitistError, match=r"training\.beta2"):
        load(tmp_path / "none.toml", ["training.optimiser=adafactor", "training.beta2=0.99"])
    found = load(tmp_path / "none.toml", ["training.optimiser=adafactor"])
    (tmp_path / "lock.toml").write_text(found.to_toml())
    assert read_lock(tmp_path / "lock.toml") == found


def test_a_preset_that_sets_what_does_not_count_is_told_of(tmp_path):
    change = ["training.optimiser=schedulefree", "training.schedule=constant"]
    with pytest.raises(PortraitistError, match=r"training\.ema = 0\.98") as caught:
        load(tmp_path / "none.toml", change)
    assert "set it to 0.0" in caught.value.remedy
    assert load(tmp_path / "none.toml", [*change, "training.ema=0.0"]).training.optimiser == "schedulefree"


def test_every_rule_is_about_keys_that_exist():
    known = set(keys())
    assert {*rules.COUNTS, *(chooser for chooser, _ in rules.COUNTS.values())} <= known


@pytest.mark.parametrize(
    ("adapter", "says"),
    [
        ({"modules": "attention", "targets": ["to_q"]}, "both say which layers"),
        ({"kind": "full", "modules": "attention"}, 'adapter.modules = "attention" means nothing'),
        ({"kind": "full", "targets": ["to_q"]}, 'adapter.targets = ["to_q"] means nothing'),
        ({"kind": "full", "dropout": 0.1}, "adapter.dropout"),
        ({"kind": "full", "start": "a.safetensors"}, "adapter.start"),
        ({"kind": "loha", "dropout": 0.1}, "adapter.dropout"),
        ({"factor": 4}, "adapter.factor"),
    ],
)
def test_an_adapter_refuses_what_is_not_of_its_kind(adapter, says):
    assert says in refused(adapter=adapter)


def test_there_is_one_place_to_start_from():
    assert "both say where to start from" in refused(parent="a", adapter={"start": "b.safetensors"})


@pytest.mark.parametrize(
    "key", ["training.text_encoder_rate=1e-5", "model.train_text_encoder=true", "adapter.text_encoder=1"]
)
def test_a_recipe_that_asks_for_text_encoders_is_told_that_they_stay_frozen(key, tmp_path):
    with pytest.raises(PortraitistError, match="text encoders stay frozen") as caught:
        load(tmp_path / "none.toml", [key])
    assert "docs/decisions/011" in caught.value.remedy
