"""Kohya's trainers by command line: a character is exported to one, judged there, and imported again."""

import tomllib

import pytest

from portraitist.cli import obey
from tests.end_to_end.command import noise


@pytest.fixture
def here(capsys):
    """A command line obeyed in this process: its exit code, and what it says."""

    def done(*words):
        code = obey([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out + said.err

    return done


@pytest.fixture
def maya(tmp_path, here):
    """A project with five pictures in a set that is seen ten times a pass."""
    for number in range(5):
        noise(tmp_path / "raw" / "10_maya" / f"{number}.png", number)
        (tmp_path / "raw" / "10_maya" / f"{number}.txt").write_text("maya_char, close-up")
    there = tmp_path / "maya"
    assert here("new", there, "--trigger", "maya_char", "--subject", "fictional", "--family", "sdxl")[0] == 0
    assert here("add", there, tmp_path / "raw")[0] == 0
    return there


def test_a_character_goes_to_sd_scripts_and_back(maya, tmp_path, here):
    code, said = here("export-config", maya, "--to", "sd-scripts", "--out", tmp_path / "out")
    assert code == 0, said
    code, said = here("doctor", tmp_path / "out" / "train.sh")
    assert code == 0
    assert "set 10_maya  5 pictures, 10 times a pass" in said
    assert said.rstrip().endswith("It will start, and train what it says.")
    code, said = here("import", tmp_path / "out" / "train.sh", tmp_path / "again", "--subject", "fictional")
    assert code == 0, said
    assert "->  adapter.rank = 32" in said
    project = tomllib.loads((tmp_path / "again" / "project.toml").read_text())
    assert project["trigger"] == "maya_char"
    assert len(list((tmp_path / "again" / "pictures" / "10_maya").glob("*.png"))) == 5
    code, said = here("doctor", tmp_path / "raw")
    assert code == 0
    assert "set 10_maya  5 pictures, 10 times a pass" in said
