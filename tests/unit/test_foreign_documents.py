"""Readers of foreign configs agree with the readers that trainers use, and say where each key stands."""

import contextlib
import json
import shlex
import string
import tomllib

import pytest
import tomli_w
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portraitist.errors import PortraitistError
from portraitist.interop import document, jsons, opening, tomls, yamls
from portraitist.interop.document import at

WORDS = st.text(string.ascii_letters + string.digits + "_- é漢", max_size=12)
KEYS = st.text(string.ascii_letters + "_", min_size=1, max_size=8)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.sampled_from(
        ["no", "yes", "on", "2e-4", "1.5e3", "~", "null", "0x1f", "010", "12:30", "a: b", "# no", "'", '"', "\\n"]
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), SCALARS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS, VALUES, min_size=1, max_size=5)


def keys(value, path=()):
    """Paths of all keys of mappings in a value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from keys(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from keys(inner, (*path, index))


def stands(found, value, *, quoted=("", '"', "'")):
    """Every key has a place, and there the text says that key."""
    lines = found.text.splitlines()
    for path in keys(value):
        place = found.places[path]
        here = lines[place.line - 1][place.column - 1 :]
        assert any(here.startswith(f"{mark}{path[-1]}") for mark in quoted), (path, here)


@given(TABLES, st.booleans())
def test_yaml_is_read_as_pyyaml_reads_it(value, flow):
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True, width=60)
    found = yamls.read(text, "a.yaml", "")
    assert found.value == yaml.safe_load(text) == value
    stands(found, value)


@pytest.mark.parametrize(
    "text",
    [
        "a: &base {x: 1, y: 2}\nb:\n  <<: *base\n  y: 3\n",
        "a: &one {x: 1}\nb: &two {x: 2, z: 5}\nc: {<<: [*one, *two], w: 0}\n",
        "a: &list [1, 2]\nb: *list\n",
        "a: 1\na: 2\n",
        "x: 1e-4\ny: 1.0e-4\nz: .5\nw: 1_000\nv: 0o17\nu: 010\n",
        "a: |\n  two\n  lines\nb: >\n  folded\n  text\n",
        "? a\n: b\n",
        "a: yes\nb: 'yes'\nc: Off\nd: n\n",
        "--- {a: 1}\n...\n",
        "a:\n- 1\n-\n- [x, {y: z}]\n",
    ],
)
def test_yaml_of_every_shape_is_read_as_pyyaml_reads_it(text):
    assert yamls.read(text, "a.yaml", "").value == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("a: 2e-4\n", ["text-number"]),
        ("a: 2.0e-4\n", []),
        ("a: '2e-4'\n", []),
        ("a: no\n", ["boolean-word"]),
        ("a: 'no'\n", []),
        ("a: false\n", []),
        ("a: 1\na: 2\n", ["duplicate"]),
        ("a: 1\na: 1\n", []),
        ("a: 2025-01-31\n", ["date"]),
        ("b: &x {a: 1}\nc: {<<: *x, a: 2}\n", []),
    ],
)
def test_yaml_traps_are_noticed_and_nothing_else_is(text, kinds):
    assert [trap.kind for trap in yamls.read(text, "a.yaml", "").traps] == kinds


def test_a_tab_is_named_where_yaml_cannot_be_read():
    with pytest.raises(ValueError, match=r"line 2 is indented by a tab"):
        yamls.read("a:\n\tb: 1\n", "a.yaml", "")


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']\n",
        "a: !!int x\n",
        "a: !!timestamp x\n",
        "a: !!binary ü\n",
        "a: !!float ''\n",
        "!!set {a, b}\n",
        "a: !!int ''\n",
        "a: !!bool maybe\n",
        "? [a, b]\n: c\n",
        "a: !nothing 1\n",
        "a: !!null x\n",
        "a: 2024-99-99\n",
    ],
)
def test_tags_build_nothing_and_break_nothing(text):
    yamls.read(text, "a.yaml", "")


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: " + "[" * 500 + "]" * 500, "a: *b", "a: [1", "\x01", "<<: 1", "a: b: c"]
)
def test_yaml_that_cannot_be_read_is_refused_with_its_place(text):
    with pytest.raises(ValueError):
        yamls.read(text, "a.yaml", "")


def test_aliases_that_grow_without_end_are_refused():
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    with pytest.raises(ValueError, match="too"):
        yamls.read("\n".join(lines), "a.yaml", "")


@given(TABLES, st.sampled_from([None, 1, 4]), st.booleans())
def test_json_is_read_as_pythons_reads_it(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = jsons.read(text, "a.json", "")
    assert found.value == json.loads(text) == value
    assert found.traps == ()
    stands(found, value, quoted=('"',))


@given(TABLES)
def test_comments_and_last_commas_change_nothing_and_are_noticed(value):
    plain = json.dumps(value, indent=1)
    marked = "// one\n" + plain[:-2] + ", /* two,\n } */\n}  // three\n"
    found = jsons.read(marked, "a.jsonc", "")
    assert found.value == value
    assert {trap.kind for trap in found.traps} == {"comment", "comma"}


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"a"}', '{"a": }', "[1 2]", '{"a": 1} x', "{'a': 1}", "[" * 100, '{"a": tru}', '"\\u12"', '{"a": 01}'],
)
def test_json_that_cannot_be_read_is_refused_with_its_place(text):
    with pytest.raises(ValueError, match=r"line \d+, column \d+"):
        jsons.read(text, "a.json", "")


def without_null(value):
    """The same without what TOML cannot say: null, and numbers beyond 64 bits."""
    if isinstance(value, dict):
        return {key: without_null(inner) for key, inner in value.items() if inner is not None}
    return [without_null(inner) for inner in value if inner is not None] if isinstance(value, list) else value


@given(TABLES.map(without_null))
def test_toml_is_read_as_pythons_reads_it(value):
    text = tomli_w.dumps(value)
    found = tomls.read(text, "a.toml", "")
    assert found.value == tomllib.loads(text)
    for path in keys(found.value):
        if all(isinstance(part, str) for part in path) and path in found.places:
            place = found.places[path]
            line = found.text.splitlines()[place.line - 1]
            assert path[-1] in line[place.column - 1 :], (path, line)


def test_places_in_toml_follow_tables_and_lists_of_tables():
    text = 'a = 1\n[one]\nb = 2\n[one.two]\n"c d" = 3\n[[list]]\ne = 4\n[[list]]\n  f.g = 5\n'
    text += '[[list.inner]]\nh = """\nnot = a key\n"""\n'
    found = tomls.read(text, "a.toml", "")
    expected = {
        ("a",): 1,
        ("one",): 2,
        ("one", "b"): 3,
        ("one", "two"): 4,
        ("one", "two", "c d"): 5,
        ("list", 0): 6,
        ("list", 0, "e"): 7,
        ("list", 1): 8,
        ("list", 1, "f", "g"): 9,
        ("list", 1, "inner", 0): 10,
        ("list", 1, "inner", 0, "h"): 11,
    }
    assert {path: found.places[path].line for path in expected} == expected
    assert all(at(found.value, path) is not None for path in expected)
    assert "not" not in {path[-1] for path in found.places if path}


@given(st.dictionaries(KEYS, st.one_of(WORDS.filter(str.strip), st.integers(0, 999), st.booleans()), max_size=5))
def test_a_command_line_is_read_as_a_shell_splits_it(options):
    words = ["accelerate", "launch", "train.py"]
    for key, value in options.items():
        words += [f"--{key}"] if value is True else [f"--{key}", shlex.quote(str(value))]
    text = " \\\n  ".join(words)
    found = document.command(text, "run.sh")
    assert found.value["program"] == ["accelerate", "launch", "train.py"]
    for key, value in options.items():
        said = True if value is True else document.typed(str(value))
        if not str(value).startswith("--"):
            assert found.value[key] == said
        assert found.places[(key,)].column >= 1


@pytest.mark.parametrize("name", ["a.yaml", "a.json", "a.toml", "a.sh"])
@given(text=st.text(max_size=80))
def test_no_text_is_more_than_a_problem_with_a_remedy(name, text):
    with contextlib.suppress(PortraitistError):
        opening.of_text(text, name, "")
