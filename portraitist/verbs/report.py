"""report: a run as one page that needs nothing else, the same for machines, and TensorBoard's files."""

import time
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.events import Emit, Finished, Started, ignore
from portraitist.project import Project


@dataclass(frozen=True, slots=True)
class ReportResult:
    """Where the report went.

    report       the page; facts is the JSON beside it, table the CSV of all scorecards
    tensorboard  the folder to give to `tensorboard --logdir`
    megabytes    of the page, 1e6 bytes
    """

    report: Path
    facts: Path
    table: Path
    tensorboard: Path
    megabytes: float


def report(project: Project, run: str = "", out: Path | None = None, emit: Emit = ignore) -> ReportResult:
    """Write report.html, report.json and scorecards.csv of a run (the newest one without a name), and its TensorBoard
    files.

    out  a folder, or the page's own name if it ends in .html, which the other two then share; without it the run's
         folder
    What is not there yet is said in a sentence. The same files on disk make the same page. Raises PortraitistError
    when there is no run, when a file of ours is damaged, and when the disk refuses.
    """
    from portraitist.judge import board, dossier, page, spreadsheet

    began = time.monotonic()
    emit(Started(verb="report", total=1))
    found = dossier.gather(project, run)
    board.write(found.run)
    target = found.run.path if out is None else out
    target = target if target.suffix == ".html" else target / "report.html"
    text = page.page(found).encode("utf-8", "replace")
    durable.write_bytes(target, text)
    facts = target.with_suffix(".json")
    durable.write_json(facts, page.summary(found))
    table = target.with_suffix(".csv") if target.name != "report.html" else target.with_name("scorecards.csv")
    durable.write_text(table, spreadsheet.text(spreadsheet.cards(found)))
    emit(Finished(verb="report", seconds=time.monotonic() - began, facts={"report": str(target)}))
    return ReportResult(target, facts, table, found.run.path / board.FOLDER, round(len(text) / 1e6, 3))
