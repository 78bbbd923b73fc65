"""Cells as judging leaves them: pictures that differ by prompt, and what was measured of them."""

from portraitist.judge import measures
from portraitist.judge.scorecard import Drawn, Scorecard

PICTURES = 12
WOBBLE = [0.04, -0.04, 0.02, -0.02] * 3


def card(step, strength=1.0, stage="grid", wobble=0.0, **means):
    """A card of twelve pictures with these means; `wobble` makes every second one better and the others worse."""
    facts = {"agreement": 0.8, "copying": 0.1, "saturation": 1.0, "signature": 0.5} | means
    if "identity" in facts:
        facts.setdefault("likeness", (facts["identity"] + facts["signature"]) / 2)
    pictures = tuple(
        Drawn(f"p{i}", f"text {i}", 1, "", {n: v + WOBBLE[i] + wobble * (-1) ** i for n, v in facts.items()})
        for i in range(PICTURES)
    )
    return Scorecard(step, strength, stage, measures.scores([d.scores for d in pictures]), "g", "e", pictures)


BASE = card(0, 0.0, identity=0.0)
