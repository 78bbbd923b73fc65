"""Advice: from what was measured of a run to what ails it, and from that to the next recipe or dataset. No torch."""
