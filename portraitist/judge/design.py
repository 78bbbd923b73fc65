"""The design of the measurement: how many pictures of which checkpoints, and what that comes to. Pure.

Successive halving (Karnin, Koren & Somekh 2013): all checkpoints are screened by few pictures; in each later round
fewer are left, and each gets more, until the contenders have the full grid. The finalists go through every strength,
and the best of all through the other guidances.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from portraitist.judge.grid import BLOCK, Grid
from portraitist.judge.scorecard import WHOLE
from portraitist.sections import Judging


@dataclass(frozen=True, slots=True)
class Design:
    """Counts, of pictures unless they say otherwise.

    checkpoints, contenders, finalists  how many of them
    screen, full      of each checkpoint in the screen, and in the full grid
    strengths         how many besides that of the screen
    guidances         how many besides the grid's own
    probing           of each contender, of finalists at each strength and of the base, for how free they are
    reporting         of the choice and of the base, by prompts that nobody chose by
    beside            of the choice and of the base beside a second LoRA
    """

    checkpoints: int
    contenders: int
    finalists: int
    screen: int
    full: int
    strengths: int
    guidances: int
    probing: int
    reporting: int
    beside: int

    @classmethod
    def of(cls, judging: Judging, grid: Grid, checkpoints: int) -> "Design":
        """From the settings, and the grid that was made by them."""
        contenders = min(judging.contenders, checkpoints)
        return cls(
            checkpoints=checkpoints,
            contenders=contenders,
            finalists=min(judging.finalists, contenders),
            screen=grid.screened,
            full=len(grid.choosing),
            strengths=len(set(judging.strengths) - {WHOLE}),
            guidances=len(set(judging.guidances) - {grid.guidance}),
            probing=len(grid.probing),
            reporting=len(grid.reporting),
            beside=len(grid.shots("companion")) * len(judging.companion_strengths) if judging.companion else 0,
        )

    def rounds(self) -> Iterator[tuple[int, int]]:
        """Checkpoints that are left, and the pictures that each of them then has, round by round after the screen: once
        only the contenders are left they get all the rest at once."""
        left, pictures = self.checkpoints, self.screen
        while True:
            left = max(self.contenders, math.ceil(left / 2))
            pictures = min(self.full, pictures + max(BLOCK, BLOCK * (pictures // BLOCK)))
            if left == self.contenders or pictures == self.full:
                left, pictures = self.contenders, self.full
            yield left, pictures
            if pictures == self.full:
                return

    def pictures(self, *, reports: bool) -> int:
        """Pictures in all where no round ends early, the base's among them; each is drawn once.

        reports  whether the choice is drawn by the prompts that report, too
        """
        found, before = self.full + self.checkpoints * self.screen, self.screen
        for left, pictures in self.rounds():
            found += left * (pictures - before)
            before = pictures
        cells = self.finalists * self.strengths + self.guidances
        found += cells * self.full + self.probing * (1 + self.contenders + cells)
        return found + (2 * (self.reporting + self.beside) if reports else 0)
