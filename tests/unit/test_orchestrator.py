"""The orchestrator's own arithmetic: recipes as words, and what is done."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portraitist import recipe
from portraitist.errors import PortraitistError
from portraitist.events import Started
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.run import Job, changes, fingerprint, inline

CHANGES = [
    "training.rate=1e-5", "training.seed=7", "stages.0.steps=12", 'data.sets=[{name = "40_a", weight = 3}]',
    "judging.strengths=[0.5, 1.0]", "adapter.targets=['to_q']", 'why="a \\"quoted\\" reason"', "data.dropout=0.0",
    "model.threads=2", 'judging.prompts=["{trigger} on a beach, ünïcode"]', "adapter.alpha=4", "training.ema=0.99",
]  # fmt: skip


@given(st.sets(st.sampled_from(CHANGES)))
def test_a_recipe_survives_the_command_line(tmp_path_factory, chosen):
    """What `run` hands to its children is the recipe it was given, to the last value."""
    path = tmp_path_factory.getbasetemp() / "recipe.toml"
    path.write_text('why = "before"\n[training]\nrate = 2e-3\n[[stages]]\nsteps = 5\n')
    meant = recipe.load(path, sorted(chosen))
    words = changes(path, meant)
    assert recipe.load(path, words) == meant
    assert bool(words) == bool(chosen)


@pytest.mark.parametrize("text", ["", 'preset = "sdxl"\n', '[model]\nfamily = "flux"\n'])
def test_so_does_another_preset_and_one_that_mends_the_file(text, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    meant = recipe.load(path, ["preset=flux-24gb", "model.family=flux", "training.rate=1e-3"])
    assert recipe.load(path, changes(path, meant)) == meant


VALUES = st.recursive(
    st.text() | st.integers(-(2**60), 2**60) | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(VALUES)
def test_a_value_on_one_line_is_toml(value):
    line = inline(value)
    assert "\n" not in line
    assert tomllib.loads(f"value = {line}")["value"] == value


@pytest.mark.parametrize("other", [("a", {"b": 2}), ("a", {"c": 1}), ("ab",)])
def test_other_inputs_have_another_fingerprint(other):
    assert fingerprint("a", {"b": 1}) == fingerprint("a", {"b": 1})
    assert fingerprint("a", {"b": 1}) != fingerprint(*other)


@pytest.mark.parametrize(
    ("settings", "facts", "beside", "says"),
    [
        ({}, {}, True, []),  # on a CPU
        ({"beside": "never"}, {}, False, []),
        ({"beside": "always"}, {"free_gb": 1.0}, True, []),
        ({}, {"free_gb": 79.0}, True, []),
        ({"patience": 2}, {"free_gb": 31.0}, False, ["and 31.0 are free: judging follows after training, so that pat"]),
    ],
)
def test_judging_goes_beside_training_where_the_card_has_room(settings, facts, beside, says, tmp_path):
    """Asked at every look at the children; told once."""
    told = []
    asked = Recipe.model_validate(
        {"model": {"family": "flux", "base": "/no"}, "judging": settings, "training": {"batch": 1}}
    )
    job = Job(
        Project(tmp_path, Facts(name="Zorblax", trigger="zorblax", subject="fictional")),
        asked,
        told.append,
        lambda: False,
    )
    started = Started(verb="train", facts=facts)
    assert [job.beside(started) for _ in range(3)] == [beside] * 3
    assert len(told) == len(says)
    assert all(words in event.says for words, event in zip(says, told, strict=True))


def test_patience_without_judging_beside_the_training_is_refused():
    with pytest.raises(PortraitistError, match=r"judging\.patience = 3 means nothing with judging\.beside"):
        Recipe.model_validate({"judging": {"patience": 3, "beside": "never"}})
