"""Reference pictures by recipe: found by a picture's own name, cached with it, seen in training and in judging."""

import tomllib

import numpy as np
import pytest
import torch
from PIL import Image

from portraitist import families, runs
from portraitist.dataset import references
from portraitist.dataset.cache import load_index, load_samples
from portraitist.dataset.encoding import to_tensor
from portraitist.dataset.stream import course
from portraitist.errors import PortraitistError
from portraitist.family import Prompt, PromptSpec
from portraitist.forecast import memory
from portraitist.judge import scorecard
from portraitist.judge.render import Sampler
from portraitist.judge.shot import Shot
from portraitist.pictures import Picture
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe, load
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.encode import encode
from portraitist.verbs.evaluate import evaluate
from portraitist.verbs.plan import plan
from portraitist.verbs.train import train
from tests.pictures import saved, scenery
from tests.tiny import tiny

SETTINGS = """
preset = "mini"
[model]
family = "mini"
base = "{base}"
precision = "float32"
threads = 1
[data]
resolution = 64
held_out = 0.0
references = ["references/sheet.png"]
[[data.sets]]
name = "posed"
references = ["references/poses"]
[[stages]]
steps = 2
[training]
batch = 2
accumulate = 2
save_every = 2
[judging]
seeds = 1
screen = 1
cells = 1
strengths = [1.0]
sampling_steps = 2
guidance = 3.0
prompts = ["portrait of {{trigger}}"]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four pictures shown with the sheet, four each with a pose of its own, those of two sizes; two steps taken."""
    folder = tmp_path_factory.mktemp("references")
    base = tiny("mini", folder / "base")
    for i in range(8):
        place = folder / "from" / ("posed" if i > 3 else "") / f"{i}.png"
        saved(place, scenery(i, 64, 64))
        place.with_suffix(".txt").write_text(f"zorblax, scene {i}")
    facts = Facts(name="Z", trigger="zorblax", subject="fictional", noun="robot")
    project = Project.create(folder / "maya", facts)
    saved(project.folder / "references" / "sheet.png", scenery(50, 64, 64))
    for i in range(4, 8):
        size = (64, 64) if i % 2 else (64, 32)
        saved(project.folder / "references" / "poses" / f"{i}.bmp", scenery(60 + i, *size))
    project.recipe.write_text(SETTINGS.format(base=base.folder))
    recipe = load(project.recipe)
    add(project, [folder / "from"])
    audit(project, recipe)
    encode(project, recipe)
    train(project, recipe)
    return project, recipe, base


def pixels(path):
    return to_tensor(np.asarray(Image.open(path).convert("RGB")))


def test_each_picture_has_the_reference_of_its_name_or_that_of_all(trained):
    project, recipe, base = trained
    family = families.get("mini")
    encoder = family.load_encoder(base)
    samples = load_samples(project, family, base, recipe, "train")
    assert len(samples) == 8
    for sample in samples:
        number = sample.picture.removesuffix(".png").removeprefix("posed/")
        path = f"poses/{number}.bmp" if sample.set else "sheet.png"
        (found,) = sample.references
        assert torch.equal(found, encoder.reference(pixels(project.folder / "references" / path)))


def test_a_batch_holds_references_of_one_size(trained):
    project, recipe, base = trained
    steps = course(load_samples(project, families.get("mini"), base, recipe, "train"), recipe)
    seen = [batch.given["reference_0"].shape[1:] for step in range(4) for batch in steps.step(step)]
    assert {tuple(shape) for shape in seen} == {(16, 8, 8), (16, 4, 8)}


def test_a_reference_that_changed_is_told_of_and_only_its_picture_encoded_again(trained, tmp_path):
    project, recipe, base = trained
    path = project.folder / "references" / "poses" / "5.bmp"
    before = path.read_bytes()
    one = {e.picture: e.key for e in load_index(project, recipe, base)}
    saved(path, scenery(99, 64, 64))
    with pytest.raises(PortraitistError, match=r"Reference pictures of .* have changed since"):
        load_index(project, recipe, base)
    assert encode(project, recipe).encoded == 1
    two = {e.picture: e.key for e in load_index(project, recipe, base)}
    assert {name for name in one if one[name] != two[name]} == {"posed/5.png"}
    path.write_bytes(before)
    assert encode(project, recipe).encoded == 0
    assert {e.picture: e.key for e in load_index(project, recipe, base)} == one


def test_judging_draws_with_the_reference_of_all(trained):
    """Held to the family's own sampler, given the reference by hand."""
    project, recipe, base = trained
    evaluate(project, recipe)
    run = runs.find(project)
    (card,) = [card for card in scorecard.read(run) if (card.step, card.stage) == (0, "screen")]
    drawn = card.pictures[0]
    family = families.get("mini")
    encoder = family.load_encoder(base)
    by = Sampler(family, family.load_denoiser(base), (16, 8, 8), 64, 64, 2, recipe.judging.guidance, "float32")
    sheet = encoder.reference(pixels(project.folder / "references" / "sheet.png"))[None]
    given, negative = (encoder.conditions(Prompt(text)) for text in (drawn.text, ""))
    noise = by.noise(Shot(PromptSpec(drawn.prompt, drawn.text), drawn.seed))[None]
    expected, without = (encoder.pixels(by.latents([given], negative, noise, shown))[0] for shown in ([sheet], []))
    found = pixels(run.path / drawn.path)
    assert (found - expected).abs().max() <= 1 / 127.5
    assert (found - without).abs().max() > 2 / 127.5
    assert (tomllib.loads(run.lock.read_text()))["data"]["references"] == ["references/sheet.png"]


def test_plan_counts_them_and_says_what_is_missing_by_name(trained):
    project, recipe, _ = trained
    assert "Of 8 pictures 8 with 1 each are shown with references" in plan(project, recipe).notes
    away = recipe.model_copy(update={"data": recipe.data.model_copy(update={"references": ("nowhere.png",)})})
    assert any("data.references names 'nowhere.png'" in note for note in plan(project, away).notes)
    model = recipe.model.model_copy(update={"family": "sdxl", "base": ""})
    other = recipe.model_copy(update={"model": model})
    assert any("sdxl takes no reference pictures" in note for note in plan(project, other).notes)


def test_a_forecast_reckons_with_a_megapixel_for_each_reference():
    base = memory.known("qwen-image-edit")
    plain, pair = (
        Recipe.model_validate({"model": {"family": "qwen-image-edit"}, "data": {"references": names}})
        for names in ([], ["a.png", "b.png"])
    )
    one, three = (memory.point(base, each, 512) for each in (plain, pair))
    assert three.cells == one.cells + 2 * 64**2
    assert three.text == one.text + 2 * 202
    assert memory.total(memory.training(base, pair, 512)) > memory.total(memory.training(base, plain, 512))


@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen-image"])
def test_a_family_that_takes_none_refuses_them_before_anything_is_read(family, trained):
    project, recipe, _ = trained
    other = recipe.model_copy(update={"model": recipe.model.model_copy(update={"family": family})})
    with pytest.raises(PortraitistError, match=f"{family} takes no reference pictures"):
        encode(project, other)


def folders(project, **names):
    """Folders of references with pictures of these names."""
    for folder, files in names.items():
        for name in files:
            saved(project.folder / folder / name, scenery(1, 16, 16))


def asked(**data):
    return Recipe.model_validate({"data": data})


BODY = [{"name": "body", "references": ["poses"]}]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"sets": [{"name": "body", "references": ["absent"]}]}, "names 'absent': there is no such folder"),
        ({"sets": [{"name": "body", "references": ["pictures/body"]}]}, "would be trained on as well"),
        ({"sets": BODY}, r"4_body/b.png \(and 1 more\) has no reference in poses: there is no picture named b there"),
        ({"sets": [{"name": "body", "references": ["twice"]}]}, "has two pictures named a: a.jpg and a.png"),
        ({"sets": [{"name": "body", "references": ["~nobody-at-all/poses"]}]}, "no such user's home"),
        ({"references": ["~nobody-at-all/a.png"]}, "no such user's home"),
        ({"references": ["absent.png"]}, "data.references names 'absent.png': there is no such picture"),
        ({"references": ["poses"]}, "data.references names 'poses': there is no such picture"),
    ],
)
def test_what_is_missing_is_refused_by_name(data, says, tmp_path):
    project = Project.create(tmp_path / "maya", Facts(name="Z", trigger="zorblax", subject="fictional"))
    folders(project, poses=["a.png", "other.png"], twice=["a.png", "a.jpg"])
    (project.pictures / "body").mkdir()
    pictures = [Picture(f"4_body/{name}.png", name, 16, 16, set="4_body") for name in "abc"]
    with pytest.raises(PortraitistError, match=says):
        references.shown(project, asked(**data), pictures)


def test_pictures_of_other_sets_need_no_partner(tmp_path):
    project = Project.create(tmp_path / "maya", Facts(name="Z", trigger="zorblax", subject="fictional"))
    folders(project, poses=["a.png"], more=["a.jpg"])
    pictures = [Picture("4_body/a.png", "a", 16, 16, set="4_body"), Picture("b.png", "b", 16, 16)]
    sets = [{"name": "body", "references": ["poses", "more"]}]
    found = references.shown(project, asked(sets=sets), pictures)
    assert {name: [p.name for p in paths] for name, paths in found.items()} == {"4_body/a.png": ["a.png", "a.jpg"]}


def test_one_too_many_or_unreadable_is_refused(trained):
    project, recipe, _ = trained
    two = ("references/sheet.png", "references/poses/4.bmp")
    more = recipe.model_copy(update={"data": recipe.data.model_copy(update={"references": two})})
    with pytest.raises(PortraitistError, match="mini takes 1 reference picture at most, and the recipe has 2"):
        encode(project, more)
    broken, odd = (project.folder / "references" / name for name in ("broken.png", "odd.png"))
    broken.write_text("no picture")
    saved(odd, scenery(1, 60, 64))
    for path, says in (
        (broken, "broken.png cannot be read as a picture"),
        (odd, "With the reference odd.png: .*60 x 64"),
    ):
        one = recipe.model_copy(update={"data": replace_references(recipe, path)})
        with pytest.raises(PortraitistError, match=says):
            encode(project, one)


def replace_references(recipe, path):
    return recipe.data.model_copy(update={"references": (str(path),)})
