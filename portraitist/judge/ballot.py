"""A ballot: which two pictures a person is shown blind, on which sides, and of which single ones they are asked.

It is a function of what was judged, so that a vote that was left goes on; it is kept, so that answers which come back
later can be held against it.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from portraitist import durable
from portraitist.errors import PortraitistError
from portraitist.judge import alike
from portraitist.judge.ratings import cell
from portraitist.judge.scorecard import BASE, OWN, Drawn, Scorecard
from portraitist.judge.surface import FIT, Place, place
from portraitist.judge.votes import Answer, Seen, Sight, Vote, Votes
from portraitist.runs import RunFolder

FORMAT = 1

MOST = 4
"""Cells on a ballot: six pairings. Votes on more are too thin to be certain of any."""

PAIRS = 24
"""Pairs of pictures: about three minutes."""

EACH = 2
"""Pictures of each cell that a person is asked about on their own."""

NOBODY = "page-"
"""What the name of a voter begins with where the page was told none."""


@dataclass(frozen=True, slots=True)
class Paired:
    """Two pictures of one prompt and seed, `a` to be shown on the left; paths relative to the run's folder."""

    name: str
    text: str
    seed: int
    a: Place
    b: Place
    a_path: str
    b_path: str

    def vote(self, ballot: str, answer: Answer, by: str, at: str) -> Vote:
        """A person's answer."""
        return Vote(self.a, self.b, self.text, self.seed, answer, by, at, ballot, self.name)


@dataclass(frozen=True, slots=True)
class Single:
    """One picture that a person is asked about."""

    name: str
    text: str
    seed: int
    cell: Place
    path: str

    def seen(self, ballot: str, asked: str, answer: Sight, by: str, at: str) -> Seen:
        """A person's answer to one of ASKED."""
        return Seen(self.cell, self.path, self.text, self.seed, asked, answer, by, at, ballot, self.name)


@dataclass(frozen=True, slots=True)
class Ballot:
    """What is asked, in order. The seed decided order and sides; grid and eyes are those of the cards."""

    run: str
    seed: int
    grid: str
    eyes: str
    pairs: tuple[Paired, ...]
    singles: tuple[Single, ...]

    @property
    def digest(self) -> str:
        """Names it, and tells nothing of what is on which side."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def folder(self, run: RunFolder) -> Path:
        """Where its pictures for the terminal go."""
        return folder(run) / self.digest

    def open_pairs(self, votes: Votes, by: str) -> list[Paired]:
        """The pairs that a person has not voted on."""
        cast = {vote.key for vote in votes.votes}
        return [pair for pair in self.pairs if pair.vote("", "=", by, "").key not in cast]


def folder(run: RunFolder) -> Path:
    """Where a run's ballots lie; its lock is that of everything that people say."""
    return run.evaluation / "ballots"


def candidates(choice: Mapping[str, Any], cards: Sequence[Scorecard]) -> list[Place]:
    """The cells that are worth a vote, at most MOST: the measured choice, what people chose over it, the second, its
    near-ties, the rest of the front, and what was not told from it; before there is a choice the likest."""
    judged = {place(card): card for card in cards if card.step != BASE}
    if choice:
        measured = choice.get("measured", choice)
        listed = [measured, choice, choice.get("runner_up", {}), *choice.get("ties", []), *choice.get("front", [])]
        listed += [*measured.get("ties", []), *measured.get("unsure", []), *choice.get("unsure", [])]
        found = [told(entry) for entry in listed if "step" in entry]
    else:
        by = alike.deciding([*judged.values()])
        like = alike.levels([*judged.values()], by, FIT)
        found = sorted(judged, key=lambda c: (-like[c][0], c))
    return [c for c in dict.fromkeys(found) if c in judged][:MOST]


def told(entry: Mapping[str, Any]) -> Place:
    """The cell that a table of choice.toml names."""
    return int(entry["step"]), float(entry.get("strength", 0.0)), float(entry.get("guidance", OWN))


def made(run: RunFolder, cells: Sequence[Place], cards: Sequence[Scorecard], count: int = PAIRS) -> Ballot:
    """The ballot over cells, by cards of one stage and yardstick.

    Every two cells come up equally often and on each side equally often, on prompts and seeds by chance; the seed is
    of the run's name and the cells, so that the same question makes the same ballot. Raises PortraitistError when
    there are not two cells with pictures of the same prompt and seed.
    """
    by_cell = {place(card): card for card in cards}
    shown = {c: pictures(run, by_cell[c]) for c in sorted(cells)}
    seed = int(hashlib.sha256(json.dumps([run.name, sorted(cells)]).encode()).hexdigest()[:8], 16)
    chance = np.random.default_rng(seed)
    queues = [queue for one, other in combinations(shown, 2) if (queue := meetings(one, other, shown, chance))]
    found = [queue[i] for i in range(max(map(len, queues), default=0)) for queue in queues if i < len(queue)][:count]
    if not found:
        raise PortraitistError(
            f"Run {run.name} has no two candidates with pictures of the same prompt and seed: there is nothing to"
            " compare",
            f"Run: portraitist evaluate {run.path.parent.parent} --run {run.name}",
        )
    order = chance.permutation(len(found))
    pairs = tuple(Paired(f"pair-{n:02d}", *found[int(i)]) for n, i in enumerate(order, 1))
    asked = [(*key, c, drawn.path) for c in shown for key, drawn in first_of_each_prompt(shown[c], chance)]
    order = chance.permutation(len(asked))
    singles = tuple(Single(f"picture-{n:02d}", *asked[int(i)]) for n, i in enumerate(order, 1))
    first = by_cell[next(iter(shown))]
    return Ballot(run.name, seed, first.grid, first.eyes, pairs, singles)


def pictures(run: RunFolder, card: Scorecard) -> dict[tuple[str, int], Drawn]:
    """A card's pictures that named the character and are still there, by prompt and seed."""
    return {(d.text, d.seed): d for d in card.pictures if d.purpose == "named" and (run.path / d.path).is_file()}


def meetings(
    one: Place, other: Place, shown: Mapping[Place, Mapping[tuple[str, int], Drawn]], chance: np.random.Generator
) -> list[tuple[str, int, Place, Place, str, str]]:
    """All that two cells can be compared on, shuffled, with the sides taking turns from a side by chance."""
    shared = [key for key in shown[one] if key in shown[other]]
    left = int(chance.integers(2))
    found = []
    for n, i in enumerate(chance.permutation(len(shared))):
        text, seed = shared[int(i)]
        a, b = (one, other) if (n + left) % 2 else (other, one)
        found.append((text, seed, a, b, shown[a][text, seed].path, shown[b][text, seed].path))
    return found


def first_of_each_prompt(
    found: Mapping[tuple[str, int], Drawn], chance: np.random.Generator
) -> Iterator[tuple[tuple[str, int], Drawn]]:
    """EACH pictures of different prompts, where there are so many."""
    by_prompt = {text: (text, seed) for text, seed in reversed(list(found))}
    texts = list(by_prompt)
    for i in chance.permutation(len(texts))[:EACH]:
        key = by_prompt[texts[int(i)]]
        yield key, found[key]


def write(run: RunFolder, ballot: Ballot) -> None:
    """Keep a ballot, if it is not kept yet."""
    path = folder(run) / f"{ballot.digest}.json"
    if not path.is_file():
        durable.write_json(path, {"format": FORMAT, **asdict(ballot)})


def read(run: RunFolder, digest: str) -> Ballot | None:
    """A kept ballot by its name; None when this run has none of it. Raises PortraitistError when it was changed."""
    path = folder(run) / f"{digest}.json"
    if not re.fullmatch("[0-9a-f]{16}", digest) or not path.is_file():
        return None
    values = durable.read_json(path)
    try:
        pairs = tuple(Paired(**{**p, "a": cell(p["a"]), "b": cell(p["b"])}) for p in values["pairs"])
        singles = tuple(Single(**{**s, "cell": cell(s["cell"])}) for s in values["singles"])
        found = Ballot(values["run"], values["seed"], values["grid"], values["eyes"], pairs, singles)
    except (KeyError, TypeError, ValueError) as error:
        raise PortraitistError(f"{path} is damaged: {error}", "Run portraitist vote again.") from error
    if found.digest != digest:
        raise PortraitistError(f"{path} was changed since it was made", "Run portraitist vote again.")
    return found
