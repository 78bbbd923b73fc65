"""Pictures that were generated from a reference: who draws them, and the record of every one that was drawn."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from portraitist import durable
from portraitist.dataset.naming import safe_name
from portraitist.project import Project

FORMAT = 1
SET = "generated"
Outcome = Literal["kept", "rejected", "unusable"]


class Painter(Protocol):
    """Draws pictures of the character of a reference."""

    @property
    def name(self) -> str:
        """Of the service, as in the record."""
        ...

    @property
    def model(self) -> str:
        """What draws: the digest of a base or of a workflow, or a service's name for it."""
        ...

    def prepare(self, prompts: list[str]) -> None:
        """Get ready for these, before the first is drawn; what cannot work is refused here."""
        ...

    def draw(self, prompt: str, seed: int) -> bytes:
        """The bytes of one picture's file."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """One picture to be drawn: its combination, its prompt and its caption; `key` names it for good."""

    key: str
    combination: Mapping[str, str]
    prompt: str
    caption: str

    @property
    def stem(self) -> str:
        """Of its file: the framing, the view, and eight signs of the key."""
        words = "-".join((self.combination["framing"], self.combination["view"]))
        return f"{safe_name(words).replace(' ', '-')[:60]}-{self.key[:8]}"

    def seed(self, attempt: int) -> int:
        """Of an attempt, 0 to 2^31 - 1."""
        return int(hashlib.sha256(f"{self.key} {attempt}".encode()).hexdigest()[:8], 16) % 2**31


def key_of(combination: Mapping[str, str], prompt: str, reference: str, painter: tuple[str, str], seed: int) -> str:
    """SHA-256 of all that decides a picture but its attempt; `painter` is who draws and by what."""
    parts = [dict(combination), prompt, reference, list(painter), seed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Drawn:
    """One picture that was drawn, whatever became of it.

    key        of what was wanted; attempt from 0
    picture    its name below the project's folder, "" where nothing could be kept
    outcome    kept in `pictures/`; rejected, as not like the reference; unusable, as no picture or none at all
    likeness   to the reference by the eyes that looked, -1 to 1; -2 where none did
    sha256     of the file's bytes; reference: of the reference's upright pixels
    price      of this attempt
    says       why it was not kept
    """

    key: str
    attempt: int
    picture: str
    outcome: Outcome
    combination: Mapping[str, str]
    prompt: str
    seed: int
    service: str
    model: str
    reference: str
    sha256: str
    eyes: str
    likeness: float
    price: float
    at: str
    says: str = ""


def ledger(project: Project) -> Path:
    """The record of pictures that were drawn; only `generate` writes it."""
    return project.folder / "generated.jsonl"


def append(project: Project, drawn: Drawn) -> None:
    """Add one to the record; a line that a kill has torn is closed first."""
    path = ledger(project)
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        durable.append_line(path, "")
    durable.append_line(ledger(project), json.dumps({"format": FORMAT, **asdict(drawn)}, ensure_ascii=False))


def read(project: Project) -> list[Drawn]:
    """All that were drawn, oldest first. A line torn by a kill, or of a newer format, is passed over."""
    if not ledger(project).is_file():
        return []
    found = []
    for line in durable.read_text(ledger(project)).splitlines():
        try:
            value = json.loads(line)
            if value.pop("format") == FORMAT:
                found.append(Drawn(**value))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def there(project: Project, record: Sequence[Drawn], wanted: Wanted) -> str:
    """The name of a wanted picture that was drawn and still lies there; "" without one."""
    for drawn in record:
        if drawn.key == wanted.key and drawn.outcome == "kept" and (project.folder / drawn.picture).is_file():
            return drawn.picture
    return ""
