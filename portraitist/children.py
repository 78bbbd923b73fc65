"""Verbs in processes of their own, and the memory of all of them together."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from portraitist import durable
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Event, Log, Started
from portraitist.stopping import EVENTS, PARENT

GRACE = 120.0  # seconds a child has to save once it was asked to stop


class Child:
    """One `portraitist VERB FOLDER --json` at work: its events, its end, its result.

    It stops by itself when this process is gone, so that nothing goes on unseen.
    """

    def __init__(self, verb: str, folder: Path, arguments: Sequence[str] = ()) -> None:
        self.verb = verb
        self.scratch = Path(tempfile.mkdtemp(prefix="portraitist-"))
        self.log = Log(self.scratch / "events.jsonl")
        self.offset = 0
        self.asked = False
        self.started: Started | None = None
        self.stdout = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self.stderr = tempfile.TemporaryFile()  # noqa: SIM115
        command = [sys.executable, "-m", "portraitist", verb, str(folder.absolute()), "--json", *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self.stdout,
            stderr=self.stderr,
            env={**os.environ, PARENT: str(os.getpid()), EVENTS: str(self.log.path)},
            start_new_session=True,  # a Ctrl-C reaches us alone; we pass it on, once
        )

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave no process and no file behind."""
        if self.running():
            self.end()
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.stdout.close()
        self.stderr.close()
        durable.remove(self.scratch)

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def end(self) -> None:
        """Ask it, once, to save and stop."""
        if not self.asked and self.running():
            self.asked = True
            self.process.send_signal(signal.SIGTERM)

    def events(self) -> Iterator[Event]:
        """What it has told since the last call."""
        for event, offset in self.log.read(self.offset):
            self.offset = offset
            if isinstance(event, Started) and event.verb == self.verb:
                self.started = event
            yield event

    def interrupted(self) -> bool:
        """Whether it ended because it was asked to; one that had not begun to listen yet just went."""
        return self.process.poll() in (130, *((-signal.SIGTERM,) if self.asked else ()))

    def failed(self) -> bool:
        """Whether it ended otherwise than done."""
        return self.process.poll() not in (None, 0, 1)

    def result(self) -> dict[str, Any]:
        """Its result, once it has ended.

        Raises PortraitistError with its problem and remedy, Interrupted when it was stopped.
        """
        code = self.process.wait()
        self.stdout.seek(0)
        said = self.stdout.read().decode("utf-8", errors="replace").strip()
        values: Any = None
        with contextlib.suppress(ValueError):
            values = json.loads(said.splitlines()[-1]) if said else {}
        if self.interrupted():
            raise Interrupted
        if code in (0, 1) and isinstance(values, dict):
            return values
        if isinstance(values, dict) and "problem" in values:
            raise PortraitistError(str(values["problem"]), str(values.get("remedy", "")))
        raise self.lost(code)

    def lost(self, code: int) -> PortraitistError:
        """The complaint about a child that ended without a word of its own."""
        self.stderr.seek(0)
        last = self.stderr.read().decode("utf-8", errors="replace").strip().splitlines()[-1:]
        if code == -signal.SIGKILL:
            return PortraitistError(
                f"{self.verb} was killed from outside, most likely for want of memory",
                "Run again to go on; lower training.batch if it comes back.",
            )
        why = f": {last[0]}" if last else ""
        return PortraitistError(f"{self.verb} ended with code {code}{why}", "Run again to go on.")


class Peak:
    """Watches the largest sum of resident memory over this process and all its children, in GB (1e9 bytes).

    Pages that processes share are counted in each: the true need is at most this.
    """

    def __init__(self, every: float = 0.5) -> None:
        self.every = every
        self.gb = 0.0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> "Peak":
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self.thread.join()

    def watch(self) -> None:
        """Look every so many seconds until it is over."""
        me = psutil.Process()
        while True:
            self.gb = max(self.gb, held(me))
            if self.over.wait(self.every):
                return


def held(process: psutil.Process) -> float:
    """GB resident in a process and all below it; processes that end meanwhile count nothing."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += each.memory_info().rss
    return total / 1e9


def cores() -> int:
    """CPU cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def beat(seconds: float = 0.2) -> None:
    """The pause between two looks at the children."""
    time.sleep(seconds)
