"""Projects as they are published: with other words, of a real person, and what was drawn of them."""

import json
import re

from portraitist import runs
from portraitist.judge import scorecard
from portraitist.project import Project
from portraitist.verbs.consent import consent
from portraitist.verbs.export import export

BY = "Ana Example"
"""Who consents."""


def told(project, **changes):
    """The project with other words in project.toml."""
    path = project.folder / "project.toml"
    text = path.read_text()
    for name, value in changes.items():
        line = f"{name} = {json.dumps(value)}"
        text = re.sub(rf"(?m)^{name} = .*$", lambda _, line=line: line, text)
        text = text if line in text else f"{line}\n{text}"
    path.write_text(text)
    return Project.open(project.folder)


def real(project, covers):
    """The same of a real person, who consented to so much."""
    project = told(project, subject="real")
    signed = project.folder.parent / "signed.pdf"
    signed.write_bytes(b"signed")
    given = {"by": BY, "date": "2026-01-14", "rights": BY, "adult": True}
    consent(project, file=signed, covers=["images", "training", "generation", *covers], **given)
    project = Project.open(project.folder)
    export(project)
    return project


def drawn(project):
    """The pictures of the chosen checkpoint at the chosen strength that nobody chose by, by name."""
    run = runs.find(project)
    choice = run.chosen()
    cell = choice.step, choice.strength, choice.guidance
    return {path.name: path for path in scorecard.renders(run, *cell).glob("report-*.png")}
