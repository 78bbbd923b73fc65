"""Each rule about musubi-tuner and about kohya_ss is triggered by what it names, and silent on the repaired form."""

import pytest

from portraitist.interop.diagnosis import rules
from tests.doctoring import diagnosed, pictures, said
from tests.musubi_cases import CASES, GUI_CASES, dataset, made, preset, qwen


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with configs and pictures."""
    folder = made(tmp_path_factory.mktemp("musubi"))
    pictures(folder / "folders" / "10_maya", 3)
    return folder


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_triggered_by_what_it_names_and_silent_on_the_repaired_form(rule, world):
    broken, repaired = CASES[rule]
    name = "x.toml" if broken.startswith(("[", "dit")) else "x.sh"
    assert f"musubi/{rule}" in said(diagnosed(broken, name, world))
    name = "x.toml" if repaired.startswith(("[", "dit")) else "x.sh"
    assert f"musubi/{rule}" not in said(diagnosed(repaired, name, world))


@pytest.mark.parametrize("rule", GUI_CASES)
def test_a_rule_about_the_gui_is_triggered_and_silent_on_the_repaired_form(rule, world):
    broken, repaired = GUI_CASES[rule]
    assert f"kohyagui/{rule}" in said(diagnosed(broken, "x.json", world))
    assert f"kohyagui/{rule}" not in said(diagnosed(repaired, "x.json", world))


def test_no_rule_is_without_a_test():
    assert set(CASES) == set(rules("musubi").rules)
    assert set(GUI_CASES) == set(rules("kohyagui").rules)


@pytest.mark.parametrize(("text", "name"), [(qwen(), "x.sh"), (dataset(), "x.toml"), (preset(), "x.json")])
def test_a_sound_config_has_no_remark(text, name, world):
    assert diagnosed(text, name, world).remarks == ()


def test_what_the_gui_hands_on_is_judged_as_sd_scripts_does_at_the_fields_place(world):
    text = preset(min_snr_gamma=5, sdxl=False, flux1_checkbox=True, LoRA_type="Flux1")
    remark = next(one for one in diagnosed(text, "x.json", world).remarks if one.rule == "kohya/idle-on-flow")
    assert "min_snr_gamma" in text.splitlines()[remark.place.line - 1]


@pytest.mark.parametrize(("epoch", "batch", "accumulate", "steps"), [(1, 1, 1, 30), (3, 2, 1, 45), (1, 4, 3, 3)])
def test_the_gui_computes_steps_of_epochs_by_one_division(epoch, batch, accumulate, steps, world):
    """Three pictures ten times: 30 a pass; divided and multiplied as one number, and rounded up once."""
    text = preset(train_data_dir="folders", max_train_steps=0, epoch=epoch, train_batch_size=batch,
                  gradient_accumulation_steps=accumulate, caption_extension=".txt")  # fmt: skip
    assert diagnosed(text, "x.json", world).effective.updates == steps


def test_sets_ratios_and_exposures_are_those_of_the_pictures_that_have_captions(world):
    (world / "two.toml").write_text(dataset('image_directory = "pics"\nnum_repeats = 5\n[[datasets]]\n'
                                            'image_directory = "half"\nnum_repeats = 3\n'))  # fmt: skip
    found = diagnosed(qwen(dataset_config="two.toml", max_train_steps=26), "x.sh", world).effective
    assert [(one.pictures, one.repeats) for one in found.sets] == [(2, 5), (1, 3)]
    assert found.per_pass == 13
    assert found.passes == 2
