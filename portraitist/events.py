"""The event types, and the log that is a run's only record.

One JSON line an event, written in one append; readers keep a byte offset. The terminal's progress, TensorBoard
files, the report and any page are readers of this file and of nothing else.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from portraitist import durable


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact about a run. `at` is seconds since the epoch."""

    kind: ClassVar[str] = "event"
    at: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A verb began: how many units it will do (0: unknown), the process and its boot."""

    kind: ClassVar[str] = "started"
    verb: str
    total: int = 0
    done: int = 0
    pid: int = field(default_factory=os.getpid)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Event):
    """One picture was measured."""

    kind: ClassVar[str] = "measured"
    picture: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Captioned(Event):
    """One caption was written."""

    kind: ClassVar[str] = "captioned"
    picture: str
    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Event):
    """The words of one crop that the cache lacks were read: so many of those whose words are to be read."""

    kind: ClassVar[str] = "read"
    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded(Event):
    """One crop of a picture is in the cache, or was found there: so many of all."""

    kind: ClassVar[str] = "encoded"
    name: str
    cached: bool
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Event):
    """More of a base that the cache lacked has come from the Hub; megabytes."""

    kind: ClassVar[str] = "fetched"
    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered(Event):
    """So much of a recovery adapter is done: of the samples shown to the base, of its layers, or of training steps."""

    kind: ClassVar[str] = "recovered"
    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Factored(Event):
    """One parameter of a model that a LoRA is taken out of, or of an adapter that is made anew, is done."""

    kind: ClassVar[str] = "factored"
    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stepped(Event):
    """One optimiser step: mean loss of its pictures, gradient norm before clipping, rate, seconds, peak memory."""

    kind: ClassVar[str] = "stepped"
    step: int
    loss: float
    gradient: float
    rate: float
    seconds: float
    memory_gb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflowed(Event):
    """A float16 gradient overflowed: the step was not taken, and is done again at the loss scale named here."""

    kind: ClassVar[str] = "overflowed"
    step: int
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Event):
    """A checkpoint is on disk, whole."""

    kind: ClassVar[str] = "saved"
    step: int
    path: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered(Event):
    """Pictures of a checkpoint were drawn: step 0 is the base."""

    kind: ClassVar[str] = "rendered"
    step: int
    strength: float
    pictures: int
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Event):
    """A checkpoint at a strength has a scorecard; `scores` holds the means by measure.

    guidance  that it was drawn with, 0 for the grid's own; beside: the second LoRA and its strength, as in scorecards
    """

    kind: ClassVar[str] = "scored"
    step: int
    strength: float
    stage: str
    scores: dict[str, float]
    guidance: float = 0.0
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen(Event):
    """The choice, and why in words."""

    kind: ClassVar[str] = "chosen"
    step: int
    strength: float
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """Something a person should know and need not stop for."""

    kind: ClassVar[str] = "warned"
    says: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """A verb stopped: problem and remedy as the terminal shows them."""

    kind: ClassVar[str] = "failed"
    verb: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """A verb ended; `interrupted` when it saved and stopped early because it was asked to."""

    kind: ClassVar[str] = "finished"
    verb: str
    seconds: float
    interrupted: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]

KINDS: dict[str, type[Event]] = {
    kind.kind: kind
    for kind in (
        Started,
        Measured,
        Captioned,
        Read,
        Encoded,
        Fetched,
        Recovered,
        Factored,
        Stepped,
        Overflowed,
        Saved,
        Rendered,
        Scored,
        Chosen,
        Warned,
        Failed,
        Finished,
    )
}


def ignore(event: Event) -> None:
    """The emit of someone who does not listen."""


def to_line(event: Event) -> str:
    """One JSON line of an event."""
    return json.dumps({"kind": event.kind, **asdict(event)}, ensure_ascii=False)


def from_line(line: str) -> Event | None:
    """The event of a line; None for a torn or unknown one (a newer version may write kinds we do not know)."""
    try:
        values = json.loads(line)
        kind = KINDS[values.pop("kind")]
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    known = {f.name for f in fields(kind)}
    try:
        return kind(**{k: v for k, v in values.items() if k in known})
    except TypeError:
        return None


@dataclass(frozen=True, slots=True)
class Log:
    """An append-only file of events."""

    path: Path

    def append(self, event: Event) -> None:
        """Write one event as one line."""
        durable.append_line(self.path, to_line(event))

    def size(self) -> int:
        """Bytes written so far; an offset to read from."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read(self, offset: int = 0) -> Iterator[tuple[Event, int]]:
        """Whole events from a byte offset on, each with the offset after it. A torn last line is left for later."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                event = from_line(line.decode("utf-8", errors="replace"))
                if event is not None:
                    yield event, offset

    def events(self) -> list[Event]:
        """All whole events."""
        return [event for event, _ in self.read()]
