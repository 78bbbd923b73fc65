"""How a run was last told to be judged: written by `evaluate`, read by `choose`, so that both mean the same."""

from pathlib import Path

from pydantic import ValidationError

from portraitist import durable
from portraitist.recipe import first_complaint, recorded
from portraitist.runs import RunFolder
from portraitist.sections import Judging


def path(run: RunFolder) -> Path:
    """Where they lie."""
    return run.evaluation / "judging.json"


def write(run: RunFolder, judging: Judging) -> None:
    """Keep the settings, if they are others than those kept."""
    if not path(run).is_file() or durable.read_json(path(run)) != judging.model_dump(mode="json"):
        durable.write_json(path(run), judging.model_dump(mode="json"))


def read(run: RunFolder) -> Judging:
    """The settings that `evaluate` last had; the run's own recipe's before it has run."""
    if not path(run).is_file():
        return run.recipe().judging
    try:
        return Judging.model_validate(recorded(durable.read_json(path(run)), "judging."))
    except ValidationError as error:
        raise first_complaint(error, str(path(run)), Judging) from error
