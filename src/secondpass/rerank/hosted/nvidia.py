"""NVIDIA's hosted rerankers, those of its API catalog."""

from __future__ import annotations

from secondpass.rerank.hosted.nim import NIM


class NVIDIA(NIM):
    """The API catalog, with models such as "nvidia/llama-3.2-nv-rerankqa-1b-v2".

    Each model has a path of its own, with "_" for the dots of its name.

    Source: "Retrieval" in the reference of NVIDIA's hosted API.
    """

    name, title = "nvidia", "NVIDIA"
    base_url = "https://ai.api.nvidia.com/v1"
    base_url_variables = ("NVIDIA_BASE_URL",)
    key_variables = ("NVIDIA_API_KEY",)
    key_required = True

    def path(self, model: str) -> str:
        """Return the path of that model."""
        return f"/retrieval/{model.replace('.', '_')}/reranking"
