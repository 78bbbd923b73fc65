"""The configurations that publishers published, by family and part: sizes alone, no weights. Loads no torch."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def config(family: str, part: str) -> dict[str, Any]:
    """What config.json of a part says; parts are named as folders of a base are."""
    found: dict[str, Any] = json.loads((FOLDER / family / f"{part}.json").read_text(encoding="utf-8"))
    return found
