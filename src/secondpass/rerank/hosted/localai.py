"""LocalAI, a self-hosted server."""

from __future__ import annotations

from secondpass.rerank.hosted.llama_server import LlamaServer


class LocalAI(LlamaServer):
    """A self-hosted server with several backends; the model is that of its configuration.

    Requests are those of llama.cpp's server. Its scores are on the scale of the backend, and
    some versions return them unsorted, or more of them than were asked for.

    Source: "Reranker" in LocalAI's documentation.
    """

    name, title = "localai", "LocalAI"
    base_url_variables = ("LOCALAI_BASE_URL",)
    key_variables = ("LOCALAI_API_KEY",)
    model_required = True
