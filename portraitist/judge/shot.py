"""What is drawn: a prompt from a seed, and what for."""

from dataclasses import dataclass

from portraitist.family import PromptSpec
from portraitist.judge.scorecard import Purpose


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to be drawn: its noise is a function of the seed and a text, whatever draws it.

    twin  text of the named prompt that this one probes, and whose noise it takes; "" for its own
    """

    prompt: PromptSpec
    seed: int
    purpose: Purpose = "named"
    twin: str = ""

    @property
    def noise(self) -> str:
        """The text that decides its noise."""
        return self.twin or self.prompt.text
