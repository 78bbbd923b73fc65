"""What is advised: every change is a recipe, says where it stands, and can be written down and taken back."""

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from portraitist import durable, recipe, runs, tables
from portraitist.audit import Finding
from portraitist.errors import PortraitistError
from portraitist.events import Stepped
from portraitist.judge import measures, scorecard
from portraitist.judge.advising import changes, cures, settings, signs
from portraitist.judge.advising.evidence import Fact, Need, Seen, Symptom
from portraitist.judge.scorecard import Drawn, Losses, Scorecard
from portraitist.pictures import Picture
from portraitist.recipe import Recipe
from portraitist.verbs import advise as verb
from portraitist.verbs.advise import advise
from tests import reported

PRESETS = recipe.presets()


def made(*words, preset="mini", folder=None):
    """A recipe of a preset with changes."""
    return recipe.load(folder / "none.toml" if folder else reported.Path("none.toml"), [f"preset={preset}", *words])


def of_preset(name):
    """The recipe of a shipped preset."""
    family = recipe.shipped(name)["model"]["family"]
    return made(f"model.family={family}", preset=name)


def ailing(name, value=5.0):
    """A symptom by name."""
    return Symptom(name, "It ails", 0.5, True, (Fact.plain("step", value, 0, "", ""),))


def advised(name, seen, value=5.0):
    """The advice against one symptom."""
    return cures.advise([ailing(name, value)], seen, "a-run")[0]


def pictures(count, role="identity"):
    """Pictures of the manifest."""
    return tuple(Picture(f"{i}.png", "", 64, 64, caption="close-up of zorblax", role=role) for i in range(count))


BARE = [name for name in PRESETS if not name[-3:-2].isdigit()]
"""Presets of families; those of cards change what advice does not touch."""


@pytest.mark.parametrize("preset", BARE)
def test_what_is_advised_is_a_recipe_or_an_action_whatever_the_preset(preset):
    """Loading is the proof: a change that no recipe bears would be refused."""
    own = of_preset(preset)
    for sign in signs.SIGNS:
        found = advised(sign.name, Seen(recipe=own, need=Need(9.0, 8.0, (("data.resolution", 64),))))
        assert found.recipe or found.dataset, sign.name
        assert found.causes
        assert found.expects
        assert found.standing.partition(":")[0] in ("measured", "guide", "judged")
        if found.recipe:
            after = changes.changed(own, found.settings)
            assert after != own
            assert Recipe.model_validate(tomllib.loads(after.to_toml())) == after
            assert all(changes.value(own.model_dump(mode="json"), c.key) == c.before for c in found.recipe)


def test_benchmarks_that_are_named_are_there():
    seen = Seen(recipe=made("judging.guidance=3"), pictures=pictures(7))
    for sign in signs.SIGNS:
        standing = advised(sign.name, seen).standing
        if standing.startswith("measured: benchmarks/"):
            assert (reported.Path(__file__).parents[2] / standing.removeprefix("measured: ")).is_file()


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["training.rate=1e-5"], "training.rate", 3e-3),
        (["adapter.rank=2"], "adapter.rank", 32),
        (["adapter.alpha=1"], "adapter.alpha", 0.0),
        (["training.warmup=400"], "training.warmup", 20),
        (["stages.0.steps=30"], "stages.0.steps", 300),
        (["training.batch=2"], "stages.0.steps", 1200),
        (["data.dropout=0.9"], "data.dropout", 0.05),
        (["stages.0.rate=0.1"], "stages.0.rate", 1.0),
    ],
)
@pytest.mark.parametrize("symptom", ["dead", "underfit"])
def test_a_setting_far_weaker_than_the_presets_goes_back_to_it(symptom, words, key, value):
    found = advised(symptom, Seen(recipe=made(*words)))
    assert found.settings[key] == pytest.approx(value)
    assert "parent" not in found.settings


def test_what_is_as_the_preset_has_it_is_not_blamed_nor_is_a_new_name_a_cause():
    """Twenty steps of warm-up are the preset's own, also where the run was cut to twenty."""
    found = advised("underfit", Seen(recipe=made("stages.0.steps=20")))
    assert found.causes == ("20 steps show far fewer pictures than the preset's",)
    assert found.settings == {"stages.0.steps": 300, "stages.0.name": "main-longer"}


def test_a_dead_run_with_the_presets_own_settings_is_driven_harder():
    assert advised("dead", Seen(recipe=made())).settings == {"training.rate": pytest.approx(9e-3)}


def test_an_early_end_with_the_presets_own_settings_goes_on_from_there():
    found = advised("underfit", Seen(recipe=made()))
    assert found.settings == {"parent": "a-run", "stages.0.steps": 150}
    twice = made('stages=[{name="faces", steps=100, sets=["a"]}, {name="all", steps=200}]')
    after = changes.changed(twice, advised("underfit", Seen(recipe=twice)).settings)
    assert [(stage.name, stage.steps) for stage in after.stages] == [("all", 150)]


def test_an_adapter_that_starts_from_a_file_is_trained_longer_without_a_parent():
    """parent and adapter.start exclude each other."""
    own = made('adapter.start="a.safetensors"')
    found = advised("underfit", Seen(recipe=own))
    assert found.settings == {"stages.0.steps": 450, "stages.0.name": "main-longer"}
    assert runs.name_for(changes.changed(own, found.settings), "mini") != runs.name_for(own, "mini")


def test_a_run_that_went_on_from_another_is_not_told_that_its_steps_are_few():
    """Its parent's come before them: 150 more after 300 are no want of the preset's 300."""
    fork = changes.changed(made(), advised("underfit", Seen(recipe=made())).settings)
    found = cures.advise([ailing("underfit")], Seen(recipe=fork), "b-run")[0]
    assert found.causes == ("too few steps for these pictures",)
    assert found.settings == {"parent": "b-run", "stages.0.steps": 75}


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["training.rate=9e-3"], "training.rate", 3e-3),
        (["adapter.rank=128"], "adapter.rank", 32),
        (["stages.0.steps=3000"], "stages.0.steps", 300),
        ([], "training.rate", 1.5e-3),
    ],
)
def test_an_overfit_run_is_softened(words, key, value):
    found = advised("overfit", Seen(recipe=made(*words), pictures=pictures(40)))
    assert found.settings[key] == pytest.approx(value)
    assert not found.dataset


def test_another_number_of_steps_is_another_run_on_its_own_schedule():
    """A run is continued by more steps and refuses fewer: a change of its length alone must not meet it again."""
    for words, symptom in ((["stages.0.steps=3000"], "overfit"), (["stages.0.steps=30"], "underfit")):
        own = made(*words)
        after = changes.changed(own, advised(symptom, Seen(recipe=own)).settings)
        assert runs.name_for(after, "mini") != runs.name_for(own, "mini")


def test_few_pictures_are_the_first_cause_of_learning_by_heart():
    twins = Finding("near_duplicates", "", "warn", "alike", "Drop.", 0, ("3.png",))
    found = advised("overfit", Seen(recipe=made(), pictures=pictures(7), findings=(twins,)))
    assert found.causes[0].startswith("7 pictures are few")
    assert [(one.kind, one.count, one.pictures) for one in found.dataset] == [
        ("add", 25, ()),
        ("remove", 0, ("3.png",)),
    ]


def test_masks_are_not_advised_against_bleeding_and_backgrounds_are():
    """As measured on the small base; the guides say masks and a lower rank."""
    same = Finding("background_variety", "", "warn", "same", "Vary.", 6, ("1.png", "2.png"))
    found = advised("bleed", Seen(recipe=made(), pictures=pictures(30), findings=(same,)))
    assert [(one.kind, one.count) for one in found.dataset] == [("caption", 0), ("add", 6)]
    assert found.dataset[0].pictures == ("1.png", "2.png")
    assert not found.recipe, "no recipe mends it alone"
    along = {change.key: change.after for change in found.dataset[1].along}
    assert along == {"stages.0.steps": 360, "stages.0.name": "main-longer"}, "each is seen as often: 300 / 30"
    assert any("With them change stages.0.steps: 300 -> 360, stages.0.name:" in line for line in found.told())
    longer = made(*(f"{key}={json.dumps(value)}" for key, value in along.items()), "stages.0.steps=600")
    assert "stages.0.steps" not in settings.strong(longer), "nor is it blamed for what was advised"
    assert "stages.0.steps" in settings.strong(made("stages.0.steps=600"))


@pytest.mark.parametrize(
    ("count", "more", "steps"), [(30, 6, 360), (30, 60, 600), (0, 6, None), (700, 1, None), (30, 0, None)]
)
def test_more_pictures_ask_for_steps_to_see_each_as_often(count, more, steps):
    found = settings.as_often(made(), count, more)
    assert found.get("stages.0.steps") == steps
    two = settings.as_often(made('stages=[{name="faces", steps=100}, {name="all", steps=200}]'), 30, 6)
    assert two == {"stages.0.steps": 120, "stages.1.steps": 240, "stages.1.name": "all-longer"}


def test_a_leak_is_held_off_and_then_longer():
    assert advised("leak", Seen(recipe=made())).settings == {"training.preserve": 1.0}
    again = advised("leak", Seen(recipe=made("training.preserve=1")))
    assert again.settings == {"parent": "a-run", "stages.0.steps": 150}
    whole = advised("leak", Seen(recipe=of_preset("sdxl-full")))
    assert not whole.recipe, "with all weights trained there is no base to hold them to"
    assert whole.dataset[0].of == "prior"


def test_driven_colours_ask_for_less_guidance_before_another_training():
    assert advised("burnt", Seen(recipe=made("judging.guidance=4"))).settings == {"judging.guidance": 1.5}
    assert advised("burnt", Seen(recipe=made())).settings == {"training.rate": pytest.approx(1.5e-3)}


def test_a_stop_at_the_first_step_is_not_blamed_on_the_rate():
    assert advised("stopped", Seen(recipe=made()), value=1).dataset
    later = advised("stopped", Seen(recipe=made("model.precision=float16", "training.max_gradient=0")), value=90)
    assert later.settings == {
        "training.rate": pytest.approx(1e-3), "training.max_gradient": 1.0, "model.precision": "auto",
    }  # fmt: skip


def test_the_presets_rate_is_not_given_to_another_optimiser():
    """What is far for AdamW says nothing of Adafactor."""
    own = made("training.optimiser=adafactor", "training.rate=0.03")
    assert advised("diverged", Seen(recipe=own)).settings["training.rate"] == pytest.approx(0.01)


def test_prodigy_which_finds_its_rate_is_given_up_rather_than_slowed():
    own = made("training.optimiser=prodigy", "training.rate=1.0")
    assert advised("diverged", Seen(recipe=own)).settings["training.optimiser"] == "adamw"
    assert settings.faster(own, 3) == {}


def test_drift_asks_for_portraits_and_for_strangers_out():
    stranger = Finding("identity_outliers", "", "warn", "strange", "Look.", 0, ("1.png",))
    found = advised("drift", Seen(recipe=made(), pictures=pictures(12), findings=(stranger,)))
    assert [(one.kind, one.count, one.of) for one in found.dataset] == [("add", 18, "close-up"), ("remove", 0, "")]


COMMENTED = """preset = "mini"   # the small one
why = "a # in words"

[training]
rate = 3e-3  # high
# below
batch = 4

[[stages]]
name = "faces"
steps = 100
[[stages]]
steps = 200
"""


@pytest.mark.parametrize(
    ("change", "there"),
    [
        ({"training.rate": 1e-3}, "rate = 0.001  # high\n# below\nbatch = 4\n"),
        ({"training.preserve": 1.0}, "batch = 4\npreserve = 1.0\n\n[[stages]]"),
        ({"adapter.rank": 8}, "steps = 200\n\n[adapter]\nrank = 8\n"),
        ({"stages.1.steps": 7}, 'name = "faces"\nsteps = 100\n[[stages]]\nsteps = 7\n'),
        ({"parent": "a"}, 'why = "a # in words"\nparent = "a"\n'),
        ({"why": "b # c"}, 'why = "b # c"\n\n[training]'),
    ],
)
def test_a_change_leaves_a_persons_file_as_it_was_but_for_its_line(change, there):
    text, kept = tables.rewritten(COMMENTED, change)
    assert kept
    assert there in text
    assert "# the small one" in text


KEYS = st.dictionaries(
    st.sampled_from(["why", "parent", "training.rate", "training.batch", "adapter.rank", "stages.1.name", "data.sets"]),
    st.one_of(st.integers(1, 99), st.text(max_size=9), st.booleans(), st.lists(st.integers(0, 9), max_size=2)),
)


@settings_of(max_examples=40)
@given(KEYS, st.sampled_from([COMMENTED, "", "why = '''\n[training]\nrate = 1\n'''\n[[stages]]\n[[stages]]\n"]))
def test_whatever_is_put_into_a_file_it_then_says_that_and_nothing_else(change, text):
    """Held to the parser: also where comments could not be kept."""
    if any(key.startswith("stages") for key in change) and not text:
        return
    meant = tables.parse(text, "it")
    for key, value in change.items():
        tables.place(meant, key.split("."), value)
    assert tomllib.loads(tables.rewritten(text, change)[0]) == meant


@pytest.fixture
def project(tmp_path):
    """A project whose run of the preset, with a rate of a hundredth, did nothing; nobody drew it yet."""
    project = reported.project(tmp_path / "zorblax")
    project.recipe.write_text('preset = "mini"  # as it comes\n[training]\nrate = 3e-5  # careful\n')
    run = runs.RunFolder(project.runs / "mini-lora32-0")
    durable.write_text(run.lock, recipe.load(project.recipe).to_toml() + "\n[lock]\nformat = 1\n")
    for step in (0, 150, 300):
        scorecard.append_losses(run, Losses(step, [0.5], [0.5], [0.5], [0.5, 0.6], [0.5, 0.6], "y"))
    run.log.append(Stepped(step=1, loss=0.5, gradient=0.1, rate=3e-5, seconds=1.0))
    return project


def test_cards_of_older_eyes_do_not_speak(project):
    """Older eyes took the base for the character; newer ones do not."""
    run = runs.RunFolder(project.runs / "mini-lora32-0")
    for eyes, leak in (("older", 0.95), ("newer", 0.0)):
        for step, strength, own in ((0, 0.0, 0.0), (300, 1.0, leak)):
            drawn = [Drawn(f"u{i}", f"text {i}", 1, "", {"leak": own + i / 100}, "unnamed") for i in range(6)]
            scores = measures.scores([one.scores for one in drawn])
            scorecard.append(run, Scorecard(step, strength, "probe", scores, "g", eyes, drawn))
        taken = verb.gather(project, run).taken("leak")
        assert taken is not None
        assert taken[1].mean == pytest.approx(leak + 0.025)


def test_advice_is_written_applied_and_taken_back(project):
    before, plain = project.recipe.read_text(), recipe.load(project.recipe)
    found = advise(project)
    assert [one.symptom.name for one in found.advice] == ["dead"]
    written = json.loads(found.file.read_text())
    assert written["advice"][0]["symptom"] == "dead"
    assert written["advice"][0]["recipe"] == [{"key": "training.rate", "before": 3e-5, "after": 3e-3}]
    assert written["advice"][0]["facts"][0]["file"] == "evaluation/losses.jsonl"
    assert "leak" in written["unknown"]
    assert project.recipe.read_text() == before, "unasked, nothing is changed"
    done = advise(project, apply=True)
    after = recipe.load(project.recipe)
    assert after.training.rate == 3e-3
    assert project.recipe.read_text() == 'preset = "mini"  # as it comes\n[training]\nrate = 0.003  # careful\n'
    assert after.model_copy(update={"training": plain.training, "standing": plain.standing}) == plain
    copy, of = done.back.split()[1:3]
    assert of == str(project.recipe)
    assert reported.Path(copy).read_text() == before
    assert advise(project, apply=True).applied == {"training.rate": 3e-3}
    assert reported.Path(copy).read_text() == before, "asked twice, what was there before is still kept"
    told = done.told()
    assert "change training.rate: 3e-05 -> 0.003" in told
    assert f"to go back: cp {copy} {of}" in told


def test_a_recipe_that_is_another_by_now_is_not_overwritten(project):
    project.recipe.write_text('preset = "mini"\n[training]\nrate = 1e-4\n')
    with pytest.raises(PortraitistError, match=r"training\.rate = 0\.0001, and mini-lora32-0 was trained with 3e-05"):
        advise(project, apply=True)
    assert "1e-4" in project.recipe.read_text()


def test_stages_of_a_preset_are_written_whole(project):
    there = recipe.load(project.recipe)
    found = verb.in_file({}, there, {"stages.0.steps": 9, "training.rate": 1.0})
    assert found == {"training.rate": 1.0, "stages": [{"steps": 9}]}
    text, _ = tables.rewritten(project.recipe.read_text(), found)
    assert recipe.made(tables.parse(text, "it"), "it").steps == 9


def test_a_healthy_run_is_told_so_and_has_nothing_to_apply(project):
    run = runs.find(project)
    for step, share in ((150, 0.8), (300, 0.7)):
        each = [0.5 * share, 0.6 * share]
        scorecard.append_losses(run, Losses(step, [0.5], [0.5], [0.5], each, [0.5, 0.6], "y"))
    found = advise(project)
    assert (found.advice, found.says) == ((), "Nothing measured calls for a change.")
    with pytest.raises(PortraitistError, match="nothing ails the run"):
        advise(project, apply=True)
