"""Pieces of work that other processes can find: functions at the top of a module that they can import."""

import os
import signal
from pathlib import Path

from portraitist.errors import PortraitistError


def square(number):
    """Its square; five is refused."""
    if number == 5:
        raise PortraitistError("five cannot be squared", "Take another.")
    return number * number


def dies_once(item):
    """Its number; the first process that is at number seven is killed."""
    number, mark = item
    if number == 7 and not Path(mark).exists():
        Path(mark).write_text("killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def dies_always(number):
    """Its number; whoever is at seven is killed."""
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
