"""Who may know whom, and who must not wait for torch."""

import ast
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest
from importlinter import cli as importlinter
from PIL import Image

from portraitist import VERBS
from tests.house.source import ROOT, dotted, imports, modules


def test_imports_point_down_and_siblings_are_strangers(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert importlinter.lint_imports(no_cache=True) == 0


def test_no_module_imports_itself_by_a_detour():
    known = {dotted(name) for name in modules()}
    graph = {
        dotted(name): {found for found, _ in imports(name, tree) if found in known and found != dotted(name)}
        for name, tree in modules().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" -> ".join(cycle.args[1]))


def test_nothing_needs_torchvision_or_pickle():
    """The one is not installed with us; the other runs code that a file brings along."""
    refused = {"torchvision", "pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    found = [
        f"{name}:{line} imports {module}"
        for name, tree in modules().items()
        for module, line in imports(name, tree)
        if module.split(".")[0] in refused
    ]
    assert not found, found


def test_verbs_do_not_import_torch_before_they_are_called():
    found = []
    for name, tree in modules().items():
        if name.startswith("portraitist/verbs/"):
            for node in tree.body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    words = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                    if any(word.split(".")[0] in ("torch", "diffusers", "transformers", "peft") for word in words):
                        found.append(f"{name}:{node.lineno}")
    assert not found, found


HEAVY = ("torch", "diffusers", "transformers", "peft")

SLOW = (
    *HEAVY, "numpy", "PIL", "huggingface_hub", "pydantic", "importlib.metadata", "portraitist.recipe",
    "portraitist.project", "portraitist.families", "portraitist.forecast.memory", "portraitist.interop.onetrainer",
)  # fmt: skip
"""What takes its time: neither help has need of it, nor the doctor of a base that is not trained here."""

SPY = """
import sys, runpy
sys.argv = {argv!r}
try:
    runpy.run_module("portraitist", run_name="__main__")
except SystemExit as ending:
    code = ending.code or 0
loaded = [name for name in {heavy!r} if name in sys.modules]
sys.stderr.write("LOADED " + ",".join(loaded) + "\\n")
sys.exit(code)
"""


def loaded_by(*arguments: str, heavy: tuple[str, ...] = HEAVY) -> tuple[int, str, str]:
    """Exit code, which of these modules a command line loaded, and its output."""
    spy = SPY.format(argv=["portraitist", *arguments], heavy=heavy)
    done = subprocess.run(
        [sys.executable, "-c", spy],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
    )
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("LOADED"), done.stderr
    return done.returncode, last.removeprefix("LOADED").strip(), done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["trian"]], ids=" ".join)
def test_asking_for_help_loads_neither_torch_nor_what_checks_recipes(arguments):
    code, loaded, _ = loaded_by(*arguments, heavy=SLOW)
    assert loaded == ""
    assert code == (2 if arguments == ["trian"] else 0)


CONFIG = """
job: extension
config:
  process:
    - type: sd_trainer
      network: {type: lora, linear: 16}
      datasets: [{folder_path: maya}]
      train: {steps: 100, lr: 1e-4}
      model: {name_or_path: BASE, arch: ARCH}
"""


def test_the_doctor_loads_what_a_config_needs_and_no_more(tmp_path):
    """It is to answer at once: in an editor, before a commit."""
    told = {}
    for arch, name in (("wan22_14b", "somebody/wan"), ("qwen_image", "Qwen/Qwen-Image")):
        path = tmp_path / f"{arch}.yaml"
        path.write_text(CONFIG.replace("BASE", name).replace("ARCH", arch))
        code, loaded, output = loaded_by("doctor", str(path), heavy=SLOW)
        assert code in (0, 1), output
        told[arch] = loaded.split(",")
        assert ("by our forecast" in output) == (arch == "qwen_image")
    assert told["wan22_14b"] == [""]
    forecast = {"pydantic", "importlib.metadata", "portraitist.recipe", "portraitist.families"}
    assert set(told["qwen_image"]) <= forecast | {"portraitist.forecast.memory"}


def test_a_project_is_made_filled_audited_and_planned_without_torch(tmp_path):
    project, pictures = tmp_path / "maya", tmp_path / "in"
    pictures.mkdir()
    for i in range(3):
        Image.effect_noise((160, 160), 60 + 40 * i).convert("RGB").save(pictures / f"{i}.png")
        (pictures / f"{i}.txt").write_text(f"maya_char, close-up, number {i}")
    for arguments in (
        ["new", str(project), "--trigger", "maya_char", "--subject", "fictional"],
        ["add", str(project), str(pictures)],
        ["audit", str(project)],
        ["plan", str(project)],
        ["plan", str(project), "--set", "preset=flux", "--card", "24"],
    ):
        code, loaded, output = loaded_by(*arguments)
        assert loaded == "", arguments[0]
        assert code in ((0, 1) if arguments[0] == "audit" else (0,)), output


def test_every_module_that_faces_stand_on_loads_no_torch():
    names = ["cli", "replies", "show", "progress", "run", "children", "recipe", "events", "project", "pictures"]
    names += [
        "family",
        "runs",
        "durable",
        "families",
        "audit.quality",
        "audit.balance",
        "audit.wording",
        "audit.content",
        "audit.coverage",
        "audit.variety",
        "forecast.memory",
        "forecast.pace",
    ]
    names += [f"verbs.{verb}" for verb in VERBS]
    lines = [f"import portraitist.{name}" for name in names]
    lines += ["import sys", f"sys.exit(', '.join(name for name in {HEAVY!r} if name in sys.modules) or None)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_verb_is_a_function_at_the_top_before_and_after_all_is_loaded():
    verbs = [verb for verb in VERBS if verb != "audit"]
    lines = [f"from portraitist import {verb}; assert callable({verb})" for verb in verbs] * 2
    lines += ["import portraitist.cli, types, portraitist", "assert isinstance(portraitist.audit, types.ModuleType)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
