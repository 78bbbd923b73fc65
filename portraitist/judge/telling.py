"""Numbers, intervals, cells and differences as people read them; every page of a judgement says them alike."""

from collections.abc import Mapping

from portraitist.judge.measures import MEASURES
from portraitist.judge.scorecard import BASE, OWN, Score, Scorecard

MINUS = "\N{MINUS SIGN}"

END = {"high": "higher", "low": "lower"}

COARSE = 10.0
"""A measure whose range is at least so wide is told with one decimal, any other with two."""

FINER = 3
"""Most decimals beyond the usual."""

BRIEFLY = ("identity", "agreement")
"""What stands below a picture."""


def title(measure: str) -> str:
    """What people call a measure; one that this version does not know goes by its own name."""
    known = MEASURES.get(measure)
    return known.title if known else measure.replace("_", " ").capitalize()


def within(measure: str) -> str:
    """The same inside a sentence: only its first letter is made small."""
    said = title(measure)
    return said[:1].lower() + said[1:]


def written(measure: str, value: float, more: int = 0) -> str:
    """A mean as people read it, with `more` decimals than usual."""
    known = MEASURES.get(measure)
    wide = known is not None and known.range[1] - known.range[0] >= COARSE
    return figure(value, (1 if wide else 2) + more)


def figure(value: float, decimals: int = 2) -> str:
    """A number with so many decimals and a true minus sign; never a negative zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def signed(measure: str, value: float, more: int = 0) -> str:
    """A difference, with its sign."""
    told = written(measure, value, more)
    return told if told.startswith(MINUS) or not value else f"+{told}"


def span(measure: str, score: Score, more: int = 0) -> str:
    """The interval in words."""
    return f"{written(measure, score.low, more)} to {written(measure, score.high, more)}"


def named(step: int, strength: float, guidance: float = OWN) -> str:
    """A checkpoint at a strength, as people call it; the guidance only where it is not the grid's own."""
    cell = "Base" if step == BASE else f"Step {step:,} at {strength:g}"
    return cell if guidance == OWN else f"{cell}, guidance {guidance:g}"


def called(card: Scorecard) -> str:
    """A card's cell, as people call it."""
    return named(card.step, card.strength, card.guidance)


def in_short(means: Mapping[str, float]) -> str:
    """Means in a line; each stays with its name when the line is broken."""
    return ", ".join(f"{title(name).split()[-1].lower()}\u00a0{written(name, mean)}" for name, mean in means.items())


def brief(card: Scorecard) -> str:
    """A card's identity and agreement in a line."""
    known = [name for name in BRIEFLY if name in card.scores and card.scores[name].count]
    return in_short({name: card.scores[name].mean for name in known})


def difference_words(measure: str, change: Score, other: str) -> str:
    """A paired difference to something (`other`) in words: better or worse only where its interval leaves zero out.

    Of a measure that this version does not know it says more or less. "" where there is nothing to compare. An end
    that is not zero is not rounded to it, as far as three more decimals go.
    """
    if not change.count:
        return ""
    level, more = change.low <= 0 <= change.high, 0
    near = min(abs(change.low), abs(change.high))
    while not level and more < FINER and not float(written(measure, near, more)):
        more += 1
    amount = f"{signed(measure, change.mean, more)} ({span(measure, change, more)})"
    if change.count == 1:
        return f"{signed(measure, change.mean)} on one picture, which says nothing of chance"
    if level:
        return f"{amount}, not distinguishable from {other}"
    known = MEASURES.get(measure)
    if known is None:
        return f"{amount}, {'more' if change.mean > 0 else 'less'} than {other}"
    good = (change.mean > 0) == (known.better == "high")
    return f"{amount}, {'better' if good else 'worse'} than {other}"
