"""The pack as ComfyUI takes it: an extension with its nodes."""

from typing import Any

from comfy_api.v0_0_2 import ComfyExtension

from .nodes_material import Caption, CutSheet, Dataset, SheetTemplate
from .nodes_training import JudgeAndChoose, TrainCharacter


class Portraitist(ComfyExtension):
    """The pack."""

    async def get_node_list(self) -> list[type[Any]]:
        """The nodes, in the order of a workflow."""
        return [SheetTemplate, Dataset, CutSheet, Caption, TrainCharacter, JudgeAndChoose]
