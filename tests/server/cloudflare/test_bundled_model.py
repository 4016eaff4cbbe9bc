"""The bundled model with the official client and default settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secondpass.server.settings import ServerSettings
from tests.server.cloudflare.conftest import BREAD, FRANCE, WHALES
from tests.server.conftest import serving

cloudflare = pytest.importorskip("cloudflare", reason="the group sdk is not installed")
pytest.importorskip("python_multipart", reason="the extra server is not installed")


def test_queries_retrieve_their_files(tmp_path: Path) -> None:
    at = {"account_id": "acc", "name": "default"}
    questions = {
        "What is the capital of France?": "a.md",
        "Which animals of the ocean need air?": "b.md",
        "How is a loaf made?": "c.md",
    }
    with serving(ServerSettings(data=tmp_path)) as url:
        base = f"{url}/client/v4"
        with cloudflare.Cloudflare(api_token="t", base_url=base, max_retries=0) as cf:
            inst = cf.aisearch.namespaces.instances
            inst.create("default", account_id="acc", id="docs", reranking=True)
            for key, text in (("a.md", FRANCE), ("b.md", WHALES), ("c.md", BREAD)):
                file = {"file": (key, text.encode()), "wait_for_completion": True}
                metadata = json.dumps({"lang": "en"})
                up = inst.items.upload("docs", **at, file={**file, "metadata": metadata})
                assert up.status == "completed"
            for question, key in questions.items():
                options = {"retrieval": {"match_threshold": 0.1}}
                found = inst.search("docs", **at, query=question, aisearch_options=options)
                assert [c.item.key for c in found.chunks] == [key]
                said = [{"role": "user", "content": question}]
                told = inst.chat_completions(
                    "docs", **at, messages=said, aisearch_options=options
                )
                assert "[1]" in told.choices[0].message.content
