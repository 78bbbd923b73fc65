"""Pictures to samples."""
