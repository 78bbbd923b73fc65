"""The arithmetic of trainers that batch by buckets: batches, updates, checkpoints. Numbers are -1 where not known."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

Size = tuple[int, int]


def bucket_sides(area_side: Size, least: int, most: int, steps: int) -> list[Size]:
    """The sizes of sd-scripts' buckets, in order.

    Of every width from `least` to `most` in `steps`, the largest height whose area does not exceed that of `area_side`,
    both ways round, and the square (library/model_util.py:1316 of v0.10.1).
    """
    area = area_side[0] * area_side[1]
    square = int(math.sqrt(area) // steps) * steps
    found = {(square, square)}
    for width in range(least, most + 1, steps):
        height = min(most, area // width // steps * steps)
        if height >= least:
            found |= {(width, height), (height, width)}
    return sorted(found)


def even_sides(area_side: Size, steps: int) -> list[Size]:
    """The sizes of musubi-tuner's buckets, in order: widths from half the square's side to the square's, both ways.

    As dataset/bucket.py:83-93 of its v0.3.4 has it.
    """
    area = area_side[0] * area_side[1]
    square = int(math.sqrt(area))
    found: set[Size] = set()
    for width in range(square // 2 - square // 2 % steps, square + steps, steps):
        height = area // width // steps * steps if width else 0
        found |= {(width, height), (height, width)} if height else set()
    return sorted(found)


def bucketed(sizes: Iterable[Size], buckets: Sequence[Size], exact: bool = True) -> Counter[Size]:
    """Pictures by bucket: with `exact` that of its own size, else the nearest ratio of sides, the first of equals."""
    own = set(buckets) if exact else set()
    counts: Counter[Size] = Counter()
    for size in sizes:
        ratio = size[0] / size[1]
        nearest = min(buckets, key=lambda one: abs(one[0] / one[1] - ratio))
        counts[size if size in own else nearest] += 1
    return counts


def shrunk(size: Size, most_area: int, steps: int) -> Size:
    """The bucket of a picture that is made smaller only (`bucket_no_upscale`; library/train_util.py:305-337)."""
    width, height = size
    ratio = width / height
    if width * height > most_area:
        wide = rounded(math.sqrt(most_area * ratio), steps)
        tall = rounded(most_area / math.sqrt(most_area * ratio), steps)
        by_width = wide / max(1, rounded(wide / ratio, steps))
        by_height = rounded(tall * ratio, steps) / max(1, tall)
        if abs(by_width - ratio) < abs(by_height - ratio):
            width, height = wide, int(wide / ratio + 0.5)
        else:
            width, height = int(tall * ratio + 0.5), tall
    return width - width % steps, height - height % steps


def rounded(side: float, steps: int) -> int:
    """A side to the nearest pixel, then down to a multiple."""
    whole = int(side + 0.5)
    return whole - whole % steps


def batches(counts: Iterable[int], batch: int) -> int:
    """Batches of one pass: each bucket's last one may be smaller."""
    return sum(math.ceil(count / max(1, batch)) for count in counts)


def regularised(trained: int, repeats: Sequence[int]) -> int:
    """Regularisation pictures of a pass: repeated or left out until they are as many as those trained on.

    repeats  of each such picture, in order; the last one's may go over (library/train_util.py:2171-2183)
    """
    count = 0
    for times in repeats:
        if count >= trained:
            break
        count += times
    return max(count, trained) if repeats else 0


def updates(batches_per_pass: int, accumulate: int, processes: int, epochs: int, steps: int) -> int:
    """Optimiser steps: of whole epochs where `epochs` is given (>= 0), else `steps`.

    An epoch ends with an update, so its batches divided by the accumulation round up (train_network.py:800).
    """
    if epochs < 0:
        return steps
    if batches_per_pass < 0:
        return -1
    return epochs * math.ceil(batches_per_pass / max(1, processes) / max(1, accumulate))


def passes(batches_per_pass: int, accumulate: int, processes: int, steps: int) -> int:
    """Epochs that a number of updates begins."""
    per_pass = updates(batches_per_pass, accumulate, processes, 1, -1)
    return math.ceil(steps / per_pass) if per_pass > 0 and steps >= 0 else -1


def saved(steps: int, every: int, last_steps: int) -> tuple[int, int]:
    """Checkpoints written by step, and those left at the end.

    last_steps  steps, not files, that a checkpoint stays (train_util.py:5796); 0 or less keeps all
    """
    if every <= 0 or steps < every:
        return 0, 0
    written = steps // every
    gone = max(0, (written * every - last_steps - 1) // every) if last_steps > 0 else 0
    return written, written - gone


def saved_by_epoch(epochs: int, every: int, last: int) -> tuple[int, int]:
    """Checkpoints written by epoch, and those left; the last epoch's is the final file. `last` of 0 keeps all."""
    written = (epochs - 1) // every if every > 0 and epochs > 0 else 0
    return written, min(written, last) if last > 0 else written
