"""Signals as a question that long work asks between two steps: shall I stop?"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from portraitist.errors import Interrupted

Stop = Callable[[], bool]

PARENT = "PORTRAITIST_PARENT"
"""Names the process id of the `run` that started this one: when it is gone, this one stops too."""

EVENTS = "PORTRAITIST_EVENTS"
"""Names the file in which the `run` that started this one reads its events."""


def never() -> bool:
    """The stop of someone who cannot be asked to."""
    return False


@contextmanager
def stopping(*, patient: bool = True, silent: bool = False) -> Iterator[Stop]:
    """While inside, the first SIGINT or SIGTERM makes `stop()` true, and a second SIGINT ends the process at once.

    patient  the work asks `stop` and saves; other work is interrupted where it stands, by raising Interrupted
    silent   says nothing on standard error
    """
    asked = 0
    parent = int(os.environ.get(PARENT, "0"))

    def heard(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked += 1
        if asked > 1 and number == signal.SIGINT:
            os.write(2, b"\x1b[?25h\n" if sys.stderr.isatty() else b"")  # a progress bar may have hidden the cursor
            os._exit(130)
        if not patient:
            raise Interrupted
        if asked == 1 and not silent:
            os.write(2, b"Stopping: saving first. Ctrl-C once more stops at once.\n")

    def stop() -> bool:
        return asked > 0 or (parent > 0 and os.getppid() != parent)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
