"""Pages of HTML taken apart, for tests of what they show."""

import itertools
import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page taken apart: elements with attributes, text, headings in order; refuses tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements, self.words, self.headings, self.open = [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        """What can be read."""
        return " ".join(" ".join(self.words).split())


def needs_nothing(text: str) -> Page:
    """The page taken apart, after a look that it loads nothing: no address but data URIs and anchors inside it."""
    found = Page(text)
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in found.elements:
        for name in ("src", "href", "srcset", "poster", "action"):
            value = attributes.get(name, "")
            assert value == "" or value.startswith("data:") or value[1:] in ids, value[:80]
    assert not re.search(r"https?://|@import|@font-face|url\(", re.sub(r"data:[^\"]*", "", text))
    assert not found.all("link")
    return found


def can_be_heard(found: Page) -> None:
    """One first heading, none skipped; pictures and charts with words; tables with captions and scopes."""
    assert found.headings.count(1) == 1
    assert found.headings[0] == 1 or found.headings.index(1) == 0
    assert all(after - before <= 1 for before, after in itertools.pairwise(found.headings))
    assert all(attributes.get("alt") for attributes in found.all("img") if attributes["src"] != "data:,")
    assert all(attributes.get("scope") for attributes in found.all("th"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(attributes.get("aria-label") or attributes.get("aria-hidden") for attributes in found.all("svg"))
    assert found.all("html")[0]["lang"] == "en"
