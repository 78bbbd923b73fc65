"""convert: an adapter file by another program's names; nothing is computed with its values, and nothing is lost."""

from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.errors import PortraitistError


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """The new file.

    was      the dialects that the old one is in
    dialect  that of the new one
    tensors  in the new file
    """

    file: str
    family: str
    was: tuple[str, ...]
    dialect: str
    tensors: int
    megabytes: float


def convert(file: Path, out: Path, to: str = "", family: str = "", overwrite: bool = False) -> ConvertResult:
    """Write an adapter file in another dialect; without a name, in the family's safest for ComfyUI.

    family  what the file is of, where its names and shapes leave that open
    The tensors' values, types and scales stay what they are: alphas travel, and one that only diffusers' header
    states is written beside its factors. The new file is held against the old one before it is written. Raises
    PortraitistError for a file of no known family, for tensors that belong to no layer, for what the dialect cannot
    hold exactly, and for a file that is already there.
    """
    from portraitist.adapters import content, dialects, files
    from portraitist.adapters.understanding import kept, understood

    files.refuse_place(out, overwrite)
    known = understood(file, family)
    dialect, tree = dialects.get(known.family, to), known.tree
    named = content.write(known.said, dialect, tree)
    words = dialects.lexicon(known.family, tuple(tree))
    if changed := content.lost(known.said, content.read(named, words), tree):
        raise PortraitistError(
            f"{changed} would not come back from {dialect.name} as it is", "Choose a dialect of the same layout."
        )
    true = kept(known.metadata)
    marks = files.hashes(files.pack(named, {})) if "sshs_model_hash" in true or "modelspec.hash_sha256" in true else {}
    durable.write_bytes(out, files.pack(named, true | marks))
    size = round(out.stat().st_size / 1e6, 3)
    return ConvertResult(str(out), known.family, known.dialects, dialect.name, len(named), size)
