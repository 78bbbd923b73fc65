"""Every picture of a project with the caption that stands beside it, whose that is, and how one is put."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from portraitist.dataset import captions, captions_render, intake
from portraitist.dataset.captions_render import Subject
from portraitist.dataset.captions_written import Own, below, content, ledger, own_of
from portraitist.project import Project
from portraitist.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Plan:
    """One picture and its caption: who it is about, and what stands there.

    ours  None for a person's words, or for none
    """

    source: intake.Source
    subject: Subject
    template: str
    path: Path
    before: bytes | None
    ours: Own | None

    @property
    def words(self) -> str:
        """What stands there; what is not UTF-8 is shown with question marks, and a person's."""
        return (self.before or b"").decode("utf-8", "replace")

    @property
    def free(self) -> bool:
        """Whether we may write here: nothing stands there, or words of ours."""
        return not self.words.strip() or self.ours is not None

    def plain(self) -> str:
        """The caption that claims nothing but who is there."""
        tag = [self.subject.tag] if self.subject.tag else []
        names = [self.subject.trigger, *tag, self.subject.noun] if self.subject.trigger else [self.subject.noun, *tag]
        return ", ".join(name for name in names if name)


def planned(project: Project, recipe: Recipe, sources: Iterable[intake.Source], style: str) -> Iterator[Plan]:
    """Every picture with its caption as it stands, and how one is put for its set; of pictures that share one, one.

    style  of captions, where neither set nor recipe has a template
    """
    known, taken = ledger(project), set[Path]()
    for source in sources:
        chosen = intake.named(source.set, recipe)
        trigger = "" if chosen is not None and chosen.role == "prior" else project.facts.trigger
        template = (chosen.template if chosen else "") or recipe.captioning.template
        template = captions_render.checked(template) if template else captions_render.TEMPLATES[style]
        path = captions.sidecar(source.path) or source.path.with_suffix(".txt")
        if path in taken:
            continue
        taken.add(path)
        before = content(path)
        ours = own_of(known, before, below(project, path)) if before is not None and before.strip() else None
        yield Plan(
            source, Subject(trigger, project.facts.noun, chosen.tag if chosen else ""), template, path, before, ours
        )
