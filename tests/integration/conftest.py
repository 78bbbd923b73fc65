"""A project to encode, on a tiny family; and a run, trained and judged."""

import pytest

from portraitist import families
from portraitist.recipe import Recipe
from portraitist.sections import Data
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.new import new
from tests.encoding import BASE, Tiny
from tests.judged import judged_in, trained_in
from tests.pictures import saved, scenery


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return trained_in(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def uncut(trained, tmp_path_factory):
    """Judged, chosen and reported in one go."""
    return judged_in(trained.at(tmp_path_factory.mktemp("uncut") / "p"))


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
