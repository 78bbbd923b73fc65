"""Aspect buckets and crops: whole-number arithmetic on sizes, no pixels.

A bucket is a training size of about the recipe's area whose sides are multiples of what the family needs. A picture
goes to the bucket nearest in aspect (by logarithm, so that 2:1 and 1:2 are treated alike) and loses only what the
difference in aspect costs. Nothing is refused for being small: the picture is scaled up, and the audit warns.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from portraitist.errors import PortraitistError
from portraitist.pictures import Crop

HEADROOM = Fraction(1, 8)
"""Share of the cut height taken from above: heads are at the top, and crops that cut them off halved identity in the
only closed-loop comparison known to us (SceneWorks sc-6541: face-aware against centred crops)."""

ROOM = Fraction(1, 8)
"""Several crops are taken only where the picture is longer than the window by this share of its longer side."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A training size in pixels."""

    width: int
    height: int

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height


def buckets(side: int, multiple: int, aspect: float) -> tuple[Bucket, ...]:
    """All training sizes of at most side x side pixels, widest last.

    side      pixels of the square whose area no bucket exceeds
    multiple  every side of a bucket is a multiple of it
    aspect    longest over shortest side of the most extreme bucket, at least 1

    The square is always there; of two other sizes that differ in one side only the larger is kept. Raises
    PortraitistError when the square is smaller than one multiple.
    """
    square = side // multiple * multiple
    if square < multiple or multiple < 1:
        raise PortraitistError(
            f"data.resolution = {side} is below {multiple}, the least this family can train on",
            f"Set data.resolution to a multiple of {multiple}, or to 0 for the base's own.",
        )
    widest: dict[int, int] = {}
    for height in range(multiple, square + 1, multiple):
        width = side * side // height // multiple * multiple
        if width <= height * aspect:
            widest[height] = max(width, widest.get(height, 0))
    lying = {Bucket(width, height) for height, width in widest.items() if width > height}
    standing = {Bucket(bucket.height, bucket.width) for bucket in lying}
    everything = lying | standing | {Bucket(square, square)}
    return tuple(sorted(everything, key=lambda bucket: (bucket.aspect, bucket.width)))


def nearest(width: int, height: int, among: tuple[Bucket, ...]) -> Bucket:
    """The bucket whose aspect is nearest to width : height; of two equally near the squarer."""

    def distance(bucket: Bucket) -> tuple[float, float]:
        return abs(math.log(width / height) - math.log(bucket.aspect)), abs(math.log(bucket.aspect))

    return min(among, key=distance)


def window(width: int, height: int, bucket: Bucket, along: Fraction | None = None) -> Crop:
    """The largest window of a bucket's aspect in a picture of width x height pixels.

    along  place along the side that is cut, 0 (left or top) to 1; None is the middle of the width and, of the
           height, `HEADROOM` from the top
    """
    if width * bucket.height >= height * bucket.width:  # too wide: the sides are cut
        size = min(width, max(1, round(Fraction(height * bucket.width, bucket.height))))
        place = Fraction(1, 2) if along is None else along
        return Crop(width, height, round((width - size) * place), 0, size, height, bucket.width, bucket.height)
    size = min(height, max(1, round(Fraction(width * bucket.height, bucket.width))))
    place = HEADROOM if along is None else along
    return Crop(width, height, 0, round((height - size) * place), width, size, bucket.width, bucket.height)


def crops(width: int, height: int, among: tuple[Bucket, ...], count: int = 1) -> tuple[Crop, ...]:
    """One crop, or exactly `count`, of a picture of width x height pixels; the same every time.

    The first is the largest window of the nearest bucket. The others are windows of the squarest bucket spread evenly
    from one end of the longer side to the other. A picture too square for those to differ gives only the first; it
    then counts `count` times (see `exposures`), so that every picture keeps its share.
    """
    whole = window(width, height, nearest(width, height, among))
    squarest = min(among, key=lambda bucket: abs(math.log(bucket.aspect)))
    room = max(width, height) - min(width, height)
    if count == 1 or room < ROOM * max(width, height) or room < count or nearest(width, height, among) == squarest:
        return (whole,)
    places = [Fraction(i, count - 2) for i in range(count - 1)] if count > 2 else [HEADROOM]
    return (whole, *(window(width, height, squarest, place) for place in places))


def exposures(weight: int, found: int, asked: int) -> int:
    """How often each of a picture's `found` crops is seen per pass, so that all pictures of a weight weigh alike."""
    return weight * (asked if found == 1 else 1)


def lost(crop: Crop) -> float:
    """Share of the picture's area outside the crop, in [0, 1)."""
    return 1 - crop.width * crop.height / (crop.source_width * crop.source_height)


def enlarged(crop: Crop) -> float:
    """How many times larger the crop becomes; above 1 detail is invented."""
    return max(crop.to_width / crop.width, crop.to_height / crop.height)
