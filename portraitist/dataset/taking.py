"""Taking pictures in: files, folders and archives, copied into `pictures/` with captions and where they come from.

Originals are never altered. What a picture says of itself is read here, from its own bytes.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from portraitist import durable
from portraitist.dataset import archives, captions, claims, masks, metadata
from portraitist.dataset.intake import REPEATS, Source, entries, is_picture, listed
from portraitist.dataset.naming import printable, safe_name
from portraitist.errors import PortraitistError
from portraitist.pictures import SUFFIXES
from portraitist.provenance import sha


@dataclass(frozen=True, slots=True)
class Stated:
    """What a person says of all that is added at once; "" says nothing.

    source, licence, author  where the pictures come from, under what licence, who made them; what a data set's own
                             list says of a picture goes before
    set                      the set below `pictures/` that they go into, whatever folder they lie in
    """

    source: str = ""
    licence: str = ""
    author: str = ""
    set: str = ""


NOTHING = Stated()


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one source picture: added | already there | skipped (with the reason in `says`).

    facts  of one that lies in `pictures/` now: what the ledger keeps of it
    """

    name: str
    outcome: str
    says: str = ""
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def alike(stem: str) -> str:
    """What stems have in common that are one name on some disk: case and composition aside."""
    return unicodedata.normalize("NFC", stem).casefold()


class Shelf:
    """A folder of pictures as it fills: looked at once, because it may hold very many."""

    def __init__(self, folder: Path) -> None:
        there = entries(folder) if folder.is_dir() else []
        self.folder = folder
        self.stems = {alike(path.stem) for path in there}
        self.numbers: dict[str, int] = {}
        self.sizes: dict[int, list[Path]] = {}
        for path in there:
            if is_picture(path):
                self.sizes.setdefault(path.stat().st_size, []).append(path)

    def same(self, data: bytes) -> Path | None:
        """The picture that has exactly these bytes, or None."""
        return next((path for path in self.sizes.get(len(data), ()) if path.read_bytes() == data), None)

    def free(self, stem: str, suffix: str) -> Path:
        """A path that no other has, by case or suffix either: with a number where the stem is in use."""
        target = self.folder / f"{stem}{suffix}"
        while alike(target.stem) in self.stems:
            number = self.numbers[alike(stem)] = self.numbers.get(alike(stem), 1) + 1
            target = self.folder / f"{stem}-{number}{suffix}"
        return target

    def put(self, path: Path, size: int) -> None:
        """Remember a picture that was written."""
        self.stems.add(alike(path.stem))
        self.sizes.setdefault(size, []).append(path)


@dataclass(frozen=True, slots=True)
class Store:
    """The project's folder of pictures, what is said of all that comes in, and the sets that were looked at."""

    pictures: Path
    stated: Stated
    shelves: dict[str, Shelf] = field(default_factory=dict)

    def shelf(self, name: str) -> Shelf:
        """The folder of a set; "" is the top. Raises PortraitistError for one that leads out of the project."""
        safe = safe_name(name) if name else ""
        if safe not in self.shelves:
            folder = self.pictures / safe
            if not folder.resolve().is_relative_to(self.pictures.resolve()):
                raise PortraitistError(
                    f"{folder} leads out of {self.pictures}",
                    "Replace that link by a folder, or give the set another name.",
                )
            self.shelves[safe] = Shelf(folder)
        return self.shelves[safe]


@dataclass(frozen=True, slots=True)
class Haul:
    """What lies at one place that a person named.

    named    that place, for messages; root: the folder its files lie in
    members  what each file is called in the archive, where it is of one
    """

    named: Path
    root: Path
    pictures: tuple[Source, ...]
    members: Mapping[Path, str] = field(default_factory=dict)


def take(pictures: Path, sources: Sequence[Path], stated: Stated = NOTHING) -> Iterator[Taken]:
    """Copy pictures and their captions into the folder `pictures`, telling what became of each.

    Names are made safe and never taken from another picture: the same bytes in the same set are already there, other
    bytes under a name that is in use get a number. An unreadable picture inside a folder is skipped with its reason.
    Raises PortraitistError for an unreadable picture named by itself, when a folder or an archive holds nothing
    readable, and for an archive that is damaged, encrypted or beyond the quotas.
    """
    if stated.set and safe_name(stated.set) != stated.set:
        raise PortraitistError(f"{stated.set!r} cannot be a set's name", f"Use {safe_name(stated.set)!r}.")
    for source in sources:
        if (
            source.is_dir()
            and pictures.resolve().is_relative_to(source.resolve())
            and source.resolve() != pictures.resolve()
        ):
            raise PortraitistError(
                f"{source} holds the project itself", "Name the folder of the new pictures, not one above the project."
            )
    store = Store(pictures, stated)
    for source in sources:
        if archives.is_archive(source):
            with archives.unpacked(source, pictures) as found:
                yield from (Taken(one.name, "skipped", one.why, one.remedy) for one in found.passed)
                yield from haul(store, gathered(source, inside(found.folder), found.members))
        else:
            yield from haul(store, gathered(source, source))


def inside(folder: Path) -> Path:
    """The folder that an archive is about: one that holds nothing but a folder is passed, unless that is `40_name`."""
    while len(there := entries(folder)) == 1 and there[0].is_dir() and not REPEATS.fullmatch(there[0].name):
        folder = there[0]
    return folder


def gathered(source: Path, root: Path, members: Mapping[Path, str] | None = None) -> Haul:
    """The pictures at the place that a person named: one file, or those of a folder and of its sets.

    root  the folder to look into, `source` itself or where it was unpacked to; members as in `Haul`
    A folder or an archive that is itself named `40_maya` is a set; of any other the top goes to the top. Raises
    PortraitistError for what does not exist, for a file that is no picture, and for a folder without any.
    """
    if root.is_dir():
        own = source.resolve().name.split(".")[0] if members is not None else source.resolve().name
        set_name = own if REPEATS.fullmatch(own) else ""
        found = listed(root).pictures
        if not found:
            deep = next((path for path in sorted(root.rglob("*")) if is_picture(path)), None)
            where = f"; one lies deeper, in {deep.parent.relative_to(root)}" if deep is not None else ""
            raise PortraitistError(
                f"{source} holds no pictures{where}",
                f"Picture files end in {', '.join(sorted(SUFFIXES))}; choose their folder.",
            )
        return Haul(source, root, tuple(Source(s.path, s.set or set_name, s.name) for s in found), members or {})
    if not source.exists():
        raise PortraitistError(f"There is no {source}", "Check the path.")
    if not source.is_file():
        raise PortraitistError(
            f"{source} is not a regular file", "Name a picture file, an archive or a folder of pictures."
        )
    if masks.is_mask(source):
        raise PortraitistError(f"{source} is the mask of a picture", "Name the picture: its mask comes along.")
    if source.suffix.lower() in archives.UNREAD:
        raise PortraitistError(
            f"{source} is an archive of a kind that is not read",
            f"Unpack it and add the folder; read are {', '.join(archives.SUFFIXES)}.",
        )
    return Haul(source, source.parent, (Source(source, "", source.name),))


def haul(store: Store, found: Haul) -> Iterator[Taken]:
    """Copy what was gathered at one place. Raises PortraitistError when nothing of it is readable."""
    one = found.named == found.pictures[0].path
    lists = {} if one else {folder: metadata.rows(folder) for folder in sorted({found.root, *folders(found)})}
    used: set[tuple[Path, str]] = set()
    readable, last = 0, ""
    for source in found.pictures:
        row = metadata.Row()
        for folder, (rows, _) in lists.items():
            key = name_in(found, source.path, folder)
            if key in rows:
                row = rows[key].over(row)  # the folder above comes first in order, and the nearer list counts
                used.add((folder, key))
        try:
            pixels = masks.open_masked(source.path).digest
        except PortraitistError as error:
            if one:
                raise
            last = printable(error.problem.replace(str(source.path), source.name))
            yield Taken(printable(source.name), "skipped", last, error.remedy)
            continue
        readable += 1
        yield copy(store, found, source, pixels, row)
    yield from left_out(found, lists, used)
    if not readable:
        raise PortraitistError(
            f"{found.named} holds no readable picture; the last reason: {last}", "Choose a folder of pictures."
        )


def folders(found: Haul) -> set[Path]:
    """The folders that the gathered pictures lie in."""
    return {source.path.parent for source in found.pictures}


def name_in(found: Haul, path: Path, folder: Path) -> str:
    """A file's path below a folder as a list there names it: in an archive by its own name; "" when not below."""
    if not path.is_relative_to(folder):
        return ""
    depth = len(path.relative_to(folder).parts)
    return "/".join(PurePosixPath(found.members.get(path, path.as_posix())).parts[-depth:])


def left_out(
    found: Haul,
    lists: Mapping[Path, tuple[dict[str, metadata.Row], list[metadata.Complaint]]],
    used: set[tuple[Path, str]],
) -> Iterator[Taken]:
    """What lies there and was not taken: broken lists, rows without a picture, archives, pictures further down."""
    for folder, (rows, complaints) in lists.items():
        for complaint in complaints:
            yield Taken(complaint.name, "skipped", f"{complaint.name}: {complaint.why}", "Correct it, and add again.")
        unused = sorted(key for key in rows if (folder, key) not in used)
        if unused:
            says = f"metadata of {len(unused)} files that are not there or no pictures, such as {printable(unused[0])}"
            yield Taken("metadata", "skipped", says, "Correct file_name, or add those files too.")
    if found.named == found.pictures[0].path:
        return
    below = {path.relative_to(found.root): path for path in sorted(found.root.rglob("*"))}
    shown = {name: path for name, path in below.items() if not any(part.startswith(".") for part in name.parts)}
    for name, path in shown.items():
        if archives.is_archive(path):
            said = printable(str(name))
            yield Taken(said, "skipped", f"{said} is an archive", "Add it by itself, by its own path.")
    deep = [name for name, path in shown.items() if len(name.parts) > 2 and is_picture(path)]
    if deep:
        says = f"{len(deep)} pictures lie more than one folder deep, such as {printable(str(deep[0]))}"
        yield Taken("deeper folders", "skipped", says, "Add the folder above them by itself.")


def copy(store: Store, found: Haul, source: Source, pixels: str, row: metadata.Row) -> Taken:
    """Copy one readable picture, and its caption and mask where it has them, into its set below `pictures`.

    pixels  the digest of its upright sRGB pixels; row: what a list of its data set says of it
    """
    shelf, stated = store.shelf(store.stated.set or source.set), store.stated
    try:
        data, caption = source.path.read_bytes(), captions.sidecar(source.path)
        words = caption.read_bytes() if caption is not None else row.caption.encode("utf-8", "replace")
        mask = masks.beside(source.path).read_bytes() if masks.beside(source.path).is_file() else b""
    except OSError as error:
        raise durable.refusal(error, source.path, "read") from error
    there = shelf.same(data)
    target = there or shelf.free(safe_name(source.path.stem), source.path.suffix.lower())
    name = target.relative_to(store.pictures).as_posix()
    facts: dict[str, Any] = {
        "picture": name,
        "sha256": sha(data),
        "pixels": pixels,
        "file": found.members.get(source.path, source.path.name),
        "archive": found.named.name if found.members else "",
        "source": row.source or stated.source,
        "licence": row.licence or stated.licence,
        "author": row.author or stated.author,
        "set": name.rpartition("/")[0],
        "says": claims.read(data).as_facts(),
    }
    facts = {key: value for key, value in facts.items() if value}
    missing = bool(words) and captions.sidecar(target) is None
    if there is None:
        durable.write_bytes(target, data)
        shelf.put(target, len(data))
    if missing:  # after the picture: cut short between the two, adding again finds the picture and brings the caption
        durable.write_bytes(target.with_suffix(".txt"), words)
    if mask and not masks.beside(target).is_file():
        durable.write_bytes(masks.beside(target), mask)
    if there is not None:
        return Taken(name, "already there", "its caption was added" if missing else "", facts=facts)
    return Taken(name, "added", facts=facts)
