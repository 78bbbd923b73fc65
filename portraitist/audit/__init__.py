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
    repair    the command that mends it, ready to be typed, where there is one
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
    """Every threshold that a recipe may set. Custom is what guides say, measured what was seen on sample photographs.

    fewest        pictures below which nothing can be learnt but the pictures themselves: blocks. Judged.
    few           pictures below which results vary much with each one: 15 is the least the guides train a style on (G1)
    small         short side as share of the training side: below half, most of what is trained on is invented. Judged.
    detail        share of its size that holds a picture's detail; measured: untouched 0.7-1.0, scaled up by one and a
                  half 0.45-0.8, twofold 0.3-0.55, blurred by one pixel 0.3-0.45
    soft          that detail's short side as share of the training side: a large file may be soft and still have enough
    sharpness     variance of the Laplacian in the sharper tiles, at the training side; measured: untouched 1150-3200,
                  blurred by one pixel 48-162, by two 6-23, a sharp subject before a blurred background 310-730; 40 is
                  also the floor SceneWorks uses for people and objects
    clipped       share of pixels at black or at white that counts as damage, if also less than
    midtones      of the pixels are between; together they spare a lit subject on white (SceneWorks' gate)
    cut_off       share of pixels at black or at white that counts as damage where light runs up to it, by
    ramp, tail    the share of what is beside it and the share close to it; and by less of these two,
    ramp_inside, tail_inside    where less than `rim` of the picture's rim is at that end;
    burnt         or by the share of the other pixels with a channel at its end. Measured: subjects before white read
                  0-0.31, 0-0.01 and 0-0.1, overexposed to a quarter or half of white 0.28-0.9, 0.02-0.2 and 0.15-1
    noise         grey levels of white noise at the training side; measured: untouched 0-2.5, with noise of 10 levels
                  in each channel 4-6.3
    dim, pale     luma that 99 of 100 pixels are below, or 95 above, in a picture too dark or too light (cleanvision's
                  ends)
    plain         bits of entropy of the tones below which a picture holds next to nothing; measured on one tone with a
                  little noise, of which cleanvision's own end names half
    quality       JPEG quality, now or once; judged: below 75 blocks show, below 50 they are drawn
    blocks        steps between JPEG's blocks over those within; measured: none 1.0-1.14, quality 50 1.1-4, 75 1.0-3;
                  alone, without a table found in the pixels, it must be this high
    banding       stairs of tone, of every thousand pixels; measured: photographs at most 0.06, banded skies 0.3-15
    missing       share of tones that no pixel has; measured: untouched 0-0.31, posterised to 32 levels 0.87
    cast          CIELAB units that all but a twentieth of a picture lie to one side of grey. Judged: 12 is seen at once
    tone          deviations (MAD, scaled to a normal's) of a picture's median tone from the set's, if also
    tone_least    CIELAB units away from it. Both measured on drawn sets, see docs/audit.md
    colourless    CIELAB chroma below which a picture is grey, and spread of hue below which it is toned grey
    bars          share of a side that plain bars at the rim must take up together
    aspect        shorter over longer side (cleanvision's end)
    marked        share of pictures of one size whose edges must lie in a cell for it to carry a mark; of at least
    marked_least  pictures of that size; and so many coloured ones for `tone_apart`
    upright       how well the set must tell its own upright from its turned pictures, 0 to 1, before one is called
                  turned. Measured: drawn sets 0.28-0.38, textures, and photographs with nothing in common, 0.02 at most
    upright_better, upright_least    by how much that one must look better turned, and how well then. Measured likewise
    turned_least  pictures below which a set tells nothing of up and down; those longer than 2 to 1 are left out
    framing       share in [0, 1] of each framing: the "Definitive Guide" (G4); custom, so it warns and never blocks
    slack         how far a share may leave its range
    framing_least pictures below which shares mean nothing
    telling       share of pictures whose framing must be known before framings are judged; likewise of backdrops, and
                  of a realism set's parts
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
    detail: float = 0.65
    soft: float = 0.75
    sharpness: float = 40.0
    clipped: float = 0.05
    midtones: float = 0.15
    cut_off: float = 0.08
    ramp: float = 0.35
    tail: float = 0.02
    ramp_inside: float = 0.1
    tail_inside: float = 0.01
    rim: float = 0.6
    burnt: float = 0.25
    noise: float = 4.0
    dim: float = 82.0
    pale: float = 242.0
    plain: float = 2.0
    quality: float = 75.0
    blocks: float = 2.0
    banding: float = 0.3
    missing: float = 0.6
    cast: float = 12.0
    tone: float = 4.0
    tone_least: float = 20.0
    colourless: float = 4.0
    bars: float = 0.02
    aspect: float = 0.35
    marked: float = 0.85
    marked_least: int = 8
    upright: float = 0.15
    upright_better: float = 0.03
    upright_least: float = 0.08
    turned_least: int = 12
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
    brief: Mapping[str, Sequence[str]] = field(default_factory=dict)
    recipe: Recipe = field(default_factory=Recipe)
    noun: str = ""
    real: bool = False
    readers: str = "the text encoder"
    records: Mapping[str, Record] = field(default_factory=dict)
    ledger_broken: str = ""
    trigger_meant: str = ""
    multiple: int = 16
    masks: float = 1.0
