"""The terminal's reader of events: bars with rate, time left and peak memory; plain lines without a terminal."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from portraitist.events import (
    Captioned,
    Chosen,
    Emit,
    Encoded,
    Event,
    Factored,
    Failed,
    Fetched,
    Finished,
    Measured,
    Read,
    Recovered,
    Rendered,
    Saved,
    Scored,
    Started,
    Stepped,
    Warned,
)
from portraitist.stopping import Stop, stopping

EVERY = 10.0  # seconds between two plain lines of one verb

DOES = {
    "add": "taking in pictures",
    "audit": "looking at pictures",
    "caption": "captioning",
    "fetch": "downloading the base",
    "encode": "encoding",
    "train": "training",
    "evaluate": "judging",
    "choose": "choosing",
    "advise": "advising",
    "export": "exporting",
    "publish": "packing",
    "report": "writing the report",
    "compare": "comparing runs",
    "recover": "making the recovery adapter",
    "extract": "extracting",
    "merge": "merging",
    "resize": "resizing",
    "bake": "baking",
}


@dataclass(slots=True)
class Course:
    """How far one verb has come: units done of a total (0: unknown), since when, and its last words."""

    verb: str
    total: int = 0
    done: int = 0
    first: int = 0
    began: float = field(default_factory=time.monotonic)
    says: str = ""
    memory_gb: float = 0.0
    bar: Any = None
    said: float = field(default_factory=time.monotonic)

    def begin(self, event: Started) -> None:
        """Take in that it begins; where there is a total, the first line comes at once."""
        self.total, self.done, self.first, self.began = event.total, event.done, event.done, time.monotonic()
        self.said = 0.0 if event.total else self.said

    @property
    def rate(self) -> float:
        """Units a second since this process began; 0 while there is nothing to tell."""
        seconds = time.monotonic() - self.began
        return (self.done - self.first) / seconds if seconds > 0.2 and self.done > self.first else 0.0

    @property
    def left(self) -> float:
        """Seconds to the end at this rate; 0 when unknown."""
        return (self.total - self.done) / self.rate if self.total and self.rate else 0.0

    def line(self) -> str:
        """The course in words."""
        parts = [f"{DOES.get(self.verb, self.verb)}: {self.done}" + (f" of {self.total}" if self.total else "")]
        return ", ".join(parts + self.details())

    def details(self) -> list[str]:
        """What stands beside a bar: last words, rate, time left, peak memory."""
        found = [self.says] if self.says else []
        if self.rate:
            found.append(f"{self.rate:.1f}/s" if self.rate >= 1 else f"{1 / self.rate:.1f} s each")
        if self.left >= 1:
            found.append(f"{clock(self.left)} left")
        if self.memory_gb:
            found.append(f"peak {self.memory_gb:.1f} GB")
        return found


class Progress:
    """Shows events on standard error, so that standard output holds results alone. Call it with each event."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.courses: dict[str, Course] = {}
        self.display: Any = None
        self.current = ""

    def __enter__(self) -> "Progress":
        if not self.silent and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bars

            columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[details]}"))
            self.display = Bars(*columns, console=Console(stderr=True), refresh_per_second=4, redirect_stdout=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.display is not None:
            self.display.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event and show what it changes."""
        if self.silent:
            return
        match event:
            case Warned():
                self.speak(f"Warning: {event.says.removesuffix('.')}. {event.remedy}".rstrip())
            case Failed() | Saved() | Chosen():
                pass  # told by whoever called: what stopped, and the choice; a saved checkpoint is soon judged
            case _:
                self.follow(event)

    def follow(self, event: Event) -> None:
        """Move the course of the verb that an event belongs to."""
        course = self.course(event)
        if course is None:
            return
        match event:
            case Started():
                course.begin(event)
            case Measured() | Captioned() | Encoded():
                course.done, course.total, course.says = event.done, event.total, ""
            case Read():
                course.says = f"words {event.done} of {event.total}"
                course.began = time.monotonic()  # they are not counted as pictures, and neither is their time
            case Fetched():
                course.done, course.total, course.says = event.done, event.total, f"MB of {event.name}"
            case Recovered() | Factored():
                course.done, course.total, course.says = event.done, event.total, event.what
            case Stepped():
                course.done, course.says = event.step, f"loss {event.loss:.4f}"
                course.memory_gb = max(course.memory_gb, event.memory_gb)
            case Rendered():
                course.done += event.pictures
            case Scored():
                course.says = f"step {event.step}" + scores(event.scores)
        self.draw(course, last=isinstance(event, Finished))

    def course(self, event: Event) -> Course | None:
        """The course an event belongs to, begun when it is the first of its verb."""
        match event:
            case Started() | Finished():
                verb = self.current = event.verb
            case Measured():
                verb = self.current if self.current in ("add", "audit") else "audit"
            case Captioned():
                verb = "caption"
            case Read() | Encoded():
                verb = "encode"
            case Fetched():
                verb = "fetch"
            case Recovered() | Factored():
                verb = self.current
            case Stepped():
                verb = "train"
            case Rendered() | Scored():
                verb = "evaluate"
            case _:
                return None
        if isinstance(event, Finished) and verb not in self.courses:
            return None
        return self.courses.setdefault(verb, Course(verb))

    def draw(self, course: Course, *, last: bool) -> None:
        """Show a course: its bar, or a plain line now and then."""
        if self.display is not None:
            if course.bar is None:
                self.display.start()  # with the first bar: before, a person may be asked something on the same line
                course.bar = self.display.add_task(DOES.get(course.verb, course.verb), total=None, details="")
            counted = f"{course.done}/{course.total}" if course.total else (str(course.done) if course.done else "")
            details = "  ".join([counted, *course.details()])
            self.display.update(course.bar, completed=course.done, total=course.total or None, details=details)
            if last and course.total == 0:
                self.display.update(course.bar, total=max(course.done, 1), completed=max(course.done, 1))
            return
        now = time.monotonic()
        if (last and course.done) or now - course.said >= EVERY:
            course.said = now
            self.speak(course.line())
        if last:
            self.courses.pop(course.verb, None)

    def speak(self, text: str) -> None:
        """One line of text, above the bars if there are any."""
        if self.display is not None:
            self.display.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


@contextmanager
def terminal(*, silent: bool = False, patient: bool = True) -> Iterator[tuple[Emit, Stop]]:
    """Someone to tell and a way to be stopped, for work done at a terminal: events shown, signals heard."""
    with Progress(silent=silent) as progress, stopping(patient=patient, silent=silent) as stop:
        yield progress, stop


def scores(found: dict[str, float]) -> str:
    """The measures of a scorecard that fit beside a bar."""
    known = [f" {name} {found[name]:.2f}" for name in ("identity", "agreement") if name in found]
    return "".join(known)


def clock(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
