"""How the code looks: lengths, words, and the one way to write a file."""

import ast
import re
from pathlib import Path

from tests.house.source import ROOT, called, every, modules

LONGEST_FILE, LONGEST_FUNCTION = 400, 60
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources():
    """Every Python file that people read: the package, its tests, its documents' scripts."""
    found = [
        path
        for folder in ("portraitist", "comfy_nodes", "tests", "docs", "benchmarks", "examples")
        for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    return sorted(found)


def test_no_file_is_longer_than_a_noun():
    found = [(str(p), n) for p in sources() if (n := len(p.read_text().splitlines())) > LONGEST_FILE]
    assert not found, found


def test_no_function_is_longer_than_a_page():
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION:
                found.append((str(path), node.name, node.end_lineno - node.lineno + 1))
    assert not found, found


def test_everything_public_says_what_it_is():
    found = []
    for name, tree in modules().items():
        if not ast.get_docstring(tree) and tree.body:
            found.append(name)
        for holder in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
            for node in holder.body:
                public = isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_")
                if public and not ast.get_docstring(node):
                    found.append(f"{name}:{node.lineno} {node.name}")
    assert not found, found


def test_nothing_is_left_for_later():
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [str(path) for path in sources() if path != Path(__file__) and words.search(path.read_text())]
    assert not found, found


def test_names_are_plain_words():
    banned = re.compile(r"(^|_)(utils?|helpers?|misc|common|managers?)(_|\.py$|$)|Manager$|Helper$|^base_")
    names = [path.name for path in sources()]
    names += [node.name for _, node in every(ast.ClassDef)] + [n.name for k in FUNCTIONS for _, n in every(k)]
    found = [name for name in names if banned.search(name)]
    assert not found, found


WRITERS = {
    "write_text": "durable.write_text",
    "write_bytes": "durable.write_bytes",
    "torch.save": "safetensors.torch.save and durable.write_bytes",
    "save_file": "safetensors.torch.save and durable.write_bytes",
    "np.save": "durable.write_bytes",
    "np.savez": "durable.write_bytes",
    "json.dump": "durable.write_json",
    "tomli_w.dump": "durable.write_text",
    "savefig": "durable.write_bytes",
}


def writes(node: ast.Call) -> str:
    """What a call does that only `durable` may; "" when it does none of it."""
    name = called(node)
    tail = name.rsplit(".", 1)[-1]
    if name.startswith(("durable.", "np.random")):
        return ""
    for writer, instead in WRITERS.items():
        if name == writer or (("." not in writer) and tail == writer):
            return f"{name}: use {instead}"
    if tail in ("open", "fdopen"):
        given = [
            *(node.args[1:2] if name in ("open", "os.fdopen") else node.args[:1]),
            *(k.value for k in node.keywords),
        ]
        modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if any(re.fullmatch(r"[rwaxbt+U]*[wax+][rwaxbt+U]*", mode) for mode in modes):
            return f"{name} for writing: use durable.write_bytes"
    if tail == "save" and node.args and not name.startswith(("safetensors.", "state.")):
        first = ast.unparse(node.args[0])
        if not re.search(r"buffer|memory|BytesIO|stream|held|out_bytes|tensors", first):
            return f"{name}({first}): save into an io.BytesIO called buffer, then durable.write_bytes"
    if name in (
        "os.rename",
        "os.replace",
        "shutil.move",
        "shutil.copy",
        "shutil.copyfile",
        "shutil.copy2",
        "shutil.rmtree",
    ):
        return f"{name}: use durable"
    return ""


def test_files_are_written_in_one_way_only():
    found = [
        f"{place} {complaint}"
        for place, node in every(ast.Call)
        if not place.startswith("portraitist/durable.py") and (complaint := writes(node))
    ]
    assert not found, "\n".join(found)


def test_the_rule_about_writing_sees_what_it_forbids():
    """A rule that cannot fail is none."""
    for line in (
        "open('a', 'w')", "path.open('ab')", "Path('a').write_text('b')", "torch.save(x, 'a')", "image.save(path)",
        "save_file(tensors, path)", "np.save('a', x)", "json.dump(x, file)", "shutil.copy(a, b)",
        "open('a', mode='r+')",
    ):  # fmt: skip
        assert writes(ast.parse(line).body[0].value), line
    for line in ("open('a')", "path.open('rb')", "durable.write_text(p, t)", "image.save(buffer, 'PNG')"):
        assert not writes(ast.parse(line).body[0].value), line


def test_no_error_is_swallowed_unseen():
    found = [
        place
        for place, node in every(ast.ExceptHandler)
        if node.type is None
        or (ast.unparse(node.type) == "BaseException" and not any(isinstance(n, ast.Raise) for n in ast.walk(node)))
    ]
    assert not found, found
