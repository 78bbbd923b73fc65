"""One `portraitist` command as a child process: its events while it works, its answer at the end.

The command has its own interpreter, named by the environment variable PORTRAITIST (a Python that has portraitist, or
the command itself) or else found on PATH. Nothing is installed, and no workflow can say what is run.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

PLACE = "PORTRAITIST"
"""The environment variable that says where portraitist is."""

BEAT = 0.2  # seconds between two looks at the child
GRACE = 150.0  # seconds it has to save once it was asked to stop; it gives its own children 120

Event = Mapping[str, Any]


class PortraitistError(Exception):
    """What a person can act on: the command's own problem and remedy, a line each."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem, self.remedy = problem, remedy


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what ComfyUI says there of its own allocator, which would be the child's as well."""
    found = dict(environment)
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        words = [word for word in found.pop(name, "").split(",") if word and word != "backend:cudaMallocAsync"]
        found |= {name: ",".join(words)} if words else {}
    return found


def command(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The words that start portraitist. Raises PortraitistError where it is not found."""
    said = environment.get(PLACE, "").strip()
    if not said:
        found = shutil.which("portraitist", path=environment.get("PATH"))
        if found is None:
            raise PortraitistError(
                "portraitist is not on this machine, or ComfyUI cannot find it",
                f"Install it into an environment of its own, and start ComfyUI with {PLACE}=/that/bin/portraitist.",
            )
        return [found]
    path = shutil.which(said, path=environment.get("PATH"))
    if path is None:
        raise PortraitistError(
            f"{PLACE} names {said}, which is no program", "Name a Python that has portraitist, or its command."
        )
    return [path, "-m", "portraitist"] if Path(path).name.startswith("python") else [path]


class Child:
    """One command at work. Leaving its context ends it: it saves what it can, and no process stays behind.

    It stops by itself when this process is gone.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
        start = command(environment)
        self.verb = words[0]
        self.scratch = Path(tempfile.mkdtemp(prefix="portraitist-node-"))
        self.log, self.offset = self.scratch / "events.jsonl", 0
        own = {"PORTRAITIST_PARENT": str(os.getpid()), "PORTRAITIST_EVENTS": str(self.log)}
        with (self.scratch / "answer").open("wb") as answer, (self.scratch / "errors").open("wb") as errors:
            try:
                self.process = subprocess.Popen(
                    [*start, *words, "--json"],
                    stdin=subprocess.DEVNULL,
                    stdout=answer,
                    stderr=errors,
                    env={**kept(environment), **own},
                    start_new_session=True,
                )
            except OSError as error:
                shutil.rmtree(self.scratch)
                raise PortraitistError(
                    f"{start[0]} cannot be started: {error.strerror}", f"See where {PLACE} points."
                ) from error

    def __enter__(self) -> "Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def events(self) -> Iterator[Event]:
        """What it has told since the last call, in the order of telling; a torn last line is left for later."""
        if not self.log.is_file():
            return
        with self.log.open("rb") as file:
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.offset += len(line)
                event = parsed(line)
                if event is not None and isinstance(event.get("kind"), str):
                    yield event

    def answer(self) -> dict[str, Any]:
        """What it answered, once it has ended. Findings that block are an answer, with `blocked` true.

        One value that is no table, such as the path of a file, comes as {"said": value}.

        Raises PortraitistError with its own problem and remedy, or with its last words.
        """
        code = self.process.wait()
        lines = (self.scratch / "answer").read_bytes().strip().splitlines()
        values = parsed(lines[-1]) if lines else None
        if code in (0, 1) and lines and values is None:
            values = parsed(b'{"said": ' + lines[-1] + b"}")
        if code in (0, 1) and values is not None and "problem" not in values:
            return values
        if values is not None and "problem" in values:
            raise PortraitistError(str(values["problem"]), str(values.get("remedy", "")))
        if values is not None and values.get("interrupted"):
            raise PortraitistError(
                str(values.get("says") or f"{self.verb} was stopped"), "Queue the prompt again to go on."
            )
        if code == -signal.SIGKILL:
            raise PortraitistError(
                f"{self.verb} was killed from outside, most likely for want of memory",
                "Queue the prompt again to go on.",
            )
        last = (self.scratch / "errors").read_bytes().decode("utf-8", errors="replace").strip().splitlines()[-1:]
        why = f": {last[0]}" if last else ""
        raise PortraitistError(
            f"{self.verb} ended with code {code}{why}", f"See where {PLACE} points, then queue again."
        )


def ask(
    words: Sequence[str],
    hear: Callable[[Sequence[Event]], None] = lambda events: None,
    heed: Callable[[], None] = lambda: None,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """Run one command to its end; returns its answer.

    hear  is handed the events since the last look, at most five times a second
    heed  is called as often; what it raises ends the child - which saves first - and goes on to the caller
    """
    with Child(words, environment) as child:
        while child.running():
            if told := list(child.events()):
                hear(told)
            heed()
            time.sleep(BEAT)
        if told := list(child.events()):
            hear(told)
        return child.answer()


def parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, None where it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
