"""Draws docs/walk.png: the pictures of examples/messy.py, and those that docs/walk.md leaves.

python docs/make_walk.py
"""

import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from examples import messy
from portraitist.pictures import open_upright

SIDE, GAP, COLUMNS = 64, 4, 11
LAST = ["IMG_0042.jpg", "shaky.png", "from-the-web.png", "shared.jpg", "not-mine.png", "phone.png", "scan.png"]
"""The spoilt ones, in the order of the last row; the two that are mended come last."""


def small(image: Image.Image) -> Image.Image:
    """A picture in a square, on white."""
    tile = Image.new("RGB", (SIDE, SIDE), "white")
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    tile.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    return tile


def sheet(tiles: list[Image.Image]) -> Image.Image:
    """Tiles in rows."""
    rows = -(-len(tiles) // COLUMNS)
    made = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + GAP) + GAP), "white")
    for i, tile in enumerate(tiles):
        made.paste(tile, (GAP + i % COLUMNS * (SIDE + GAP), GAP + i // COLUMNS * (SIDE + GAP)))
    return made


def main() -> None:
    """Draw both and put one below the other."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        messy.main(folder)
        good = [Image.fromarray(messy.drawn(number).pixels) for number in range(24)]
        spoilt = {name: Image.fromarray(open_upright(folder / name).pixels) for name in LAST}
    mended = [
        spoilt["phone.png"].crop((0, 24, 128, 152)),
        spoilt["scan.png"].transpose(Image.Transpose.ROTATE_270),
    ]
    before = sheet([small(one.copy()) for one in [*good, *spoilt.values()]])
    after = sheet([small(one.copy()) for one in [*good, *mended]])
    page = Image.new("RGB", (before.width, before.height + after.height + 44), "white")
    page.paste(before, (0, 22))
    page.paste(after, (0, before.height + 44))
    pen = ImageDraw.Draw(page)
    pen.text((GAP, 5), "before: 31 pictures", fill="black")
    pen.text((GAP, before.height + 27), "after: 26", fill="black")
    page.save(Path(__file__).with_name("walk.png"), optimize=True)


if __name__ == "__main__":
    main()
