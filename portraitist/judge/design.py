"""The design of the measurement: how many pictures of which checkpoints, and what that comes to. Pure.

All checkpoints are screened by few pictures. Then cells, checkpoints at strengths, are drawn in full one after the
other, each where those before say that it is decided (judge/walk.py); and the best of all at the other guidances.
"""

from dataclasses import dataclass

from portraitist.judge import walk
from portraitist.judge.grid import Grid
from portraitist.sections import Judging


@dataclass(frozen=True, slots=True)
class Design:
    """Counts, of pictures unless they say otherwise.

    checkpoints, cells  how many of them, of cells at most; whole: how many of those at least at full strength
    screen, full      of each checkpoint in the screen, and in the full grid
    guidances         how many besides the grid's own
    probing           of each cell and of the base, for how free they are
    reporting         of the choice and of the base, by prompts that nobody chose by
    beside            of the choice and of the base beside a second LoRA
    """

    checkpoints: int
    cells: int
    whole: int
    screen: int
    full: int
    guidances: int
    probing: int
    reporting: int
    beside: int

    @classmethod
    def of(cls, judging: Judging, grid: Grid, checkpoints: int) -> "Design":
        """From the settings, and the grid that was made by them."""
        cells, whole = walk.most(checkpoints, judging.strengths, judging.in_full)
        return cls(
            checkpoints=checkpoints,
            cells=cells,
            whole=whole,
            screen=grid.screened,
            full=len(grid.choosing),
            guidances=len(set(judging.guidances) - {grid.guidance}),
            probing=len(grid.probing),
            reporting=len(grid.reporting),
            beside=len(grid.shots("companion")) * len(judging.companion_strengths) if judging.companion else 0,
        )

    def pictures(self, *, reports: bool) -> int:
        """Pictures in all where the walk is as long as it may be, the base's among them; each is drawn once.

        reports  whether the choice is drawn by the prompts that report, too
        """
        found = self.checkpoints * self.screen - self.whole * self.screen
        found += (1 + self.cells + self.guidances) * (self.full + self.probing)
        return found + (2 * (self.reporting + self.beside) if reports else 0)
