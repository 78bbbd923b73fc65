"""Which pictures are kept from training: a tenth or so, the same ones every time, and never a twin of one trained on.

Works on the numbers that the audit measured; no pixels.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from portraitist.pictures import Picture, framing_word

CELLS, DIRECTIONS, COLOURS = 4, 8, 3
"""The descriptor's layout: CELLS x CELLS cells, each DIRECTIONS shares of gradient, then COLOURS."""

SIDE = 16
"""Of the luma thumbnail."""

FEWEST = 8
"""Pictures below which none is held out: each one is needed more than a number with no certainty."""

PHASH, DHASH = 6, 4
ALIKE = 0.9
SHAPE = 0.95
"""Twins' hashes differ in at most so many of 64 bits (either hash), the cosine of their descriptors and the correlation
of their 16 x 16 luma are at least so high. Measured on 40 pictures of 256 px with a photograph's spectrum: saved again
at JPEG quality 30, halved, brightened by a quarter, toned (gamma 0.7) or mirrored all are found, of those cropped by
3 % 98 %, by 5 % 88 %; of 1128 different pairs none. In six drawn sets of 24 the hashes alone made 51 pairs of different
pictures; what all three leave has one framing and background."""


def twins(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Pairs of positions, lower first, of pictures that show the same: equal, saved again, toned, or mirrored."""
    count = len(pictures)
    if not count:
        return
    plain = {name: words(pictures, name) for name in ("phash", "dhash")}
    other = {name: words(pictures, f"{name}_mirrored") for name in ("phash", "dhash")}
    look = np.array([p.measures["descriptor"] for p in pictures], np.float32)
    shape = np.stack([standard(p.measures["thumbnail"]) for p in pictures])
    flipped, reverse = mirrored(look), np.stack([row.reshape(SIDE, SIDE)[:, ::-1].ravel() for row in shape])
    digests = np.array([p.digest for p in pictures])
    for i in range(count - 1):
        later = slice(i + 1, count)
        same = digests[later] == digests[i]
        for hashes, looks, shapes in ((plain, look, shape), (other, flipped, reverse)):
            near = np.bitwise_count(plain["phash"][i] ^ hashes["phash"][later]) <= PHASH
            near |= np.bitwise_count(plain["dhash"][i] ^ hashes["dhash"][later]) <= DHASH
            same |= near & (looks[later] @ look[i] >= ALIKE) & (shapes[later] @ shape[i] >= SHAPE)
        yield from ((i, i + 1 + int(j)) for j in np.flatnonzero(same))


def standard(thumbnail: str) -> np.ndarray:
    """A thumbnail's luma (SIDE * SIDE,) with mean 0 and length 1, from its bytes in hexadecimal."""
    luma = np.frombuffer(bytes.fromhex(thumbnail), np.uint8).astype(np.float32)
    luma = luma - luma.mean()
    return np.asarray(luma / max(float(np.linalg.norm(luma)), 1e-6))


def words(pictures: Sequence[Picture], name: str) -> np.ndarray:
    """One 64-bit hash of every picture, (N,) uint64."""
    return np.array([int(p.measures[name], 16) for p in pictures], np.uint64)


def mirrored(look: np.ndarray) -> np.ndarray:
    """Descriptors (N, d) of the mirrored pictures: cells change sides, and so do directions of gradient."""
    grid = look.reshape(-1, CELLS, CELLS, DIRECTIONS + COLOURS)[:, :, ::-1]
    turned = [(DIRECTIONS // 2 - d) % DIRECTIONS for d in range(DIRECTIONS)]
    order = turned + list(range(DIRECTIONS, DIRECTIONS + COLOURS))
    return grid[..., order].reshape(look.shape)


def clusters(pictures: Sequence[Picture]) -> list[list[int]]:
    """Positions of the pictures, twins and twins of twins together; ordered by content, whatever order they came in."""
    parent = list(range(len(pictures)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in twins(pictures):
        parent[root(j)] = root(i)
    members: dict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(pictures)), key=lambda i: (pictures[i].digest, pictures[i].name)):
        members[root(i)].append(i)
    return sorted(members.values(), key=lambda group: pictures[group[0]].digest)


def held_out(pictures: Sequence[Picture], share: float) -> frozenset[int]:
    """Positions of the pictures to keep from training.

    share  of the pictures that may be held out, at most; at least one is, from `FEWEST` pictures on

    Twins stay together. Framings (as captions tell them) get their part of the places, and within one the content
    decides by hash, so that adding a picture moves few others. Only pictures that show the character (role identity
    or outfit) are held out. A group of twins larger than the places left is trained on whole.
    """
    able = [i for i, p in enumerate(pictures) if p.role in ("identity", "outfit")]
    if share == 0 or len(pictures) < FEWEST or len(able) < FEWEST:
        return frozenset()
    shown = [pictures[i] for i in able]
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for group in clusters(shown):
        strata[framing_word(shown[group[0]].caption)].append([able[i] for i in group])
    places = max(1, int(share * len(able)))
    chosen: list[int] = []
    wanted = apportioned(places, {name: sum(map(len, groups)) for name, groups in strata.items()})
    leftover: list[list[int]] = []
    for name in sorted(strata):
        room = wanted[name]
        for group in sorted(strata[name], key=lambda group: rank(pictures[group[0]])):
            if len(group) <= room:
                chosen += group
                room -= len(group)
            else:
                leftover.append(group)
    for group in sorted(leftover, key=lambda group: rank(pictures[group[0]])):  # places that twins were too many for
        if len(chosen) + len(group) <= places:
            chosen += group
    return frozenset(chosen)


def rank(picture: Picture) -> str:
    """A picture's place in the drawing of lots: fixed by its content alone."""
    return hashlib.sha256(f"held-out {picture.digest}".encode()).hexdigest()


def apportioned(places: int, sizes: dict[str, int]) -> dict[str, int]:
    """`places` shared out in proportion to `sizes`, the largest remainders first; sums to `places`."""
    total = sum(sizes.values())
    exact = {name: places * size / total for name, size in sizes.items()}
    given = {name: int(part) for name, part in exact.items()}
    by_remainder = sorted(sizes, key=lambda name: (given[name] - exact[name], -sizes[name], name))
    for name in by_remainder[: places - sum(given.values())]:
        given[name] += 1
    return given
