"""The audit: pictures measured once, and judged by pure functions over the numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from portraitist.pictures import Picture

Severity = Literal["block", "warn", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One judgement of the audit.

    check     the name of what found it: what `waived` in project.toml goes by
    about     what of it: a framing, a picture's name, or ""
    severity  block stops `encode` unless waived by name; warn and note never stop anything
    says      what was seen, with its number and what was expected
    remedy    what to do about it
    change    pictures to add (positive) or to take away (negative), 0 where that is no remedy
    pictures  names of the pictures it is about
    """

    check: str
    about: str
    severity: Severity
    says: str
    remedy: str
    change: int = 0
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Every threshold of the audit. Custom is what guides say, measured is what was seen on sample photographs.

    fewest        pictures below which nothing can be learnt but the pictures themselves: blocks. Judged.
    few           pictures below which results vary much with each one: 15 is the least the guides train a style on (G1)
    small         short side as share of the training side: below half, most of what is trained on is invented. Judged.
    soft          effective short side as share of the training side; measured: an untouched photograph reads 0.8-1.0,
                  one scaled up twofold 0.4-0.5
    sharpness     variance of the Laplacian in the sharper tiles, at the training side; measured: untouched 1150-3200,
                  blurred by one pixel 48-162, by two 6-23, a sharp subject before a blurred background 310-730; 40 is
                  also the floor SceneWorks uses for people and objects
    clipped       share of pixels at black or at white that counts as damage, if also less than
    midtones      of the pixels are between; together they spare a lit subject on white (SceneWorks' gate)
    framing       share in [0, 1] of each framing: the "Definitive Guide" (G4); custom, so it warns and never blocks
    slack         how far a share may leave its range
    framing_least pictures below which shares mean nothing
    telling       share of captions that must name a framing before framings are judged
    """

    fewest: int = 3
    few: int = 15
    small: float = 0.5
    soft: float = 0.75
    sharpness: float = 40.0
    clipped: float = 0.05
    midtones: float = 0.15
    framing: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {"close-up": (0.2, 0.3), "mid": (0.4, 0.5), "full": (0.2, 0.3)}
    )
    slack: float = 0.05
    framing_least: int = 10
    telling: float = 0.6


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that gave no picture or no caption: its name, why, and what to do."""

    name: str
    why: str
    remedy: str


def no_count(text: str) -> int:
    """The token counter of someone who knows no tokenizer: nothing is ever too long."""
    return 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything the checks judge.

    pictures      with captions and measures
    trigger       of the project
    side          pixels of the training square
    count_tokens  of a caption, by the family's own tokenizer; token_limit is the most its encoder takes
    unreadable    picture files that could not be opened; uncaptioned: captions that could not be read
    others        names in the folder that are neither pictures nor captions
    masks         what the background weighs where there is a mask; 1 ignores masks
    """

    pictures: Sequence[Picture]
    trigger: str
    side: int
    count_tokens: Callable[[str], int] = no_count
    token_limit: int = 512
    unreadable: Sequence[Unread] = ()
    uncaptioned: Sequence[Unread] = ()
    others: Sequence[str] = ()
    masks: float = 1.0
