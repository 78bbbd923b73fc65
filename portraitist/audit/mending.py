"""Findings to the commands that mend them, where one command does."""

import shlex
from dataclasses import replace
from pathlib import Path

from portraitist.audit import Finding

COMMANDS = {
    "bordered": "repair {folder} crop {names}",
    "caption_missing": "caption {folder}",
    "cast": "repair {folder} harmonise {names}",
    "empty_words": "caption {folder} --rules --everyone",
    "face_in_realism": "repair {folder} crop {names} --to headless",
    "identity_named": "caption {folder} --rules --everyone",
    "tone_apart": "repair {folder} harmonise {names}",
    "trigger_late": "caption {folder} --rules --everyone",
    "words_mixed": "caption {folder} --rules --everyone",
}
"""By check. Each shows first what it would do, or can be undone."""


def mended(finding: Finding, folder: Path) -> Finding:
    """The finding with the command that mends it, ready to be typed; as it is where none does."""
    if finding.check not in COMMANDS or finding.waived:
        return finding
    names = " ".join(map(shlex.quote, finding.pictures))
    command = COMMANDS[finding.check].format(folder=shlex.quote(str(folder)), names=names)
    return replace(finding, repair=f"portraitist {' '.join(command.split())}")
