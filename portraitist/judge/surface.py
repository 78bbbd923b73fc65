"""Likeness over checkpoints, strengths and guidances, read off all their pictures at once.

One cell's sixteen pictures leave its mean uncertain by some 0.02, which is more than the last steps of a training
differ by; the highest of twenty such means is then as good as drawn by lot. But neighbours are alike, and all cells
draw the same shots: so shots are made equal first, and what a cell's neighbours say counts for it as well. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from portraitist.judge.scorecard import OWN, Drawn, Scorecard

Fit = Literal["smooth", "unimodal", "plain"]
FIT: Fit = "smooth"
"""How neighbours count: smooth (kriging), unimodal (rises to one step and falls after it), plain (not at all)."""

NEIGHBOUR = (1.0, 0.3, 1.0)
"""How far apart two cells may be to say much of each other: doublings of the step, strength, guidance. Judged."""

ROUNDS = 50

Place = tuple[int, float, float]
"""A cell: step, strength, guidance."""


def place(card: Scorecard) -> Place:
    """The cell that a card is of."""
    return card.step, card.strength, card.guidance


def named(at: Place) -> str:
    """A cell as people call it; the grid's own guidance goes without saying."""
    step, strength, guidance = at
    return f"step {step} at strength {strength:g}" + (f" and guidance {guidance:g}" if guidance != OWN else "")


@dataclass(frozen=True, slots=True)
class Surface:
    """A measure by cell and shot (C, S), as all cells together tell it; a shot is its text and seed."""

    places: tuple[Place, ...]
    values: np.ndarray
    shots: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, cards: Sequence[Scorecard], measure: str, fit: Fit = FIT, slopes: bool = False) -> "Surface":
        """From the cards that have the measure, one a cell; shots that a card lacks are told from the others.

        slopes  whether shots may each rise at a rate of their own, see `noise`
        """
        there = sorted((card for card in cards if measure in card.scores), key=place)
        rows = [{(d.text, d.seed): d.scores[measure] for d in card.pictures if measure in d.scores} for card in there]
        shots = tuple(sorted({shot for row in rows for shot in row}))
        table = np.array([[row.get(shot, np.nan) for shot in shots] for row in rows]).reshape(len(rows), len(shots))
        places = tuple(place(card) for card in there)
        lie = lying(there)
        if len(there) < 3 or len(shots) < 2 or not lie:
            return cls(places, filled(table), shots)
        weights = {"smooth": smoothing, "unimodal": unimodal, "plain": plain}[fit](lie, table, slopes)
        return cls(places, weights @ filled(table), shots)

    def mean(self, at: Place) -> float:
        """The measure of a cell; 0 where it was not taken."""
        return float(self.values[self.places.index(at)].mean()) if at in self.places else 0.0


def pooled(cards: Sequence[Scorecard], measures: Sequence[str], fit: Fit = FIT) -> list[Scorecard]:
    """The cards with what all of them together tell of measures in place of their pictures' own values.

    Weights sum to 1, and what a shot is compared with is the same for all cells: so a difference of these is what the
    cells' paired differences come to when neighbours count, and its interval over shots has the power of all of them.
    """
    told: dict[Place, dict[tuple[str, int], dict[str, float]]] = {place(card): {} for card in cards}
    for measure in measures:
        surface = Surface.of(cards, measure, fit)
        for at, row in zip(surface.places, surface.values, strict=True):
            for shot, value in zip(surface.shots, row, strict=True):
                told[at].setdefault(shot, {})[measure] = float(value)
    return [replace(card, pictures=tuple(among(drawn, told[place(card)]) for drawn in card.pictures)) for card in cards]


def among(drawn: Drawn, told: dict[tuple[str, int], dict[str, float]]) -> Drawn:
    """A picture with other values of what it was measured by."""
    found = told.get((drawn.text, drawn.seed), {})
    return replace(drawn, scores={name: found.get(name, value) for name, value in drawn.scores.items()})


def filled(table: np.ndarray) -> np.ndarray:
    """(C, S) without gaps: what a cell lacks is its own level plus how much the shot exceeds others elsewhere."""
    gaps = np.isnan(table)
    if not gaps.any():
        return table
    found = np.where(gaps, np.nanmean(table), table)
    for _ in range(ROUNDS):  # alternating least squares of cell + shot on what is there
        fitted = found.mean(1, keepdims=True) + found.mean(0, keepdims=True) - found.mean()
        found = np.where(gaps, fitted, table)
    return found


def noise(places: Sequence[Place], table: np.ndarray, slopes: bool = False) -> np.ndarray:
    """(C,): variance of each cell's mean, shots made equal; from what is left of the additive fit of cell and shot.

    slopes  fit a linear trend of each shot that all cells have as well. That one shot rises faster with strength than
            another is no noise of a cell, for its neighbours have it too: what curves would pass for noise. Of
            measures that a picture either has or has not it leaves too little noise (benchmarks/chooser.md)
    """
    whole, taken = filled(table), ~np.isnan(table)
    left = whole - whole.mean(1, keepdims=True) - whole.mean(0, keepdims=True) + whole.mean()
    at = coordinates(places)
    trend = (at - at.mean(0))[:, np.ptp(at, axis=0) > 0]
    rank, there = int(np.linalg.matrix_rank(trend)) if trend.size else 0, taken.all(0)
    free = int(taken.sum()) - sum(table.shape) + 1
    if slopes and rank + 1 < len(places) and there.any():
        left[:, there] -= trend @ np.linalg.pinv(trend) @ left[:, there]
        free -= rank * (int(there.sum()) - bool(there.all()))  # where all are fitted, slopes sum to nothing
    return np.asarray(float((left[taken] ** 2).sum()) / max(1, free) / taken.sum(1).clip(1))


def plain(places: Sequence[Place], table: np.ndarray, slopes: bool = False) -> np.ndarray:
    """(C, C): each cell by itself."""
    return np.eye(len(places))


def lying(cards: Sequence[Scorecard]) -> list[Place]:
    """Where cards lie among each other, the grid's own guidance by its number; none where guidances differ and that
    number is not known."""
    usual = next((card.usual for card in cards if card.usual), OWN)
    if usual == OWN and len({card.guidance for card in cards}) > 1:
        return []
    return [(card.step, card.strength, usual if card.guidance == OWN else card.guidance) for card in cards]


def coordinates(places: Sequence[Place]) -> np.ndarray:
    """(C, 3): log2 of the step, strength, guidance, each in units of NEIGHBOUR."""
    return np.array([[np.log2(step), strength, guidance] for step, strength, guidance in places]) / NEIGHBOUR


def smoothing(places: Sequence[Place], table: np.ndarray, slopes: bool = False) -> np.ndarray:
    """(C, C): the weights by which cells' means make the kriging estimate of each (Rasmussen & Williams 2006, 2.7).

    A Gaussian process over a trend that is linear in what varies; its variance is what cells differ from the trend by
    beyond their noise. Where that is nothing the trend alone is left. Rows sum to 1.
    """
    at, means, doubt = coordinates(places), filled(table).mean(1), noise(places, table, slopes)
    varying = [column for column in at.T if np.ptp(column) > 0]
    trend = np.column_stack([np.ones(len(at)), *varying])
    if len(at) <= trend.shape[1] + 1:
        return np.eye(len(at))
    weights = 1 / np.maximum(doubt, 1e-12)
    flat = trend @ np.linalg.solve(trend.T @ (weights[:, None] * trend), trend.T * weights)
    left = means - flat @ means
    signal = max(0.0, float((left**2).sum()) / (len(at) - trend.shape[1]) - float(doubt.mean()))
    kernel = signal * np.exp(-0.5 * ((at[:, None] - at[None]) ** 2).sum(-1))
    whole = np.linalg.inv(kernel + np.diag(np.maximum(doubt, 1e-12)))
    flat = trend @ np.linalg.solve(trend.T @ whole @ trend, trend.T @ whole)
    return np.asarray(flat + kernel @ whole @ (np.eye(len(at)) - flat))


def unimodal(places: Sequence[Place], table: np.ndarray, slopes: bool = False) -> np.ndarray:
    """(C, C): averages that make likeness rise to one step and fall after it, at each strength and guidance.

    Pools of adjacent violators (Barlow et al. 1972) on either side of the mode that leaves the least squares.
    """
    found, means, doubt = np.eye(len(places)), filled(table).mean(1), noise(places, table, slopes)
    for lane in {(strength, guidance) for _, strength, guidance in places}:
        rows = [i for i, (_, *rest) in enumerate(places) if tuple(rest) == lane]
        counts, values = 1 / np.maximum(doubt[rows], 1e-12), means[rows]
        best = np.inf
        for mode in range(len(rows)):
            up = ascending(values[: mode + 1], counts[: mode + 1])
            down = ascending(values[mode + 1 :][::-1], counts[mode + 1 :][::-1])
            weights = np.zeros((len(rows), len(rows)))
            weights[: mode + 1, : mode + 1] = up
            weights[mode + 1 :, mode + 1 :] = down[::-1, ::-1]
            lost = float((counts * (values - weights @ values) ** 2).sum())
            if lost < best - 1e-12:
                best, found[np.ix_(rows, rows)] = lost, weights
    return found


def ascending(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(N, N): the averages that make a sequence (N,) ascending, with least weighted squares."""
    blocks: list[list[int]] = []
    level = [float(v) for v in values]

    def mean(block: list[int]) -> float:
        return float(np.average([level[i] for i in block], weights=[counts[i] for i in block]))

    for i in range(len(values)):
        blocks.append([i])
        while len(blocks) > 1 and mean(blocks[-2]) > mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    found = np.zeros((len(values), len(values)))
    for block in blocks:
        share = np.array([counts[i] for i in block])
        found[np.ix_(block, block)] = share / share.sum()
    return found
