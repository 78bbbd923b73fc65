"""The audit: pictures measured once, and judged by pure functions over the numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from portraitist.pictures import Picture
from portraitist.provenance import Record
from portraitist.recipe import Recipe

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
    repair    the command that would mend it, without the folder, where there is one
    waived    why it was let pass when it was judged, by project.toml; "" where it was not
    """

    check: str
    about: str
    severity: Severity
    says: str
    remedy: str
    change: int = 0
    pictures: tuple[str, ...] = ()
    repair: str = ""
    waived: str = ""


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
    telling       share of pictures whose framing must be known before framings are judged, and likewise for other kinds
    asked         pictures that should show each thing the brief asks for: one could be its only example. Judged.
    same_place    cosine of two backdrops from which on they are one; measured on drawings, see docs/audit.md
    crowded       share of pictures before one backdrop above which it is learnt as part of the character
    years         between first and last picture above which a person may have changed
    lenses        largest over smallest focal length above which proportions of a face differ
    second_face   height of a second face over the first's from which on it is another person, not one in a crowd
    faceless      share of pictures without a found face above which the finder is asked about, not the pictures
    strange       deviations (MAD, as a normal's) below the others' nearness to the rest from which on one is strange
    strange_least least drop of that nearness that counts, whatever the deviation
    copy          cosine of two embeddings from which on pictures are alike; 0.95 is SceneWorks' for CLIP ViT-L/14
    cut           share of a picture's area lost to the training crop above which it is told (SceneWorks)
    face_cut      share of a face lost to the training crop above which it is told
    part          least share of legs, torso and full figures in a set of the role realism; a third each is G1's
    build         relative difference of two sets' figures in width above which they are of another build. Judged.
    leaked        share of captions from which a phrase is taken for one that goes with the trigger: PortOS holds a run
                  back at 0.8; leaked_least is of how many captions at least
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
    leaked: float = 0.8
    leaked_least: int = 5
    asked: int = 2
    same_place: float = 0.9
    crowded: float = 0.4
    years: float = 2.0
    lenses: float = 3.0
    second_face: float = 0.5
    faceless: float = 0.6
    strange: float = 3.5
    strange_least: float = 0.1
    copy: float = 0.95
    cut: float = 0.35
    face_cut: float = 0.1
    part: float = 0.25
    build: float = 0.15


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
    brief         what the character must be able to do, by kind
    recipe        how they will be trained on
    noun          of the project; real: whether its subject is a person who lives or lived
    readers       what it is that reads captions up to the limit
    records       what the ledger knows of each picture, by name; ledger_broken: what no longer fits in it, or ""
    trigger_meant  why the trigger is not rare for this base; "" when nothing speaks against it
    multiple      every side of a training size is a multiple of it
    """

    pictures: Sequence[Picture]
    trigger: str
    side: int
    count_tokens: Callable[[str], int] = no_count
    token_limit: int = 512
    unreadable: Sequence[Unread] = ()
    uncaptioned: Sequence[Unread] = ()
    others: Sequence[str] = ()
    brief: Mapping[str, Sequence[str]] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    noun: str = ""
    real: bool = False
    readers: str = "the text encoder"
    records: Mapping[str, Record] = field(default_factory=dict)
    ledger_broken: str = ""
    trigger_meant: str = ""
    multiple: int = 16
