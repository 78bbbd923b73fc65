"""What a base's file is, in words: which parts of which base it holds, and what it does not tell. Loads no torch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from portraitist.adapters import dialects
from portraitist.adapters.remarks import Remark, printable, some, told
from portraitist.bases import headers, prediction
from portraitist.bases.headers import Header
from portraitist.errors import PortraitistError
from portraitist.tensorfile import TYPES, WHOLE

if TYPE_CHECKING:
    from portraitist.bases.recognising import Found


DIFFUSERS, PUBLISHER = "diffusers'", "its publisher's"


@dataclass(frozen=True, slots=True)
class BaseInspection:
    """What a base's file is, by its header alone: no weight of it is read.

    families  whose parts it holds: several where no name and no size tells them apart
    parts     by name: tensors in the file, tensors of the published model's class, how many of these are there in
              their size, and whether the names are the class's
    whole     whether it is the denoiser of a run's checkpoint, all of whose weights were trained
    types     tensors by type
    predicts  what it says that it predicts: "epsilon", "v", with zero terminal SNR or not; "" where it says nothing
    unmatched tensors of no part that is known here
    unknown   what the file does not tell, a sentence each
    """

    file: str
    megabytes: float
    families: tuple[str, ...]
    parts: dict[str, dict[str, Any]]
    whole: bool
    types: dict[str, int]
    predicts: str
    unmatched: tuple[str, ...]
    unknown: tuple[str, ...]
    metadata: dict[str, str]
    findings: tuple[Remark, ...] = field(default=())

    @property
    def blocked(self) -> bool:
        """Whether it cannot be read here as what it is."""
        return any(remark.severity == "block" for remark in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Every field, that it is a base, the family where there is one alone, and whether its use is forbidden."""
        one = self.families[0] if len(self.families) == 1 else ""
        own = {"what": "base", "family": one, "blocked": self.blocked}
        return {name: getattr(self, name) for name in self.__slots__} | own

    def table(self) -> list[tuple[str, str]]:
        """One fact a row."""
        names = list(self.parts)
        use = f"a part of a base, no adapter: model.parts.{names[0]} takes it"
        if self.whole:
            use = "a base's denoiser out of a run's checkpoint, no adapter: portraitist export writes it for others"
        elif len(names) > 1:
            use = "a base, no adapter: model.base takes it"
        rows = [
            ("file", f"{self.file}, {self.megabytes:g} MB"),
            ("what", use),
            ("family", " or ".join(self.families)),
            *(
                (name, f"{p['fit']:,} of {p['of']:,} tensors, by {DIFFUSERS if p['own'] else PUBLISHER} names")
                for name, p in self.parts.items()
            ),
            ("type", ", ".join(f"{count} {name}" for name, count in self.types.items())),
            *([("predicts", self.predicts)] if self.predicts else []),
            ("unmatched", some(self.unmatched) or "none"),
            *(("not told", sentence) for sentence in self.unknown),
        ]
        return rows + [(name, value) for name, value in self.metadata.items()]


FOLDER = "Give the folder that it lies in: its config.json says which tensors belong to it."
OPEN = {
    ("sdxl", "vae"): "whether it is Stable Diffusion 1's or 2's, which has the same names and sizes",
    ("flux", "transformer"): "whether it is FLUX.1-dev's or a relative's with the same layers, such as Kontext's",
}
"""What more could be, of parts whose names and sizes are not theirs alone."""


def inspect(file: Path, kinds: Mapping[str, Mapping[str, str]]) -> BaseInspection | None:
    """What a base's file is; None for any other, also for a damaged one.

    kinds  by family, the classes of its parts as library.Class
    """
    from portraitist.bases import recognising

    if file.suffix != headers.WEIGHTS:
        return None
    try:
        header = headers.read(file)
    except PortraitistError:
        return None  # told by what reads adapters
    if any(dialects.cut(name)[1] for name in header.shapes):
        return None
    known = [recognising.Known(name, part, kind) for name, parts in kinds.items() for part, kind in parts.items()]
    parts, strangers = recognising.recognise(header, known)
    if not parts:
        return None
    fitting = [name for name in kinds if all(name in found.families for found in parts)]
    families = tuple(fitting or dict.fromkeys(name for found in parts for name in found.families))
    says, doubts = predicted(header, parts)
    names = {short: name for name, short in TYPES.items()}
    return BaseInspection(
        file=str(file),
        megabytes=round(file.stat().st_size / 1e6, 3),
        families=families,
        parts={
            found.part: {"tensors": found.tensors, "of": found.of, "fit": found.fit, "own": found.own}
            for found in parts
        },
        whole=any(found.prefix == WHOLE for found in parts),
        types=dict(Counter(names.get(kind, kind) for kind in header.types.values())),
        predicts=says,
        unmatched=tuple(map(printable, strangers)),
        unknown=tuple(unknown(parts, families, says)),
        metadata=told(header.words),
        findings=(*shortcomings(header, parts), *doubts),
    )


def predicted(header: Header, parts: Sequence["Found"]) -> tuple[str, list[Remark]]:
    """What a file says of SDXL's prediction, or the scheduler of the folder that it is a part of; what contradicts."""
    unet = next((found for found in parts if found.part == "unet"), None)
    if unet is None:
        return "", []
    folder = header.path.parent
    beside = unet.own and folder.name == "unet"
    try:
        said = prediction.said(header.path, folder.parent) if beside else prediction.by_file(header)
    except PortraitistError as error:
        return "", [Remark("prediction", "block", error.problem, error.remedy)]
    words = [str(said.prediction)] if said.prediction else []
    words += ["zero terminal SNR"] if said.zero_snr else []
    words += [f"says {said.where}"] if words and said.where != header.path else []
    return ", ".join(words), []


def unknown(parts: Sequence["Found"], families: Sequence[str], says: str) -> Iterable[str]:
    """What a file of these parts does not tell."""
    if len(families) > 1:
        yield f"which of {', '.join(families)} it is of: names and sizes are the same; model.family says it"
    if any(found.part == "unet" for found in parts) and not says:
        yield "what it predicts: taken for epsilon, unless model.prediction says v"
    for found in parts:
        also = OPEN.get((found.families[0], found.part))
        if also and (found.part != "vae" or len(parts) == 1):
            yield also
    yield "whether its weights are finite, and who trained them: only the header was read"


def shortcomings(header: Header, parts: Sequence["Found"]) -> Iterable[Remark]:
    """Why a base's file would not be read as one here; by its class's names, none that its folder does not mend."""
    try:
        headers.refuse_rounded(header)
    except PortraitistError as error:
        yield Remark("rounded", "block", error.problem, error.remedy)
    shard = bool(headers.SHARD.search(header.path.stem))
    for found in parts:
        whose = f"{found.families[0]}'s {found.part}"
        folder = found.own and not (found.lacks and found.over)
        severity: Literal["block", "warn"] = "warn" if folder else "block"
        remedy = FOLDER if folder else "Is it of a variant, such as those for inpainting? None is read from a file."
        for check, names, what in (
            ("missing", () if shard else found.lacks, "are missing"),
            ("shape", found.sized, "are of another size than published"),
            ("unmatched", found.over, "are more than it has"),
        ):
            if names:
                says = f"Of {whose} {len(names):,} tensors {what}: {some(tuple(map(printable, names)))}"
                yield Remark(check, severity, says, remedy)
        if shard and found.lacks:
            says = f"It holds {found.fit:,} of {found.of:,} tensors of {whose}: it is one of several files"
            yield Remark("shard", "warn", says, FOLDER)
