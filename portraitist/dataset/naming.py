"""Names for files and folders: those that every file system takes, and those that people can read."""

import unicodedata

LONGEST_NAME = 120
"""Bytes of UTF-8 kept of a file's stem: file systems take 255 for a whole name, and temporary names are longer."""


def safe_name(name: str) -> str:
    """A file stem or folder name that every file system takes: composed Unicode (NFC), no control or reserved signs.

    Not empty, no leading dot, at most `LONGEST_NAME` bytes of UTF-8.
    """
    # "surrogateescape" marks bytes of a name that were no UTF-8; they become "_" like every other unusable sign
    composed = unicodedata.normalize("NFC", name)
    kept = "".join("_" if unicodedata.category(c)[0] == "C" or c in '<>:"/\\|?*' else c for c in composed)
    kept = kept.strip(" .") or "picture"
    return kept.encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(" .") or "picture"


def printable(name: str) -> str:
    """A name for people: control signs, and what is no text, as question marks; not endless."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in name)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."
