"""Pictures of the drawn world, drawn by a process of its own while something learns from those before.

Picture `n` of a corpus is a pure function of (purpose, n): no two purposes share one, and none is drawn twice.
"""

import contextlib
import itertools
import multiprocessing
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.queues import Queue
from queue import Full
from typing import Any

import numpy as np
import torch
from torch import Tensor

from portraitist.mini.drawing import draw
from portraitist.mini.pen import PARTS
from portraitist.mini.scenes import Scene, a_context, a_scene

CELL = 16
Drawing = tuple[int, np.ndarray, np.ndarray, Any]
"""A number, pixels, parts, and what else was told of the scene."""

Numbered = Callable[[str, int], Scene]
Told = Callable[[Scene, int], Any]


def scene(purpose: str, number: int) -> Scene:
    """The scene of a number; held-out purposes ("probe", "evaluation") are never taught on."""
    return a_scene(random.Random(f"{purpose} {number}"))


def pair(purpose: str, number: int) -> Scene:
    """The scene of a number in a corpus of pairs: 2k and 2k + 1 show one character in two contexts."""
    draw, again = random.Random(f"{purpose} pair {number // 2}"), random.Random(f"{purpose} pair {number // 2} again")
    first = a_scene(draw)
    return first if number % 2 == 0 else Scene(first.character, a_context(again), again.randrange(1 << 31))


def shares(parts: np.ndarray) -> np.ndarray:
    """(S, S) part numbers to (S/16, S/16, P) uint8: how much of each token's cell each part takes, of 255."""
    side = parts.shape[0] // CELL
    cells = parts.reshape(side, CELL, side, CELL)
    return np.stack([np.round((cells == k).mean((1, 3)) * 255) for k in range(len(PARTS))], -1).astype(np.uint8)


def nothing(_scene: Scene, _number: int) -> None:
    """Tell nothing of a scene."""


def pictures(purpose: str, first: int, which: Numbered, tell: Told, drawers: int, mine: int) -> Iterator[Drawing]:
    """Pictures first, first + 1, ... without end: of several drawers each draws its own pairs of them, so that the two
    of a pair come together."""
    for number in itertools.count(first):
        if number // 2 % drawers == mine:
            one = which(purpose, number)
            drawn = draw(one)
            yield number, drawn.pixels, shares(drawn.parts), tell(one, number)


@contextmanager
def drawing(
    purpose: str, first: int, ahead: int = 64, which: Numbered = scene, drawers: int = 1, tell: Told = nothing
) -> Iterator["Queue[Drawing]"]:
    """A queue that fills with pictures numbered from `first` on, at most `ahead` a drawer of them waiting.

    which    what a number means: `scene`, `pair`, the probe's `lesson`
    drawers  processes; with several, numbers do not come quite in order
    tell     what else is wanted of each scene, found in those processes
    """
    given = [(purpose, first, which, tell, drawers, mine) for mine in range(drawers)]
    with made(pictures, given, ahead * drawers) as queue:
        yield queue


@contextmanager
def made(by: Callable[..., Iterator[Any]], given: Sequence[tuple[Any, ...]], ahead: int) -> Iterator["Queue[Any]"]:
    """A queue of at most `ahead` things; for each of `given` a process fills it with what `by` makes of that."""
    context = multiprocessing.get_context("spawn")
    queue: Queue[Any] = context.Queue(ahead)
    processes = [context.Process(target=offer, args=(queue, by, each), daemon=True) for each in given]
    for process in processes:
        process.start()
    try:
        yield queue
    finally:
        for process in processes:
            process.terminate()


def offer(queue: "Queue[Any]", by: Callable[..., Iterator[Any]], given: tuple[Any, ...]) -> None:
    """Fill a queue, waiting for room, until the process that asked is gone."""
    parent = os.getppid()
    for thing in by(*given):
        waiting = True
        while waiting:
            if os.getppid() != parent:
                return
            with contextlib.suppress(Full):
                queue.put(thing, timeout=60)
                waiting = False


def to_pixels(pictures: list[np.ndarray]) -> Tensor:
    """Pictures (S, S, 3) uint8 to (B, 3, S, S) float32 in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def scribbled(pixels: np.ndarray, chance: random.Random) -> np.ndarray:
    """A picture with random shapes of random colours over it: an autoencoder has to keep what no world has shown."""
    from PIL import Image, ImageDraw

    wide = pixels.shape[0] * 2
    image = Image.fromarray(pixels).resize((wide, wide))
    canvas = ImageDraw.Draw(image)
    for _ in range(chance.randrange(2, 12)):
        colour = tuple(chance.randrange(256) for _ in range(3))
        x, y, r = chance.randrange(wide), chance.randrange(wide), chance.randrange(4, 40)
        near = [(x + chance.randrange(-r, r), y + chance.randrange(-r, r)) for _ in range(chance.randrange(3, 7))]
        kind = chance.random()
        if kind < 0.3:
            canvas.ellipse([x - r, y - r * chance.uniform(0.4, 1.0), x + r, y + r], fill=colour)
        elif kind < 0.6:
            canvas.polygon(near, fill=colour)
        else:
            canvas.line(near, colour, chance.randrange(2, 11), joint="curve")
    return np.asarray(image.reduce(2))
