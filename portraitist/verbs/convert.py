"""convert: an adapter file by another program's names; nothing is computed with its values, and nothing is lost."""

from dataclasses import dataclass
from pathlib import Path

from portraitist import durable
from portraitist.bases.headers import WEIGHTS
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
    from portraitist.adapters import content, dialects, facts, files, trees

    if out.suffix != WEIGHTS:
        raise PortraitistError(f"{out} does not end in {WEIGHTS}", f"Name it {out.name or 'adapter'}{WEIGHTS}.")
    if out.exists() and not overwrite:
        raise PortraitistError(f"{out} is there already", "Choose another name, or say --overwrite.")
    tensors, metadata = files.read(file)
    known = facts.recognise(tensors, metadata, family)
    family, said = known.family, known.content
    look = f"See what it is: portraitist inspect {file}"
    if known.alike:
        raise PortraitistError(
            f"{file} fits {' and '.join(known.alike)} alike", f"Say which: --family {known.alike[0]}"
        )
    if not family:
        raise PortraitistError(f"{file} fits no family that is known here", look)
    dialect, tree = dialects.get(family, to), trees.shapes(family)
    if said.strangers:
        raise PortraitistError(f"{file} holds what belongs to no layer of {family}: {said.strangers[0][:200]}", look)
    for layer in said.layers:
        if (missing := facts.lacks(layer.tensors)) or not facts.fits(layer, tree):
            raise PortraitistError(f"{layer.name} {f'lacks {missing}' if missing else 'is of another shape'}", look)
    whole = content.explicit(said, metadata)
    named = content.write(whole, dialect, tree)
    words = dialects.lexicon(family, tuple(tree))
    if changed := content.lost(whole, content.read(named, words), tree):
        raise PortraitistError(
            f"{changed} would not come back from {dialect.name} as it is", "Choose a dialect of the same layout."
        )
    kept = {key: value for key, value in metadata.items() if key not in (content.METADATA, "sshs_legacy_hash")}
    marks = files.hashes(files.pack(named, {})) if "sshs_model_hash" in kept or "modelspec.hash_sha256" in kept else {}
    durable.write_bytes(out, files.pack(named, kept | marks))
    was = tuple(dialects.speakers(tensors, words))
    return ConvertResult(str(out), family, was, dialect.name, len(named), round(out.stat().st_size / 1e6, 3))
