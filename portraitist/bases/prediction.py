"""What an SDXL base says of its noise process: in its scheduler's configuration, or in a publisher's file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from portraitist.bases import headers
from portraitist.bases.headers import Header
from portraitist.errors import PortraitistError

NAMES: dict[str, Literal["epsilon", "v"]] = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v",
    "v_prediction": "v",
}
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
"""Of Stable Diffusion's noise process, as schedulers are configured for it: the only one there is here."""

V, ZERO = "v_pred", "ztsnr"
"""Names of tensors, of no use otherwise, by which a file says so: ComfyUI reads them."""

EDM = ("edm_mean", "edm_vpred.sigma_max")
KEY = "modelspec.prediction_type"
OTHER = "Give a base that predicts noise or v as SDXL does, or set model.family if it is a base of another family."


class Said(NamedTuple):
    """What a base says it predicts ("" for nothing), whether its last timestep is all noise, and where it says so."""

    prediction: Literal["", "epsilon", "v"] = ""
    zero_snr: bool = False
    where: Path = Path()


def said(unet: Path, folder: Path) -> Said:
    """What is said of a UNet: by its own file, else by the scheduler in the base's folder.

    Raises PortraitistError for another process than the two, and for contradictions.
    """
    found = by_file(headers.read(unet)) if unet.is_file() else Said()
    scheduler = folder / "scheduler" / "scheduler_config.json"
    if not found.prediction and not found.zero_snr and scheduler.is_file():
        return by_scheduler(scheduler, headers.table(scheduler))
    return found


def by_file(header: Header) -> Said:
    """What a publisher's file says, in its metadata or by tensors that are marks."""
    if any(name in header.shapes for name in EDM):
        raise PortraitistError(f"{header.path} is of a base taught by EDM", OTHER)
    told = header.words.get(KEY, "")
    if told and told not in NAMES:
        raise PortraitistError(f"{header.path} says {KEY} = {told!r}", OTHER)
    marked = V in header.shapes
    if marked and told and NAMES[told] != "v":
        raise PortraitistError(
            f"{header.path} says {KEY} = {told!r}, and by its tensor {V!r} the other", "Correct what is wrong there."
        )
    found: Literal["", "epsilon", "v"] = "v" if marked else NAMES[told] if told else ""
    return Said(found, ZERO in header.shapes, header.path)


def by_scheduler(path: Path, facts: Mapping[str, Any]) -> Said:
    """What a scheduler's configuration says."""
    kind = str(facts.get("prediction_type", "epsilon"))
    others = [f"{key} = {facts.get(key)!r}" for key, usual in BETAS.items() if facts.get(key) != usual]
    if kind not in NAMES or others:
        what = others[0] if others else f"prediction_type = {kind!r}"
        raise PortraitistError(f"{path} says {what}", OTHER)
    return Said(NAMES[kind], facts.get("rescale_betas_zero_snr") is True, path)
