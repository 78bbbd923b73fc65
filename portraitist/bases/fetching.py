"""A base that is named by its id on the Hugging Face Hub and is not in the local cache: fetched there, once.

Only the parts that the family reads, each in one copy; what is there already is not asked for again, and what was cut
goes on where it was. Who asks is told by huggingface_hub itself: HF_TOKEN, or what `hf auth login` stored; HF_ENDPOINT,
HF_HUB_CACHE and HF_HUB_OFFLINE are heeded. Loads no torch.
Held to huggingface_hub's own client by tests/integration/test_fetching.py.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

from portraitist import durable
from portraitist.bases import layouts
from portraitist.bases.headers import WEIGHTS
from portraitist.bases.permission import MAY
from portraitist.bases.places import KEPT, NAME, place, refuse_others, refuse_tokens
from portraitist.errors import Interrupted, PortraitistError
from portraitist.events import Emit, Fetched
from portraitist.sections import Model

BESIDE = ("model_index.json", "scheduler/scheduler_config.json")
"""What is read of a base beside its parts: whose pipeline it is for, and its noise process."""

WHOLE = re.compile(r"(model|diffusion_pytorch_model)(-\d+-of-\d+)?\.safetensors")
HALF = re.compile(r"(model|diffusion_pytorch_model)(\.fp16)?(-\d+-of-\d+)?(\.fp16)?\.safetensors")
MEGABYTE = 1_000_000


def fetch(model: Model, emit: Emit) -> None:
    """Download what the cache lacks of the models that a recipe names; nothing when it lacks nothing.

    Raises PortraitistError when the Hub cannot be reached or has no such model for us, when it is gated, when the disk
    has no room, when the model has no safetensors of a part, and for a recipe with a token in it.
    """
    refuse_tokens(model)
    layout = layouts.of(model.family)
    if layout is None:
        return
    given = {part for part, text in model.parts.model_dump().items() if text}
    words = () if model.tokenizers else layout.words
    for name, weights, others in (
        (model.base, [part for part in layout.weights if part not in given], words),
        (model.tokenizers, [], layout.words),
    ):
        folder = place(name) if NAME.fullmatch(name) else Path()
        if folder is None or (cached(folder) and lacking(folder, weights, others)):
            forbidden = PortraitistError(
                f"{name} is not in the Hugging Face cache whole, and HF_HUB_OFFLINE forbids to ask for it",
                f"Unset HF_HUB_OFFLINE, or fetch it elsewhere with hf download {name} and copy it here.",
            )
            with online(forbidden):
                download(name, weights, others, emit, model.family if weights else "")


@contextmanager
def online(forbidden: PortraitistError) -> Iterator[None]:
    """Within, huggingface_hub may ask the Hub. Raises `forbidden` where a person has set HF_HUB_OFFLINE."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    if before and not os.environ.get(MAY):
        raise forbidden
    constants.HF_HUB_OFFLINE = False
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def cached(folder: Path) -> bool:
    """Whether a folder is a snapshot in the Hub's cache: others are a person's own, and stay as they are."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().resolve() in folder.resolve().parents


def lacking(folder: Path, weights: Sequence[str], words: Sequence[str]) -> list[str]:
    """The parts that a snapshot does not have whole. Small files come first: without weights nothing was cut."""
    return [part for part in weights if not complete(folder / part)] + [
        part for part in words if not any((folder / part).glob("*"))
    ]


def complete(part: Path) -> bool:
    """Whether a part's folder has all its weights: a file, or all the files that an index names."""
    if not (part / "config.json").is_file():
        return False
    if any("-of-" not in path.name for path in part.glob(f"*{WEIGHTS}")):
        return True
    for index in part.glob(f"*{WEIGHTS}.index.json"):
        named = durable.read_json(index).get("weight_map", {})
        if named and all((part / name).is_file() for name in set(named.values())):
            return True
    return False


def download(name: str, weights: Sequence[str], words: Sequence[str], emit: Emit, family: str = "") -> None:
    """Fetch the files of a model's parts that are not in the cache; no weights of a base that is another family's."""
    from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download, try_to_load_from_cache

    facts = asked(name, lambda: HfApi().model_info(name, files_metadata=True))
    sizes = {file.rfilename: int(file.size or 0) for file in facts.siblings or ()}
    wanted = chosen([path for path in sizes if path in BESIDE or path.partition("/")[0] in (*weights, *words)], weights)
    for part in weights:
        if not any(path.startswith(f"{part}/") and path.endswith(WEIGHTS) for path in wanted):
            raise PortraitistError(
                f"{name} has no {WEIGHTS} file of its part {part}",
                f"Name a model of the family in diffusers' layout, or give the part: --set model.parts.{part}=FILE",
            )
    missing = [p for p in wanted if not isinstance(try_to_load_from_cache(name, p, revision=facts.sha), str)]
    total, done = sum(sizes[path] for path in missing), 0
    room(name, total, Path(constants.HF_HUB_CACHE).expanduser())

    def tell(count: int) -> None:
        emit(Fetched(name=name, done=(done + count) // MEGABYTE, total=-(-total // MEGABYTE)))

    def one(path: str) -> str:
        return str(hf_hub_download(name, path, revision=facts.sha, tqdm_class=counting(tell)))

    for path in missing:
        tell(0)
        got = asked(name, partial(one, path))
        if path == BESIDE[0]:
            refuse_others(Path(got).parent, family)
        done += sizes[path]
    tell(0)
    exact = [escape(path) for path in wanted]
    # all are there now: this gives them the name that the cache knows them by
    asked(name, lambda: snapshot_download(name, allow_patterns=exact, tqdm_class=counting(lambda count: None)))


def chosen(paths: Sequence[str], weights: Sequence[str]) -> list[str]:
    """Of a model's files those that are read, weights last: of each part one copy, whole rather than half precision."""
    small = [path for path in paths if path.endswith(KEPT) and not path.endswith((WEIGHTS, ".index.json"))]
    heavy: list[str] = []
    for part in weights:
        inside = [path for path in paths if path.startswith(f"{part}/") and path.count("/") == 1]
        files = [path for path in inside if path.endswith(WEIGHTS)]
        alike = [path for path in files if WHOLE.fullmatch(path.rpartition("/")[2])]
        alike = alike or [path for path in files if HALF.fullmatch(path.rpartition("/")[2])]
        single = [path for path in alike if "-of-" not in path]
        taken = single[:1] or alike
        if taken and not single:
            half = ".fp16" in taken[0]
            small += [p for p in inside if p.endswith(f"{WEIGHTS}.index.json") and (".fp16" in p) == half]
            small += [p for p in inside if half and p.endswith(".index.fp16.json")]
        heavy += taken
    return sorted(dict.fromkeys(small)) + heavy


def room(name: str, size: int, cache: Path) -> None:
    """Refuse a download that the cache's disk has no room for."""
    free = durable.room(cache)
    if size > free:
        raise PortraitistError(
            f"{name} needs {size / 1e9:.1f} GB more in {cache}, and {free / 1e9:.1f} GB are free there",
            "Free some, or set HF_HUB_CACHE to a folder on a larger disk.",
        )


def asked(name: str, how: Callable[[], Any]) -> Any:
    """What the Hub answers; its refusals as ours, in a line each."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return how()
    except (Interrupted, PortraitistError, MemoryError):
        raise
    except Exception as error:  # the client's own, its HTTP library's and the disk's
        chain = [error, *(e for e in (error.__cause__, error.__context__) if e is not None)]
        told = next((e for e in chain if isinstance(e, HfHubHTTPError)), error)
        raise refusal(name, told) from error


def refusal(name: str, error: BaseException) -> PortraitistError:
    """An answer of the Hub that is none, or what the disk said, as a problem and a remedy."""
    import errno

    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return PortraitistError(
            f"{name} is gated: its publisher asks to agree to terms first, and to be told who asks",
            "Agree on the model's page, then: hf auth login (or set HF_TOKEN)",
        )
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return PortraitistError(
            f"The Hub has no model {name!r}, or shows it to others alone",
            "Correct the name; for a private model: hf auth login (or set HF_TOKEN)",
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PortraitistError(
            f"The disk is full: {name} was not fetched whole", "Free some; the same command goes on from there."
        )
    if isinstance(error, PermissionError):
        return PortraitistError(f"{error.filename} cannot be written", "Set HF_HUB_CACHE to a folder of yours.")
    why = f"it answers {error.response.status_code}" if isinstance(error, HfHubHTTPError) else words_of(error)
    return PortraitistError(
        f"{name} is not in the Hugging Face cache whole, and the Hub cannot be asked for it: {why}",
        f"Look at the network and try again: it goes on from there. Or fetch it elsewhere: hf download {name}",
    )


def words_of(error: BaseException) -> str:
    """An error's first words, in a line."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def counting(tell: Callable[[int], None]) -> Any:
    """A bar that shows nothing, and tells how many bytes have come each time 16 MB more are there."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **how: Any) -> None:
            how.pop("name", None)
            self.come, self.told = int(how.get("initial") or 0), 0
            super().__init__(*args, **{**how, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self.come += int(n or 0)
            if self.come - self.told >= 16 * MEGABYTE:
                self.told = self.come
                tell(self.come)
            return None

    return Bar
