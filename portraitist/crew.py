"""Many independent pieces of work, done by several processes of this machine or by a Ray cluster; results in order.

A process that is killed costs nothing but time: what it was at is done again. What kills its process even when it is
alone is told as an error of its own, and the rest goes on.
"""

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, TypeVar

import psutil

from portraitist.errors import PortraitistError

T = TypeVar("T")
R = TypeVar("R")

TRIES = 3
AHEAD = 4
"""Pieces handed out per process before results are waited for: memory stays flat however many there are."""

FEW = 64
"""Fewer pieces than this are done here: so many pictures take one process 3 s, and a pool takes 1 s to start."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Who works.

    processes  of this machine, for `FEW` pieces or more; 0 takes its cores, 1 works in this process
    ray        address of a Ray cluster ("auto", "local", "ray://host:10001"), which then works instead; "" for none
    """

    processes: int = 0
    ray: str = ""

    @property
    def size(self) -> int:
        """Processes of this machine that work; of its cores those count that we may use."""
        return self.processes or cores()


ALONE = Crew(processes=1)


def cores() -> int:
    """Cores that this process may use: of a shared machine often fewer than it has."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else psutil.cpu_count() or 1


def on_one_core() -> None:
    """One thread for each of several processes: libraries would else start one a core in every one of them."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2

    cv2.setNumThreads(1)


def each(
    work: Callable[[T], R], items: Iterable[T], crew: Crew = ALONE, few: int = FEW
) -> Iterator[R | PortraitistError]:
    """What `work` makes of every item, in their order; a PortraitistError it raises comes in its item's place.

    work  a function at the top of a module; it and its items travel to other processes. Other exceptions are bugs, and
          raised here
    few   items fewer than which are done in this process

    Raises PortraitistError where a Ray cluster is asked for and there is none.
    """
    first, rest = peeked(items, few)
    if crew.ray:
        yield from by_ray(work, chained(first, rest), crew)
    elif crew.size == 1 or len(first) < few:
        yield from (tried(work, item) for item in chained(first, rest))
    else:
        yield from by_processes(work, chained(first, rest), crew.size)


def peeked(items: Iterable[T], count: int) -> tuple[list[T], Iterator[T]]:
    """The first few items, and an iterator over those after them."""
    rest = iter(items)
    first = []
    for item in rest:
        first.append(item)
        if len(first) == count:
            break
    return first, rest


def chained(first: list[T], rest: Iterator[T]) -> Iterator[T]:
    """The few, then the rest."""
    yield from first
    yield from rest


def tried(work: Callable[[T], R], item: T) -> R | PortraitistError:
    """What comes of one item; what a person can mend as a value."""
    try:
        return work(item)
    except PortraitistError as error:
        return error


def by_processes(work: Callable[[T], R], items: Iterator[T], size: int) -> Iterator[R | PortraitistError]:
    """By a pool of processes; after a death those that were handed out are done one at a time in new ones."""
    waiting: deque[tuple[T, Future[R | PortraitistError]]] = deque()
    more, pool = True, opened(size)
    try:
        while more or waiting:
            while more and len(waiting) < AHEAD * size:
                try:
                    item = next(items)
                except StopIteration:
                    more = False
                    break
                waiting.append((item, handed(pool, work, item)))
            if not waiting:
                break
            item, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                pool.shutdown(wait=False, cancel_futures=True)
                for one in (item, *(later for later, _ in waiting)):
                    yield alone(work, one)
                waiting.clear()
                pool = opened(size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def handed(pool: ProcessPoolExecutor, work: Callable[[T], R], item: T) -> "Future[R | PortraitistError]":
    """An item given to the pool; a pool that is broken already answers so when it is asked."""
    try:
        with nameless():
            return pool.submit(tried, work, item)
    except BrokenProcessPool as broken:
        future: Future[R | PortraitistError] = Future()
        future.set_exception(broken)
        return future


def opened(size: int) -> ProcessPoolExecutor:
    """Processes that begin empty: a fork would have the locks of other libraries' threads, and not the threads."""
    return ProcessPoolExecutor(size, get_context("spawn"), initializer=on_one_core if size > 1 else None)


@contextmanager
def nameless() -> Iterator[None]:
    """New processes do not run the program that started us: they need nothing of it, and a script that calls a verb at
    its top would call it again in each of them."""
    main = sys.modules["__main__"]
    hidden = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update({"__spec__": None} | hidden)


def alone(work: Callable[[T], R], item: T) -> R | PortraitistError:
    """One item in a process of its own; what kills that `TRIES` times is an error of this item."""
    for _ in range(TRIES):
        with opened(1) as pool:
            try:
                return handed(pool, work, item).result()
            except BrokenProcessPool:
                continue
    return PortraitistError(
        f"The process that worked on {named(item)} was killed {TRIES} times",
        "It may take more memory than there is: look at that file, or leave it out.",
    )


def named(item: Any) -> str:
    """What an item is called in a message."""
    return str(getattr(item, "name", "") or item)[:200]


def by_ray(work: Callable[[T], R], items: Iterator[T], crew: Crew) -> Iterator[R | PortraitistError]:
    """By a Ray cluster, whose nodes have portraitist installed; Ray itself does again what a killed worker was at."""
    with cluster(crew.ray) as ray:
        task = ray.remote(max_retries=TRIES)(tried)
        ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        waiting: deque[tuple[T, Any]] = deque()
        more = True
        while more or waiting:
            while more and len(waiting) < ahead:
                try:
                    item = next(items)
                except StopIteration:
                    more = False
                    break
                waiting.append((item, task.remote(work, item)))
            if waiting:
                item, reference = waiting.popleft()
                yield answer(ray, item, reference)


def answer(ray: Any, item: Any, reference: Any) -> Any:
    """A task's result; a worker that was killed too often is an error of its item."""
    try:
        return ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError) as error:
        return PortraitistError(
            f"The worker that was at {named(item)} was killed {TRIES + 1} times: {type(error).__name__}",
            "It may take more memory than there is: look at that file, or leave it out.",
        )


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """A connection to a Ray cluster ("local" starts one here); one that was there already is left as it is."""
    try:
        import ray
    except ImportError as error:
        raise PortraitistError(
            "A Ray cluster is asked for, and Ray is not installed", "pip install 'portraitist[ray]'"
        ) from error
    if ray.is_initialized():
        yield ray
        return
    reached(address)
    try:
        ray.init(
            address=None if address == "local" else address,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise nowhere(address, error) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def reached(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise nowhere(address, error) from error


def nowhere(address: str, error: Exception) -> PortraitistError:
    """The refusal of a cluster that does not answer."""
    return PortraitistError(
        f"There is no Ray cluster at {address}: {str(error).splitlines()[0][:160]}",
        "Start one with `ray start --head`, or use this machine alone.",
    )
