"""Draws examples/zorblax: 36 pictures of the demo's character, with captions that never say what it looks like.

python examples/draw.py
"""

import io
from pathlib import Path

from PIL import Image

from portraitist import durable
from portraitist.mini.characters import ZORBLAX, album, told
from portraitist.mini.drawing import draw
from portraitist.mini.scenes import Character

FOLDER = Path(__file__).with_name("zorblax")


def main(folder: Path = FOLDER, count: int = 36, who: Character = ZORBLAX, seed: int = 0) -> None:
    """Write the pictures of a character and their captions; drawn again they are the same bytes."""
    for number, scene in enumerate(album(who, count, seed)):
        buffer = io.BytesIO()
        Image.fromarray(draw(scene).pixels).save(buffer, "PNG", optimize=True)
        durable.write_bytes(folder / f"{number:02d}.png", buffer.getvalue())
        durable.write_text(folder / f"{number:02d}.txt", told(scene, "zorblax") + "\n")


if __name__ == "__main__":
    main()
