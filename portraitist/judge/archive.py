"""The archive of rounds: the same prompts and seeds run after run, so that a step back is seen and not only read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portraitist.judge import dossier, templates
from portraitist.judge.advising.advice import shown
from portraitist.judge.album import Album
from portraitist.judge.measures import MEASURES
from portraitist.judge.scorecard import Score
from portraitist.judge.strips import SMALL, Frame, Pictures, Row, firsts
from portraitist.judge.telling import called, span, title, written
from portraitist.project import Project

MOST_COLUMNS = 8

Shot = tuple[str, int]
"""A prompt's text and a seed: what pictures of all rounds are matched by."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round: a run, with what was changed for it.

    name      of the run; why: what it follows from, in words
    pictures  files by prompt and seed
    scores    of its choice, with intervals
    cell      the chosen checkpoint and strength, in words; "" before there is a choice
    settings  what differs from the recipe that was begun with, by dotted key
    verdict   how it stands to the best before it; kept: whether it became the best
    """

    name: str
    why: str
    pictures: Mapping[Shot, Path]
    scores: Mapping[str, Score]
    cell: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""
    kept: bool = True


def of_run(
    project: Project,
    name: str,
    why: str,
    settings: Mapping[str, Any] | None = None,
    verdict: str = "",
    *,
    kept: bool = True,
) -> Round:
    """A round as its run lies on disk: pictures and scores of the chosen cell, none before there is a choice.

    Raises PortraitistError when there is no such run, and for a file of ours that is damaged.
    """
    found = dossier.gather(project, name)
    judged = found.chosen()
    if judged is None:
        return Round(name, why, {}, {}, "", settings or {}, verdict, kept)
    pictures = {(drawn.text, drawn.seed): found.run.path / drawn.path for drawn in firsts(judged[0])}
    scores = {measure: card.scores[measure] for measure, (card, _) in found.scored(judged[0]).items()}
    return Round(name, why, pictures, scores, called(judged[0]), settings or {}, verdict, kept)


def page(rounds: Sequence[Round], name: str = "") -> str:
    """The page of rounds, the first on top; `name` is the character's. What a round has no picture of is said so."""
    return templates.fitted("archive.html", lambda album: told(rounds, name, album))


def told(rounds: Sequence[Round], name: str, album: Album) -> dict[str, Any]:
    """Everything the template shows."""
    best = max((i for i, one in enumerate(rounds) if one.kept), default=-1)
    measures = [measure for measure in MEASURES if any(measure in one.scores for one in rounds)]
    return {
        "name": name,
        "rounds": rounds,
        "settings": [[(key, shown(value)) for key, value in one.settings.items()] for one in rounds],
        "best": best,
        "pictures": pictures(rounds, best, album),
        "heads": [title(measure) for measure in measures],
        "scores": [[cell(one, measure) for measure in measures] for one in rounds],
        "missing": album.missing,
    }


def cell(one: Round, measure: str) -> tuple[str, str] | None:
    """A round's score in a measure and its interval; None where it was not taken."""
    score = one.scores.get(measure)
    return (written(measure, score.mean), span(measure, score)) if score and score.count else None


def pictures(rounds: Sequence[Round], best: int, album: Album) -> Pictures | None:
    """One row a round, one column a prompt and seed, those first that most rounds have; None without any picture.

    best  the place of the round that is kept in the end
    """
    shots = list(dict.fromkeys(shot for one in rounds for shot in one.pictures))
    shots.sort(key=lambda shot: -sum(shot in one.pictures for one in rounds))
    if not shots:
        return None
    shots = shots[:MOST_COLUMNS]
    rows = []
    for number, one in enumerate(rounds, 1):
        frames = [
            Frame(album.show(one.pictures[shot], SMALL), f"Round {number}: {shot[0]}, seed {shot[1]}")
            if shot in one.pictures
            else None
            for shot in shots
        ]
        mark = "kept" if number == best + 1 else "" if one.kept else "dropped"
        rows.append(Row(f"Round {number}", one.cell, mark, frames))
    columns = [(text, f"seed {seed}", "") for text, seed in shots]
    return Pictures(
        columns, rows, "Down a column prompt, seed and noise are the same; each round is drawn at its own choice."
    )
