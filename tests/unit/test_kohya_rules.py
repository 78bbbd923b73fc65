"""Each rule about sd-scripts is triggered by what it names, and silent on the repaired form."""

import pytest

from portraitist.errors import PortraitistError
from portraitist.interop.diagnosis import rules
from portraitist.interop.kohya import settings
from portraitist.verbs.doctor import doctor
from tests.doctoring import command, diagnosed, pictures, said
from tests.kohya_cases import CASES, FILES, FOLDERS, flux, sdxl
from tests.kohya_data_cases import CASES as DATA_CASES
from tests.kohya_data_cases import dataset, made


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with configs and pictures that commands name."""
    folder = tmp_path_factory.mktemp("kohya")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    pictures(folder / "pics", 2)
    pictures(folder / "folders" / "10_maya", 2)
    pictures(folder / "mixed" / "10_maya", 2)
    pictures(folder / "mixed" / "loose", 1)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of pictures with and without captions."""
    return made(tmp_path_factory.mktemp("folders"))


@pytest.mark.parametrize("rule", DATA_CASES)
def test_a_rule_about_data_is_triggered_by_what_it_names_and_silent_on_the_repaired_form(rule, folders):
    broken, repaired = DATA_CASES[rule]
    assert f"kohya/{rule}" in said(diagnosed(broken, "data.toml", folders))
    assert f"kohya/{rule}" not in said(diagnosed(repaired, "data.toml", folders))


def test_a_sound_dataset_has_no_remark(folders):
    assert diagnosed(dataset(), "data.toml", folders).remarks == ()


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_is_triggered_by_what_it_names_and_silent_on_the_repaired_form(rule, world):
    broken, repaired = CASES[rule]
    suffix = ".toml" if broken.startswith("pretrained") else ".sh"
    assert f"kohya/{rule}" in said(diagnosed(broken, f"x{suffix}", world))
    assert f"kohya/{rule}" not in said(diagnosed(repaired, f"x{suffix}", world))


def test_no_rule_is_without_a_test():
    assert set(CASES) | set(DATA_CASES) == set(rules("kohya").rules)


@pytest.mark.parametrize("text", [sdxl(), flux(), command("sdxl_train_network", FOLDERS)])
def test_a_sound_command_has_nothing_worse_than_a_note(text, world):
    found = diagnosed(text, "x.sh", world)
    assert [remark.rule for remark in found.remarks if remark.severity != "note"] == []
    assert not found.stops
    assert not found.differs


def test_an_error_that_stops_is_told_apart_from_one_that_trains_something_else(world):
    stopped, other = diagnosed(sdxl(v2=True), "x.sh", world), diagnosed(sdxl(output_dir=None), "x.sh", world)
    assert stopped.stops
    assert not other.stops
    assert other.differs


def test_a_remark_stands_where_its_option_does(world):
    text = sdxl(v2=True)
    remark = next(one for one in diagnosed(text, "x.sh", world).remarks if one.rule == "kohya/v2-on-sdxl")
    line = text.splitlines()[remark.place.line - 1]
    assert line[remark.place.column - 1 :].startswith("--v2")


def test_options_of_a_config_file_count_and_the_commands_own_go_before_them(world):
    (world / "train.toml").write_text("network_dim = 64\nnetwork_alpha = 64\nlearning_rate = 1e-4\n[a]\nseed = 1\n")
    text = command("sdxl_train_network", {"config_file": "train", "network_dim": 32, "output_dir": "out"})
    found = diagnosed(text, "x.sh", world).effective
    assert (found.rank, found.alpha, found.rate) == (32, 64, 1e-4)


@pytest.mark.parametrize(("text", "scripts"), [
    ("python a.py --x 1 && python b.py --y 2", ["a", "b"]),
    ("# python a.py --x 1\npython b.py ^\n --y 2", ["b"]),
    ("python -m musubi_tuner.qwen_image_train_network --dit a", ["qwen_image_train_network"]),
    ('& "C:\\kohya\\sdxl_train_network.py" `\n --a 1', ["sdxl_train_network"]),
])  # fmt: skip
def test_every_call_of_a_script_file_is_found(text, scripts):
    assert [call.script for call in settings.commands(text)] == scripts


def test_what_a_dataset_config_is_refused_for_is_said_where_a_command_names_it(world):
    found = diagnosed(sdxl(dataset_config="refused.toml"), "x.sh", world)
    assert found.stops.startswith("refused.toml: shuffel is unknown")
    remark = next(one for one in found.remarks if one.rule == "kohya/unknown-key-in-dataset")
    assert sdxl().splitlines()[remark.place.line - 1].lstrip().startswith("--dataset_config")


def test_a_folder_of_pictures_by_its_names_is_judged_as_sd_scripts_reads_it(tmp_path):
    pictures(tmp_path / "10_maya", 3)
    pictures(tmp_path / "4_woman", 2, caption="")
    pictures(tmp_path / "loose", 1)
    (found,) = doctor([tmp_path]).examined
    counts = [(one.name, one.pictures, one.repeats) for one in found.diagnosis.effective.sets]
    assert counts == [("10_maya", 3, 10), ("4_woman", 2, 4)]
    assert said(found.diagnosis) == {
        "kohya/folder-without-repeats",
        "kohya/captions-missing",
        "kohya/extension-default",
    }


def test_a_folder_without_configs_or_repeats_is_refused(tmp_path):
    pictures(tmp_path / "loose", 1)
    with pytest.raises(PortraitistError, match="no config"):
        doctor([tmp_path])


def test_the_beginning_of_an_option_is_that_option_where_only_one_begins_so(world):
    """argparse takes a prefix that is unique, and refuses one that is not."""
    text = sdxl(network_dim=None).rstrip() + " --network_di 24\n"
    assert diagnosed(text, "x.sh", world).effective.rank == 24
    assert diagnosed(sdxl().rstrip() + " --network_ 24\n", "x.sh", world).stops


def test_words_of_powershell_stay_whole():
    """A subexpression is one word, and a path that ends in a backslash closes its quotes."""
    text = 'python a.py `\n --steps=$([Math]::Ceiling($n / 2)) `\n --dir "D:\\pics\\" --name x\n'
    (call,) = settings.commands(text)
    assert [(name, given.value) for name, given in call.options] == [
        ("steps", ("$([Math]::Ceiling($n / 2))",)),
        ("dir", ("D:\\pics\\",)),
        ("name", ("x",)),
    ]


def test_a_windows_script_is_read_though_no_posix_shell_could(world):
    text = sdxl(output_dir="D:\\out\\", v2=True)
    assert diagnosed(text, "x.bat", world).stops.startswith("v2 means")
