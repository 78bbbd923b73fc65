"""Measure what a checkpoint draws, and choose."""
