"""merge: several adapters of one family as one, in whatever dialects and kinds they are."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from portraitist import families
from portraitist.adapters.ranks import Ranks
from portraitist.errors import PortraitistError
from portraitist.events import Emit, Factored, Finished, Started, ignore

if TYPE_CHECKING:
    from portraitist.adapters.handing import Handed

SAME = Ranks()


def merge(
    given: Sequence[Path],
    out: Path,
    weights: Sequence[float] = (),
    how: Literal["sum", "ties", "dare", "dare-ties", "prune"] = "sum",
    ranks: Ranks = SAME,
    density: float = 0.5,
    seed: int = 0,
    dtype: str = "",
    to: str = "",
    base: Path | None = None,
    family: str = "",
    overwrite: bool = False,
    emit: Emit = ignore,
) -> "Handed":
    """Write one adapter that does what several do together.

    weights  one for each file; without any, 1 for each
    how      "sum" is exact: ranks stand side by side, so that the file has the sum of all; with ranks, a share or a
             size it is then cut to the best of these. The others are peft's ways, on the changes multiplied out
    density  share of entries that those keep; `seed` is of dare's chance
    dtype    of the factors; "" is the first file's
    base     the model that they were trained on, which DoRA alone needs
    Raises PortraitistError for fewer than two files, weights of another number, and files of several families.
    """
    from portraitist.adapters import files
    from portraitist.adapters.handing import handed
    from portraitist.adapters.remaking import Mixed, remade
    from portraitist.adapters.understanding import understood

    began = time.monotonic()
    ranks.check()
    files.refuse_place(out, overwrite)
    if len(given) < 2:
        raise PortraitistError("There is nothing to merge with", "Name two files or more; one alone: resize, rescale.")
    if weights and len(weights) != len(given):
        raise PortraitistError(f"{len(weights)} weights for {len(given)} files", "Give a --weight for each, in order.")
    if not 0 < density <= 1:
        raise PortraitistError(f"--density {density:g} is no share", "Say one above 0 and up to 1, such as 0.5.")
    known = [understood(path, family) for path in given]
    mixed = Mixed(tuple(weights) or (1.0,) * len(given), how, density, seed)
    emit(Started(verb="merge"))
    got = remade(
        known,
        mixed,
        ranks,
        files.dtype(dtype) or known[0].dtype,
        families.weights_of(base, known[0].family),
        lambda done, total: emit(Factored(what="layers", done=done, total=total)),
    )
    emit(Finished(verb="merge", seconds=time.monotonic() - began))
    return handed(out, got.parts, got.layers, known[0].family, to, known[0].metadata, began)
