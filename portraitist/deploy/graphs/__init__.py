"""Graphs for ComfyUI: built by code from core nodes, held against facts about those nodes, and written for its editor."""
