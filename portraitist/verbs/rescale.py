"""rescale: an adapter at another strength, for good: what was 0.8 in a workflow is 1 then."""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

from portraitist.errors import PortraitistError

if TYPE_CHECKING:
    from portraitist.adapters.handing import Handed


def rescale(
    file: Path, out: Path, strength: float, to: str = "", family: str = "", overwrite: bool = False
) -> "Handed":
    """Write an adapter whose strength 1 is this strength of the old one: factors stay to the bit, alphas do not.

    Raises PortraitistError for a strength of 0 or none at all, and for kinds whose strength no alpha states.
    """
    from portraitist.adapters import files
    from portraitist.adapters.handing import handed
    from portraitist.adapters.remaking import rescaled
    from portraitist.adapters.understanding import understood

    began = time.monotonic()
    files.refuse_place(out, overwrite)
    if not math.isfinite(strength) or strength == 0:
        raise PortraitistError(f"A strength of {strength:g} leaves nothing to use", "Say another, such as 0.8.")
    known = understood(file, family)
    return handed(out, rescaled(known, strength), (), known.family, to, known.metadata, began)
