"""One part of a base out of a publisher's file, as a model of diffusers' or transformers' class.

The file lies mapped into memory, and tensors are turned into the type asked for one by one: at its peak, reading holds
what the model holds in the end, and nothing but the mapping when the file has that type already. Measured by
/proc/self/status on CLIP-L's real sizes, a file of 234 MB in float16: 1 MB read as float16, 235 MB as bfloat16, 470 MB
as float32, mapped pages of the file not counted.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from portraitist.bases import headers, layouts
from portraitist.bases.forms import FORMS
from portraitist.bases.layouts import Written
from portraitist.errors import PortraitistError


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file of tensors, mapped. Raises PortraitistError for one that safetensors itself refuses."""
    try:
        with safe_open(path, "pt") as file:
            yield file
    except SafetensorError as error:
        raise PortraitistError(f"{path} cannot be read: {error}", headers.COPY) from error


def read(path: Path, kind: Any, family: str, part: str, dtype: torch.dtype) -> Any:
    """A part of a family's base out of a file: a model frozen and in evaluation mode, its weights of `dtype`.

    kind  the class to read it as. Raises PortraitistError when the file is damaged, stores weights in 8 bits, lacks
    weights of the class or has others, or has them of another size.
    """
    layout = layouts.of(family)
    if layout is None:
        raise PortraitistError(
            f"No part of {family} is read out of a file", "Give it as a folder in diffusers' layout."
        )
    header = headers.read(path)
    headers.refuse_rounded(header)
    model = empty(kind, dict(layout.config(part)))
    with opened(path) as file:
        tensors = {name: file.get_tensor(full) for name, full in names(header, layout.weights[part]).items()}
        fill(model, named(model, tensors, layout.weights[part]), path, dtype)
    return model.requires_grad_(False).eval()


def names(header: headers.Header, how: Written) -> dict[str, str]:
    """The names of a part's tensors to those in the file, where a file of several parts puts something before them."""
    inner = [name for name in header.shapes if how.inside and name.startswith(how.inside)]
    return {name.removeprefix(how.inside) if inner else name: name for name in inner or header.shapes}


def named(model: nn.Module, tensors: Mapping[str, Tensor], how: Written) -> dict[str, Tensor]:
    """The tensors by the class's names, which some files have already."""
    if set(tensors) == set(model.state_dict()):
        return dict(tensors)
    form = FORMS[how.form] if isinstance(how.form, str) else how.form
    return form(tensors, model)


def empty(kind: Any, values: dict[str, Any]) -> Any:
    """A model of a class and configuration without memory for its weights; what it counts out for itself is there."""
    with init_empty_weights():
        return kind.from_config(values) if hasattr(kind, "from_config") else kind(kind.config_class(**values))


def fill(model: Any, tensors: dict[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    """Put tensors into a model, by name; every one has its place, and every place its tensor."""
    check(model, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)
    kept = kept_whole(model, dtype)
    for name in tensors:
        exact = any(word in name.split(".") for word in kept)
        tensors[name] = tensors[name].to(torch.float32 if exact else dtype)
    model.load_state_dict(tensors, assign=True)
    if hasattr(model, "tie_weights"):
        model.tie_weights()


def check(model: Any, shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Refuse tensors, by name and shape, that are not all of a model's and no others."""
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    lacking = sorted(set(wanted) - set(shapes))
    over = sorted(set(shapes) - set(wanted))
    sized = sorted(name for name in wanted if name in shapes and shapes[name] != wanted[name])
    for found, what in ((lacking, "lacks {} weights"), (over, "has {} unknown weights")):
        if found:
            raise PortraitistError(
                f"{path} {what.format(len(found))} of {type(model).__name__}, such as {found[0]}",
                "Is it of another family or variant? Else copy the file again.",
            )
    if sized:
        name = sized[0]
        raise PortraitistError(
            f"{path} has {len(sized)} weights of another size than {type(model).__name__}'s, such as {name}: "
            f"{shapes[name]}, not {wanted[name]}",
            "Is it of another family or variant? Else copy the file again.",
        )


def kept_whole(model: Any, dtype: torch.dtype) -> set[str]:
    """Words in the names of modules that the libraries keep in float32, whatever is asked for."""
    if dtype == torch.float32:
        return set()
    loose = getattr(model, "_keep_in_fp32_modules", None) or () if dtype == torch.float16 else ()
    return {*loose, *(getattr(model, "_keep_in_fp32_modules_strict", None) or ())}
