"""What a picture file says of itself: whether it may be trained on, how it was made, whose it is.

Read from the original bytes, before anything saves them anew: that would lose it. Understood are Content Credentials
(C2PA: the assertions `c2pa.training-mining` and `cawg.training-mining`), the PLUS Data Mining values of IPTC's photo
metadata standard (`DMI-...`), the words `noai` and `noimageai`, and IPTC's DigitalSourceType.
"""

import io
import json
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from PIL import ExifTags, Image, IptcImagePlugin

Word = Literal["", "allowed", "constrained", "refused"]
"""What is said of training: nothing, that it is allowed, only under conditions, or that it is not."""

STRICTNESS: tuple[Word, ...] = ("", "allowed", "constrained", "refused")

MANIFEST = b"jumdc2pa"
"""A JUMBF description box with C2PA's type, as it stands in every container that can hold a manifest."""

PNG = b"\x89PNG\r\n\x1a\n"
LONGEST_TEXT = 1 << 20
"""Bytes of one text that are read; metadata is short, and compressed text might not be."""

MOST_CHUNKS = 100_000
"""Chunks of a PNG that are looked at: one of 100 megapixels in pieces of 8 kB has some 40,000."""

DATA_MINING = re.compile(r"\bDMI-[A-Z]+(?:-[A-Z]+)*")
NO_AI = re.compile(r"(?<![\w.])(noimageai|noai)(?![\w.])", re.IGNORECASE)
SOURCE_TYPE = re.compile(r"digitalsourcetype/(\w+)", re.IGNORECASE)
CREATOR = re.compile(r"<dc:creator>\s*<rdf:\w+>\s*<rdf:li[^>]*>([^<]{1,200})</rdf:li>")
RIGHTS = re.compile(r"<dc:rights>\s*<rdf:\w+>\s*<rdf:li[^>]*>([^<]{1,200})</rdf:li>")

USES: Mapping[str, Word] = {"allowed": "allowed", "constrained": "constrained", "notAllowed": "refused"}
GENERATED = frozenset({"trainedalgorithmicmedia", "compositewithtrainedalgorithmicmedia", "algorithmicmedia"})
"""Digital source types of pictures that a model made, or made part of."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a file says of itself.

    training     whether it may be trained on, by the strictest word in it
    because      where each word on that stands, and what it is
    source_type  IPTC's DigitalSourceType, without the address before it
    manifest     Content Credentials: none (""), read, invalid (read, but not what was signed), unread (there, and the
                 extra `provenance` is not installed), damaged
    author, rights  who made it and whose it is, in the file's own words
    """

    training: Word = ""
    because: tuple[str, ...] = ()
    source_type: str = ""
    manifest: str = ""
    author: str = ""
    rights: str = ""

    def as_facts(self) -> dict[str, Any]:
        """What is said, without what is not: as the ledger has it."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items() if value}


def read(data: bytes) -> Claims:
    """What picture bytes say of themselves; hostile or broken metadata says nothing."""
    texts = [text[:LONGEST_TEXT] for text in (*packets(data), *headers(data))]
    spoken, source_type, manifest = credentials(data)
    for text in texts:
        spoken += [(meaning(found), f"PLUS Data Mining: {found}") for found in DATA_MINING.findall(text)]
        spoken += [("refused", f"metadata: {found.lower()}") for found in NO_AI.findall(text)]
        source_type = source_type or next(iter(SOURCE_TYPE.findall(text)), "")
    return Claims(
        training=max((word for word, _ in spoken), key=STRICTNESS.index, default=""),
        because=tuple(dict.fromkeys(where for word, where in spoken if word))[:8],
        source_type=source_type,
        manifest=manifest,
        author=first(CREATOR, texts),
        rights=first(RIGHTS, texts),
    )


def first(pattern: re.Pattern[str], texts: list[str]) -> str:
    """What a pattern finds first in some texts, in a line; "" when nothing."""
    found = next((match[1] for text in texts if (match := pattern.search(text))), "")
    return " ".join(found.split())


def meaning(value: str) -> Word:
    """What a PLUS Data Mining value says of training (useplus.org, LDF vocabulary).

    A prohibition that refers to a text elsewhere - a constraint, an expression of rights - is one under conditions.
    """
    if value.startswith("DMI-ALLOWED"):
        return "allowed"
    if "-SEE" in value:
        return "constrained"
    return "refused" if value.startswith("DMI-PROHIBITED") else ""


def packets(data: bytes) -> Iterator[str]:
    """The XMP packets that stand uncompressed in a file, of any container; the first few."""
    end = 0
    for _ in range(16):
        start = data.find(b"<rdf:RDF", end)
        end = data.find(b"</rdf:RDF>", start)
        if start < 0 or end < 0:
            return
        yield data[start : min(end, start + LONGEST_TEXT)].decode("utf-8", "replace")


def headers(data: bytes) -> list[str]:
    """Every text in a file's EXIF, IPTC, comments and PNG chunks; nothing is decoded to pixels."""
    found, values, exif = [], [], Image.Exif()
    try:
        with warnings.catch_warnings(action="ignore"):
            if data.startswith(PNG):  # by hand: Pillow looks behind the pixels of a PNG by decoding them
                for kind, body in png_chunks(data):
                    if kind == b"eXIf":
                        exif.load(body)
                    else:
                        found.append(png_text(kind, body))
            else:
                with Image.open(io.BytesIO(data)) as image:
                    values = [image.info[key] for key in ("comment", "xmp") if key in image.info]
                    values += list((IptcImagePlugin.getiptcinfo(image) or {}).values())
                    exif = image.getexif()
            values += [*exif.values(), *exif.get_ifd(ExifTags.IFD.Exif).values()]
    except Exception:  # noqa: BLE001 - hostile headers raise whatever they do, and the picture itself may be whole
        return found
    return found + [text for value in values for text in worded(value)]


def worded(value: Any) -> Iterator[str]:
    """The texts in a metadata value: bytes in UTF-8, or in UTF-16 as Windows writes them; lists one by one."""
    if isinstance(value, list | tuple):
        for inner in value[:64]:
            yield from worded(inner)
    elif isinstance(value, bytes):
        for between in (b" ", b"") if b"\0" in value else (b"",):  # a code's padding, or every other byte of UTF-16
            yield value[:LONGEST_TEXT].replace(b"\0", between).decode("utf-8", "replace")
    elif isinstance(value, str):
        yield value


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of a PNG's texts and EXIF, before and after its pixels."""
    place, count = len(PNG), 0
    while place + 8 <= len(data) and count < MOST_CHUNKS:
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            yield kind, data[place + 8 : place + 8 + size]
        place, count = place + 12 + size, count + 1


def png_text(kind: bytes, body: bytes) -> str:
    """Key and text of a PNG's text chunk; "" for one that cannot be unpacked."""
    key, _, rest = body.partition(b"\0")
    packed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1")
    text = rest[1:] if kind == b"zTXt" else rest
    if kind == b"iTXt":
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        text = zlib.decompressobj().decompress(text, LONGEST_TEXT) if packed else text[:LONGEST_TEXT]
    except zlib.error:
        return ""
    return f"{key[:100].decode('latin-1')}: {text.decode('utf-8', 'replace')}"


def credentials(data: bytes) -> tuple[list[tuple[Word, str]], str, str]:
    """What Content Credentials say of training and where, the source type they tell, and what became of reading them.

    Nothing is fetched: a manifest that lies elsewhere is not looked for.
    """
    if MANIFEST not in data:
        return [], "", ""
    try:
        import c2pa
    except ImportError:
        return [], "", "unread"
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind = Image.MIME.get(image.format or "", "")
        quiet = c2pa.Settings.from_dict({"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}})
        with c2pa.Reader(kind, io.BytesIO(data), context=c2pa.Context(quiet)) as reader:
            manifests = list(json.loads(reader.json()).get("manifests", {}).values())
            state = "invalid" if str(reader.get_validation_state()) == "Invalid" else "read"
    except Exception:  # noqa: BLE001 - the library's error types differ by version; the bytes are a stranger's
        return [], "", "damaged"
    spoken: list[tuple[Word, str]] = []
    source = ""
    for assertion in (one for manifest in manifests for one in manifest.get("assertions", [])):
        label, values = str(assertion.get("label", "")), assertion.get("data")
        if not isinstance(values, dict):
            continue
        if re.fullmatch(r"(c2pa|cawg)\.training-mining(\..*|__\d+)?", label):
            spoken += list(permissions(label, values.get("entries")))
        if label.startswith("c2pa.actions"):
            found = SOURCE_TYPE.search(json.dumps(values.get("actions", [])))
            source = source or (found[1] if found else "")
    return spoken, source, state


def permissions(label: str, entries: Any) -> Iterator[tuple[Word, str]]:
    """What a training-mining assertion says of training: uses that are not training bind only as conditions."""
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        use = entry.get("use") if isinstance(entry, dict) else None
        word = USES.get(str(use), "")
        if str(name).endswith("data_mining") and word == "refused":
            word = "constrained"
        if word and str(name).endswith(("ai_training", "ai_generative_training", "data_mining")):
            yield word, f"{label}: {name} {use}"
