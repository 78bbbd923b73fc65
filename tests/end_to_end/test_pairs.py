"""Every family, and every two options that go together, from a folder to a file by the command line.

Each case is trained in one go, and again cut in the middle; judged, chosen, exported, and the file looked at. Which
pairs there are says tests/pairs.py; those that do not go together are refused in a line.
"""

import json
import logging
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import tomli_w
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus

from portraitist import cli, families
from portraitist.adapters import modules, trees
from portraitist.adapters.dialects import tree_of
from portraitist.dataset import references
from portraitist.errors import PortraitistError
from portraitist.learn import state
from portraitist.project import Project
from portraitist.recipe import load
from portraitist.runs import RunFolder
from tests.pairs import OPTIONS, REFUSED, SHOWN, cover, filled
from tests.pictures import saved, scenery
from tests.tiny import KNOWN, tiny

CASES, ALONE = cover()
PLAIN = {name: values[0] for name, values in OPTIONS.items()}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """References of less than a megapixel; and what the command line sets for a whole process is put back."""
    for size in ("CONDITION_IMAGE_SIZE", "VAE_IMAGE_SIZE"):
        monkeypatch.setattr(pipeline_qwenimage_edit_plus, size, 64 * 64)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A project of a family on its tiny base, made once: four pictures, two of them with a mask, audited."""
    folder, found = tmp_path_factory.mktemp("shelf"), {}
    for i in range(4):
        pixels = scenery(i, 64, 64)
        mask = np.where(pixels[..., :1] > 128, 255, 0).astype("uint8")
        saved(folder / "from" / f"{i}.png", np.concatenate([pixels, mask], 2) if i % 2 else pixels)
        (folder / "from" / f"{i}.txt").write_text(f"zorblax, scene {i}")

    def get(name):
        if name not in found:
            base, project = tiny(name, folder / f"{name}-base"), folder / name
            obey("new", project, "--trigger", "zorblax", "--subject", "fictional", "--noun", "robot")
            obey("add", project, folder / "from")
            for i in range(3):
                saved(project / "references" / f"{i}.png", scenery(50 + i, 64, 64))
            found[name] = SimpleNamespace(project=project, base=base)
        return found[name]

    return get


def obey(*words, code=0):
    """One command line in this process, which must leave with `code`."""
    with pytest.raises(SystemExit) as left:
        cli.main([*map(str, words), "--json"])
    assert left.value.code == code, words


def settings(case, base, steps):
    """A case's recipe as a person writes it: what is at its default is left out, for not all of it means something."""
    full, prodigy = case["kind"] == "full", case["optimiser"] == "prodigy"
    own = {name: case[name] for name in ("modules", "weights") if case[name] != PLAIN[name]}
    return {
        "preset": case["family"],
        "model": {
            "family": case["family"],
            "base": str(base.folder),
            "precision": case["precision"],
            "quantised": case["quantised"],
            "device": "cpu",
            "threads": 1,
        },
        "data": {
            "resolution": 64,
            "masks": case["masks"],
            "references": [f"references/{i}.png" for i in range(case["references"])],
        },
        "adapter": {"kind": case["kind"], "rank": 2, **own},
        "stages": [{"steps": steps}],
        "training": {
            "batch": 2,
            "accumulate": 1,
            "rate": 1.0 if prodigy else 1e-3 if full else 1e-2,
            "schedule": "constant",
            "warmup": 0,
            "ema": 0.0,
            "optimiser": case["optimiser"],
            "recompute": case["recompute"],
            "save_every": steps // 2,
            **({"preserve": case["preserve"]} if case["preserve"] else {}),
        },
        "judging": {
            "prompts": ["{trigger}, waving"],
            "seeds": 1,
            "screen": 1,
            "cells": 1,
            "strengths": [1.0],
            "sampling_steps": 2,
        },
    }


def all_the_way(case, shelf, steps, name):
    """Through every command, the training also cut in the middle; returns the run's folder."""
    there = shelf(case["family"])
    project = there.project
    Project.open(project).recipe.write_text(tomli_w.dumps(settings(case, there.base, steps)))
    whole, cut = (RunFolder(project / "runs" / f"{name}-{kind}") for kind in ("whole", "cut"))
    obey("audit", project)
    obey("encode", project)
    obey("train", project, "--run", whole.name)
    cut.path.mkdir(parents=True)
    cut.stop_file.symlink_to(cut.checkpoint(steps // 2) / "manifest.json")  # there once that checkpoint is
    obey("train", project, "--run", cut.name)
    assert cut.steps() == [steps // 2]
    cut.stop_file.unlink()
    obey("train", project, "--run", cut.name)
    for path in (whole.adapter(steps), whole.checkpoint(steps) / state.RESUME):
        assert path.read_bytes() == (cut.path / path.relative_to(whole.path)).read_bytes()
    assert whole.adapter(steps).read_bytes() != whole.adapter(steps // 2).read_bytes()
    for verb in ("evaluate", "choose", "export"):
        obey(verb, project, "--run", cut.name)
    return cut


def handed_out(run, case, capsys):
    """The adapter file to look at: what `export` wrote, or of a whole denoiser what it writes of the LoRA taken out."""
    project, name = run.path.parent.parent, run.name
    if case["kind"] == "full":
        obey("extract", project, "--run", name, "--rank", 2)
        name += "-lora2"
        obey("evaluate", project, "--run", name)
        obey("choose", project, "--run", name)
    capsys.readouterr()
    obey("export", project, "--run", name)
    return json.loads(capsys.readouterr().out)["lora"]


def inspected(file, base, monkeypatch, capsys):
    """What `inspect` says of a file, by the sizes of a tiny base in the place of the published ones."""
    denoiser = families.get(base.family).load_denoiser(base)
    monkeypatch.setitem(trees.TREES, tree_of(base.family), (lambda: type(denoiser).from_config(denoiser.config), {}))
    trees.shapes.cache_clear()
    obey("inspect", file)
    trees.shapes.cache_clear()
    return json.loads(capsys.readouterr().out)


def proven(case, shelf, steps, name, monkeypatch, capsys):
    """Take a case all the way, and hold the file to what was asked."""
    run = all_the_way(case, shelf, steps, name)
    said = inspected(handed_out(run, case, capsys), shelf(case["family"]).base, monkeypatch, capsys)
    kind = {"lora": "LoRA", "loha": "LoHa", "lokr": "LoKr", "full": "LoRA"}[case["kind"]]
    assert not said["blocked"]
    assert said["family"] == tree_of(case["family"])
    assert said["layers"] > 0
    assert kind in said["kinds"]
    assert said["kinds"].keys() <= {kind, "LoCon"}
    assert not said["unmatched"]
    assert said["comfyui"]["drops"] == []


@pytest.mark.parametrize("name", ["sdxl", "flux", "qwen-image-edit", "z-image"])
def test_every_kind_of_denoiser_goes_from_a_folder_to_a_file(name, shelf, monkeypatch, capsys):
    """The others, which share these classes, are in the proof below, and `mini` in test_run.py."""
    proven(PLAIN | {"family": name, "references": SHOWN.get(name, 0)}, shelf, 4, "plain", monkeypatch, capsys)


@pytest.mark.proof
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_every_two_options_that_go_together_train_resume_and_are_handed_out(case, shelf, monkeypatch, capsys):
    proven(case, shelf, 20, f"case-{CASES.index(case)}", monkeypatch, capsys)


def refusal(case, base, folder):
    """What a recipe is refused with, by its rules or by what its family takes, in a line each; "" where it may run."""
    path, said = folder / "recipe.toml", []
    path.write_text(tomli_w.dumps(settings(case, base, 4)))
    try:
        recipe, family = load(path), families.get(case["family"])
        references.require_able(family.name, getattr(family, "references", 0), recipe)
        modules.reached(recipe.adapter, family.name, family.targets)
    except PortraitistError as error:
        said = [error.problem, error.remedy]
    assert all(said)
    assert not any("\n" in line for line in said)
    return " ".join(said)


def test_what_does_not_go_together_is_refused_and_nothing_else(shelf, tmp_path):
    base = SimpleNamespace(folder=tmp_path)
    for pair, says in REFUSED.items():
        case = filled(dict(pair), set(), Counter())
        assert says in refusal(case, base, tmp_path), case
    for pair in ALONE:  # each of the two wants another kind of adapter, or another family
        ways = [PLAIN | dict(pair) | {"kind": kind, "family": name} for kind in OPTIONS["kind"] for name in KNOWN]
        assert all(refusal(case, base, tmp_path) for case in ways), pair
    assert not [case for case in CASES if refusal(case, base, tmp_path)]
