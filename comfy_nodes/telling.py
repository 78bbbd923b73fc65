"""Events of a command as a node shows them: a bar, a line of words, and the newest picture that was drawn."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .child import Event

DOES = {
    "add": "taking in pictures",
    "audit": "looking at pictures",
    "caption": "captioning",
    "sheet": "cutting the sheet",
    "fetch": "downloading the base",
    "encode": "encoding",
    "train": "training",
    "evaluate": "judging",
    "choose": "choosing",
    "export": "exporting",
    "report": "writing the report",
}


@dataclass(slots=True)
class Bar:
    """How far one verb has come: units done of a total (0: unknown), and its last words."""

    total: int = 0
    done: int = 0
    first: int = 0
    began: float = field(default_factory=time.monotonic)
    says: str = ""


@dataclass(slots=True)
class Course:
    """What a command has told so far. Where two verbs are at work at once, training has the bar.

    runs      the folder of the project's runs, which pictures are found by
    picture   the newest that was drawn and not shown yet
    warnings  what a person should know, as it was told
    """

    runs: Path | None = None
    bars: dict[str, Bar] = field(default_factory=dict)
    verb: str = ""
    run: str = ""
    judged: str = ""
    picture: Path | None = None
    warnings: list[str] = field(default_factory=list)

    def hear(self, events: Iterable[Event]) -> None:
        """Take in what was told."""
        for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Take in one event; kinds that are not known are passed over."""
        match event["kind"]:
            case "started":
                self.begin(event)
            case "measured" | "captioned" | "read" | "encoded" | "fetched":
                bar = self.bar("fetch" if event["kind"] == "fetched" else self.verb)
                bar.done, bar.total = int(event.get("done", 0)), int(event.get("total", 0)) or bar.total
            case "stepped":
                bar = self.bar("train")
                bar.done, bar.says = int(event["step"]), f"loss {float(event['loss']):.4f}"
            case "rendered":
                self.bar("evaluate").done += int(event["pictures"])
                self.picture = self.newest(str(event.get("path", ""))) or self.picture
            case "scored":
                likeness = event.get("scores", {}).get("likeness")
                if likeness is not None and event["step"]:
                    where = f"step {event['step']} at {float(event['strength']):g}"
                    self.judged = f"{where}: likeness {float(likeness):.2f}"
            case "warned":
                self.warnings.append(" ".join(f"{event['says']} {event.get('remedy', '')}".split()))
            case "finished" if event.get("verb") == "train" and "evaluate" in self.bars:
                self.verb = "evaluate"

    def begin(self, event: Event) -> None:
        """Take in that a verb began."""
        verb = str(event.get("verb", ""))
        done = int(event.get("done", 0))
        self.bars[verb] = Bar(int(event.get("total", 0)), done, done)
        self.run = str(event.get("facts", {}).get("run", "")) or self.run
        if not (verb == "evaluate" and self.verb == "train"):
            self.verb = verb

    def bar(self, verb: str) -> Bar:
        """The bar of a verb, made when it is first told of."""
        return self.bars.setdefault(verb, Bar())

    def newest(self, path: str) -> Path | None:
        """The picture drawn last in a folder of the run."""
        folder = self.runs / self.run / path if self.runs and self.run and path else None
        if folder is None or not folder.is_dir():
            return None
        found = [(file.stat().st_mtime_ns, file) for file in folder.glob("*.png")]
        return max(found)[1] if found else None

    def shown(self) -> Path | None:
        """The picture to show now, once."""
        picture, self.picture = self.picture, None
        return picture

    def place(self) -> tuple[int, int]:
        """How far the verb at work has come: units done, of so many; (0, 1) where that is not known."""
        bar = self.bars.get(self.verb, Bar())
        return (min(bar.done, bar.total), bar.total) if bar.total else (0, 1)

    def line(self) -> str:
        """Where it stands, in words: what is done, how far, at what rate, how long still, what was judged last."""
        bar = self.bars.get(self.verb)
        if bar is None:
            return "starting"
        count = (f"{bar.done} of {bar.total}" if bar.total else str(bar.done)) if bar.done or bar.total else ""
        parts = [" ".join([DOES.get(self.verb, self.verb), count]).strip(), *([bar.says] if bar.says else [])]
        seconds, units = time.monotonic() - bar.began, bar.done - bar.first
        if seconds > 1 and units > 0:
            each = seconds / units
            parts.append(f"{1 / each:.1f}/s" if each <= 1 else f"{each:.1f} s each")
            left = (bar.total - bar.done) * each
            parts += [clock(left) + " left"] if bar.total and left >= 1 else []
        return ", ".join(parts) + (f"; {self.judged}" if self.judged else "")


def clock(seconds: float) -> str:
    """A time as people say it."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"
