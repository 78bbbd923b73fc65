"""Questions put to the clock: one module each, run by hand, its answer kept in LOG.md."""
