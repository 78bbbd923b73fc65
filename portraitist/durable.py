"""The one way to write a file, and the one-writer lock. A house rule forbids other writes.

A write is whole or absent: the bytes go to a temporary file beside the target, are flushed to the disk, and
take the target's name in one rename; the folder is flushed too. Temporary files left by a killed process carry
a suffix of their own and are removed by `sweep`.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from portraitist.errors import PortraitistError

PARTIAL = ".partial"

REMEDIES = {
    errno.ENOSPC: "Free some space on this disk and run the same command again; nothing was half written.",
    errno.EDQUOT: "Free some of your quota and run the same command again; nothing was half written.",
    errno.EACCES: "Make the folder writable for you (chmod, chown) or choose another folder.",
    errno.EPERM: "Make the folder writable for you (chmod, chown) or choose another folder.",
    errno.EROFS: "The disk is mounted read-only: choose a folder on a writable one.",
    errno.ENAMETOOLONG: "Use a shorter name.",
    errno.ENOENT: "Correct the path.",
    errno.EISDIR: "Name a file; this is a folder.",
    errno.ENOTDIR: "Correct the path.",
}


def refusal(error: OSError, path: Path, doing: str = "write") -> PortraitistError:
    """The operating system's refusal as a problem and a remedy."""
    what = error.strerror or str(error)
    remedy = REMEDIES.get(error.errno or 0, "Check the disk and the folder, then run the same command again.")
    return PortraitistError(f"Cannot {doing} {path}: {what}", remedy)


def expanded(text: str) -> Path:
    """The path that a person wrote, `~` being their home. Raises PortraitistError for the home of nobody."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise PortraitistError(f"{text}: there is no such user's home", "Write the path from / on.") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` durably: whole or not at all. Raises PortraitistError as `write_stream` does."""
    write_stream(path, (data,))


def write_stream(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write pieces to `path` durably, one after the other: whole or not at all, also when making one of them fails.

    Raises PortraitistError when the system refuses (no space, no permission, read-only disk).
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=PARTIAL)
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = ""
        flush_folder(path.parent)
    except OSError as error:
        raise refusal(error, path) from error
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def sorted_header(data: bytes) -> bytes:
    """The bytes of a safetensors file with its header's keys in order: equal tensors then make equal files.

    The library writes metadata in an order that changes from call to call. Offsets count from the header's end, so
    nothing else moves.
    """
    size = int.from_bytes(data[:8], "little")
    return packed_header(json.loads(data[8 : 8 + size])) + data[8 + size :]


def packed_header(table: Mapping[str, object]) -> bytes:
    """The first bytes of a safetensors file: its header's length, and the header with its keys in order."""
    header = json.dumps(table, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    padded = header.encode("utf-8")
    padded += b" " * (-len(padded) % 8)  # as the library does: tensors start at multiples of eight
    return len(padded).to_bytes(8, "little") + padded


def room(path: Path) -> int:
    """Bytes that can still be written where `path` is or will be."""
    import shutil

    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    try:
        return shutil.disk_usage(there).free
    except OSError as error:
        raise refusal(error, there, "look at") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` durably, newlines as given."""
    write_bytes(path, encoded(text, path))


def encoded(text: str, path: Path) -> bytes:
    """Text in UTF-8. Raises PortraitistError for what is no character, such as a stray byte of a command line."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PortraitistError(
            f"Cannot write {path}: {text[error.start]!a} is no character of UTF-8", "Write that word anew."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinities are refused by the encoder."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, line: str) -> None:
    """Append one line in a single write, so that a reader never sees two lines torn into each other."""
    data = encoded(line + "\n", path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
    except OSError as error:
        raise refusal(error, path) from error


def append_bytes(path: Path, data: bytes) -> None:
    """Append `data` and flush it to the disk: all, or nothing when the system refuses. For a file with one writer.

    Raises PortraitistError when the system refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            before = os.fstat(handle).st_size
            try:
                left = memoryview(data)
                while left:
                    left = left[os.write(handle, left) :]
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)
        if not before:
            flush_folder(path.parent)
    except OSError as error:
        raise refusal(error, path) from error


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A hidden folder below `folder` that is gone afterwards; one that a killed process leaves is taken by `sweep`."""
    make_folder(folder)
    try:
        made = Path(tempfile.mkdtemp(dir=folder, prefix=".scratch.", suffix=PARTIAL))
    except OSError as error:
        raise refusal(error, folder) from error
    try:
        yield made
    finally:
        remove(made)


def spill(path: Path, pieces: Iterable[bytes]) -> None:
    """Write pieces to a new file of a `scratch` folder, unflushed. Raises PortraitistError when the system refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as error:
        raise refusal(error, path) from error


def keep(path: Path, to: Path) -> None:
    """Have a file under a second name as well: the same file where the disk can, else a copy. An existing one stays."""
    if to.exists():
        return
    make_folder(to.parent)
    try:
        if path.is_symlink():
            raise OSError(errno.EXDEV, "a link of its own")
        os.link(path, to)
        flush_folder(to.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT):
            raise refusal(error, to) from error
        try:
            data = path.read_bytes()
        except OSError as unread:
            raise refusal(unread, path, "read") from unread
        write_bytes(to, data)


def cut(path: Path, size: int) -> None:
    """Shorten an appended file to `size` bytes: used to drop what a killed process wrote past its last save."""
    try:
        with path.open("r+b") as file:
            file.truncate(size)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refusal(error, path) from error


def make_folder(path: Path) -> Path:
    """Create `path` and its parents; returns it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(error, path, "create") from error
    return path


def remove(path: Path) -> None:
    """Remove a file or a whole derived folder; absent is fine."""
    import shutil

    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise refusal(error, path, "remove") from error


def replace_folder(fresh: Path, place: Path) -> None:
    """Put a folder that is whole in place of a derived one, or of none, which goes only then."""
    old = place.with_name(f".{place.name}.old{PARTIAL}")
    if place.exists():
        remove(old)  # else a kill left it as the only one
    try:
        if place.exists():
            place.rename(old)
        fresh.rename(place)
        flush_folder(place.parent)
    except OSError as error:
        if old.exists() and not place.exists():
            old.rename(place)
        raise refusal(error, place) from error
    remove(old)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove partial files that killed writers left under `folder`; returns how many. Call only under its lock."""
    left = list(folder.rglob(f".*{PARTIAL}"))
    for path in left:
        remove(path)
    return len(left)


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    except OSError as error:
        raise refusal(error, path, "read") from error
    return sha.hexdigest()


def read_pieces(path: Path, begin: int, size: int, place: memoryview) -> Iterator[memoryview]:
    """A file's bytes from one on, so many in all, in a place that each piece takes anew.

    Raises PortraitistError where the file has fewer.
    """
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(begin)
            while size:
                piece = place[: min(size, len(place))]
                done = 0
                while done < len(piece):
                    count = file.readinto(piece[done:])
                    if not count:
                        raise PortraitistError(f"{path} ends before its header says", "Copy this file again.")
                    done += count
                size -= done
                yield piece
    except OSError as error:
        raise refusal(error, path, "read") from error


def read_text(path: Path) -> str:
    """UTF-8 text of a file a person wrote; a byte-order mark is dropped.

    Raises PortraitistError for an unreadable file and for bytes that are not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise refusal(error, path, "read") from error
    except UnicodeDecodeError as error:
        raise PortraitistError(
            f"{path} is not UTF-8 (byte {error.start}: 0x{error.object[error.start]:02x})",
            "Save it as UTF-8: most editors have this under 'save with encoding'.",
        ) from error


def read_json(path: Path) -> Any:
    """The value of a JSON file of ours; damage is told with the place it stands at."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise PortraitistError(
            f"{path} is damaged: {error.msg} (line {error.lineno})", "Delete it if it is marked derived, and run again."
        ) from error


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the one-writer lock of a folder; a second writer is refused at once.

    The kernel's lock ends with its process, so a killed run leaves nothing to clear by hand.
    """
    make_folder(folder)
    path = folder / ".lock"
    try:
        file: IO[str] = path.open("a+")
    except OSError as error:
        raise refusal(error, path) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            who = file.read().strip() or "unknown"
            raise PortraitistError(
                f"Another process ({who}) is writing {folder}", "Wait for it to end, or stop it, then run this again."
            ) from error
        file.truncate(0)
        file.write(f"pid {os.getpid()}")
        file.flush()
        yield
