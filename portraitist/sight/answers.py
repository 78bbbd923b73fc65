"""What models said of pictures, kept by content: asked again, they are not asked again."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.errors import PortraitistError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers in a folder, one file each; all derived, so that a damaged one is only absent.

    folder  of these answers
    asked   what decides an answer beside the picture: the model's digest or name, and the digest of the question
    """

    folder: Path
    asked: tuple[str, ...]

    def path(self, picture: str) -> Path:
        """The file of the answer about a picture, by its digest."""
        return self.folder / f"{hashlib.sha256(json.dumps([picture, *self.asked]).encode()).hexdigest()}.json"

    def known(self, picture: str) -> dict[str, Any] | None:
        """The answer about a picture, None where there is none."""
        path = self.path(picture)
        if not path.is_file():
            return None
        try:
            value = durable.read_json(path)
        except (PortraitistError, RecursionError):
            return None
        whole = isinstance(value, dict) and value.get("format") == FORMAT and isinstance(value.get("answer"), dict)
        return value["answer"] if whole else None

    def keep(self, picture: str, answer: dict[str, Any]) -> None:
        """Remember the answer about a picture."""
        durable.write_json(self.path(picture), {"format": FORMAT, "answer": answer})
