"""Other people's eyes, and ours: one model each, behind one function."""
