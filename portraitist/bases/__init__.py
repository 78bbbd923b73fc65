"""Bases as they are found on disk: where their parts lie, how publishers write them, and how a part is read."""
