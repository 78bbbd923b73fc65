"""feedback: take in what other people said of a run: votes that a page saved, or ratings of a form, as CSV or JSON."""

import csv
import io
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from portraitist import durable, runs
from portraitist.errors import PortraitistError
from portraitist.interop import nearest
from portraitist.judge import ballot as ballots
from portraitist.judge import ratings, scorecard, votes
from portraitist.judge.measures import ASKED
from portraitist.judge.ratings import SCORES, Rating
from portraitist.judge.scorecard import BASE, OWN
from portraitist.judge.surface import Place, named, place
from portraitist.judge.votes import Seen, Vote
from portraitist.project import Project
from portraitist.runs import RunFolder

VOTES = "portraitist votes"
"""What a file of votes calls itself."""

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "step": ("checkpoint",),
    "strength": ("weight", "lora_strength", "lora_weight"),
    "guidance": ("cfg",),
    "picture": ("image", "file", "path"),
    "prompt": ("prompt_score", "prompt_accuracy", "prompt_adherence"),
    "realism": ("realism_score",),
    "usability": ("usability_score",),
    "rater": ("by", "name", "reviewer"),
    "time": ("at", "date", "timestamp"),
    "note": ("notes", "comment", "comments"),
}
"""Columns of a form, with other names that are taken for the same; case, spaces and dashes do not matter."""

MOST = 100.0
"""Scores are from 0 to this: any usual scale fits in."""

Row = tuple[str, Mapping[str, Any]]
"""A row of a form: what people call it ("line 4"), and its values by column."""


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What was taken in.

    kind    votes or ratings; taken: how many are new or changed; known: how many were there already
    raters  whose they are
    next    what to do now
    """

    run: str
    kind: str
    taken: int
    known: int
    raters: tuple[str, ...]
    next: str

    def told(self) -> str:
        """In sentences: how many are new and whose, how many were known, and what to do now."""
        whose, one = ", ".join(self.raters) or "nobody", self.kind.removesuffix("s")
        said = f"{self.taken or 'No'} new or changed {one if self.taken == 1 else self.kind} of {whose} for {self.run}"
        known = f"; {self.known} {'was' if self.known == 1 else 'were'} known already" if self.known else ""
        return f"{said}{known}.\nNext: {self.next}"


def feedback(project: Project, file: Path, run: str = "", by: str = "") -> FeedbackResult:
    """Take in a file of votes or of ratings: all of it, or nothing.

    run  whose it is; without it that which the votes name, for ratings the newest
    by   the rater, where a form has no such column
    Raises PortraitistError, naming the line, for anything that is unknown, and for votes on other pictures than asked.
    """
    if not file.is_file():
        raise PortraitistError(f"There is no file {file}", "Name the votes.json that a page saved, or a form.")
    text = durable.read_text(file)
    value = parsed(text, file)
    if isinstance(value, dict) and value.get("kind") == VOTES:
        return counted(project, value, file, run, by)
    found = runs.find(project, run)
    rows = list(from_json(value, file) if value is not None else from_csv(text, file))
    if not rows:
        raise PortraitistError(f"{file} holds no ratings", "A form has a row of column names, then one row a rating.")
    form = Form(found, file)
    given = [form.rating(name, values, by) for name, values in rows]
    with durable.lock(ballots.folder(found)):
        there = {one.key: one for one in votes.read(found).ratings}
        new = [
            one for one in given
            if (had := there.get(one.key)) is None or (had.scores != one.scores and not older(one.at, had.at))
        ]  # fmt: skip
        ratings.append(found, new)
    return result(project, found, "ratings", len(new), len(given), {one.by for one in given})


def result(project: Project, run: RunFolder, kind: str, new: int, given: int, who: Collection[str]) -> FeedbackResult:
    """What came of a file."""
    then = f"portraitist choose {project.folder} --run {run.name}"
    return FeedbackResult(run.name, kind, new, given - new, tuple(sorted(who)), then)


def parsed(text: str, file: Path) -> Any:
    """The value of a JSON file; None for one that is not meant to be JSON."""
    if file.suffix.lower() != ".json" and not text.lstrip().startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PortraitistError(f"{file} is no JSON: {error}", "Save it again, or as CSV.") from error


def counted(project: Project, value: Mapping[str, Any], file: Path, name: str, rater: str) -> FeedbackResult:
    """Take in the votes that a page saved; `rater` is whose they are where the page was not told."""
    whose = str(value.get("run", ""))
    if name and name != whose:
        raise PortraitistError(f"{file} holds votes on run {whose}, not on {name}", f"Leave --run, or give {whose}.")
    if not whose or value.get("format") != ballots.FORMAT:
        raise PortraitistError(
            f"{file} has format {value.get('format')!r} and names run {whose!r}; this version reads {ballots.FORMAT}",
            "Save the votes again from a page of this version.",
        )
    run = runs.find(project, whose)
    ballot = ballots.read(run, str(value.get("ballot", "")))
    if ballot is None:
        raise PortraitistError(
            f"{file} answers a ballot that run {run.name} never made",
            f"Make the page here: portraitist vote {project.folder} --run {run.name} --page",
        )
    by = value.get("by")
    if not isinstance(by, str) or not by.strip():
        raise PortraitistError(f"{file} does not say whose votes it holds (by)", "Save the votes again.")
    rater = " ".join(rater.split())
    if rater and by.strip() != rater and not by.startswith(ballots.NOBODY):
        raise PortraitistError(f"{file} holds the votes of {by.strip()}, not of {rater}", "Leave --by.")
    by = rater or by
    given = list(cast(ballot, value, by.strip(), file))
    with durable.lock(ballots.folder(run)):
        before = votes.read(run)
        refuse_renamed(given, [*before.votes, *before.seen], file)
        there: dict[Any, Vote | Seen] = {one.key: one for one in before.votes}
        there |= {one.key: one for one in before.seen}
        new = [one for one in given if (had := there.get(one.key)) is None or changed(one, had)]
        votes.append(run, new)
    return result(project, run, "votes", len(new), len(given), {by.strip()})


def refuse_renamed(given: Sequence[Vote | Seen], there: Sequence[Vote | Seen], file: Path) -> None:
    """Refuse answers that are there already under another name: they would count twice."""
    whose = {(one.key[1:], one.ballot, one.at): one.by for one in there}  # a key begins with the name
    for one in given:
        had = whose.get((one.key[1:], one.ballot, one.at), one.by)
        if had != one.by:
            raise PortraitistError(
                f"{file} was taken in before, as the votes of {had}", f"They count already: leave --by, or give {had}."
            )


def changed(one: Vote | Seen, had: Vote | Seen) -> bool:
    """Whether it says something else than what was said before, and later; sides may have been turned meanwhile."""
    turned = isinstance(one, Vote) and isinstance(had, Vote) and one.a != had.a
    return (one.answer != had.answer or turned) and not older(one.at, had.at)


def older(one: str, other: str) -> bool:
    """Whether a time in ISO 8601 lies before another; one without a zone is taken for UTC."""
    ours, theirs = (datetime.fromisoformat(text) for text in (one, other))
    return ours.replace(tzinfo=ours.tzinfo or UTC) < theirs.replace(tzinfo=theirs.tzinfo or UTC)


def cast(ballot: ballots.Ballot, value: Mapping[str, Any], by: str, file: Path) -> Iterator[Vote | Seen]:
    """The votes and answers of a page's file, each held against what was asked."""
    pairs = {pair.name: pair for pair in ballot.pairs}
    singles = {one.name: one for one in ballot.singles}
    for name, given in table(value, "pairs", file).items():
        pair = pairs[known(name, pairs, "pair", file)]
        answer, at = answered(given, ("a", "b", "="), f"{file}, {name}")
        yield pair.vote(ballot.digest, answer, by, at)
    for name, these in table(value, "pictures", file).items():
        single = singles[known(name, singles, "picture", file)]
        for asked, given in table({name: these}, name, file).items():
            known(asked, ASKED, "question", file)
            sight, at = answered(given, ("yes", "no", "unsure"), f"{file}, {name}, {asked}")
            yield single.seen(ballot.digest, asked, sight, by, at)


def table(value: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    """A table of a page's file; an absent one is empty."""
    found = value.get(name, {})
    if not isinstance(found, dict):
        raise PortraitistError(f"{file}: {name} is no table", "Save the votes again.")
    return found


def known(name: str, names: Collection[str], what: str, file: Path) -> str:
    """A name that was asked for. Raises PortraitistError for another."""
    if name not in names:
        raise PortraitistError(
            f"{file} answers {what} {name!r}, which was not asked{nearest.asked(name, names)}", "Save the votes again."
        )
    return name


def answered(given: Any, answers: tuple[str, ...], where: str) -> tuple[Any, str]:
    """An answer and its time."""
    found = given if isinstance(given, dict) else {}
    if found.get("answer") not in answers:
        raise PortraitistError(f"{where}: {found.get('answer')!r} is none of {', '.join(answers)}", "Save it again.")
    return found["answer"], moment(str(found.get("at", "")), where)


def from_json(value: Any, file: Path) -> Iterator[Row]:
    """The rows of a JSON form: a list of objects, or one under "ratings"."""
    listed = value.get("ratings") if isinstance(value, dict) else value
    if not isinstance(listed, list) or not all(isinstance(row, dict) for row in listed):
        raise PortraitistError(
            f"{file} is neither votes nor ratings", 'Ratings are a list of objects, or {"ratings": [...]}.'
        )
    for n, row in enumerate(listed, 1):
        yield f"entry {n}", columns(row, file)


def from_csv(text: str, file: Path) -> Iterator[Row]:
    """The rows of a CSV form with a row of column names; also between semicolons or tabs, as spreadsheets save it."""
    first = text.lstrip().split("\n", 1)[0]
    mark = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    try:
        names: list[str] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names = cells
                if twice := sorted({name for name in names if name.strip() and names.count(name) > 1}):
                    raise PortraitistError(f"{file} has two columns {twice[0]!r}", "Leave one.")
            elif len(cells) != len(names):
                raise PortraitistError(
                    f"{file}, line {reader.line_num}: {len(cells)} values for {len(names)} columns",
                    "A value that holds a comma stands in quotes.",
                )
            else:
                row = {
                    name: cell.replace(",", ".") if decimal(cell, mark) else cell
                    for name, cell in zip(names, cells, strict=True)
                    if name.strip() or cell.strip()  # spreadsheets save empty columns as well
                }
                yield f"line {reader.line_num}", columns(row, file)
    except csv.Error as error:
        raise PortraitistError(f"{file}, line {reader.line_num}: {error}", "Save it as CSV again.") from error


def decimal(cell: str, mark: str) -> bool:
    """Whether it is a number with a comma, which only another mark between columns permits."""
    return mark != "," and cell.replace(",", "", 1).strip().isdigit()


def columns(row: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """A row by our names for its columns; empty values are left out. Raises PortraitistError for unknown ones."""
    ours = {other: name for name, others in COLUMNS.items() for other in (name, *others)}
    found: dict[str, Any] = {}
    for given, value in row.items():
        plain = "_".join(given.lower().replace("-", " ").replace("_", " ").split())
        if plain not in ours:
            raise PortraitistError(
                f"{file} has a column {given!r}, which is unknown{nearest.asked(plain, ours)}",
                f"Columns are {', '.join(COLUMNS)}; docs/voting.md says what they hold.",
            )
        if ours[plain] in found:
            raise PortraitistError(f"{file} has two columns for {ours[plain]}", "Leave one.")
        if value is not None and str(value).strip():
            found[ours[plain]] = value
    return found


class Form:
    """A form that is held against a run: which pictures and checkpoints there are."""

    def __init__(self, run: RunFolder, file: Path) -> None:
        self.run, self.file = run, file
        cards = [card for card in scorecard.read(run) if not card.beside]
        self.pictures = {d.path: (place(card), d.text, d.seed) for card in cards for d in card.pictures}
        self.cards = cards
        self.cells = sorted({place(card) for card in cards if card.step != BASE})
        self.steps = sorted({step for step, _, _ in self.cells} | set(run.steps()))
        self.now = datetime.now(UTC).isoformat(timespec="seconds")

    def rating(self, name: str, values: Mapping[str, Any], by: str) -> Rating:
        """A row as a rating. Raises PortraitistError, naming the row, where it cannot be one."""
        where = f"{self.file}, {name}"
        scores = {score: number(values[score], score, where, MOST) for score in SCORES if score in values}
        if not scores:
            raise PortraitistError(f"{where}: no score is given", f"Give one or more of {', '.join(SCORES)}.")
        rater = " ".join(str(values.get("rater", by)).split())
        if not rater:
            raise PortraitistError(f"{where}: it does not say whose rating it is", "Fill in rater, or give --by NAME.")
        path, text, seed, cell = "", "", 0, self.cell(values, where)
        if "picture" in values:
            path = self.picture(str(values["picture"]), where)
            shown, text, seed = self.pictures[path]
            if cell not in (None, shown):
                raise PortraitistError(
                    f"{where}: {path} is of {named(shown)}, and the row says {named(cell or shown)}",
                    "Leave step and strength away, or correct them.",
                )
            cell = shown
        if cell is None:
            raise PortraitistError(f"{where}: it names nothing that is rated", "Give picture, or step and strength.")
        at = moment(str(values["time"]), where) if "time" in values else self.now
        return Rating(cell, path, text, seed, scores, rater, at, str(values.get("note", "")))

    def cell(self, values: Mapping[str, Any], where: str) -> Place | None:
        """The cell that a row names, None for none. Raises PortraitistError for one that is not there."""
        if not {"step", "strength", "guidance"} & set(values):
            return None
        if not {"step", "strength"} <= set(values):
            raise PortraitistError(f"{where}: step and strength go together", "Give both, or picture.")
        step = number(str(values["step"]).lower().removeprefix("step-"), "step", where, math.inf)
        if step not in self.steps:
            raise PortraitistError(
                f"{where}: run {self.run.name} has no checkpoint at step {values['step']}",
                f"Those that are there: {', '.join(map(str, self.steps)) or 'none'}.",
            )
        strength = number(values["strength"], "strength", where, MOST)
        guidance = number(values.get("guidance", OWN), "guidance", where, MOST)
        cell = scorecard.usual((int(step), strength, guidance), self.cards)
        if cell not in self.cells:
            there = ", ".join(named(one) for one in self.cells if one[0] == cell[0])
            raise PortraitistError(
                f"{where}: {named(cell)} has not been judged, so that nothing can be chosen by what is said of it",
                f"Those of its step that have: {there or 'none'}.",
            )
        return cell

    def picture(self, given: str, where: str) -> str:
        """The path of a picture that is named by all of it or by its end."""
        wanted = given.strip().replace("\\", "/")
        found = [path for path in self.pictures if path == wanted or path.endswith("/" + wanted)]
        found = found or [path for path in self.pictures if wanted.endswith("/" + path)]
        if len(found) != 1:
            what = f"{len(found)} pictures end so" if found else "no picture of this run is named so"
            raise PortraitistError(
                f"{where}: {given!r}: {what}", "Give its path from evaluation/ on, as scorecards.jsonl has it."
            )
        return found[0]


def number(value: Any, name: str, where: str, most: float) -> float:
    """A number from 0 to `most`."""
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not 0 <= found <= most or math.isinf(found):
        limit = f" from 0 to {most:g}" if most < math.inf else ""
        raise PortraitistError(
            f"{where}: {name} is {value!r}, not a number{limit}", "Correct it: nothing was taken in."
        )
    return found


def moment(text: str, where: str) -> str:
    """A time in ISO 8601 as it is kept."""
    try:
        return datetime.fromisoformat(text.strip()).isoformat()
    except ValueError as error:
        raise PortraitistError(
            f"{where}: {text!r} is no time", "Write it as 2026-01-14 or 2026-01-14T09:30."
        ) from error
