"""One source picture: opened upright and in sRGB, identified by its content.

Nothing here changes an original. Headers are read before anything is decoded, so that a decompression bomb is
refused while it is still small.
"""

import hashlib
import io
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageOps, PngImagePlugin

from portraitist import durable
from portraitist.errors import PortraitistError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".ppm", ".tga"})
MOST_PIXELS = 100_000_000
BACKDROP = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of an upright picture, scaled to a bucket.

    All in pixels: the picture's own size, the window's corner and size in it, and the size it is scaled to.
    """

    source_width: int
    source_height: int
    left: int
    top: int
    width: int
    height: int
    to_width: int
    to_height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """One source picture as the manifest knows it.

    name      path below `pictures/`, with forward slashes: for people
    digest    SHA-256 of the upright sRGB pixels: its identity everywhere else
    set       the folder it lies in ("" for the top), with a kohya weight prefix still on
    repeats   that prefix as a number (`40_maya` is 40), 1 without one
    role      identity | realism | outfit | style | prior
    split     train | held-out
    measures  numbers by name, measured once
    """

    name: str
    digest: str
    width: int
    height: int
    caption: str = ""
    variants: tuple[str, ...] = ()
    set: str = ""
    repeats: int = 1
    role: str = "identity"
    split: str = "train"
    measures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture's file says of itself, beside its pixels.

    format  as Pillow calls it: JPEG, PNG, WEBP, ...; "" for pixels that came from no file
    tables  of a JPEG: its quantisation tables, each 64 steps row by row, luma first
    layers  of a JPEG: its components, each number, samples across, samples down, table
    camera  whether a camera's maker stands in it (EXIF)
    """

    format: str = ""
    tables: tuple[tuple[int, ...], ...] = ()
    layers: tuple[tuple[int, ...], ...] = ()
    camera: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A decoded picture: pixels (H, W, 3) uint8 upright sRGB over white, and alpha (H, W) uint8 or None."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    header: Header = Header()

    @property
    def width(self) -> int:
        """Pixels across."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels down."""
        return int(self.pixels.shape[0])

    @property
    def digest(self) -> str:
        """SHA-256 of size, pixels and alpha: a picture's identity."""
        sha = hashlib.sha256(f"{self.width}x{self.height}".encode())
        sha.update(np.ascontiguousarray(self.pixels).tobytes())
        if self.alpha is not None:
            sha.update(np.ascontiguousarray(self.alpha).tobytes())
        return sha.hexdigest()


def open_upright(path: Path) -> Opened:
    """Decode any picture Pillow reads, of any mode and size: upright, sRGB, 8 bit; alpha kept apart.

    Orientation comes from EXIF, colours through the embedded profile. Transparent parts lie over white.
    Of a moving picture the first frame counts. Raises PortraitistError for an empty or unreadable file and for a
    header of more than 100 megapixels (refused before decoding).
    """
    return open_data(path, read(path))


def read(path: Path) -> bytes:
    """The bytes of a picture's file. Raises PortraitistError for one that cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise durable.refusal(error, path, "read") from error


def open_data(path: Path, data: bytes) -> Opened:
    """As `open_upright`, of bytes that have been read; `path` is for messages only."""
    if not data:
        raise PortraitistError(f"{path} is empty (0 bytes)", "Copy it again from where it came from, or remove it.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return decode(path, data)
        except PortraitistError:
            raise
        except (OSError, ValueError, SyntaxError, IndexError, TypeError, EOFError, MemoryError, OverflowError) as error:
            raise unreadable(path, str(error)) from error
        except Exception as error:  # decoders raise types of their own on hostile bytes
            raise unreadable(path, f"{type(error).__name__}: {error}") from error


def stamp(path: Path) -> list[int]:
    """Bytes and times of change of a file, in nanoseconds: equal as long as nobody touches it."""
    try:
        facts = path.stat()
    except OSError as error:
        raise durable.refusal(error, path, "read") from error
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]


def unreadable(path: Path, reason: str) -> PortraitistError:
    """The refusal for bytes that no decoder takes."""
    reason = "no known format" if not reason or "cannot identify" in reason else reason.splitlines()[0]
    return PortraitistError(
        f"{path} cannot be read as a picture: {reason[:160]}",
        "Open it in an image editor and save it again as PNG, or remove it.",
    )


def decode(path: Path, data: bytes) -> Opened:
    """The pixels of picture bytes; `path` is for messages only."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                raise PortraitistError(
                    f"{path} claims {image.width} x {image.height} pixels ({pixels / 1e6:,.0f} megapixels);"
                    f" at most {MOST_PIXELS / 1e6:.0f} are read",
                    "Scale it down in an image editor, or remove it: training uses about one megapixel.",
                )
            image.load()
            header = header_of(image)
            ImageOps.exif_transpose(image, in_place=True)
            alpha = image.convert("RGBA").getchannel("A") if has_alpha(image) else None
            colour = to_srgb(image)
            if alpha is None:
                return Opened(np.asarray(colour), None, header)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    over = Image.new("RGB", colour.size, BACKDROP)
    over.paste(colour, mask=alpha)
    return Opened(np.asarray(over), np.asarray(alpha), header)


def header_of(image: Image.Image) -> Header:
    """What an opened file says of itself; nothing of what is damaged."""
    kind = "JPEG" if image.format == "MPO" else image.format or ""
    try:
        camera = bool(image.getexif().get(ExifTags.Base.Make))
    except Exception:  # noqa: BLE001 - EXIF is hostile bytes to Pillow too, and no reason to refuse a picture
        camera = False
    if kind != "JPEG":
        return Header(kind, camera=camera)
    tables = tuple(tuple(table) for _, table in sorted(getattr(image, "quantization", {}).items()) if len(table) == 64)
    return Header(kind, tables, tuple(tuple(layer) for layer in getattr(image, "layer", ())), camera)


def has_alpha(image: Image.Image) -> bool:
    """Whether a picture has transparency of any kind that is used."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return False
    low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return float(low) < 255  # type: ignore[arg-type]


def to_srgb(image: Image.Image) -> Image.Image:
    """Any mode to 8-bit sRGB, through the embedded profile when there is a usable one; deep greys are scaled."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535.0 if values.max(initial=0) > 255 else (255.0 if values.max(initial=0) > 1 else 1.0)
        image = Image.fromarray((np.clip(values / top, 0, 1) * 255).round().astype(np.uint8), "L")
    profile = image.info.get("icc_profile")
    if profile and image.mode in ("RGB", "RGBA", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            bare = image.convert("RGB") if image.mode == "RGBA" else image
            done = ImageCms.profileToProfile(bare, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if done is not None:
                return done
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken or mismatched profile is common in the wild; the plain conversion is what viewers show
    if image.mode in ("P", "PA") and "transparency" in image.info:
        image = image.convert("RGBA")
    return image if image.mode == "RGB" else image.convert("RGB")


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8 to (height, width, 3), by Lanczos."""
    if (pixels.shape[1], pixels.shape[0]) == (width, height):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def cut(opened: Opened, crop: Crop) -> tuple[np.ndarray, np.ndarray | None]:
    """A crop's pixels (to_height, to_width, 3) uint8, and its alpha (to_height, to_width) uint8 or None."""
    box = (slice(crop.top, crop.top + crop.height), slice(crop.left, crop.left + crop.width))
    pixels = resize(opened.pixels[box], crop.to_width, crop.to_height)
    if opened.alpha is None:
        return pixels, None
    alpha = Image.fromarray(opened.alpha[box]).resize((crop.to_width, crop.to_height), Image.Resampling.BOX)
    return pixels, np.asarray(alpha)


def framing_word(text: str) -> str:
    """`close-up`, `mid` or `full` as a caption tells it, or "" when it does not.

    Words that captions commonly use, longest first; the guides' buckets.
    """
    low = text.lower()
    for word, bucket in (
        ("full body", "full"), ("full-body", "full"), ("full shot", "full"), ("wide shot", "full"),
        ("head to toe", "full"), ("half body", "mid"), ("half-body", "mid"), ("upper body", "mid"),
        ("cowboy shot", "mid"), ("mid shot", "mid"), ("medium shot", "mid"), ("waist up", "mid"),
        ("close-up", "close-up"), ("close up", "close-up"), ("closeup", "close-up"), ("portrait", "close-up"),
        ("headshot", "close-up"), ("head shot", "close-up"),
    ):  # fmt: skip
        if word in low:
            return bucket
    return ""


def fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """A size with its longer side at most `longest`, aspect kept, at least 1 x 1."""
    scale = min(1.0, longest / max(width, height))
    return max(1, math.floor(width * scale + 0.5)), max(1, math.floor(height * scale + 0.5))


def png(pixels: np.ndarray, texts: PngImagePlugin.PngInfo | None = None, level: int = 6) -> bytes:
    """The bytes of a PNG of pixels (H, W, 3 or 4) uint8, with these texts and nothing else in it.

    level  of compression, 0 to 9; zlib's own is 6
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=texts, compress_level=level)
    return buffer.getvalue()
