"""What is promised in words exists, and what exists is told."""

import inspect
import re
import tomllib

import pytest

from portraitist import VERBS, recipe
from portraitist.cli import app
from tests.house.source import PACKAGE, ROOT, modules

COMMANDS = {verb.replace("import_config", "import").replace("_", "-") for verb in VERBS} | {"run"}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def words():
    """All that the documents say."""
    return "\n".join(path.read_text() for path in DOCUMENTS)


def test_no_merge_is_left_half_done():
    found = [p for p in (*DOCUMENTS, ROOT / "CHANGELOG.md") if re.search(r"^[<>]{7} ", p.read_text(), re.MULTILINE)]
    assert not found, found


def test_the_keys_of_a_recipe_are_frozen():
    """People's files must not break: a key may come (add it to the list, and to the changelog), none may go."""
    frozen = (ROOT / "tests" / "house" / "recipe_keys.txt").read_text().split()
    assert sorted(recipe.keys()) == sorted(frozen)


@pytest.mark.parametrize("name", recipe.presets())
def test_every_preset_is_a_recipe(name, tmp_path):
    (tmp_path / "recipe.toml").write_text(f'preset = "{name}"\n')
    made = recipe.load(tmp_path / "recipe.toml")
    assert made.preset == name
    assert made.steps > 0


def test_the_commands_are_the_verbs():
    found = {name for name in app if not name.startswith("-")}
    assert found == COMMANDS


def test_every_command_is_told_in_the_documents():
    missing = [name for name in sorted(COMMANDS) if f"portraitist {name}" not in words()]
    assert not missing, missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_the_documents_exists(path):
    text = path.read_text()
    shown = re.findall(r"^\s*(?:\$ )?portraitist ([a-z-]+)", text, re.MULTILINE)
    shown += re.findall(r"`portraitist ([a-z-]+)", text)
    assert set(shown) <= COMMANDS, set(shown) - COMMANDS
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text)) <= targets
    for key in re.findall(r"--set ([a-z_.0-9]+)=", text):
        plain = ".".join(part for part in key.split(".") if not part.isdigit())
        assert plain in {*recipe.keys(), "section.key"}, key


def test_no_document_is_half_merged():
    marked = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    found = [path.name for path in (*DOCUMENTS, ROOT / "CHANGELOG.md") if marked.search(path.read_text())]
    assert not found, found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(path):
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text())
    missing = [link for link in links if not (path.parent / link).exists()]
    assert not missing, missing


def test_every_document_the_code_sends_people_to_exists():
    named = {word for path in PACKAGE.rglob("*.py") for word in re.findall(r"docs/[\w/-]+\.md", path.read_text())}
    missing = sorted(name for name in named if not (ROOT / name).is_file())
    assert not missing, missing


def test_the_page_of_the_recipe_is_current():
    from docs.make_recipe import PAGE, page

    assert PAGE.read_text() == page(), "run: make docs"


def test_the_page_of_the_presets_is_current():
    from docs.make_presets import PAGE, page

    assert PAGE.read_text() == page(), "run: make docs"


def test_the_page_of_the_measures_is_current_and_every_measure_is_whole():
    """Each says what it is, what it does not see, and where it comes from."""
    from docs.make_judging import PAGE, page
    from portraitist.judge.measures import MEASURES

    assert PAGE.read_text() == page(), "run: make docs"
    for measure in MEASURES.values():
        assert measure.range[0] < measure.range[1], measure.name
        for text in (measure.says, measure.blind, measure.source):
            assert text[0].isupper(), measure.name
            assert text.endswith("."), measure.name


def test_every_check_of_the_audit_is_told_with_its_remedy():
    """Each name that a finding can carry stands in the documents."""
    text = "".join(path.read_text() for path in sorted((PACKAGE / "audit").glob("*.py")))
    checks = set(re.findall(r"Finding\(\s*(?:check=)?\"([a-z_]+)\"", text))
    assert checks, "no check found: the pattern of this test is out of date"
    missing = sorted(name for name in checks if f"`{name}`" not in words())
    assert not missing, missing


def test_a_check_and_its_findings_go_by_one_name():
    """Waivers name checks, and a name that is no check's is refused: so findings must have their function's name."""
    from portraitist.verbs.audit import CHECKS

    for check in CHECKS:
        names = set(re.findall(r"Finding\(\s*\"([a-z_]+)\"", inspect.getsource(check)))
        assert names == {check.__name__}, check.__name__


def test_every_event_is_told():
    from portraitist.events import KINDS

    told = (ROOT / "docs" / "events.md").read_text()
    missing = [name for name in KINDS if f"`{name}`" not in told]
    assert not missing, missing


def test_everything_that_is_not_code_is_packed():
    """A file that the package reads and the wheel lacks fails only at somebody else's place."""
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["portraitist"]
    there = {path for pattern in packed for path in PACKAGE.glob(pattern) if path.is_file()}
    every = {p for p in PACKAGE.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    left = sorted(str(p.relative_to(ROOT)) for p in every - there if p.suffix not in (".py", ".pyc"))
    assert not left, left


def test_every_package_has_its_init():
    missing = [name for name in modules() if not (ROOT / name).parent.joinpath("__init__.py").exists()]
    assert not missing, missing
