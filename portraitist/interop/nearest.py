"""What was probably meant by a word that a tool does not know."""

import difflib
from collections.abc import Collection

LONGEST = 100
"""Signs of a word that are compared."""


def nearest(word: str, known: Collection[str]) -> str:
    """The known word most like another one, case and `-` for `_` aside; "" when none is alike."""
    plain = {name: name.lower().replace("-", "_") for name in known}
    found = difflib.get_close_matches(word[:LONGEST].lower().replace("-", "_"), plain.values(), n=1, cutoff=0.7)
    return next((name for name, other in plain.items() if found and other == found[0]), "")


def asked(word: str, known: Collection[str]) -> str:
    """Words to end a sentence with: a question after what was meant, or nothing."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""


def meant(word: str, known: Collection[str]) -> str:
    """A sentence that follows another one, ` Did you mean x?`, or ""."""
    found = nearest(word, known)
    return f" Did you mean {found}?" if found else ""
