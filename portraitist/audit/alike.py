"""Pictures that may show the same: near twins whose tones or rim changed more, and crops of one another. To be looked
at.

What is sure is `near_duplicates`; what is told here no one should remove unseen.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from portraitist.audit import Finding, Rules, Seen
from portraitist.dataset.split import ALIKE, SHAPE, THUMB, Nearness, clusters, looks, near, standard, thumbnails
from portraitist.pictures import Picture

REVIEW = Nearness(phash=10, dhash=8, alike=ALIKE, shape=SHAPE, sure_alike=0.97, sure_shape=0.975)

CROPPED, LEAST_LOOK, LEAST_MATCH = (0.06, 0.09, 0.12, 0.15, 0.18, 0.21), 0.88, 0.92
"""Shares cut off that are tried; and how near descriptors, and a picture and a window of the other, must be. Measured
on 96 drawings and 12 dead leaves cropped anywhere by 8 to 20 %: 83 of 100 are found; of 1104 pairs of pictures of four
drawn characters 10 are told that are none, all of like framing before like backgrounds."""

PLACES, ROWS = 7, 64


def maybe_same(seen: Seen, rules: Rules) -> Iterator[Finding]:
    """Pairs to look at: the same picture changed more than twins are, or one cropped from the other."""
    group = {i: number for number, members in enumerate(clusters(seen.pictures)) for i in members}
    told = {pair: "differ little; perhaps the same picture, changed" for pair in near(seen.pictures, REVIEW)}
    told |= {pair: "look like one cropped from the other" for pair in crops(seen.pictures) if pair not in told}
    for i, j in sorted(told):
        if group[i] != group[j]:
            names = tuple(sorted((seen.pictures[i].name, seen.pictures[j].name)))
            remedy = "Look at both; keep the better one if they show the same, or both if the crop is meant."
            yield Finding("maybe_same", names[0], "note", f"{names[0]} and {names[1]} {told[i, j]}", remedy, 0, names)


def crops(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Pairs of positions, lower first, where a window of one's thumbnail is the other's."""
    look, thumbs = looks(pictures), thumbnails(pictures)
    flat = standard(thumbs.reshape(len(thumbs), -1))
    for start in range(0, len(pictures), ROWS):
        like = look[start : start + ROWS] @ look.T >= LEAST_LOOK
        for i in range(start, start + len(like)):
            others = np.flatnonzero(like[i - start])
            others = others[others != i]
            if others.size:
                best = (windows(thumbs[i]) @ flat[others].T).max(axis=0)
                yield from ((min(i, int(j)), max(i, int(j))) for j in others[best >= LEAST_MATCH])


def windows(thumb: np.ndarray) -> np.ndarray:
    """(294, 1024): a thumbnail's windows of six sizes at 7 x 7 places, scaled up to it, of mean 0 and length 1."""
    found = []
    for cropped in CROPPED:
        scale = 1 - cropped
        free = np.linspace(0, THUMB * cropped, PLACES)
        for top in free:
            for left in free:
                place = np.array([[scale, 0, left + (scale - 1) / 2], [0, scale, top + (scale - 1) / 2]])
                how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
                found.append(cv2.warpAffine(thumb, place, (THUMB, THUMB), flags=how, borderMode=cv2.BORDER_REPLICATE))
    return standard(np.stack(found).reshape(len(found), -1))
