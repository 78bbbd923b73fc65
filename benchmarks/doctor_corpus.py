"""Does the doctor raise false alarms, or stumble, on the configs that other trainers ship themselves?

python -m benchmarks.doctor_corpus [--write benchmarks/doctor_corpus.md] aitoolkit=/mirrors/ai-toolkit.git kohya=...

Each argument names a tool's module and a repository of its makers: a git directory (its HEAD is read) or a folder.
With the name of other people behind a colon it is theirs, and has a row of its own. Every file that the tool's module
recognises is examined, and carried over or refused. Prints a row for each tool, with `--write` into that page's table,
and on standard error every remark of severity error: each is to be examined by hand. Nothing of theirs is kept. Of
ai-toolkit the configs that its web form makes are read too, one for each model it offers; of sd-scripts and
musubi-tuner those in their documents.
"""

import argparse
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import run

from benchmarks.doctor_blocks import configs as in_documents
from benchmarks.doctor_form import configs as made_by_form
from portraitist import interop
from portraitist.errors import PortraitistError
from portraitist.interop import opening
from portraitist.interop.document import Document

SUFFIXES = (*opening.READERS, *opening.COMMANDS)
HEAD = (
    "| tool | version | source | configs | crashed | with errors | by rule | unknown keys | imported | refused |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


@dataclass
class Tally:
    """What came of one tool's configs."""

    version: str = ""
    configs: int = 0
    crashed: int = 0
    wrong: int = 0
    keys: int = 0
    unknown: int = 0
    imported: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def row(self, tool: str, source: str) -> str:
        """As a line of the table."""
        share = f"{self.unknown} of {self.keys} ({self.unknown / max(self.keys, 1):.1%})"
        errors, refused = (
            "; ".join(f"{name} {count}" for name, count in found.most_common()) or "none"
            for found in (self.errors, self.refused)
        )
        cells = [
            tool,
            self.version,
            source,
            self.configs,
            self.crashed,
            self.wrong,
            errors,
            share,
            self.imported,
            refused,
        ]
        return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def files(source: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a git directory's HEAD, or of a folder, that may be a config: its name and content."""
    if (source / "HEAD").is_file():
        git = ["git", f"--git-dir={source}"]
        listed = run([*git, "ls-tree", "-r", "--name-only", "HEAD"], capture_output=True, text=True, check=True).stdout
        for name in listed.splitlines():
            if name.lower().endswith(SUFFIXES):
                shown = run([*git, "show", f"HEAD:{name}"], capture_output=True, check=False)
                if not shown.returncode:
                    yield name, shown.stdout
        return
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield str(path.relative_to(source)), path.read_bytes()


def described(source: Path) -> str:
    """A repository's short commit and day, or the folder's name."""
    if not (source / "HEAD").is_file():
        return source.name
    words = ["git", f"--git-dir={source}", "log", "-1", "--format=%h, %as"]
    return run(words, capture_output=True, text=True, check=True).stdout.strip()


def examine(name: str, document: Document, tool: str, tally: Tally) -> None:
    """One config: counted, and its errors told."""
    diagnosis = interop.tool(tool).diagnose(document)
    tally.configs, tally.version = tally.configs + 1, diagnosis.version
    errors = [remark for remark in diagnosis.remarks if remark.severity == "error"]
    tally.wrong += bool(errors)
    for remark in errors:
        tally.errors[remark.rule.partition("/")[2]] += 1
        sys.stderr.write(f"{name}:{remark.place.line}: {remark.rule}: {remark.says}\n")
    tally.keys += sum(1 for path in document.places if path and isinstance(path[-1], str))
    tally.unknown += sum("unknown-key" in remark.rule for remark in diagnosis.remarks)
    try:
        interop.tool(tool).carried(document)
        tally.imported += 1
    except PortraitistError as error:
        tally.refused[reason(error.problem)] += 1


def reason(problem: str) -> str:
    """A refusal without the names in it: of the file, and of what it trains."""
    plain = " ".join(word for word in problem.split(" ") if "/" not in word)
    return re.sub(r"'[^']*'", "it", re.sub(r"trains \S+, which", "trains a base that", plain))[:80]


def counted(tool: str, source: Path) -> Tally:
    """All configs of one repository."""
    tally = Tally()
    found = [*files(source), *(made_by_form(source) if tool == "aitoolkit" else ())]
    found += in_documents(source) if tool in ("kohya", "musubi") else ()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in found:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            try:
                document = opening.opened(path)
                if interop.tool(tool).recognises(document):
                    examine(name, document, tool, tally)
            except PortraitistError:
                continue  # no config, by its language
            except Exception:  # noqa: BLE001 - a crash is what is looked for
                tally.crashed += 1
                sys.stderr.write(f"{name}: CRASHED\n{traceback.format_exc()}\n")
            finally:
                path.unlink()
    return tally


def put(page: Path, rows: dict[str, str]) -> None:
    """Rows into the table of a page: in the place of the tool's own, else at the end."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("|---|")) + 1
    for tool, row in rows.items():
        there = next((n for n, line in enumerate(lines) if line.startswith(f"| {tool} |")), None)
        if there is not None:
            lines[there] = row
            continue
        end = at
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        lines.insert(end, row)
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Examine each repository named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", metavar="TOOL[:WHOSE]=PLACE")
    parser.add_argument("--write", type=Path, help="a page whose table takes the rows")
    asked = parser.parse_args()
    rows = {}
    for word in asked.sources:
        named, _, place = word.partition("=")
        tool, _, whose = named.partition(":")
        label = f"{tool}, {whose}" if whose else tool
        rows[label] = counted(tool, Path(place)).row(label, described(Path(place)))
    sys.stdout.write("\n".join([*HEAD, *rows.values()]) + "\n")
    if asked.write:
        put(asked.write, rows)


if __name__ == "__main__":
    main()
