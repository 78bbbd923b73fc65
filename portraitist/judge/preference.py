"""Which of several things people prefer, by comparisons of two at a time: Bradley-Terry, with intervals. Pure numpy.

Bradley & Terry 1952: the odds that i is preferred to j are exp(s_i - s_j). Strengths s are those of greatest
likelihood, by Newton steps; intervals are Wald's on the log odds. Half a comparison each way is added to every two
that were compared (Haldane 1956, Anscombe 1956), so that "ten of ten" is finite: between two things alone the log odds
are then ln((w + 1/2) / (l + 1/2)) with the variance 1/(w + 1/2) + 1/(l + 1/2).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from portraitist.judge.measures import CONFIDENCE

PRIOR = 0.5
"""Comparisons added each way between two that were compared."""

STEPS = 50
CLOSE = 1e-10


@dataclass(frozen=True, slots=True)
class Preference:
    """How often one thing would be preferred to another: a share in [0, 1] with its interval (CONFIDENCE)."""

    share: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves out one half: it is surely preferred, or surely not."""
        return self.low > 0.5 or self.high < 0.5


@dataclass(frozen=True, slots=True)
class Ranking:
    """Strengths of K things.

    strengths   (K,) log odds; those of one group sum to 0, and between groups they mean nothing
    covariance  (K, K) of the strengths
    groups      (K,) which things are tied together by comparisons, straight or by way of others
    """

    strengths: np.ndarray
    covariance: np.ndarray
    groups: np.ndarray

    def between(self, i: int, j: int) -> Preference | None:
        """How often `i` is preferred to `j`; None where nothing that was compared leads from one to the other."""
        if self.groups[i] != self.groups[j] or not self.covariance[i, i] or i == j:
            return None
        apart = float(self.strengths[i] - self.strengths[j])
        spread = float(self.covariance[i, i] + self.covariance[j, j] - 2 * self.covariance[i, j]) ** 0.5
        reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * spread
        return Preference(*(float(logistic(np.asarray(x))) for x in (apart, apart - reach, apart + reach)))


def rank(wins: np.ndarray, prior: float = PRIOR) -> Ranking:
    """The ranking by comparisons: wins (K, K), [i, j] times that i was preferred to j; a draw is half of one each way.

    prior  added each way to all that were compared; 0 is the plain likelihood, which may have no finite maximum
    """
    compared = wins + wins.T > 0
    won = wins + prior * compared
    games, strengths = won + won.T, np.zeros(len(wins))
    groups = connected(compared)
    for _ in range(STEPS):
        expected = games * logistic(strengths[:, None] - strengths)
        slope = (won - expected).sum(1)
        step = np.linalg.pinv(information(games, strengths), hermitian=True) @ slope
        before, scale = likelihood(won, strengths), 1.0
        while scale > CLOSE and likelihood(won, strengths + scale * step) < before:
            scale /= 2
        strengths = strengths + scale * step
        if np.abs(step).max(initial=0.0) < CLOSE:
            break
    return Ranking(strengths, np.linalg.pinv(information(games, strengths), hermitian=True), groups)


def information(games: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Fisher's information (K, K) of the strengths: the Laplacian of a graph whose edges weigh games x p x (1 - p)."""
    chance = logistic(strengths[:, None] - strengths)
    edges = games * chance * (1 - chance)
    return np.asarray(np.diag(edges.sum(1)) - edges)


def likelihood(won: np.ndarray, strengths: np.ndarray) -> float:
    """Log likelihood of the comparisons."""
    return -float((won * np.logaddexp(0, strengths - strengths[:, None])).sum())


def connected(edges: np.ndarray) -> np.ndarray:
    """For each of K nodes the lowest number among those that edges (K, K) of bool tie it to, itself among them."""
    found = np.arange(len(edges))
    for _ in range(len(edges)):
        found = np.asarray([min([found[i], *found[edges[i]]]) for i in range(len(edges))])
    return found


def logistic(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-values)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0, -values)))


def of_counts(wins: float, losses: float) -> Preference | None:
    """The share of wins with its interval, by the same law; None where there were none of either."""
    return rank(np.asarray([[0.0, wins], [losses, 0.0]])).between(0, 1)
