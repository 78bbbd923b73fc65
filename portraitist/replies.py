"""What a command answers: its result, or a complaint, and the exit code; libraries are kept silent."""

import errno
import json
import logging
import os
import platform
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from portraitist import durable, show
from portraitist.bases.permission import MAY
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Event, Finished, Log
from portraitist.progress import terminal
from portraitist.stopping import EVENTS, Stop

SILENCE = {
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads sleep: two processes share the cores while one judges
    "HF_HUB_OFFLINE": "1",  # libraries fetch nothing behind a person's back
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF")
"""Where torch looks for its allocator's settings."""

MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


def quiet_libraries() -> None:
    """Keep other people's libraries from speaking into our output; must come before they are imported."""
    if "HF_HUB_OFFLINE" not in os.environ:
        os.environ[MAY] = "1"  # it is we who keep libraries from the network: a base named in a recipe is fetched
    for name, value in SILENCE.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)


def grow_segments() -> None:
    """Let what torch holds of a card grow in place, unless a person has set its allocator.

    Else up to 1.8 GB lay there in pieces that fitted nothing (benchmarks/memory_forecast.md). Not on WSL, whose driver
    fails at it (pytorch/pytorch#192330), nor on Tegra.
    """
    for name in ALLOCATOR:
        if not os.environ.get(name, "set"):
            del os.environ[name]  # said to be nothing, as ComfyUI does, it would go before ours
    unable = "microsoft" in platform.release().lower() or Path("/etc/nv_tegra_release").exists()
    if not unable and not any(name in os.environ for name in ALLOCATOR):
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"


def do(start: Callable[[Emit, Stop], Any], *, as_json: bool, patient: bool) -> int:
    """Start a verb, show its events and its result; returns the exit code.

    patient  the verb asks its `stop` and saves before it ends; others are interrupted where they stand
    """
    early = False

    def noticing(event: Event) -> None:
        nonlocal early
        early = early or (isinstance(event, Finished) and event.interrupted)
        progress(event)
        if record is not None:
            record.append(event)

    record = Log(Path(os.environ[EVENTS])) if EVENTS in os.environ else None
    with terminal(silent=as_json, patient=patient) as (progress, stop):
        result = start(noticing, stop)
        if patient and stop() and early:
            raise Interrupted
    text = json.dumps(show.plain(result), ensure_ascii=False) if as_json else show.told(result)
    say(sys.stdout, text)
    return 1 if getattr(result, "blocked", False) else 0


def say(stream: Any, text: str) -> None:
    """Write one text and a newline, now."""
    stream.write(text + "\n")
    stream.flush()


def complain(error: PortraitistError, *, as_json: bool, code: int = 2) -> int:
    """Problem and remedy, a line each; as one JSON value on standard output for machines."""
    if as_json:
        say(sys.stdout, json.dumps({"problem": error.problem, "remedy": error.remedy}, ensure_ascii=False))
    else:
        say(sys.stderr, f"Problem: {one_line(error.problem)}\nRemedy: {one_line(error.remedy)}")
    return code


def lacking(error: ModuleNotFoundError, folder: Path, *, as_json: bool) -> int:
    """A library that is not there, as where the doctor was installed alone; a part of one, or of us, is a bug."""
    name = error.name or ""
    if "." in name or name in ("", "portraitist"):
        return confess(error, folder, as_json=as_json)
    problem = f"This command needs {name}, which is not installed here"
    remedy = "Install portraitist with all that it needs, as its README says."
    return complain(PortraitistError(problem, remedy), as_json=as_json)


def misused(complaint: str, *, as_json: bool) -> int:
    """A command line that cannot be obeyed: one line that says why."""
    text = one_line(complaint)
    if as_json:
        return complain(PortraitistError(text, "See portraitist --help."), as_json=True)
    say(sys.stderr, text if "elp" in text else f"{text} (portraitist --help)")
    return 2


def interrupted(says: str = "", *, as_json: bool) -> int:
    """Stopped because someone asked for it; `says` is how far it came."""
    if as_json:
        say(sys.stdout, json.dumps({"interrupted": True, "says": says}, ensure_ascii=False))
    else:
        say(sys.stderr, one_line(says) or "Stopped. The same command goes on from here.")
    return 130


def unheard() -> int:
    """Nobody reads our output any more: end quietly, without the interpreter's complaint at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    return 141


def confess(bug: Exception, folder: Path, *, as_json: bool) -> int:
    """A failure nobody foresaw: what a person can mend in two lines, else one line that names the log of the bug."""
    if isinstance(bug, OSError) and bug.errno in MENDABLE:
        return complain(durable.refusal(bug, Path(str(bug.filename or folder)), "use"), as_json=as_json)
    if isinstance(bug, MemoryError) or type(bug).__name__ == "OutOfMemoryError":
        remedy = "Lower training.batch or data.resolution; portraitist plan tells what a recipe needs."
        return complain(PortraitistError("Memory ran out", remedy), as_json=as_json)
    log = keep(bug, folder)
    problem = f"A bug in portraitist ({type(bug).__name__}); its traceback is in {log}"
    if as_json:
        return complain(PortraitistError(problem, f"Report it with {log}."), as_json=True, code=70)
    say(sys.stderr, problem)
    return 70


def keep(bug: Exception, folder: Path) -> Path:
    """Append a bug's traceback to `errors.log` of the project, or of the folder for temporary files."""
    import tempfile

    home = folder if (folder / "project.toml").is_file() else Path(tempfile.gettempdir())
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {' '.join(sys.argv)}\n{''.join(traceback.format_exception(bug))}"
    for place in (home, Path(tempfile.gettempdir())):
        try:
            log = place / ("errors.log" if place == folder else "portraitist-errors.log")
            durable.append_line(log, text)
            return log
        except PortraitistError:
            continue
    say(sys.stderr, text)
    return Path("/dev/stderr")


def one_line(text: str) -> str:
    """Text without line breaks."""
    return " ".join(text.split())
