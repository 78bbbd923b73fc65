"""The page of an audit: every picture with its findings, the worst first, and nothing of a name taken for HTML."""

from html.parser import HTMLParser

import pytest

from portraitist.audit import Finding
from portraitist.judge import contact
from portraitist.pictures import Picture
from portraitist.project import Facts, Project
from portraitist.recipe import load
from portraitist.verbs.audit import audit
from portraitist.verbs.new import new
from tests.pictures import saved, scenery

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "img", "br", "link"}


class Reader(HTMLParser):
    """Text, sources and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)


@pytest.fixture
def project(tmp_path):
    made = Project.create(tmp_path / "maya", Facts(name=EVIL, trigger="zorblax", subject="fictional"))
    for name in ("good.png", "warned.png", "blocking.png"):
        saved(made.pictures / name, scenery(len(name), 64, 48))
    return made


def picture(name: str) -> Picture:
    return Picture(name, name, 64, 48, f"zorblax, close-up, {EVIL}", measures={})


def test_the_worst_comes_first_and_each_finding_stands_with_its_picture(project):
    names = ["good.png", "warned.png", "blocking.png", "lost.png"]
    findings = [
        Finding("number", "", "block", EVIL, "Add some.", 3),
        Finding("broken", "blocking.png", "block", "blocking.png: it is broken", EVIL, 0, ("blocking.png",)),
        Finding("soft", "warned.png", "warn", "warned.png: it is soft", "Another.", 0, ("warned.png",)),
        Finding(
            "small", "good.png", "warn", "good.png: it is small", "Larger.", 0, ("good.png",), waived="the only one"
        ),
    ]
    read = Reader(contact.page(project, [picture(name) for name in names], findings, [("pictures", "4")]))
    text = " ".join(read.words)
    assert read.open == []
    assert "script" not in read.tags
    assert text.count(EVIL) >= 3
    assert text.index("blocking.png") < text.index("warned.png") < text.index("lost.png")
    assert "it is broken" in text
    assert "blocking.png: it is broken" not in text, "the name stands above already"
    assert "the only one" in text
    assert "cannot be read" in text
    assert all(source.startswith(("data:image/webp;base64,", "#")) for source in read.sources)


@pytest.mark.parametrize(
    ("severities", "says"),
    [
        (["block", "note"], "1 that blocks, 0 that warn, 1 note. "),
        (["warn"], "0 that block, 1 that warns, 0 notes. "),
        (["block", "block", "warn", "warn", "note", "note"], "2 that block, 2 that warn, 2 notes. "),
    ],
)
def test_one_finding_is_told_as_one(project, severities, says):
    findings = [Finding("number", "", severity, "Few.", "Add some.", 3) for severity in severities]
    assert says in " ".join(Reader(contact.page(project, [], findings, [])).words)


def test_the_counts_of_views_stay_in_their_columns_and_other_rows_may_wrap(project):
    rows = [("", "frontal  back"), ("close-up", "      3     1"), ("background", "6 forest, 5 city")]
    page = contact.page(project, [], [], rows)
    assert '<div class="views">close-up          3     1</div>' in page
    assert "<div>background  6 forest, 5 city</div>" in page


def test_a_large_set_leaves_out_pictures_without_a_finding_first(project):
    bad = [f"z{i:03}.png" for i in range(20)]
    findings = [Finding("soft", name, "warn", f"{name}: soft", "Another.", 0, (name,)) for name in bad]
    pictures = [picture(f"{i:04}.png") for i in range(contact.MOST)] + [picture(name) for name in bad]
    text = " ".join(Reader(contact.page(project, pictures, findings, [])).words)
    assert all(name in text for name in bad)
    assert "20 more pictures are not shown" in text


def test_the_audit_writes_it_only_when_asked(tmp_path):
    made = new(tmp_path / "maya", name="Maya", trigger="zorblax", subject="fictional", preset="mini")
    for i in range(3):
        saved(made.pictures / f"{i}.png", scenery(i, 64, 64))
    recipe = load(made.recipe)
    assert audit(made, recipe).page == ""
    assert not (made.folder / "audit.html").exists()
    assert audit(made, recipe, page=True).page == str(made.folder / "audit.html")
    assert "2.png" in (made.folder / "audit.html").read_text()
