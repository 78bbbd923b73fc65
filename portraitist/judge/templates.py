"""Pages from templates: HTML that escapes what it is told, with pictures as large as the limit on its bytes allows."""

from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from portraitist.judge.album import Album

LIMIT = 4_000_000
"""Most bytes of a page: it is to be mailed and opened on a phone."""

SCALES = (1.0, 0.7, 0.5, 0.35, 0.25)
"""Picture sizes that are tried, largest first, until a page keeps to its limit."""


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """A template of this package, filled in."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("portraitist", "judge"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)


def fitted(template: str, told: Callable[[Album], Mapping[str, Any]]) -> str:
    """A page whose pictures come from an album, at the largest scale that keeps to the limit, else at the least."""
    text = ""
    for scale in SCALES:
        text = rendered(template, told(Album(scale)))
        if len(text.encode("utf-8", "replace")) <= LIMIT:
            break
    return text
