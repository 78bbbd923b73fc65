"""The package's source as the house rules look at it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "portraitist"


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its path below the root."""
    found = sorted(PACKAGE.rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in found}


def every(kind: type) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a kind, with where it stands."""
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield f"{name}:{getattr(node, 'lineno', 0)}", node


def called(node: ast.Call) -> str:
    """The dotted name a call is made by, as far as it is one."""
    return ast.unparse(node.func)


def dotted(name: str) -> str:
    """A path's module name."""
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Modules that a module imports, lazily or not, with the line; what only type checkers see is left out."""
    known = {dotted(other) for other in modules()}
    unseen = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in known else node.module), node.lineno
