"""vote: a person compares candidates blind, two pictures of one prompt and seed at a time."""

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from portraitist import durable, runs
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Warned, ignore
from portraitist.judge import ballot as ballots
from portraitist.judge import booth, choosing, scorecard, votes
from portraitist.judge.ballot import PAIRS, Ballot, Paired, Single
from portraitist.judge.measures import ASKED
from portraitist.judge.surface import named
from portraitist.judge.votes import Answer, Sight
from portraitist.project import Project
from portraitist.runs import RunFolder

Ask = Callable[[str], str]
"""Puts a question to a person and returns what they write, in one line; raises Interrupted when nobody is there."""

BY = "me"
"""Whose votes they are where no name is given."""

ANSWERS: dict[str, Answer] = {"a": "a", "b": "b", "=": "="}
SIGHTS: dict[str, Sight] = {"y": "yes", "n": "no", "u": "unsure"}


@dataclass(frozen=True, slots=True)
class VoteResult:
    """How far the voting is. What the votes say is told by `choose`: whoever knows it no longer votes blind.

    candidates  how many cells are compared
    pairs       that the ballot asks; voted: those this person has voted on
    asked       pictures that are asked about on their own; seen: those this person has answered for
    page        where the page was written, "" where none was asked for
    next        what to do now
    """

    run: str
    candidates: int
    pairs: int
    voted: int
    asked: int
    seen: int
    page: str
    next: str

    def told(self) -> str:
        """In sentences: what is asked, or how far it is, and what to do now."""
        pairs, singles = counted(self.pairs, "pair"), counted(self.asked, "picture")
        if self.page:
            lines = [f"{self.page} asks about {pairs} of {self.candidates} candidates, and about {singles} alone."]
        else:
            lines = [f"{self.voted} of {pairs} of {self.candidates} candidates are voted on;"
                     f" {self.seen} of {singles} shown alone are answered."]  # fmt: skip
        lines.append(f"Next: {self.next}" if self.next.startswith("portraitist ") else self.next)
        return "\n".join(lines)


def counted(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def vote(
    project: Project,
    run: str = "",
    *,
    ask: Ask | None = None,
    page: bool = False,
    out: Path | None = None,
    pairs: int = PAIRS,
    by: str = "",
    emit: Emit = ignore,
) -> VoteResult:
    """Have a person compare the candidates of a run (the newest for ""), or write the page that does.

    ask    how a person is asked at a terminal; what is answered is on the disk before the next question
    page   writes one HTML file instead, to `out` or into the run: `feedback` imports the votes that it saves
    pairs  at most so many; by: the person's name or any word

    Names, checkpoints and strengths are hidden, sides are by chance, and the same call goes on where it was left.
    Raises PortraitistError without consent, when nothing has been judged, and when there are not two candidates.
    """
    project.require_consent()
    if pairs < 1 or (ask is None and not page):
        raise PortraitistError("There is nobody to ask", "Give `ask`, or page = True; pairs from 1 on.")
    found = runs.find(project, run)
    by = " ".join(by.split()) or BY
    with durable.lock(ballots.folder(found)):
        asked = drawn_up(found, pairs)
        ballots.write(found, asked)
        cells = len({cell for pair in asked.pairs for cell in (pair.a, pair.b)})
        written = ""
        if page:
            target = found.path / "vote.html" if out is None else out
            durable.write_text(target, booth.page(project, found, asked))
            written = str(target)
        elif ask is not None:
            with contextlib.suppress(Interrupted):  # whoever leaves has left: every answer before is kept
                at_terminal(project, found, asked, by, ask, emit)
    known = votes.read(found)
    left = len(asked.open_pairs(known, by))
    seen = {one.path for one in asked.singles} & {one.path for one in known.seen if one.by == by}
    then = f"portraitist choose {project.folder} --run {found.name}"
    if page:
        then = f"Open it, vote, save; then: portraitist feedback {project.folder} votes.json"
    elif left:
        then = "The same command goes on from here; or let it be, and choose by these."
    return VoteResult(
        found.name, cells, len(asked.pairs), len(asked.pairs) - left, len(asked.singles), len(seen), written, then
    )


def drawn_up(run: RunFolder, pairs: int) -> Ballot:
    """The ballot over a run's candidates, by the grid, or by the screen where the grid has not been drawn."""
    cards = scorecard.read(run)
    chosen = run.chosen()
    judged = choosing.latest(cards, "grid")[1] or choosing.latest(cards, "screen")[1]
    cells = ballots.candidates(chosen.table if chosen else {}, judged)
    if len(cells) > 1:
        return ballots.made(run, cells, judged, pairs)
    what = f"only {named(cells[0])} is a candidate" if cells else "nothing has been judged"
    raise PortraitistError(
        f"Run {run.name}: {what}; a vote needs two to compare",
        f"Run: portraitist evaluate {run.path.parent.parent} --run {run.name}",
    )


def at_terminal(project: Project, run: RunFolder, ballot: Ballot, by: str, ask: Ask, emit: Emit) -> None:
    """Ask what this person has not answered yet; each answer is kept at once."""
    beside, known = booth.references(project), votes.read(run)
    waiting = ballot.open_pairs(known, by)
    before = len(ballot.pairs) - len(waiting)
    for n, pair in enumerate(waiting, before + 1):
        shown = put_up(run, ballot, pair, [pair.a_path, pair.b_path], beside, emit)
        if shown:
            head = f"\n{n} of {len(ballot.pairs)}: {pair.text}\n  {shown}\n"
            said = insisted(ask, f"{head}  Which would you rather use? [a / b / = / q] ", ANSWERS)
            votes.append(run, [pair.vote(ballot.digest, ANSWERS[said], by, now())])
    done = {(one.path, one.asked) for one in known.seen if one.by == by}
    for n, single in enumerate(ballot.singles, 1):
        open_here = [asked for asked in ASKED if (single.path, asked) not in done]
        shown = put_up(run, ballot, single, [single.path], beside, emit) if open_here else ""
        if shown:
            head = f"\nOn its own, {n} of {len(ballot.singles)}: {single.text}\n  {shown}\n"
            for asked in open_here:
                said = insisted(ask, f"{head}  {ASKED[asked]} [y / n / u: cannot tell / q] ", SIGHTS)
                votes.append(run, [single.seen(ballot.digest, asked, SIGHTS[said], by, now())])
                head = ""


def put_up(
    run: RunFolder, ballot: Ballot, item: Paired | Single, paths: Sequence[str], beside: Sequence[Path], emit: Emit
) -> str:
    """Write what a question shows, under a name that tells nothing; returns its path, "" where it cannot be read."""
    path = ballot.folder(run) / f"{item.name}.png"
    if not path.is_file():
        made = booth.sheet([run.path / one for one in paths], beside)
        if made is None:
            emit(Warned(says=f"{item.name} is left out: a picture of it cannot be read", remedy="Run evaluate again."))
            return ""
        durable.write_bytes(path, made)
    return str(path)


def insisted(ask: Ask, question: str, answers: Collection[str]) -> str:
    """An answer that is one of those offered; raises Interrupted for "q"."""
    while True:
        said = ask(question).strip().lower()
        if said in ("q", "quit"):
            raise Interrupted
        if said in answers:
            return said
        question = f"  One of: {', '.join(answers)}, q. "


def now() -> str:
    """The time in ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
