"""A folder as people have them: drawings of one invented character, and most of what can be wrong with pictures.

python -m examples.messy FOLDER

docs/walk.md walks from it to a dataset that is fit to train on.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from PIL.PngImagePlugin import PngInfo

from portraitist.mini.characters import album, told, unseen
from portraitist.mini.drawing import Drawn, draw
from portraitist.mini.scenes import Scene

WHO = 7000
COUNT = 30
TRIGGER = "zorblax"


def scenes() -> list[Scene]:
    """What all drawings show."""
    return album(unseen(WHO), COUNT, WHO)


def drawn(number: int) -> Drawn:
    """A drawing before anything happened to it."""
    return draw(scenes()[number])


def main(folder: Path) -> None:
    """Draw it: good pictures, the same again, spoilt ones, a broken file, captions as several hands write them."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = scenes()
    images = [Image.fromarray(draw(one).pixels) for one in shown]
    texts = [told(one, TRIGGER) for one in shown]
    archive = zipfile.ZipFile(folder / "more.zip", "w")
    for number, (image, text) in enumerate(zip(images[:24], texts, strict=False)):
        name = f"{number:02d}"
        if number < 18:
            image.save(folder / f"{name}.png")
            (folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
            continue
        data = io.BytesIO()
        image.save(data, "PNG")
        archive.writestr(zipfile.ZipInfo(f"more/{name}.png"), data.getvalue())
        archive.writestr(zipfile.ZipInfo(f"more/{name}.txt"), text + "\n")
    archive.close()
    images[3].save(folder / "IMG_0042.jpg", quality=60)
    images[24].filter(ImageFilter.GaussianBlur(2)).save(folder / "shaky.png")
    images[25].resize((44, 44), Image.Resampling.LANCZOS).resize((128, 128), Image.Resampling.BICUBIC).save(
        folder / "from-the-web.png"
    )
    barred = Image.new("RGB", (128, 176), (12, 12, 12))
    barred.paste(images[26], (0, 24))
    barred.save(folder / "phone.png")
    images[27].transpose(Image.Transpose.ROTATE_90).save(folder / "scan.png")
    images[28].save(folder / "shared.jpg", quality=12)
    said = PngInfo()
    said.add_text("noai", "noai, noimageai")
    images[29].save(folder / "not-mine.png", pnginfo=said)
    for name, number in (("shaky", 24), ("from-the-web", 25), ("phone", 26), ("scan", 27), ("shared", 28)):
        (folder / f"{name}.txt").write_text(texts[number] + "\n", encoding="utf-8")
    (folder / "not-mine.txt").write_text(texts[29] + "\n", encoding="utf-8")
    data = (folder / "05.png").read_bytes()
    (folder / "cut-short.png").write_bytes(data[: len(data) // 3])
    words = (folder / "07.txt").read_text(encoding="utf-8")
    (folder / "07.txt").write_text(words.replace(TRIGGER, "a character"), encoding="utf-8")
    words = (folder / "09.txt").read_text(encoding="utf-8")
    (folder / "09.txt").write_text(words.strip() + ", masterpiece, best quality\n", encoding="utf-8")
    (folder / "11.txt").unlink()
    np.save(folder / "Thumbs.db.npy", np.zeros(3))
    (folder / "Thumbs.db.npy").rename(folder / "Thumbs.db")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
