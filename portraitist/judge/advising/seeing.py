"""What advice rests on, read from disk: of a run what was measured, of its project the pictures and the audit."""

from portraitist.audit.survey import read_findings
from portraitist.judge import scorecard, settings
from portraitist.judge.advising.evidence import Seen
from portraitist.judge.dossier import one_yardstick
from portraitist.project import Project
from portraitist.runs import RunFolder


def seen(project: Project, run: RunFolder) -> Seen:
    """All that is there but a forecast of memory; what is not there was not measured."""
    return Seen(
        recipe=run.recipe().model_copy(update={"judging": settings.read(run)}),
        cards=one_yardstick(scorecard.read(run))[0],
        losses=scorecard.read_losses(run),
        events=run.log.events(),
        findings=read_findings(project) if project.findings.is_file() else (),
        pictures=project.read_manifest() if project.manifest.is_file() else (),
    )
