"""resize: an adapter of any kind as a plain LoRA of other ranks: fewer of all, or as many as each layer needs."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist import families
from portraitist.adapters.ranks import USUAL, Ranks
from portraitist.events import Emit, Factored, Finished, Started, ignore

if TYPE_CHECKING:
    from portraitist.adapters.handing import Handed

USUALLY = Ranks(USUAL)


def resize(
    file: Path,
    out: Path,
    ranks: Ranks = USUALLY,
    dtype: str = "",
    to: str = "",
    base: Path | None = None,
    family: str = "",
    overwrite: bool = False,
    emit: Emit = ignore,
) -> "Handed":
    """Write the nearest plain LoRA of other ranks, and say what it loses.

    ranks    a number, a share of each layer's change, or a file's size; a layer never has more than it needs
    dtype    of the factors; "" is the file's
    base     the model that it was trained on, which DoRA alone needs
    LoHa, LoKr, LoCon with a core and DoRA become plain LoRA this way. Raises PortraitistError for kinds whose change is
    no sum, such as OFT, and for DoRA without a base.
    """
    from portraitist.adapters import files
    from portraitist.adapters.handing import handed
    from portraitist.adapters.remaking import Mixed, remade
    from portraitist.adapters.understanding import understood

    began = time.monotonic()
    ranks.check()
    files.refuse_place(out, overwrite)
    known = understood(file, family)
    emit(Started(verb="resize"))
    got = remade(
        [known],
        Mixed((1.0,)),
        ranks if ranks.linear or ranks.chosen else USUALLY,
        files.dtype(dtype) or known.dtype,
        families.weights_of(base, known.family),
        lambda done, total: emit(Factored(what="layers", done=done, total=total)),
    )
    emit(Finished(verb="resize", seconds=time.monotonic() - began))
    return handed(out, got.parts, got.layers, known.family, to, known.metadata, began)
