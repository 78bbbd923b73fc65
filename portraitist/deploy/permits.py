"""What may be published, and what has to be said of it first: consent, rating, licence, names. Loads no torch.

Why these rules: docs/decisions/023-publishing.md.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from portraitist.dataset import minors
from portraitist.errors import PortraitistError
from portraitist.project import Project

Site = Literal["huggingface", "civitai"]

RATINGS = ("PG", "PG-13", "R", "X", 3 * "X")
"""Civitai's content ratings, mildest first; from the third on for adults."""

ADULT = RATINGS[2:]

LICENCES = frozenset({
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bigscience-bloom-rail-1.0", "bigscience-openrail-m",
    "bsl-1.0", "bsd", "bsd-2-clause", "bsd-3-clause", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "creativeml-openrail-m", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "mit", "mpl-2.0", "openrail", "openrail++",
    "unlicense", "wtfpl",
})  # fmt: skip
"""Identifiers that the Hub knows (its page on repository licences); any other is `other`, by name and link."""

EXPLICIT = "rating explicit"
"""What a rating for adults says, in words that `dataset.minors` knows."""

FREE = re.compile(r"(^|[^a-z])(nc|non-?commercial)([^a-z]|$)")
"""In the name of a licence that keeps to what is not commercial."""

POI = "https://civitai.com/articles/15022"
"""Where Civitai says that it takes no likeness of real people (May 2025)."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a person says of a publication.

    rating   one of RATINGS; "" where none was given
    licence  an identifier, lower case; link: where another than the Hub's own can be read
    """

    rating: str = ""
    licence: str = ""
    link: str = ""

    @property
    def adult(self) -> bool:
        """Whether it is for adults alone."""
        return self.rating in ADULT


def require_terms(site: Site, terms: Terms) -> None:
    """Refuse a publication without what its site has to be told, and words that are none."""
    if terms.rating and terms.rating not in RATINGS:
        raise PortraitistError(f"{terms.rating!r} is no content rating", f"Choose one of: {', '.join(RATINGS)}.")
    if site == "civitai":
        if not terms.rating:
            raise PortraitistError(
                "Civitai asks how what is uploaded is rated, and nobody guesses that for you",
                f"Say it: --rating with one of {', '.join(RATINGS)}.",
            )
        if terms.licence or terms.link:
            raise PortraitistError(
                "Civitai takes no licence: it asks for permissions, on its own page", "Leave --licence out."
            )
        return
    if not terms.licence:
        raise PortraitistError(
            "A repository says by which licence its files may be used, and none was given",
            "Say it: --licence apache-2.0, or the base's own if that binds what is made from it.",
        )
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,60}", terms.licence):
        raise PortraitistError(
            f"{terms.licence!r} is no name of a licence", "Write it as the Hub does, such as cc-by-nc-4.0."
        )
    if terms.licence not in LICENCES and not re.fullmatch(r"https?://\S+", terms.link):
        raise PortraitistError(
            f"The Hub does not know the licence {terms.licence}",
            "Say where it can be read: --licence-link https://...; or use one that it knows, such as cc-by-nc-4.0.",
        )
    if terms.licence in LICENCES and terms.link:
        raise PortraitistError(f"The Hub knows {terms.licence} itself", "Leave --licence-link out.")


def require_permission(project: Project, site: Site, terms: Terms) -> None:
    """Refuse to publish a real person's likeness without their consent to that, beyond it, or where nobody may."""
    if project.facts.subject == "fictional":
        return
    if site == "civitai":
        raise PortraitistError(
            f"{project.facts.name} is a real person, and Civitai takes no likeness of one, by any consent ({POI})",
            "Use it yourself, or publish it elsewhere if their consent covers that.",
        )
    given = project.facts.consent
    covers = given.covers if given else ()
    if "publication" not in covers:
        raise PortraitistError(
            f"{project.facts.name} is a real person, and their consent does not cover publication",
            "Ask them for a signed consent that does, and record it: portraitist consent ... --covers"
            " images,training,generation,publication",
        )
    if "commercial" not in covers and not FREE.search(terms.licence):
        raise PortraitistError(
            f"The licence {terms.licence} allows commercial use, and the consent on record does not cover that",
            "Choose one that does not, such as cc-by-nc-4.0, or ask for a consent that covers it.",
        )
    if terms.adult or not terms.rating:
        raise PortraitistError(
            f"A real person's likeness is published as {RATINGS[0]} or {RATINGS[1]}, and that has to be said",
            f"Say it: --rating {RATINGS[0]}; nothing for adults is published of a real person.",
        )


def require_fit(project: Project, terms: Terms, prompts: Sequence[str], texts: Mapping[str, str]) -> None:
    """Refuse words that are never published: minors in anything sexual, or any minor in what is rated for adults, and
    the name of a person who consented.

    prompts  of the pictures that are shown
    texts    all that a stranger would read, by where it stands
    """
    facts = project.facts
    real = facts.subject == "real"
    own = {"The name": facts.name, "The trigger": facts.trigger} | minors.noun_texts(
        facts.noun, ((f"The brief's {kind}", ", ".join(values)) for kind, values in facts.brief.items())
    )
    said = {f"The prompt {text!r}": f"{text}, {facts.noun}" for text in prompts}
    minors.refuse({**own, **said}, real=real)
    if terms.adult and (why := minors.unfit(*own.values(), *said.values(), EXPLICIT)):
        raise PortraitistError(
            f"What is rated {terms.rating} must not speak of minors: {why.removesuffix(f' and {EXPLICIT!r}')}",
            f"Rate it {RATINGS[0]} or {RATINGS[1]} if that is what it is, or leave it unpublished.",
        )
    if real and facts.consent:
        refuse_names(facts.consent.by, f"{facts.name} {facts.trigger}", {**said, **texts})


def refuse_names(by: str, known: str, texts: Mapping[str, str]) -> None:
    """Refuse texts that name the person who consented, unless the project itself goes by that name."""
    name = " ".join(by.casefold().split())
    if name in " ".join(known.casefold().split()):
        return
    for where, text in texts.items():
        if name in " ".join(text.casefold().split()):
            raise PortraitistError(
                f"{where} names the person who consented ({by}), and would be published",
                "Say it without the name: sources by portraitist add ... --source, prompts by judging.prompts.",
            )
