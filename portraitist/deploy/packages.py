"""Packages: pieces with names, as a folder or one zip. Equal pieces make equal packages: nothing of when or where."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.errors import PortraitistError

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a package: its name below the package, with slashes, and its bytes, or the file that has them."""

    name: str
    held: bytes | Path

    @property
    def size(self) -> int:
        """Bytes."""
        return self.held.stat().st_size if isinstance(self.held, Path) else len(self.held)

    def chunks(self) -> Iterator[bytes]:
        """Its bytes, a megabyte at a time. Raises PortraitistError when the file cannot be read."""
        if isinstance(self.held, bytes):
            yield self.held
            return
        try:
            with self.held.open("rb") as file:
                while part := file.read(CHUNK):
                    yield part
        except OSError as error:
            raise durable.refusal(error, self.held, "read") from error


def folder(place: Path, pieces: Sequence[Piece]) -> list[Path]:
    """Write a package as a folder, and once it is whole put it in place of the one that was there; returns its files.

    A file that is on the disk already is not written twice where the disk can have it under two names.
    """
    require_apart(pieces)
    fresh = place.with_name(f".{place.name}{durable.PARTIAL}")
    durable.remove(fresh)
    try:
        for piece in pieces:
            if isinstance(piece.held, Path):
                durable.keep(piece.held, fresh / piece.name)
            else:
                durable.write_bytes(fresh / piece.name, piece.held)
        durable.replace_folder(fresh, place)
    finally:
        durable.remove(fresh)
    return [place / piece.name for piece in pieces]


def archive(path: Path, pieces: Sequence[Piece]) -> None:
    """Write a package as a zip, stored: what is in it does not get smaller. Whole or not at all."""
    require_apart(pieces)
    durable.write_stream(path, zipped(pieces))


def require_apart(pieces: Iterable[Piece]) -> None:
    """Refuse two pieces of one name, as file systems that do not tell capitals apart would see them."""
    seen: set[str] = set()
    for piece in pieces:
        if piece.name.casefold() in seen:
            raise PortraitistError(f"Two files of the package would be called {piece.name}", "Show one of them.")
        seen.add(piece.name.casefold())


class Stream:
    """Where a zip is written to that is read while it grows."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take bytes."""
        self.held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""

    def taken(self) -> bytes:
        """What has come since the last time."""
        data, self.held = b"".join(self.held), []
        return data


def zipped(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """The bytes of a zip with these pieces in their order, each dated as early as a zip can."""
    stream = Stream()
    with zipfile.ZipFile(stream, "w") as file:  # type: ignore[call-overload]
        for piece in pieces:
            about = zipfile.ZipInfo(piece.name, (1980, 1, 1, 0, 0, 0))
            about.external_attr = 0o644 << 16
            with file.open(about, "w", force_zip64=piece.size >= 1 << 31) as inside:
                for part in piece.chunks():
                    inside.write(part)
                    yield stream.taken()
    yield stream.taken()
