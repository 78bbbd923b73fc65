"""The configs and command lines that kohya's trainers show in their documents: blocks of code in Markdown files."""

import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

BLOCK = re.compile(r"^[ \t]*```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
DATASETS = re.compile(r"^\s*\[\[datasets\]\]", re.MULTILINE)
CALL = re.compile(r"\w\.py\b[^\n]*(?:\n[^\n]*)*?--\w")


def documents(source: Path) -> Iterator[tuple[str, str]]:
    """Every Markdown file of a git directory's HEAD, or of a folder: its name and text."""
    if not (source / "HEAD").is_file():
        for path in sorted(source.rglob("*.md")):
            yield str(path.relative_to(source)), path.read_text(encoding="utf-8", errors="replace")
        return
    git = ["git", f"--git-dir={source}"]
    listed = run(
        [*git, "ls-tree", "-r", "--name-only", "-z", "HEAD"], capture_output=True, text=True, check=True
    ).stdout
    for name in listed.split("\0"):
        if name.lower().endswith(".md"):
            shown = run([*git, "show", f"HEAD:{name}"], capture_output=True, check=False)
            yield name, shown.stdout.decode("utf-8", "replace")


def configs(source: Path) -> Iterator[tuple[str, bytes]]:
    """Dataset configs and calls of scripts in the documents of a repository: a file name for each, and its content."""
    for name, text in documents(source):
        for number, block in enumerate(BLOCK.finditer(text)):
            body = block["body"]
            if DATASETS.search(body):
                yield f"{name}.{number}.toml", body.encode()
            elif CALL.search(body):
                yield f"{name}.{number}.sh", body.encode()
