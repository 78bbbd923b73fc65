"""What models propose to say of pictures, one after the other or some at a time; one picture's failure is its own."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from portraitist.captioning import Describer as DescriberSettings
from portraitist.captioning import Tagger as TaggerSettings
from portraitist.crew import Crew, each
from portraitist.errors import PortraitistError
from portraitist.pictures import open_upright
from portraitist.sight import tags
from portraitist.sight.answers import Answers
from portraitist.sight.describe import TOKENS_ANSWERED, TOKENS_ASKED, Describer, Description, Usage, shrunk
from portraitist.sight.endpoint import Endpoint, EndpointError
from portraitist.sight.onnx import ModelError

IN_A_ROW = 5
"""Pictures in a row whose questions an endpoint does not answer, after which it is not asked any more."""

OPEN = 2
"""Pictures that lie decoded in memory at a time, however many are asked about: one may have a hundred megapixels."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a model says of a picture.

    by       the model: a tagger by its file's SHA-256, one behind an endpoint by its name there
    values   pairs of kind and phrase, "" for a kind that is not told
    beside   what it says that is never captioned, in words: for the screen against sexualised minors
    rating   of a tagger; "" elsewhere
    text     that the model reads in the picture
    """

    by: str
    values: tuple[tuple[str, str], ...]
    beside: str = ""
    rating: str = ""
    text: str = ""


Ask = Callable[[Path], Proposal]


@dataclass(frozen=True, slots=True)
class Asked:
    """One picture that a tagger is asked about: its file, the tagger's folder, where answers are kept."""

    path: Path
    folder: Path
    cache: Path
    settings: TaggerSettings

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.name


@cache
def tagger(folder: Path, threads: int) -> tags.Tagger:
    """The tagger in a folder, loaded once a process."""
    return tags.load(folder, threads)


def tagged(asked: Asked) -> Proposal:
    """What a tagger sees in a picture; what it saw is kept, so that other thresholds cost nothing."""
    settings, ready = asked.settings, tagger(asked.folder, asked.settings.threads)
    answers = Answers(asked.cache, ("tags", ready.digest, ready.list_digest))
    opened = open_upright(asked.path)
    known = answers.known(opened.digest)
    seen = tags.Tagged(**known) if known is not None and set(known) == {"general", "characters", "ratings"} else None
    if seen is None:
        seen = ready(opened)
        answers.keep(opened.digest, asdict(seen))
    names = seen.counted(settings.general, settings.characters, settings.thresholds)
    return Proposal(f"tagger {ready.digest}", tuple(("", name) for name in names), f"rating {seen.rating}", seen.rating)


def by_tagger(
    paths: Sequence[Path], folder: Path, kept: Path, settings: TaggerSettings, crew: Crew
) -> Iterator[tuple[int, Proposal | PortraitistError]]:
    """What a tagger proposes of each picture, with its place in `paths`; its answers are kept in `kept`.

    Raises ModelError for one that cannot be used.
    """
    if not crew.ray:
        tagger(folder, settings.threads)  # a tagger that cannot be used is told before anybody is sent to it
    asked = (Asked(path, folder, kept, settings) for path in paths)
    for place, found in enumerate(each(tagged, asked, crew, few=2)):
        if isinstance(found, ModelError):
            raise found
        yield place, found


def describer(settings: DescriberSettings, noun: str) -> Describer:
    """The model that a recipe names. Raises PortraitistError where it names none, or its key is not set."""
    for name, value in (("url", settings.url), ("model", settings.model)):
        if not value:
            raise PortraitistError(
                f"captioning.endpoint.{name} is not set",
                'Name both: captioning.endpoint.url = "http://localhost:11434/v1", and .model as the server calls it.',
            )
    endpoint = Endpoint(settings.url, settings.key_variable, settings.timeout, settings.tries)
    endpoint.address("")
    endpoint.key()
    return Describer(endpoint, settings.model, noun, settings.tokens)


def by_endpoint(model: Describer, kept: Path) -> Ask:
    """Asks a model behind an endpoint, and never twice about the same picture: answers lie in `kept`."""
    answers = Answers(kept, ("description", model.model, model.question))
    opening = threading.BoundedSemaphore(OPEN)

    def ask(path: Path) -> Proposal:
        with opening:
            opened = open_upright(path)
            digest, pixels = opened.digest, shrunk(opened.pixels)
            del opened
        known = answers.known(digest)
        if known is None:
            found = model.describe(pixels)
            answers.keep(digest, found.model_dump(mode="json"))
        else:
            found = Description.model_validate(known)
        beside = [found.age if found.age in ("child", "teenager") else "", "nude" if found.nudity != "none" else ""]
        return Proposal(
            f"endpoint {model.model}", tuple(found.values()), " ".join(word for word in beside if word), text=found.text
        )

    return ask


@dataclass(slots=True)
class Patience:
    """Whether an endpoint is still asked: not after an answer that any other request would get too, and not after
    `IN_A_ROW` requests without one; `over` is then what the pictures left are told."""

    over: PortraitistError | None = None
    unanswered: int = 0

    def heed(self, found: Proposal | Exception) -> None:
        """Take in what came of one picture."""
        self.unanswered = self.unanswered + 1 if isinstance(found, EndpointError) else 0
        if isinstance(found, EndpointError) and (found.final or self.unanswered >= IN_A_ROW):
            self.over = self.over or PortraitistError(f"not asked: {found.problem}", found.remedy)


def gathered(paths: Sequence[Path], ask: Ask, at_once: int) -> Iterator[tuple[int, Proposal | PortraitistError]]:
    """What is proposed of each picture, with its place in `paths`, as it comes.

    at_once  pictures asked about at a time, by as many threads

    A picture that cannot be read, a refusal, nonsense: an error in its place. An endpoint that is not there or knows
    not the key or the model, and one that does not answer `IN_A_ROW` times, is asked no more: pictures that nobody
    asked about are told with that reason.
    """
    todo, done = queue.SimpleQueue[int](), queue.SimpleQueue[tuple[int, Proposal | Exception]]()
    patience = Patience()

    def work() -> None:
        while (place := todo.get()) >= 0:
            found: Proposal | Exception
            try:
                found = patience.over or ask(paths[place])
            except Exception as error:  # noqa: BLE001 - a thread's error is told, or raised, where answers are read
                found = error
            patience.heed(found)
            done.put((place, found))

    for place in [*range(len(paths)), *[-1] * at_once]:
        todo.put(place)
    for _ in range(at_once):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in paths:
            place, found = done.get()
            if not isinstance(found, Proposal | PortraitistError):
                raise found
            yield place, found
    finally:
        patience.over = PortraitistError("not asked: it was stopped", "Run it again.")  # threads find nothing to do


def cost_before(count: int, settings: DescriberSettings) -> float:
    """What asking about so many pictures will cost, about, before any answer has told."""
    return Usage(count * TOKENS_ASKED, count * TOKENS_ANSWERED).cost(settings.price_in, settings.price_out)
