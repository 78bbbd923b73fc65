"""A recipe decides a run: nothing in it is guessed, ignored or changed on the way."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist import durable, recipe
from portraitist.errors import PortraitistError
from portraitist.judge import settings
from portraitist.recipe import Recipe, load, read_lock
from portraitist.runs import RunFolder
from portraitist.sections import Judging, Stage, Training


def written(folder, text, *changes):
    (folder / "recipe.toml").write_text(text)
    return load(folder / "recipe.toml", changes)


def refused(folder, text, *changes):
    with pytest.raises(PortraitistError) as caught:
        written(folder, text, *changes)
    assert caught.value.remedy
    return str(caught.value)


def test_no_file_is_the_preset_mini(tmp_path):
    assert load(tmp_path / "none.toml") == load(tmp_path / "none.toml", ["preset=mini"])


def test_every_preset_that_ships_is_whole():
    for name in recipe.presets():
        assert load(recipe.Path("nowhere.toml"), [f"preset={name}"]).preset == name


def test_a_file_goes_over_the_preset_and_a_change_over_both(tmp_path):
    text = "[training]\nrate = 5e-4\nseed = 7\n"
    found = written(tmp_path, text, "training.rate=2e-4", "stages.0.steps=12", "why=to see")
    assert (found.training.rate, found.training.seed, found.stages[0].steps, found.why) == (2e-4, 7, 12, "to see")


def test_lists_are_replaced_whole(tmp_path):
    found = written(tmp_path, '[[stages]]\nname = "faces"\nsteps = 5\n[[stages]]\nsteps = 6\n')
    assert [(s.name, s.steps) for s in found.stages] == [("faces", 5), ("main", 6)]
    assert found.steps == 11


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[training]\nlerning_rate = 1e-4\n", "unknown key training.lerning_rate"),
        ("[training]\nrat = 1e-4\n", "Did you mean training.rate?"),
        ("rank = 8\n", "Did you mean adapter.rank?"),
        ("[judging]\nfinalists = 2\n", "Take it out; judging.cells says"),
        ("[trainig]\nrate = 1e-4\n", "Did you mean training?"),
        ('[training]\nrate = "fast"\n', 'training.rate = "fast"'),
        ("[training]\nrate = 0.0\n", "training.rate"),
        ("[training]\nrate = inf\n", "training.rate"),
        ("[adapter]\nrank = 0\n", "adapter.rank"),
        ("[data]\nheld_out = 0.9\n", "data.held_out"),
        ('preset = "huge"\n', "no preset 'huge'"),
        ("format = 9\n", "newer portraitist"),
        ("[[stages]]\n", "stages.0.steps is missing"),
        ("[training\n", "not TOML"),
        ("training = 3\n", "training"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text, says, tmp_path):
    assert says in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("training.rate", "not section.key=value"),
        ("=3", "not section.key=value"),
        ("stages.4.steps=3", "there is no item 4"),
        ("stages.x.steps=3", "stages = "),
        ("training.rate.more=3", "is a value, not a section"),
        ("trainin.rate=3", "unknown key"),
    ],
)
def test_a_change_that_cannot_be_meant_is_refused(change, says, tmp_path):
    assert says in refused(tmp_path, "[training]\nrate = 1e-3\n", change)


@given(
    rate=st.floats(1e-8, 1), steps=st.integers(1, 10**6), seed=st.integers(0, 2**31 - 1),
    why=st.text(st.characters(exclude_categories=["C"])), decay=st.floats(0, 0.9999),
)  # fmt: skip
def test_a_lock_reads_back_as_the_same_recipe(rate, steps, seed, why, decay, tmp_path_factory):
    training = Training(rate=rate, seed=seed, ema=decay)
    whole = Recipe(training=training, stages=(Stage(steps=steps),), why=why)
    path = tmp_path_factory.mktemp("run") / "recipe.lock.toml"
    path.write_text(whole.to_toml(), encoding="utf-8")
    assert read_lock(path) == whole


def test_the_digest_sees_every_value_that_decides_and_no_words():
    plain = Recipe()
    assert plain.digest() == Recipe(why="to see", standing={"training.rate": "custom: G1"}).digest()
    for change in ("training.seed=1", "data.masks=0.5", "stages.0.steps=301", "model.precision=float32"):
        assert load(recipe.Path("nowhere"), [change]).digest() != load(recipe.Path("nowhere")).digest()


def test_a_preset_says_where_its_values_come_from_until_they_are_changed():
    shipped = load(recipe.Path("nowhere")).standing
    assert {key for key in shipped if shipped[key].startswith("measured")} == {
        "stages.steps",
        "adapter.rank",
        "training.rate",
        "training.ema",
        "judging.guidance",
        "judging.budget",
        "model.precision",
    }
    for change, key in (("training.rate=1e-3", "training.rate"), ("stages.0.steps=400", "stages.steps")):
        assert set(shipped) - set(load(recipe.Path("nowhere"), [change]).standing) == {key}


@pytest.mark.parametrize(
    ("standing", "says"),
    [({"training.rat": "paper: x"}, "no key training.rat"), ({"training.rate": "a hunch"}, "none of")],
)
def test_a_standing_of_nothing_and_of_no_kind_are_refused(standing, says, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("[standing]\n" + "".join(f'"{key}" = "{words}"\n' for key, words in standing.items()))
    with pytest.raises(PortraitistError, match=says):
        load(path)


def test_a_standing_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "recipe.toml").write_text("standing = 3\n")
    with pytest.raises(PortraitistError, match="standing = 3"):
        load(tmp_path / "recipe.toml", ["training.rate=1e-3"])


def test_a_recipe_cannot_be_changed_after_it_was_read():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().training.rate = 1.0  # type: ignore[misc]


def test_records_with_keys_that_are_gone_are_read_and_with_others_are_not(tmp_path):
    """A run that an earlier version made can still be chosen from, exported and reported."""
    run = RunFolder(tmp_path)
    durable.write_text(run.lock, load(Path("none")).to_toml().replace("[judging]", "[judging]\ncontenders = 3"))
    assert run.recipe() == load(Path("none"))
    judging = {**Judging().model_dump(mode="json"), "finalists": 2}
    durable.write_json(settings.path(run), judging)
    assert settings.read(run) == Judging()
    durable.write_json(settings.path(run), {**judging, "finalist": 2})
    with pytest.raises(PortraitistError, match="unknown key finalist"):
        settings.read(run)
