"""What was probably meant by a word that a tool does not know."""

import difflib
from collections.abc import Collection


def nearest(word: str, known: Collection[str]) -> str:
    """The known word most like another one; "" when none is alike."""
    found = difflib.get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.7)
    return next((name for name in known if found and name.lower() == found[0]), "")


def asked(word: str, known: Collection[str]) -> str:
    """Words to end a sentence with: a question after what was meant, or nothing."""
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else ""
