"""What ai-toolkit really does with its config: held to facts read in its own code, rule by rule."""

import contextlib
import copy
import re
from typing import Any

import pytest
import yaml
from PIL import Image

from portraitist import interop, recipe
from portraitist.errors import PortraitistError
from portraitist.interop import aitoolkit, opening
from portraitist.interop.aitoolkit.training import strength
from portraitist.interop.diagnosis import rules
from tests.aitoolkit import CASES, CLEAN, DEVIATIONS, GUIDE, QWEN, TEXTS, P
from tests.foreign import GONE, as_json, as_yaml, changed, mutated, read


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folders of captioned pictures: 7 and 3, once more with kohya's prefixes, and controls."""
    here = tmp_path_factory.mktemp("configs")
    sizes = {"identity": 7, "40_identity": 7, "realism": 3, "20_realism": 3, "controls": 7, "bare": 2, "long": 2}
    for name, count in {**sizes, "latin": 1, "identity/inner": 0, "empty": 0}.items():
        (here / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (64, 64), (number, 0, 0)).save(here / name / f"{number}.png")
            words = " ".join(f"word{n}" for n in range(900)) if name == "long" else "maya_char, close-up"
            if name == "latin":
                (here / name / f"{number}.txt").write_bytes("maya, café".encode("latin-1"))
            elif name != "bare":
                (here / name / f"{number}.txt").write_text(words)
    return here


def remarks(value: Any, folder: Any) -> list[str]:
    """Rules that a config sets off, without the tool's name."""
    return named(read(as_yaml(value), folder))


def named(document: Any) -> list[str]:
    """Rules that a document sets off."""
    return [one.rule.removeprefix("aitoolkit/") for one in aitoolkit.diagnose(document).remarks]


@pytest.mark.parametrize("name", CLEAN)
def test_a_config_that_does_what_it_says_is_left_in_peace(name, folder):
    found = aitoolkit.diagnose(read(as_yaml(CLEAN[name]), folder))
    notes = {"sampler", "flux-guidance"}
    assert [one for one in found.remarks if one.rule.partition("/")[2] not in notes] == []
    assert (found.stops, found.differs) == ("", "")


@pytest.mark.parametrize(("rule", "base", "changes"), CASES, ids=[f"{rule}-{n}" for n, (rule, *_) in enumerate(CASES)])
def test_each_mistake_is_told_and_its_repair_is_silent(rule, base, changes, folder):
    assert rule in remarks(changed(CLEAN[base], changes), folder)
    assert rule not in remarks(CLEAN[base], folder)


@pytest.mark.parametrize(("rule", "name", "spoil"), TEXTS, ids=[f"{rule}-{name}" for rule, name, _ in TEXTS])
def test_each_trap_of_the_language_is_told_and_its_repair_is_silent(rule, name, spoil, folder):
    plain = as_yaml(QWEN)
    spoilt = spoil(plain)
    assert spoilt != plain
    assert rule in named(read(spoilt, folder, name))
    assert rule not in named(read(as_json(QWEN) if "json" in name else plain, folder, name))


def test_no_rule_is_without_a_case():
    covered = {rule for rule, *_ in CASES} | {rule for rule, *_ in TEXTS}
    assert covered == set(rules("aitoolkit").rules)


def test_every_rule_says_where_in_its_code():
    for rule in rules("aitoolkit").rules.values():
        assert re.search(r"\.py:\d|arithmetic|custom|config_modules|YAML|limit|its own comment", rule.source), rule.id


def test_the_guides_yaml_is_told_all_that_is_wrong_with_it_and_nothing_more(folder):
    found = aitoolkit.diagnose(read(GUIDE, folder))
    assert {one.rule.removeprefix("aitoolkit/") for one in found.remarks} == DEVIATIONS
    assert "arch" in found.stops
    run = found.effective
    assert (run.updates, run.pictures_per_update, run.saves, run.kept) == (850, 1, 10, 10)
    assert [(one.pictures, one.repeats) for one in run.sets] == [(7, 2), (3, 2)]
    assert (run.rank, run.alpha, run.rate, run.resolutions) == (16, 16, 2e-4, (1024, 1024))
    said = {one.rule.removeprefix("aitoolkit/"): one.says for one in found.remarks}
    assert "43%" in said["ema-slow"]
    assert "75%" in said["accumulation-zeroed"]
    assert "2.33 to 1, not 4.67 to 1" in said["folder-prefix"]
    assert [one.instead for one in found.remarks if one.rule == "aitoolkit/folder-prefix"] == [
        "num_repeats: 2",
        "num_repeats: 1",
    ]


def test_the_guides_yaml_repaired_as_it_is_told_is_clean(folder):
    """Each repair is what a remark says to write; the work-around for an edit model without pairs is one of them."""
    value = yaml.safe_load(GUIDE)
    repairs = {
        P + "device": GONE,
        P + "trigger_word": GONE,
        P + "network.linear_alpha": GONE,
        P + "datasets.0.num_repeats": 2,
        P + "datasets.1.num_repeats": 1,
        P + "datasets.0.resolution": 1024,
        P + "datasets.1.resolution": 1024,
        P + "train.gradient_accumulation_steps": GONE,
        P + "train.gradient_accumulation": 4,
        P + "train.steps": 850,
        P + "train.lr": 2e-4,
        P + "train.timestep_type": "weighted",
        P + "train.ema_config": GONE,
        P + "save.save_every": 85,
        P + "model.is_qwen": GONE,
        P + "model.quantize_dtype": GONE,
        P + "model.arch": "qwen_image",
        P + "model.quantize_te": True,
        P + "sample.sampler": GONE,
        P + "sample.walk_seed": True,
        P + "sample.sample_every": 85,
    }
    found = aitoolkit.diagnose(read(as_yaml(changed(value, repairs)), folder))
    assert [(one.rule, one.says) for one in found.remarks if one.severity != "note"] == []
    assert {one.rule for one in found.remarks} <= {"aitoolkit/accumulation-sum", "aitoolkit/sample-cost"}
    assert (found.effective.updates, found.effective.pictures_per_update) == (850, 4)
    assert found.effective.per_pass == 7 * 2 + 3 * 1


def test_its_own_reader_takes_2e_4_for_a_number(folder):
    text = as_yaml(QWEN).replace("lr: 0.0002", "lr: 2e-4")
    assert "lr: 2e-4" in text
    found = aitoolkit.diagnose(read(text, folder))
    assert found.remarks == ()
    assert found.effective.rate == 2e-4


@pytest.mark.parametrize(("decay", "updates"), [(0.999, 850), (0.99, 100), (0.9, 7), (0.5, 3), (0.0, 5)])
def test_the_strength_that_an_average_shows_is_that_of_averaging(decay, updates):
    """Held to the average itself, taken step by step of something that grows by one a step from nothing."""
    shadow = 0.0
    for step in range(1, updates + 1):
        shadow = decay * shadow + (1 - decay) * step
    assert strength(decay, updates) == pytest.approx(shadow / updates, rel=1e-9)


def test_remarks_stand_at_the_key_that_they_are_about(folder):
    document = read(GUIDE, folder)
    lines = GUIDE.splitlines()
    for one in aitoolkit.diagnose(document).remarks:
        here = lines[one.place.line - 1][one.place.column - 1 :]
        name = next((part for part in reversed(one.path) if isinstance(part, str)), "")
        if isinstance(one.path[-1], str) and document.has(*one.path):
            assert here.startswith(name), (one.rule, here)


def test_a_folder_that_is_the_root_of_a_disk_is_left_unseen(folder):
    found = aitoolkit.diagnose(read(as_yaml(changed(QWEN, {P + "datasets.0.folder_path": "/"})), folder))
    assert found.effective.sets[0].pictures == -1


@pytest.mark.parametrize("name", ["config.yaml", "config.json"])
def test_it_is_recognised_in_both_languages_and_others_are_not(name, folder):
    text = as_yaml(QWEN) if name.endswith("yaml") else as_json(QWEN)
    assert interop.whose(read(text, folder, name)) == "aitoolkit"
    other = {"config": {"learning_rate": 1e-4}, "base_model_name": "x"}
    assert not aitoolkit.recognises(read(as_yaml(other), folder))


def survives(text: str, folder: Any) -> None:
    """Read, diagnose, carry over: whatever is wrong ends in a problem and its remedy."""
    with contextlib.suppress(PortraitistError):
        document = read(text, folder)
        if aitoolkit.recognises(document):
            found = aitoolkit.diagnose(document)
            assert all(one.says for one in found.remarks)
            recipe.made(aitoolkit.carried(document).tables(), document.name)


@pytest.mark.parametrize("base", CLEAN)
def test_a_mutated_config_never_ends_in_a_traceback(base, folder):
    for seed in range(50):
        survives(mutated(CLEAN[base], seed), folder)


@pytest.mark.proof
def test_ten_thousand_mutated_configs_never_end_in_a_traceback(folder):
    bases = [*CLEAN.values(), yaml.safe_load(GUIDE)]
    for seed in range(10_000):
        survives(mutated(bases[seed % len(bases)], 1000 + seed), folder)


def test_a_config_that_names_a_link_to_itself_is_refused():
    with pytest.raises(PortraitistError):
        opening.of_text("a: &a [*a]\n", "train.yaml", ".")


def test_a_config_is_not_changed_by_looking_at_it(folder):
    document = read(GUIDE, folder)
    before = copy.deepcopy(document.value)
    aitoolkit.diagnose(document)
    assert document.value == before
