"""The command line: reads words, calls one verb, shows what came of it. No arithmetic, no torch.

Exit codes: 0 done, 1 findings that block, 2 a problem a person can mend, 70 a bug of ours, 130 stopped when asked to.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cyclopts import CycloptsError

from portraitist import replies
from portraitist.cli import advising, dataset, files, foreign, judging, making, publishing, rights, training, workshop
from portraitist.cli.words import Work, app
from portraitist.errors import Interrupted, PortraitistError

__all__ = [
    "advising", "app", "dataset", "files", "foreign", "judging", "main", "making", "obey", "publishing", "rights",
    "training", "workshop",
]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Obey one command line and leave the process with its exit code."""
    try:
        code = obey(sys.argv[1:] if arguments is None else list(arguments))
    except BrokenPipeError:
        code = replies.unheard()
    sys.exit(code)


def obey(arguments: Sequence[str]) -> int:
    """Do what one command line asks; returns the exit code."""
    as_json = "--json" in arguments
    folder = Path(tempfile.gettempdir())
    try:
        replies.quiet_libraries()
        replies.grow_segments()
        command, bound, _ = app.parse_args(list(arguments), exit_on_error=False, print_error=False)
        asked = command(*bound.args, **bound.kwargs)
        if isinstance(asked, Work):  # --help and --version have spoken for themselves
            folder = asked.folder
            return replies.do(asked.start, as_json=as_json, patient=asked.patient)
        sys.stdout.flush()
        return 0
    except CycloptsError as error:
        return replies.misused(str(error), as_json=as_json)
    except PortraitistError as error:
        return replies.complain(error, as_json=as_json)
    except (Interrupted, KeyboardInterrupt) as stopped:
        return replies.interrupted(str(stopped), as_json=as_json)
    except BrokenPipeError:
        raise
    except ModuleNotFoundError as error:
        return replies.lacking(error, folder, as_json=as_json)
    except Exception as bug:  # noqa: BLE001 - the one place where a bug of ours becomes one line and a log
        return replies.confess(bug, folder, as_json=as_json)
