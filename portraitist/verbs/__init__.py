"""One file a verb: each reads from disk and writes to disk; they do not call each other."""
