"""How long does each part of the job take on this machine, and how much memory does it hold?

`make bench` runs the drawn example through encode, train and evaluate, each in a process of its own, three times, and
says the medians. Times are read from the events, so that loading is not counted as work.
"""

import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from portraitist import children
from portraitist.children import Child, Peak
from portraitist.events import Event, Stepped
from portraitist.project import Project
from portraitist.verbs.add import add
from portraitist.verbs.audit import audit
from portraitist.verbs.new import new

EXAMPLE = Path(__file__).parent.parent / "examples" / "zorblax"
TIMES = 3
SET = ("stages.0.steps=20", "training.save_every=20", "judging.cells=1", "judging.seeds=1", "judging.screen=4")


def measured(verb: str, project: Project) -> dict[str, float]:
    """Seconds of one verb, peak GB of its process, and for a training the median seconds of a step."""
    words = [word for change in SET for word in ("--set", change)]
    seen: list[Event] = []
    began = time.monotonic()
    with Peak(every=0.2) as peak, Child(verb, project.folder, words) as child:
        while child.running():
            seen += child.events()
            children.beat()
        seen += child.events()
        child.result()
    found = {"seconds": time.monotonic() - began, "peak_gb": peak.gb}
    steps = [event.seconds for event in seen if isinstance(event, Stepped)][2:]
    return found | ({"step_seconds": statistics.median(steps)} if steps else {})


def once() -> dict[str, dict[str, float]]:
    """The measures of every verb on a fresh project."""
    from portraitist import recipe

    with tempfile.TemporaryDirectory() as folder:
        project = new(Path(folder) / "zorblax", trigger="zorblax", subject="fictional", noun="cartoon character")
        add(project, [EXAMPLE])
        audit(project, recipe.load(project.recipe))
        return {verb: measured(verb, project) for verb in ("encode", "train", "evaluate")}


def main() -> None:
    """Measure, and write one line of JSON per verb."""
    runs = [once() for _ in range(TIMES)]
    machine = {"cores": children.cores(), "machine": platform.machine(), "python": platform.python_version()}
    sys.stdout.write(json.dumps(machine) + "\n")
    for verb in runs[0]:
        values: dict[str, Any] = {
            name: round(statistics.median(run[verb][name] for run in runs), 3) for name in runs[0][verb]
        }
        sys.stdout.write(json.dumps({"verb": verb, "times": TIMES, **values}) + "\n")


if __name__ == "__main__":
    main()
