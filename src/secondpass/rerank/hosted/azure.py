"""Cohere's rerankers on Microsoft's Azure AI Foundry."""

from __future__ import annotations

from dataclasses import replace

from secondpass.remote.client import HttpRequest
from secondpass.rerank.hosted.cohere import Cohere
from secondpass.rerank.hosted.provider import Batch


class Azure(Cohere):
    """Cohere on Azure AI Foundry; the model is the name of a deployment.

    The base URL is that of the resource, "https://NAME.services.ai.azure.com". Requests and
    responses are those of Cohere's version 2.

    Source: "Cohere on the Microsoft Azure Platform", Cohere's documentation.
    """

    name, title = "azure", "Azure AI Foundry"
    base_url = None  # type: ignore[assignment]
    base_url_variables = ("AZURE_AI_ENDPOINT",)
    key_variables = ("AZURE_AI_API_KEY",)

    def __init__(self) -> None:
        super().__init__(version=2)

    def build_request(self, batch: Batch) -> HttpRequest:
        """Send Cohere's request to the path of that provider."""
        request = super().build_request(batch)
        return replace(request, path=f"/providers/cohere{request.path}")
