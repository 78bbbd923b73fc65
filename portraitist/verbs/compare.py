"""compare: runs beside each other as one page, as JSON and as CSV."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable, runs
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.judge import surface
from portraitist.judge.surface import Place
from portraitist.project import Project
from portraitist.runs import RunFolder


@dataclass(frozen=True, slots=True)
class CompareResult:
    """What came of it.

    verdict       which run is the likest, or that it cannot be told
    says          what tells the runs apart, by measure, and what does not
    obstacles     why a run does not compare, by its letter
    page, facts, table  the page, the JSON and the CSV beside it
    runs          what each letter stands for: a run and its choice
    """

    verdict: str
    says: dict[str, str]
    obstacles: dict[str, str]
    page: Path
    facts: Path
    table: Path
    runs: dict[str, str]

    def told(self) -> str:
        """In lines: which run each letter is, the verdict, what tells them apart, and where the page is."""
        lines = [f"{letter}: {run}" for letter, run in self.runs.items()]
        lines += [f"{self.verdict}.", *(f"    {measure}: {words}" for measure, words in self.says.items())]
        lines += [f"{letter} does not compare. {why}" for letter, why in self.obstacles.items()]
        return "\n".join([*lines, f"See {self.page}; as numbers: {self.facts.name} and {self.table.name} beside it"])


def compare(project: Project, names: Sequence[str] = (), out: Path | None = None, emit: Emit = ignore) -> CompareResult:
    """Write compare.html, compare.json and compare.csv of runs; the first is what the others are held against.

    names  runs of the project, or folders of runs of any project; without any the two newest of the project, the
           older one first
    out    a folder, or the page's own name if it ends in .html; without it the project's folder
    Runs that do not compare are shown, and why they do not. Raises PortraitistError for less than two runs, for more
    than a page can tell apart, for one that is named twice or is not there, and when a file of ours is damaged.
    """
    from portraitist.judge import comparing, comparison, dossier, spreadsheet

    began = time.monotonic()
    places = found(project, names)
    if len(places) > len(comparison.LETTERS):
        raise PortraitistError(
            f"{len(places)} runs are too many for one comparison",
            f"Name at most {len(comparison.LETTERS)}: a page tells no more of them apart.",
        )
    emit(Started(verb="compare", total=1))
    told = comparison.compare([dossier.gather(of, run.name) for of, run in places])
    target = project.folder if out is None else out
    target = target if target.suffix == ".html" else target / "compare.html"
    facts, table = target.with_suffix(".json"), target.with_suffix(".csv")
    durable.write_bytes(target, comparing.page(told).encode("utf-8", "replace"))
    durable.write_json(facts, comparison.summary(told))
    durable.write_text(table, spreadsheet.text(comparison.rows(told)))
    emit(Finished(verb="compare", seconds=time.monotonic() - began, facts={"page": str(target)}))
    obstacles = {side.letter: side.obstacle for side in told.sides if side.obstacle}
    letters = {
        side.letter: named(run.name if of.folder == project.folder else str(run.path), side.dossier.cell)
        for side, (of, run) in zip(told.sides, places, strict=True)
    }
    verdict, says = comparison.verdict(told), comparison.sentences(told)
    return CompareResult(verdict, says, obstacles, target, facts, table, letters)


def named(run: str, cell: Place | None) -> str:
    """A run with what was chosen of it, as people call it."""
    return f"{run}, {surface.named(cell)}" if cell else f"{run}, nothing chosen yet"


def found(project: Project, names: Sequence[str]) -> list[tuple[Project, RunFolder]]:
    """The runs that are named, each with its project; the two newest where none is named."""
    if not names:
        places = [(project, run) for run in runs.all_runs(project)[-2:]]
    else:
        places = [one(project, name) for name in names]
    if len(places) < 2:
        raise PortraitistError(
            f"{len(places)} run is nothing to compare" if places else f"{project.folder} has no run to compare",
            "Name two or more: portraitist compare FOLDER RUN RUN, where a run is a name or a run's folder.",
        )
    there = [run.path.resolve() for _, run in places]
    if twice := next((path for path in there if there.count(path) > 1), None):
        raise PortraitistError(f"{twice.name} is named twice", "Name each run once.")
    return places


def one(project: Project, name: str) -> tuple[Project, RunFolder]:
    """A run of the project by its name, or of another project by its folder."""
    run = RunFolder(Path(name).resolve())
    if run.lock.is_file() and name not in (known.name for known in runs.all_runs(project)):
        return Project.open(run.path.parent.parent), run
    return project, runs.find(project, name)
