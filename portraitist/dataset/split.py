"""Which pictures are kept from training: a tenth or so, the same ones every time, and never a twin of one trained on.

Works on the numbers that the audit measured; no pixels.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from portraitist.pictures import Picture, framing_word

CELLS, DIRECTIONS, COLOURS = 4, 8, 3
"""The descriptor's layout: CELLS x CELLS cells, each DIRECTIONS shares of gradient, then COLOURS."""

SIDE, THUMB = 16, 32
"""Of the luma that twins agree in, and of the thumbnail that is kept."""

FEWEST = 8
"""Pictures below which none is held out: each one is needed more than a number with no certainty."""

PHASH, DHASH = 6, 4
ALIKE = 0.9
SHAPE = 0.95
SURE_ALIKE, SURE_SHAPE = 0.98, 0.985
"""Twins' hashes differ in at most so many of 64 bits (either hash), the cosine of their descriptors and the correlation
of their 16 x 16 luma are at least so high, and one of these two is surely so. Measured on 42 photographs, drawings and
dead leaves of 384 px: saved again at JPEG quality 30, halved or trimmed by 2 to 4 % the descriptor stays at 0.99,
brightened by a quarter, toned (gamma 0.7) or warmed the luma at 0.987; of pairs of one drawn character those most alike
have 0.964 and 0.975."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near two pictures must be: hashes differ in so many of 64 bits at most, either of them, and the cosine of
    descriptors and the correlation of 16 x 16 luma are so high at least, and one of these is surely so."""

    phash: int
    dhash: int
    alike: float
    shape: float
    sure_alike: float
    sure_shape: float


TWINS = Nearness(PHASH, DHASH, ALIKE, SHAPE, SURE_ALIKE, SURE_SHAPE)
ROWS = 16
"""Pictures compared with all others at a time: some megabytes of hashes, whatever the number of pictures."""


def twins(pictures: Sequence[Picture]) -> Iterator[tuple[int, int]]:
    """Pairs of positions, lower first, of pictures that show the same: equal, saved again, toned, or mirrored."""
    return near(pictures, TWINS)


def near(pictures: Sequence[Picture], how: Nearness) -> Iterator[tuple[int, int]]:
    """Pairs of positions in order, lower first, of equal pictures and of those as near as told, or so when mirrored.

    Every pair's hashes are compared, and what they leave by the rest: exact, and 200 million pairs take seconds.
    """
    count = len(pictures)
    if count < 2:
        return
    phash, dhash = words(pictures, "phash"), words(pictures, "dhash")
    plain = Side(phash, dhash, looks(pictures), shapes(pictures))
    reverse = plain.shape.reshape(-1, SIDE, SIDE)[:, :, ::-1].reshape(count, -1)
    turned_round = words(pictures, "phash_mirrored"), words(pictures, "dhash_mirrored")
    other = Side(*turned_round, mirrored(plain.look), np.ascontiguousarray(reverse))
    found = [equal_ones(pictures)]
    far, bits = np.empty((ROWS, count), np.uint64), np.empty((ROWS, count), np.uint8)
    for start in range(0, count - 1, ROWS):
        rows = slice(start, min(start + ROWS, count - 1))
        size = rows.stop - start
        for side in (plain, other):
            hit = np.zeros((size, count - start), bool)
            for mine, theirs, most in ((phash, side.phash, how.phash), (dhash, side.dhash, how.dhash)):
                apart = np.bitwise_xor(mine[rows, None], theirs[None, start:], out=far[:size, : count - start])
                hit |= np.bitwise_count(apart, out=bits[:size, : count - start]) <= most
            i, j = np.divmod(np.flatnonzero(hit), count - start)
            i, j = i[j > i] + start, j[j > i] + start
            alike = np.einsum("pd,pd->p", plain.look[i], side.look[j])
            shape = np.einsum("pd,pd->p", plain.shape[i], side.shape[j])
            kept = (alike >= how.alike) & (shape >= how.shape)
            kept &= (alike >= how.sure_alike) | (shape >= how.sure_shape)
            found.append(i[kept] * count + j[kept])
    yield from (divmod(int(code), count) for code in np.unique(np.concatenate(found)))


@dataclass(frozen=True, slots=True)
class Side:
    """All pictures' hashes (N,) uint64, descriptors (N, 176) and luma (N, 256), as they are or mirrored."""

    phash: np.ndarray
    dhash: np.ndarray
    look: np.ndarray
    shape: np.ndarray


def equal_ones(pictures: Sequence[Picture]) -> np.ndarray:
    """Codes (lower position times the number of pictures, plus higher) of the pairs of equal content."""
    groups: dict[str, list[int]] = defaultdict(list)
    for position, picture in enumerate(pictures):
        groups[picture.digest].append(position)
    pairs = [(i, j) for group in groups.values() for at, i in enumerate(group) for j in group[at + 1 :]]
    return np.array([i * len(pictures) + j for i, j in pairs], np.int64)


def thumbnails(pictures: Sequence[Picture]) -> np.ndarray:
    """The luma thumbnails of pictures, (N, THUMB, THUMB) float32."""
    data = b"".join(bytes.fromhex(p.measures["thumbnail"]) for p in pictures)
    return np.frombuffer(data, np.uint8).reshape(-1, THUMB, THUMB).astype(np.float32)


def shapes(pictures: Sequence[Picture]) -> np.ndarray:
    """The 16 x 16 luma of pictures, (N, 256) float32, with mean 0 and length 1."""
    fine = thumbnails(pictures)
    return standard(fine.reshape(-1, SIDE, THUMB // SIDE, SIDE, THUMB // SIDE).mean(axis=(2, 4)).reshape(len(fine), -1))


def standard(luma: np.ndarray) -> np.ndarray:
    """(N, d) with mean 0 and length 1 each; nothing but zeros of a flat one."""
    luma = luma - luma.mean(axis=1, keepdims=True)
    return np.asarray(luma / np.maximum(np.linalg.norm(luma, axis=1, keepdims=True), 1e-6))


def written(look: np.ndarray) -> str:
    """A descriptor, values -1 to 1, as 16-bit numbers in hexadecimal: a fifth of the memory of a list of numbers."""
    return (look * 32767).round().astype("<i2").tobytes().hex()


def looks(pictures: Sequence[Picture]) -> np.ndarray:
    """The descriptors of pictures, (N, 176) float32."""
    texts = [bytes.fromhex(p.measures["descriptor"]) for p in pictures]
    return np.frombuffer(b"".join(texts), "<i2").reshape(len(texts), -1).astype(np.float32) / 32767


def words(pictures: Sequence[Picture], name: str) -> np.ndarray:
    """One 64-bit hash of every picture, (N,) uint64."""
    return np.array([int(p.measures[name], 16) for p in pictures], np.uint64)


def mirrored(look: np.ndarray) -> np.ndarray:
    """Descriptors (N, d) of the mirrored pictures: cells change sides, and so do directions of gradient."""
    grid = look.reshape(-1, CELLS, CELLS, DIRECTIONS + COLOURS)[:, :, ::-1]
    turned = [(DIRECTIONS // 2 - d) % DIRECTIONS for d in range(DIRECTIONS)]
    order = turned + list(range(DIRECTIONS, DIRECTIONS + COLOURS))
    return grid[..., order].reshape(look.shape)


def turned(look: np.ndarray, quarters: int) -> np.ndarray:
    """Descriptors (N, d) of the pictures turned anticlockwise by so many quarters."""
    grid = np.rot90(look.reshape(-1, CELLS, CELLS, DIRECTIONS + COLOURS), quarters, axes=(1, 2))
    directions = np.roll(grid[..., :DIRECTIONS], -quarters * DIRECTIONS // 4, axis=-1)
    return np.concatenate([directions, grid[..., DIRECTIONS:]], axis=-1).reshape(look.shape)


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
