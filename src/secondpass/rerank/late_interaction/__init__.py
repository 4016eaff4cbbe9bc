"""Late interaction: each token of the query meets each of the document."""

from __future__ import annotations

from secondpass.rerank.late_interaction.kept import KeptMaxSim
from secondpass.rerank.late_interaction.model import LateInteraction

__all__ = ["KeptMaxSim", "LateInteraction"]
