"""A project to encode, on a tiny family; one that was trained, and one that was judged, for tests that copy it."""

import pytest

from portraitist import families
from portraitist import recipe as recipes
from portraitist.project import Facts, Project
from portraitist.recipe import Recipe
from portraitist.sections import Data
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.choose import choose
from portraitist.verbs.encode import encode
from portraitist.verbs.evaluate import evaluate
from portraitist.verbs.new import new
from portraitist.verbs.train import train
from tests.encoding import BASE, Tiny
from tests.judged import SETTINGS, Trained
from tests.pictures import saved, scenery
from tests.tiny import tiny


@pytest.fixture
def family(monkeypatch):
    tiny = Tiny([])
    monkeypatch.setattr(families, "get", lambda name: tiny, raising=False)
    monkeypatch.setattr(families, "resolve", lambda model: BASE, raising=False)
    return tiny


@pytest.fixture
def recipe():
    return Recipe(model={"family": "tiny", "threads": 1}, data=Data(resolution=32))  # type: ignore[arg-type]


@pytest.fixture
def project(tmp_path, family, recipe):
    """Ten pictures of several sizes and modes, captioned, audited."""
    for i in range(10):
        width, height = [(48, 48), (64, 40), (40, 64)][i % 3]
        saved(tmp_path / "from" / f"{i}.png", scenery(i, width, height))
        (tmp_path / "from" / f"{i}.txt").write_text(f"zorblax, scene {i}\n" + (f"zorblax again {i}" if i == 1 else ""))
    made = new(tmp_path / "maya", trigger="zorblax", subject="fictional", preset="mini")
    add(made, [tmp_path / "from"])
    audit(made, recipe)
    return made


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    base = tiny("sdxl", folder / "base")
    for i in range(10):
        saved(folder / "in" / f"{i}.png", scenery(i, 80, 80))
        words = (("close-up", "full body")[i % 2], ("smiling", "sad")[i // 2 % 2], ("forest", "room", "beach")[i % 3])
        (folder / "in" / f"{i}.txt").write_text("{} of zorblax, {}, {} background".format(*words))
    project = Project.create(folder / "p", Facts(name="Z", trigger="zorblax", subject="fictional", noun="robot"))
    add(project, [folder / "in"])
    changes = ['preset="sdxl"', f'model.base="{base.folder}"', *SETTINGS]
    recipe = recipes.load(project.recipe, changes)
    audit(project, recipe)
    encode(project, recipe)
    train(project, recipe)
    return Trained(project, recipe)


@pytest.fixture(scope="session")
def uncut(trained, tmp_path_factory):
    """Judged, chosen and reported in one go."""
    made = trained.at(tmp_path_factory.mktemp("uncut") / "p")
    result = evaluate(made.project, made.recipe)
    choose(made.project)
    evaluate(made.project, made.recipe)
    return made, result
