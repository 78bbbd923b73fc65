"""Move weights."""
