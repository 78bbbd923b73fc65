"""Watching a training from another process: by its record and its process, and never by its files."""

from dataclasses import dataclass

import psutil

from portraitist.events import Event, Failed, Finished, Started
from portraitist.runs import RunFolder

SLACK = 5.0
"""Seconds that clocks and process tables may disagree by."""


@dataclass(slots=True)
class Training:
    """The last training that a run's record tells of, or the last of another verb."""

    run: RunFolder
    verb: str = "train"
    offset: int = 0
    began: Started | None = None
    ended: bool = False

    def over(self) -> bool:
        """Whether nobody trains this run (any more): it ended, failed, was killed, or was never begun."""
        if self.run.log.size() < self.offset:  # a training that goes on after a kill takes the record back
            self.offset, self.began, self.ended = 0, None, False
        for event, offset in self.run.log.read(self.offset):
            self.offset = offset
            self.heed(event)
        return self.ended or self.began is None or not alive(self.began)

    def heed(self, event: Event) -> None:
        """Take one event in."""
        if isinstance(event, Started) and event.verb == self.verb:
            self.began, self.ended = event, False
        elif isinstance(event, Finished | Failed) and event.verb == self.verb:
            self.ended = True


def alive(began: Started) -> bool:
    """Whether the process that told of its start still runs; another that was given its number later does not count."""
    try:
        process = psutil.Process(began.pid)
        return bool(process.create_time() <= began.at + SLACK and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
