"""Faces first, then all: what each stage sees, at which rate, and that a training cut within the second goes on."""

from dataclasses import replace

import pytest
import safetensors.torch

from portraitist.dataset import stream
from portraitist.errors import PortraitistError
from portraitist.events import Stepped, Warned
from portraitist.learn.optimise import rate
from portraitist.recipe import Recipe, load
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.plan import plan
from portraitist.verbs.train import train
from tests.learning import Weaver, drawn, job
from tests.pictures import saved, scenery
from tests.projects import made

SETTINGS = {
    "stages": [{"name": "faces", "steps": 4, "sets": ["face"]}, {"name": "all", "steps": 6, "rate": 0.25}],
    "training__schedule": "cosine",
    "training__warmup": 3,
    "training__save_every": 7,
    "training__ema": 0.9,
}


def sets():
    """Three pictures of faces, five of bodies."""
    return [replace(one, set="40_face" if i < 3 else "body") for i, one in enumerate(drawn(8))]


class Killed(BaseException):
    """The process is gone."""


def test_cut_within_the_second_stage_it_goes_on_to_the_uncut_runs_bytes(tmp_path):
    whole = job(tmp_path / "whole", Weaver(), sets(), **SETTINGS)
    whole.go()
    cut = job(tmp_path / "cut", Weaver(), sets(), **SETTINGS)

    def dying(event):
        if isinstance(event, Stepped) and event.step == 9:
            raise Killed

    with pytest.raises(Killed):
        cut.go(watch=dying)
    assert cut.run.steps() == [7], "three steps into the second stage"
    cut.go()
    assert cut.files() == whole.files()
    assert len(whole.files()) == 4


def test_each_stage_trains_on_its_sets_alone_and_schedules_run_over_both(tmp_path, monkeypatch):
    """Rates are those of one stage of all steps, times each stage's factor; the first stage never reads a body."""
    seen: list[list[str]] = []
    original = stream.Course.step

    def watched(course, step):
        batches = original(course, step)
        seen.append([key for batch in batches for key in batch.keys])
        return batches

    monkeypatch.setattr(stream.Course, "step", watched)
    work = job(tmp_path / "a", Weaver(), sets(), **SETTINGS)
    work.go()
    faces = {sample.key for sample in work.samples if sample.set == "40_face"}
    assert all(set(keys) <= faces for keys in seen[:4])
    assert {key for keys in seen[4:] for key in keys} == {sample.key for sample in work.samples}
    rates = [event.rate for event in work.told if isinstance(event, Stepped)]
    expected = [rate(work.recipe.training, step, 10) * (1 if step < 4 else 0.25) for step in range(10)]
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[4] < rates[3]


def test_bodies_decide_nothing_before_the_second_stage(tmp_path):
    """Other bodies: the same adapter after the first stage, another after the second."""
    settings = {**SETTINGS, "training__save_every": 4}
    one, two = (job(tmp_path / name, Weaver(), **settings) for name in ("one", "two"))
    one.samples = sets()
    two.samples = [s if "face" in s.set else replace(s, latents=-s.latents) for s in sets()]
    one.go(), two.go()
    read = safetensors.torch.load_file
    first, second = ([read(each.run.adapter(step)) for each in (one, two)] for step in (4, 10))
    assert all(first[0][name].equal(first[1][name]) for name in first[0])
    assert not all(second[0][name].equal(second[1][name]) for name in second[0])


def test_a_set_that_no_stage_sees_is_told_of_by_plan_and_by_train(tmp_path):
    project = made(tmp_path, "mini").project
    (project.pictures / "2_body").mkdir()
    saved(project.pictures / "2_body" / "b.png", scenery(9, 64, 64))
    (project.pictures / "2_body" / "b.txt").write_text("zorblax, standing")
    values = {"stages": [{"steps": 2, "sets": [""]}]}
    recipe = Recipe.model_validate({**project_recipe(project), **values})
    audit(project, recipe)
    encode(project, recipe)
    says = "No stage sees the set 'body': it is not trained on"
    assert says in plan(project, recipe).notes
    told = []
    train(project, recipe, emit=told.append)
    assert says in [event.says for event in told if isinstance(event, Warned)]
    typing = {**project_recipe(project), "data": {"resolution": 64, "sets": [{"name": "bodies"}]}}
    with pytest.raises(PortraitistError, match=r"data\.sets names 'bodies', and no picture") as caught:
        audit(project, Recipe.model_validate(typing))
    assert "'body'" in caught.value.remedy


def project_recipe(project):
    return load(project.recipe).model_dump(mode="json")
