"""Foreign configs for tests of the recipe doctor: command lines from options, folders of pictures, and what is said."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from portraitist import interop
from portraitist.interop import opening
from portraitist.interop.diagnosis import Diagnosis


def diagnosed(text: str, name: str, folder: Path) -> Diagnosis:
    """What the doctor says of a config of this text and name in a folder."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    document = opening.opened(path)
    return interop.tool(interop.whose(document)).diagnose(document)


def said(diagnosis: Diagnosis) -> set[str]:
    """Names of the rules that were remarked."""
    return {remark.rule for remark in diagnosis.remarks}


def command(script: str, options: Mapping[str, object], launcher: str = "accelerate launch") -> str:
    """A command line: true is a flag, a list several words, None leaves an option out."""
    words = [f"{launcher} {script}.py"]
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif isinstance(value, list):
            words.append(f"--{name} " + " ".join(f'"{one}"' for one in value))
        elif value is not None:
            words.append(f'--{name} "{value}"')
    return " \\\n  ".join(words) + "\n"


def pictures(folder: Path, count: int, size: tuple[int, int] = (64, 96), caption: str = "maya, red dress") -> Path:
    """A folder of plain pictures, each with a caption of this text; "" writes none."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", size).save(folder / f"{index}.png")
        if caption:
            (folder / f"{index}.txt").write_text(caption, encoding="utf-8")
    return folder
