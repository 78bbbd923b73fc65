"""A package to the Hugging Face Hub, by its own client: in one commit, private unless a person says public.

The token is HF_TOKEN, or what `hf auth login` stored; it is never taken from a command line, and never written. What is
there already is not made visible to others, or hidden from them: that is done on the repository's page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from portraitist.bases.fetching import online, words_of
from portraitist.bases.places import NAME, TOKEN
from portraitist.errors import Interrupted, PortraitistError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pushed:
    """Where a package lies on the Hub: the commit's page, and whether everybody sees it."""

    url: str
    public: bool


def require_repository(repository: str, site: str = "huggingface") -> None:
    """Refuse an upload to another site, what is no repository, and a person whom the Hub would not know."""
    from huggingface_hub import get_token

    if site != "huggingface" or not repository:
        raise PortraitistError("--push and --public are of the Hugging Face Hub, and go together", "Leave them out.")
    if TOKEN.search(repository):
        raise PortraitistError("That is an access token, not a repository", "Renew it, and give --push OWNER/NAME.")
    if not NAME.fullmatch(repository):
        raise PortraitistError(f"{repository!r} is no repository", "Give --push OWNER/NAME.")
    if not get_token():
        raise PortraitistError(
            "There is no access token for the Hub", "hf auth login (or set HF_TOKEN), with a token that may write."
        )


def push(place: Path, files: Sequence[Path], repository: str, *, public: bool) -> Pushed:
    """Upload a package's files to a repository, made where it is not there yet; others in it stay.

    public  whether everybody may see it; without it a repository that everybody sees is refused
    Raises PortraitistError where the Hub or the network refuses; nothing is in the repository then.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    require_repository(repository)
    api = HfApi()
    forbidden = PortraitistError(
        f"HF_HUB_OFFLINE forbids to ask the Hub about {repository}", f"Unset it; the package is in {place}."
    )
    with online(forbidden):
        try:
            found = api.repo_info(repository)
        except RepositoryNotFoundError:
            asked(repository, place, lambda: api.create_repo(repository, private=not public))
            found = asked(repository, place, lambda: api.repo_info(repository))
        except Exception as error:
            raise refusal(repository, place, error) from error
        if not found.private and not public:
            raise PortraitistError(
                f"Everybody can see {repository}, and you did not say --public",
                f"Say it if you mean it, or make it private on its page first. The package is in {place}.",
            )
        added = [CommitOperationAdd(path.relative_to(place).as_posix(), path) for path in files]
        done = asked(
            repository,
            place,
            lambda: api.create_commit(repository, added, commit_message="The LoRA, its card and its pictures"),
        )
    return Pushed(str(done.commit_url), not found.private)


def asked(repository: str, place: Path, how: Callable[[], T]) -> T:
    """What the Hub answers; its refusals as ours."""
    try:
        return how()
    except (Interrupted, PortraitistError, MemoryError):
        raise
    except Exception as error:  # the client's own, its HTTP library's and the disk's
        raise refusal(repository, place, error) from error


def refusal(repository: str, place: Path, error: BaseException) -> PortraitistError:
    """An answer of the Hub that is none, in a line."""
    from huggingface_hub.errors import HfHubHTTPError

    chain = [error, *(e for e in (error.__cause__, error.__context__) if e is not None)]
    told = next((e for e in chain if isinstance(e, HfHubHTTPError)), None)
    status = told.response.status_code if told is not None else 0
    if status in (401, 403):
        return PortraitistError(
            f"The Hub does not let this token write to {repository} (it answers {status})",
            f"Use one that may, of an account that {repository.partition('/')[0]} is; the package is in {place}.",
        )
    said = getattr(told, "server_message", None) if told is not None else ""
    why = f"it answers {status}{f', {said}' if said else ''}" if told is not None else words_of(error)
    return PortraitistError(
        f"{repository} was not uploaded: {why}", f"Mend that and run it again; the package is in {place}."
    )
