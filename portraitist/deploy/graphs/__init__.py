"""Graphs for ComfyUI: built of core nodes, held against facts about these, and written for its editor."""
