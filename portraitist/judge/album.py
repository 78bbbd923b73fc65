"""Pictures inside a page: scaled down, packed as WebP, and written into the page itself as data URIs."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from portraitist.errors import PortraitistError
from portraitist.pictures import fit, open_upright, resize

QUALITY = 84


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as a page holds it: its data URI, and its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(slots=True)
class Album:
    """Gives out pictures of files, each packed once per size.

    scale    factor in (0, 1] on every size asked for: how a page with too many pictures is made smaller
    missing  files that could not be shown, by name
    """

    scale: float = 1.0
    packed: dict[tuple[Path, int], Shown | None] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def show(self, path: Path, longest: int) -> Shown | None:
        """The picture with its longer side at most `longest` times the scale; None when the file cannot be read."""
        side = max(32, round(longest * self.scale))
        if (path, side) not in self.packed:
            self.packed[path, side] = self.pack(path, side)
        return self.packed[path, side]

    def pack(self, path: Path, side: int) -> Shown | None:
        """A file's picture as it goes into the page; what cannot be read is noted."""
        try:
            pixels = open_upright(path).pixels
        except PortraitistError:
            if path.name not in self.missing:
                self.missing.append(path.name)
            return None
        width, height = fit(pixels.shape[1], pixels.shape[0], side)
        buffer = io.BytesIO()
        Image.fromarray(resize(pixels, width, height)).save(buffer, "WEBP", quality=QUALITY, method=4)
        return Shown(f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", width, height)
