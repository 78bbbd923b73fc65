"""The plan is arithmetic on what lies there; it refuses nothing it need not, and says what its numbers stand on."""

import json
from dataclasses import dataclass

import pytest
import safetensors.numpy
from numpy import zeros

from portraitist import families, runs
from portraitist.errors import PortraitistError
from portraitist.events import Stepped
from portraitist.family import Profile
from portraitist.pictures import Picture
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.verbs.plan import plan


@dataclass(frozen=True)
class Plain:
    """A family as far as a plan asks."""

    profile = Profile(resolution=64, guidance=3.0, sampling_steps=20, token_limit=8)
    pixel_multiple = 16
    targets = ("to_q",)


@pytest.fixture(autouse=True)
def family(monkeypatch):
    monkeypatch.setattr(families, "get", lambda name: Plain(), raising=False)


@pytest.fixture
def project(tmp_path):
    return Project.create(tmp_path / "maya", Facts(name="maya", trigger="maya_char", subject="fictional"))


def recipe(base="", **sections):
    values = {"stages": [{"steps": 100}], "training": {"batch": 2, "accumulate": 3, "save_every": 40}, **sections}
    return Recipe.model_validate({"model": {"base": str(base or "/nowhere"), "device": "cpu"}, **values})


def pictures(project, **sets):
    """So many training pictures per set, and one held-out one more in each."""
    found = []
    for name, count in sets.items():
        folder = name.lstrip("_") if not name.startswith("_top") else ""
        found += [
            Picture(f"{folder}/{i}.png", str(i), 9, 9, set=folder, split="train" if i else "held-out")
            for i in range(count + 1)
        ]
    project.write_manifest([with_repeats(picture) for picture in found])


def with_repeats(picture):
    from dataclasses import replace

    from portraitist.dataset.intake import repeats

    return replace(picture, repeats=repeats(picture.set))


def test_exposures_are_steps_times_pictures_shared_out_by_weight(project):
    """600 exposures; face pictures weigh 4 and there are 5, top ones weigh 1 and there are 10: 600 / 30 a weight."""
    pictures(project, _4_face=5, _top=10)
    made = plan(project, recipe())
    assert made.exposures == 600
    assert made.exposures_per_picture == {"face": 80.0, "pictures": 20.0}
    assert (made.pictures, made.held_out) == (15, 2)
    assert made.budget == "100 steps x batch 2 x accumulate 3 = 600 exposures, 40 per picture"


def test_every_exposure_is_some_pictures_also_over_stages(project):
    pictures(project, _4_face=5, body=10)
    stages = [{"steps": 30, "sets": ["face"]}, {"steps": 70}]
    made = plan(project, recipe(stages=stages))
    assert made.exposures_per_picture["face"] == pytest.approx(30 * 6 / 5 + 70 * 6 * 4 / 30, abs=0.01)
    assert 5 * made.exposures_per_picture["face"] + 10 * made.exposures_per_picture["body"] == pytest.approx(600)


def test_the_plan_agrees_with_the_stream(project):
    """What is foretold is what the stream shows, over whole passes exactly."""
    from portraitist.dataset.stream import course
    from tests.unit.test_stream import sample

    pictures(project, _4_face=5, body=10)
    stages = [{"steps": 10, "sets": ["face"]}, {"steps": 20}]
    wanted = recipe(stages=stages)
    made = plan(project, wanted)
    samples = [sample(i, weight=4, set="4_face") for i in range(5)] + [sample(i, set="body") for i in range(5, 15)]
    stream = course(samples, wanted)
    keys = [key for step in range(30) for batch in stream.step(step) for key in batch.keys]
    for i in range(15):
        assert keys.count(f"key-{i}") == made.exposures_per_picture["face" if i < 5 else "body"]


def test_checkpoints_are_those_still_to_come(project):
    made = plan(project, recipe())
    assert (made.checkpoints, made.trained, made.left) == ((40, 80, 100), 0, 100)
    run = trained(project, recipe(), step=40)
    made = plan(project, recipe())
    assert (made.run, made.checkpoints, made.trained, made.left) == (run.name, (80, 100), 40, 60)
    longer = plan(project, recipe(stages=[{"steps": 130}]))
    assert (longer.run, longer.checkpoints) == (run.name, (80, 120, 130))
    other = plan(project, recipe(adapter={"rank": 3}))
    assert (other.run, other.left) == ("", 100)


def test_a_recovery_adapter_that_is_yet_to_be_made_is_told_of(project, tmp_path):
    file = tmp_path / "given.safetensors"
    wanted = Recipe.model_validate({"model": {"base": "/nowhere", "quantised": "int3", "recovery": str(file)}})
    (note,) = (note for note in plan(project, wanted).notes if "model.recovery" in note)
    assert note.endswith(f"Make it: portraitist recover {project.folder}")
    file.touch()
    assert not any("model.recovery" in note for note in plan(project, wanted).notes)


def trained(project, wanted, step, seconds=2.0):
    """A run of the recipe with a checkpoint, and steps on record."""
    run = runs.intended(project, wanted, "data")
    runs.enter(run, wanted, {"base": "b", "data": "d", "portraitist": "0", "torch": "0", "threads": 1, "device": "cpu"})
    for i in range(step):
        took = 60.0 if i == 0 else seconds
        run.log.append(Stepped(step=i + 1, loss=1, gradient=1, rate=1, seconds=took, memory_gb=1 + i / 100))
    run.checkpoint(step).mkdir(parents=True)
    (run.checkpoint(step) / "manifest.json").write_text(json.dumps({"files": {}, "step": step, "record": 0}))
    return run


def test_minutes_and_memory_come_from_what_a_run_has_shown(project):
    run = trained(project, recipe(), step=40)
    made = plan(project, recipe())
    assert made.minutes == 2.0
    assert run.name in made.minutes_basis
    assert made.memory_gb == 1.39
    twice = plan(project, recipe(training={"batch": 4, "accumulate": 3}))
    assert twice.minutes == pytest.approx(2 * 2.0 * 100 / 60, abs=0.01)
    assert twice.memory_gb is None, "a larger batch needs more than was seen"
    assert plan(project, recipe(data={"resolution": 512})).minutes is None


def test_the_step_that_warms_up_is_not_what_the_others_are_told_from(project):
    trained(project, recipe(), step=2)
    assert plan(project, recipe()).minutes == pytest.approx(98 * 2.0 / 60, abs=0.01)


def weights(folder, name, **shapes):
    (folder / name).mkdir(parents=True)
    tensors = {key: zeros(shape, "float32") for key, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, folder / name / "model.safetensors")


def test_without_a_run_they_are_estimated_from_the_bases_headers(project, tmp_path):
    inner = {"b.to_q.weight": (30, 20), "b.to_q.bias": (30,), "b.ff.weight": (40, 30)}
    weights(tmp_path / "base", "transformer", **inner)
    weights(tmp_path / "base", "vae", **{"to_q.weight": (4, 4)})
    weights(tmp_path / "base", "text", **{"huge.weight": (500, 500)})
    made = plan(project, recipe(tmp_path / "base", adapter={"rank": 3}))
    assert made.parameters == 3 * (20 + 30)
    assert made.minutes is not None
    assert "estimate" in made.minutes_basis
    assert made.memory_gb >= 0.6
    assert made.exposures == 600
    full = plan(project, recipe(tmp_path / "base", adapter={"kind": "full"}))
    assert full.parameters == 30 * 20 + 30 + 40 * 30


def test_an_estimate_grows_with_the_steps_and_the_pictures_side(project, tmp_path):
    weights(tmp_path / "base", "unet", **{"to_q.weight": (1500, 1500)})

    def minutes(**sections):
        sections = {"stages": [{"steps": 50_000}], **sections}
        return plan(project, recipe(tmp_path / "base", **sections)).minutes

    once = minutes()
    assert minutes(stages=[{"steps": 1_000_000}]) > 1.5 * once  # twenty times: a busy machine varies
    assert minutes(data={"resolution": 512}) > 1.5 * once
    light, heavy = (plan(project, recipe(tmp_path / "base", adapter={"kind": k})).memory_gb for k in ("lora", "full"))
    assert heavy == pytest.approx(0.6 + 1500**2 * (8 + 8 + 2) / 1e9, abs=0.006), "gradient, two moments, half a copy"
    assert 0.6 < light < heavy


def test_nothing_is_refused_that_a_person_may_yet_do(project):
    """No picture, no base, no audit, a set that is empty, a blocking finding: each is said."""
    made = plan(project, recipe())
    assert made.minutes is None
    assert made.memory_gb is None
    assert "unknown" in made.minutes_basis
    assert any("no pictures yet" in note for note in made.notes)
    (project.pictures / "40_face").mkdir()
    for name in ("a", "b"):
        (project.pictures / "40_face" / f"{name}.png").write_bytes(b"x")
    made = plan(project, recipe())
    assert made.exposures_per_picture == {"face": 300.0}
    assert any("Not audited" in note for note in made.notes)
    pictures(project, face=3)
    project.findings.write_text(json.dumps({"findings": [{"check": "trigger_missing", "severity": "block"}]}))
    made = plan(project, recipe(stages=[{"steps": 5, "sets": ["body"]}]))
    assert "The audit blocks: trigger_missing" in made.notes
    assert any("no picture to show" in note for note in made.notes)
    real = Project(project.folder, project.facts.model_copy(update={"subject": "real"}))
    assert any("consent" in note for note in plan(real, recipe()).notes)


def test_what_training_would_refuse_is_said(project):
    """And what is no base: that was all "unknown"."""
    wrong = {
        "snr_gamma is of denoising diffusion": {"training": {"snr_gamma": 5.0}},
        "/etc/passwd is not a .safetensors file": {"model": {"base": "/etc/passwd", "family": "flux"}},
        "there is no such file": {"adapter": {"start": "gone.safetensors"}},
        "has no run": {"parent": "gone"},
    }
    for says, sections in wrong.items():
        made = plan(project, Recipe.model_validate({"stages": [{"steps": 5}], **sections}))
        assert [note for note in made.notes if says in note], says
    for base in ("nobody/has-such-a-model-in-the-cache", ""):
        asked = Recipe.model_validate({"stages": [{"steps": 5}], "model": {"family": "flux", "base": base}})
        assert not [note for note in plan(project, asked).notes if "base" in note], "it may yet be fetched"


def test_a_damaged_base_or_lock_is_no_reason_to_refuse_a_plan(project, tmp_path):
    weights(tmp_path / "base", "unet", **{"to_q.weight": (4, 4)})
    named = b'{"to_q.weight": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 0]}}'
    for data in (
        b"",
        b"\xff" * 40,
        *(len(h).to_bytes(8, "little") + h for h in (b"no json", b"[1]", b"[" * 9999, named)),
    ):
        (tmp_path / "base" / "unet" / "model.safetensors").write_bytes(data)
        assert plan(project, recipe(tmp_path / "base")).parameters is None
    run = trained(project, recipe(), step=40)
    run.lock.write_text("[[[")
    assert plan(project, recipe()).run == ""


def test_a_plan_writes_nothing(project):
    pictures(project, face=3)
    trained(project, recipe(), step=40)
    before = {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()}
    plan(project, recipe())
    assert {path: path.read_bytes() for path in project.folder.rglob("*") if path.is_file()} == before


def large(base="/nowhere", **sections):
    """A recipe for FLUX, which needs a card."""
    values = {"model": {"family": "flux", "base": str(base)}, "data": {"resolution": 1024}, **sections}
    return Recipe.model_validate({"stages": [{"steps": 100}], "training": {"batch": 1}, **values})


def test_a_large_base_is_foretold_for_cards_without_its_files(project):
    made = plan(project, large())
    assert list(made.cards) == ["12 GB", "16 GB", "24 GB", "32 GB", "48 GB", "80 GB"]
    assert made.cards["24 GB"] == "does not fit: 4.4 GB short; fits with --set model.quantised=int8: 16.7 GB"
    assert made.cards["32 GB"].startswith("fits: ")
    assert made.memory_gb == pytest.approx(28.5, abs=0.1)
    assert made.parameters == 18_677_760
    assert set(made.hours) == {"RTX 4090", "RTX 5090", "A40", "A6000", "L40S", "A100", "H100"}
    assert "4,885,371,136 numbers" in made.encoding["text encoders"]
    assert made.minutes is None, "nothing was measured"


@pytest.mark.parametrize("name", ["z-image", "z-image-turbo"])
def test_z_image_is_foretold_by_both_its_names(project, name):
    made = plan(project, large(model={"family": name, "precision": "bfloat16", "base": "/nowhere"}), card="24")
    assert made.parameters == 39_690_240
    assert made.cards["24 GB"].startswith("fits")
    assert "SimpleTuner" in made.hours["RTX 4090"]


@pytest.mark.parametrize("name", ["qwen-image", "qwen-image-edit"])
def test_qwen_is_foretold_too(project, name):
    """720 layers at rank 16; its own text encoder beside it, and no card below 48 GB in half precision."""
    made = plan(project, large(model={"family": name, "precision": "bfloat16", "base": "/nowhere"}))
    assert made.parameters == 106_168_320
    assert made.cards["32 GB"].startswith("does not fit")
    assert made.cards["48 GB"].startswith("fits")
    assert "8,292,166,656 numbers" in made.encoding["text encoders"]
    assert "SimpleTuner" in made.hours["L40S"]


def test_one_card_is_told_alone_with_cost_and_promise(project):
    made = plan(project, large(), card="L40S", price=1.5, hours=0.01)
    assert list(made.cards) == ["48 GB"]
    assert "at 1.5 an hour" in made.hours["L40S"]
    assert made.promise.startswith("impossible: 238 TFLOP a step x 100 steps / 0.01 h")
    assert set(plan(project, large(), card="24").hours) == {"RTX 4090"}


def test_what_cannot_be_answered_is_refused(project):
    wrong = {"card": "L40S", "price": -1.0}
    for asked in ({"card": "24", "price": 1.0}, {"hours": 2.0}, {"card": "0"}, {"card": "x"}, wrong):
        with pytest.raises(PortraitistError):
            plan(project, large(), **asked)
    with pytest.raises(PortraitistError, match="No forecast for cards"):
        plan(project, recipe(), card="24")
    assert plan(project, recipe()).cards == {}
    assert plan(project, large(adapter={"targets": ["ff.net.2"]})).cards == {}, "its activations were not counted"


def test_a_folder_goes_before_what_is_published(project, tmp_path):
    """Its own text encoder counts; a denoiser of another shape is told of and not forecast."""
    weights(tmp_path / "base", "text_encoder_2", **{"w": (1000, 1000)})
    made = plan(project, large(tmp_path / "base"))
    assert f"{123_060_480 + 1_000_000:,} numbers" in made.encoding["text encoders"]
    (tmp_path / "base" / "transformer").mkdir()
    config = tmp_path / "base" / "transformer" / "config.json"
    config.write_text(json.dumps({"num_layers": 8}))
    made = plan(project, large(tmp_path / "base"))
    assert made.cards == {}
    assert any("num_layers is 8" in note for note in made.notes)
    config.write_text(json.dumps({"num_layers": 19}))
    assert plan(project, large(tmp_path / "base")).cards
    weights(tmp_path / "other", "transformer", **{"b.to_q.weight": (40, 40)})
    assert any("it has 1,600 numbers" in note for note in plan(project, large(tmp_path / "other")).notes)


def test_a_run_at_one_resolution_tells_of_another_by_operations(project):
    """A step at 1024 is 3.6 times the work of one at 512: 238 and 66 TFLOP."""
    trained(project, large(data={"resolution": 512}), step=40)
    made = plan(project, large())
    assert made.minutes == pytest.approx(100 * 2.0 * 238.4 / 66.2 / 60, rel=0.01)
    assert "by operations" in made.minutes_basis
    assert made.memory_basis.startswith("forecast")
