"""Diagnoses as a SARIF 2.1.0 log (OASIS), which editors and code hosts show beside the lines."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from portraitist import __version__
from portraitist.interop.diagnosis import Diagnosis, Remark
from portraitist.interop.document import Document

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def log(found: Sequence[tuple[Document, Diagnosis]]) -> dict[str, Any]:
    """One run over all documents."""
    remarks = [(document, remark) for document, diagnosis in found for remark in diagnosis.remarks]
    named: dict[str, Remark] = {}
    for _, remark in remarks:
        named.setdefault(remark.rule, remark)
    known = [{"id": name, "help": {"text": one.source}} for name, one in sorted(named.items())]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "portraitist doctor", "version": __version__, "rules": known}},
                "results": [result(document, remark) for document, remark in remarks],
            }
        ],
    }


def result(document: Document, remark: Remark) -> dict[str, Any]:
    """One remark."""
    place = remark.place
    region = {"startLine": place.line, "startColumn": place.column, "endColumn": place.column + max(place.width, 1)}
    text = remark.says + (f" Write: {remark.instead}" if remark.instead else "")
    where = {"artifactLocation": {"uri": PurePath(document.name).as_posix()}, "region": region}
    return {
        "ruleId": remark.rule,
        "level": remark.severity,
        "message": {"text": text},
        "locations": [{"physicalLocation": where}],
    }
