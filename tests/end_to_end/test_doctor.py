"""The doctor, import and export-config by command line, as people, editors and hooks call them."""

import json
import re
import subprocess
import sys

import pytest
import tomli_w
import yaml

from portraitist.cli import obey
from tests.aitoolkit import GUIDE, QWEN
from tests.end_to_end.command import noise, portraitist
from tests.foreign import as_yaml
from tests.house.source import ROOT
from tests.trainers import pictured
from tests.unit.test_diffusion_pipe import DATASET
from tests.unit.test_diffusion_pipe import SOUND as DIFFUSION_PIPE


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The guides' YAML and a clean one, with the pictures that they name."""
    here = tmp_path_factory.mktemp("place")
    for name, count in (("40_identity", 3), ("20_realism", 2), ("identity", 3)):
        for number in range(count):
            noise(here / name / f"{number}.png", 10 * len(name) + number)
            (here / name / f"{number}.txt").write_text("maya_char, close-up")
    (here / "guide.yaml").write_text(GUIDE)
    (here / "clean.yaml").write_text(as_yaml(QWEN))
    (here / "other.yaml").write_text("version: 2\nservices: {}\n")
    return here


def test_people_read_lines_carets_the_run_and_a_verdict(place):
    done = portraitist("doctor", place / "guide.yaml")
    assert done.returncode == 1
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert re.search(
        r"guide\.yaml:7:7 note:\s+device is .*\n(?: .*\n)? +7 \| +device: cuda:0\n +\| +\^{6}\n", done.stdout
    )
    assert re.search(r"^  memory +about \d+ GB .*fits \d+ GB and up$", done.stdout, re.MULTILINE)
    assert re.search(r"^  time +about [\d.]+ to [\d.]+ hours on ", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1].startswith("It will not start: No arch")


@pytest.fixture
def here(capsys):
    """A command line obeyed in this process: its exit code, what it says, and what it complains of."""

    def done(*words):
        code = obey([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return done


def test_machines_read_json_and_sarif(place, tmp_path, here):
    log = tmp_path / "log.sarif"
    code, said, _ = here("doctor", place / "guide.yaml", place / "clean.yaml", "--sarif", log, "--json")
    assert code == 1
    guide, clean = json.loads(said)["configs"]
    assert (guide["starts"], clean["starts"], clean["remarks"]) == (False, True, [])
    assert guide["forecast"]["memory"].startswith("about")
    run = json.loads(log.read_text())["runs"][0]
    assert {one["level"] for one in run["results"]} == {"error", "warning", "note"}
    assert len(run["results"]) == len(guide["remarks"])
    known = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    lines = GUIDE.splitlines()
    for one in run["results"]:
        region = one["locations"][0]["physicalLocation"]["region"]
        assert one["ruleId"] in known
        assert 1 <= region["startLine"] <= len(lines)
        assert 1 <= region["startColumn"] < region["endColumn"] <= len(lines[region["startLine"] - 1]) + 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["clean.yaml"], 0),
        (["."], 1),
        (["other.yaml"], 2),
        (["other.yaml", "--skip-others"], 0),
        (["absent.yaml", "--skip-others"], 2),
        ([], 2),
    ],
)
def test_exit_codes_say_clean_wrong_and_not_to_be_read(words, code, place, here, monkeypatch):
    monkeypatch.chdir(place)
    assert here("doctor", *words)[0] == code


def test_the_guides_yaml_becomes_a_project_that_can_be_planned_and_goes_back_clean(place, tmp_path, here):
    code, said, _ = here("import", place / "guide.yaml", tmp_path / "maya", "--subject", "fictional")
    assert code == 0
    for line in ("train.steps = 3400", "stages.0.steps = 850", "model.is_qwen = True: ai-toolkit drops it too"):
        assert line in said
    assert "5 pictures added" in said
    found = json.loads(here("plan", tmp_path / "maya", "--json")[1])
    assert found["budget"].startswith("850 steps x batch 1 x accumulate 4 = 3,400 exposures")
    ratio = found["exposures_per_picture"]
    assert ratio["identity"] / ratio["realism"] == pytest.approx(2, rel=0.01)
    assert here("import", place / "guide.yaml", tmp_path / "maya", "--subject", "fictional")[0] == 2

    out = tmp_path / "theirs"
    code, _, complaint = here("export-config", tmp_path / "maya", "--to", "aitoolkit", "--out", out)
    assert (code, out.exists()) == (2, False)
    assert "control pictures" in complaint
    changes = ("--set", "preset=qwen-image", "--set", "model.family=qwen-image", "--set", "training.ema=0.9")
    assert here("export-config", tmp_path / "maya", "--to", "ai-toolkit", "--out", out, *changes)[0] == 0
    (written,) = out.iterdir()
    assert here("doctor", written)[0] == 0
    process = yaml.safe_load(written.read_text())["config"]["process"][0]
    assert sorted(one["num_repeats"] for one in process["datasets"]) == [20, 40]


def test_a_recipe_that_the_doctor_would_complain_of_is_not_written(place, tmp_path, here):
    assert here("import", place / "clean.yaml", tmp_path / "maya", "--subject", "fictional")[0] == 2
    words = ("--subject", "fictional", "--trigger", "maya_char")
    assert here("import", place / "clean.yaml", tmp_path / "maya", *words)[0] == 0
    export = ("export-config", tmp_path / "maya", "--out", tmp_path / "out")
    code, _, complaint = here(*export, "--to", "aitoolkit", "--set", "training.ema=0.999")
    assert code == 2
    assert "EMA 0.999" in complaint
    assert not (tmp_path / "out").exists()
    assert "no trainer" in here(*export, "--to", "x")[2]


ALONE = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ImportError(f"{{name}} is not installed")
sys.meta_path.insert(0, Without())
from portraitist.cli import main
main({words!r})
"""


def test_the_action_installs_all_that_the_doctor_imports(place, tmp_path):
    """Of the project's own dependencies, those that action.yml does not name are kept from being imported.

    The second config is one whose pictures are beside it, so that their sizes are read.
    """
    action = (ROOT / "action.yml").read_text()
    line = next(line for line in action.splitlines() if "--constraint" in line)
    named = set(line.split('constraints.txt"')[1].split())
    declared = re.findall(r'^    "([a-z-]+)[><=]', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    modules = {"pillow": "PIL", "pyyaml": "yaml", "opencv-python-headless": "cv2"}
    refused = {modules.get(name, name.replace("-", "_")) for name in declared if name not in named}
    assert {"torch", "numpy", "cv2"} <= refused
    pictured(tmp_path / "maya", 2)
    for name, values in (("config.toml", DIFFUSION_PIPE), ("dataset.toml", DATASET)):
        (tmp_path / name).write_text(tomli_w.dumps(values))
    code = ALONE.format(refused=refused, words=["doctor", str(place / "guide.yaml"), str(tmp_path / "config.toml")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1, done.stderr
    assert "It will not start" in done.stdout
    assert re.search(r"^  set maya +2 pictures", done.stdout, re.MULTILINE)


def test_the_hook_calls_a_command_that_there_is(place, here):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, *words = hook["entry"].split()
    assert program == "portraitist"
    assert here(*words, place / "other.yaml")[0] == 0
