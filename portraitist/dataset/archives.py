"""Zip and tar archives of pictures, unpacked into a hidden folder of our own that is gone afterwards.

What is in an archive is a stranger's word. No name leads out of the folder, because files are written under names that
are made here; links and devices are passed over; sizes are counted as bytes come, whatever a header claims.
"""

import bz2
import contextlib
import errno
import gzip
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from portraitist import durable
from portraitist.dataset import captions
from portraitist.dataset.metadata import NAMES
from portraitist.dataset.naming import printable, safe_name
from portraitist.errors import PortraitistError
from portraitist.pictures import SUFFIXES as PICTURES

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")
UNREAD = (".7z", ".rar", ".zst", ".gz", ".bz2", ".xz")
"""Archives that people have and that are not read here, or hold one file."""

DEEPEST = 16
"""Parts of a member's name: deeper ones could be longer than a path may be."""

WANTED = PICTURES | set(captions.SUFFIXES)
PIECE = 1 << 20
LONGEST_HEADER = 4 << 20
"""Bytes of one read while a tar's headers are parsed: a long name takes a few thousand."""

DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, KeyError, IndexError,
    OverflowError, MemoryError, NotImplementedError, RuntimeError, struct.error, AttributeError, TypeError,
)  # fmt: skip
"""What the libraries raise on bytes that are no archive; OSError comes beside it, for bz2 and gzip."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What an archive may hold.

    members  entries of any kind
    member   bytes of one, unpacked; total: of all
    ratio    times as much unpacked as packed, once more than `spare` bytes are unpacked: pictures hardly shrink
    """

    members: int = 100_000
    member: int = 1 << 29
    total: int = 1 << 36
    ratio: int = 100
    spare: int = 1 << 28


USUAL = Quotas()


class Passed(NamedTuple):
    """A member that is not taken: its name, why, and what to do."""

    name: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Where an archive's pictures and captions lie for now, the member that each is, and what was passed over."""

    folder: Path
    members: dict[Path, str] = field(default_factory=dict)
    passed: list[Passed] = field(default_factory=list)


class Member(NamedTuple):
    """One entry of an archive: its name, bytes as claimed, why it is no file to take ("" if it is), its content."""

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a path is a regular file with an archive's suffix that is read here."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


@contextlib.contextmanager
def unpacked(path: Path, home: Path, quotas: Quotas = USUAL) -> Iterator[Unpacked]:
    """The pictures, captions and lists of an archive, in a hidden folder below `home` that is gone afterwards.

    Raises PortraitistError for what is no archive, is damaged or encrypted, or holds more than the quotas allow; each
    is refused whole, so that nothing of it is taken. A single member of a zip that cannot be read is passed over.
    """
    with durable.scratch(home) as folder:
        found = Unpacked(folder)
        shelf = Shelf(path, found, quotas, max(1, size_of(path)))
        try:
            with path.open("rb") as file:
                start = file.read(6)
                file.seek(0)
                members = zipped(path, file, quotas) if start.startswith(b"PK") else tarred(file, start)
                for member in members:
                    shelf.put(member)
        except (OSError, *DAMAGE) as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # a place before the beginning
                raise durable.refusal(error, path, "read") from error
            raise PortraitistError(
                f"{path} cannot be read as an archive: {str(error).splitlines()[0][:120] if str(error) else 'damaged'}"
                f" (after {shelf.count} members)",
                "Copy or download it again, or unpack it yourself and add the folder.",
            ) from error
        yield found


def size_of(path: Path) -> int:
    """Bytes of a file. Raises PortraitistError when it cannot be looked at."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise durable.refusal(error, path, "read") from error


class Shelf:
    """Puts members into a folder, counting against the quotas."""

    def __init__(self, path: Path, found: Unpacked, quotas: Quotas, packed: int) -> None:
        self.path, self.found, self.quotas, self.packed = path, found, quotas, packed
        self.count = self.bytes = 0
        self.names: dict[tuple[Path, str, str], str] = {}
        self.used: set[tuple[Path, str, str]] = set()
        self.numbers: dict[tuple[Path, str, str], int] = {}
        self.free = durable.room(found.folder)

    def put(self, member: Member) -> None:
        """Write one member, or pass it over with the reason. Raises PortraitistError at a quota."""
        quotas, name = self.quotas, printable(member.name)
        self.count += 1
        if self.count > quotas.members:
            raise self.too_much(f"more than {quotas.members:,} members")
        if member.size > quotas.member:
            raise self.too_much(f"{name} with {member.size:,} bytes; at most {quotas.member:,} are unpacked")
        self.weigh(member.size)
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if (
            member.kind == "folder"
            or not parts
            or any(p.startswith(".") or p == "__MACOSX" for p in parts if p != "..")
        ):
            self.bytes += member.size
            return
        if ".." in parts or member.name.startswith("/") or re.match(r"[A-Za-z]:[/\\]", member.name):
            self.passed(name, "leads out of the archive", "Nothing to do, unless you trust it: unpack it yourself.")
        elif member.kind:
            self.passed(name, f"is {member.kind}", "Put the file itself into the archive, if you need it.")
        elif len(parts) > DEEPEST:
            self.passed(name, f"lies more than {DEEPEST} folders deep", "Pack the folder itself that you mean.")
        elif PurePosixPath(parts[-1]).suffix.lower() in WANTED or parts[-1] in NAMES:
            self.write(member, name, self.place(parts))
            return
        self.bytes += member.size

    def place(self, parts: list[str]) -> Path:
        """A path of its own below the folder: names made safe, equal only where the archive's are.

        Files of one stem keep one stem, because a caption belongs to its picture by that.
        """
        folder = self.found.folder
        for part in parts[:-1]:
            wanted = PurePosixPath(part).suffix.lower() in WANTED or part in NAMES  # a folder named as a file beside it
            folder = folder / self.own(folder, f"{part}_" if wanted else part, "folder")
        last = PurePosixPath(parts[-1])
        if parts[-1] in NAMES:
            return folder / parts[-1]
        return folder / f"{self.own(folder, last.stem, 'file')}{last.suffix.lower()}"

    def own(self, folder: Path, name: str, kind: str) -> str:
        """The safe name that a name of the archive has in a folder, the same each time and no other's of its kind."""
        if (folder, name, kind) not in self.names:
            safe = made = safe_name(name)
            while (folder, made.casefold(), kind) in self.used:
                number = self.numbers.get((folder, safe.casefold(), kind), 1) + 1
                self.numbers[(folder, safe.casefold(), kind)] = number
                made = f"{safe}-{number}"
            self.used.add((folder, made.casefold(), kind))
            self.names[(folder, name, kind)] = made
        return self.names[(folder, name, kind)]

    def write(self, member: Member, name: str, target: Path) -> None:
        """Copy a member's bytes, counted as they come."""
        if target.exists():
            self.passed(name, "comes twice in the archive; the first is taken", "Rename one of them.")
            self.bytes += member.size
            return
        try:
            with member.open() as content:
                durable.spill(target, self.pieces(content, name))
        except (OSError, *DAMAGE) as error:
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise
            durable.remove(target)
            self.passed(name, f"cannot be unpacked: {str(error)[:100] or 'damaged'}", "Copy or download it again.")
            return
        self.found.members[target] = name

    def pieces(self, content: IO[bytes], name: str) -> Iterator[bytes]:
        """The bytes of a member, within the quotas."""
        size = 0
        while piece := content.read(PIECE):
            size += len(piece)
            self.weigh(len(piece))
            self.bytes += len(piece)
            if size > self.quotas.member:
                raise self.too_much(f"{name} with more than {self.quotas.member:,} bytes")
            yield piece

    def weigh(self, more: int) -> None:
        """Refuse so many more bytes, where they pass what an archive may hold or this disk."""
        total, quotas = self.bytes + more, self.quotas
        if total > quotas.total:
            raise self.too_much(f"more than {quotas.total:,} bytes")
        if total > quotas.spare and total > quotas.ratio * self.packed:
            raise self.too_much(f"more than {quotas.ratio} times its own {self.packed:,} bytes")
        if total > self.free:
            raise PortraitistError(
                f"{self.path} holds more than the {self.free:,} bytes that are free on this disk",
                "Free some space, or unpack it on another disk and add the folder.",
            )

    def passed(self, name: str, why: str, remedy: str) -> None:
        """Keep what is told of a member that is not taken."""
        self.found.passed.append(Passed(name, f"{self.path.name}: {name} {why}", remedy))

    def too_much(self, what: str) -> PortraitistError:
        """The refusal at a quota, with its number."""
        return PortraitistError(
            f"{self.path} holds {what}", "If you trust it, unpack it yourself and add the folder that comes of it."
        )


def zipped(path: Path, file: IO[bytes], quotas: Quotas) -> Iterator[Member]:
    """The members of a zip. Raises PortraitistError when it is encrypted, or its list too long to be read."""
    file.seek(0, 2)
    size = file.tell()
    file.seek(max(0, size - (1 << 16) - 22))
    end = file.read()
    place = end.rfind(b"PK\5\6")
    listed = struct.unpack("<I", end[place + 12 : place + 16])[0] if 0 <= place <= len(end) - 22 else 0
    listed = size if listed == 0xFFFFFFFF else listed  # zip64 says it elsewhere; no more than all of it is the list
    if min(listed, size) > quotas.members * 512:
        raise PortraitistError(
            f"{path} lists more than {quotas.members:,} members",
            "If you trust it, unpack it yourself and add the folder that comes of it.",
        )
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if any(info.flag_bits & 0x2041 for info in members):
            raise PortraitistError(f"{path} is encrypted", "Unpack it yourself with its password and add the folder.")
        for info in members:
            mode = info.external_attr >> 16 if info.create_system == 3 else 0
            kind = "folder" if info.is_dir() else unusual(mode & 0o170000)
            name = info.filename.replace("\\", "/")
            yield Member(name, info.file_size, kind, partial(archive.open, info))


def unusual(mode: int) -> str:
    """What kind of file a mode of Unix says, unless it is a regular one or says nothing."""
    kinds = {0o120000: "a link", 0o040000: "folder"}
    return "" if mode in (0, 0o100000) else kinds.get(mode, "a device")


class Small:
    """A stream that gives no more at once than a tar's header needs: a header may claim a name of many gigabytes."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; more than a header has is refused."""
        if not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self.stream.read(size)  # type: ignore[no-any-return]

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place; in a compressed stream by reading on."""
        return self.stream.seek(place, whence)  # type: ignore[no-any-return]

    def tell(self) -> int:
        """The place in the unpacked stream."""
        return self.stream.tell()  # type: ignore[no-any-return]


def content_of(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    """A regular member's content."""
    content = archive.extractfile(info)
    if content is None:
        raise tarfile.ReadError("it is no regular file")
    return content


def tarred(file: IO[bytes], start: bytes) -> Iterator[Member]:
    """The members of a tar, plain or compressed, one after the other."""
    stream: Any = file
    if start.startswith(b"\x1f\x8b"):
        stream = gzip.GzipFile(fileobj=file)
    elif start.startswith(b"BZh"):
        stream = bz2.BZ2File(file)
    elif start.startswith(b"\xfd7zXZ"):
        stream = lzma.LZMAFile(file)  # noqa: SIM115
    small: Any = Small(stream)
    with tarfile.TarFile(fileobj=small, mode="r", encoding="utf-8", errors="surrogateescape") as archive:
        while (info := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # not kept: there may be very many
            kind = "folder" if info.isdir() else "a link" if info.issym() or info.islnk() else ""
            kind = kind or ("" if info.isfile() and not info.issparse() else "a device")
            yield Member(info.name, max(0, info.size), kind, partial(content_of, archive, info))
        stream.seek(archive.offset)  # tarfile stops at a damaged header as it does at the mark of the end: zeros
        if stream.read(tarfile.BLOCKSIZE).strip(b"\0") or stream.tell() == archive.offset:
            raise tarfile.ReadError("it breaks off, or a header is damaged")
