from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from secondpass.server.settings import ServerSettings
from tests.server.conftest import QUERY, TEXTS, model, running

__all__ = ["model"]

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OF_PROMETHEUS = {"up"}


def documents(path: Path) -> list[Any]:
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one is not None]


def names_in(expression: str) -> set[str]:
    """The metrics of a PromQL expression; raises ValueError for one that is none."""
    promql = pytest.importorskip("promql_parser", reason="the group dev is not installed")
    parsed = promql.parse(re.sub(r"\$__\w+", "5m", expression))
    found: set[str] = set()

    def visit(node: Any) -> bool:
        selector = getattr(node, "vector_selector", node)
        if isinstance(selector, promql.VectorSelector):
            found.add(selector.name)
        return True

    promql.walk(parsed, visit)
    assert found
    return found


def _metrics_of(settings: ServerSettings) -> str:
    with running(settings) as found:
        httpx2.post(f"{found.url}/v1/rerank", json={"query": QUERY, "documents": TEXTS})
        return httpx2.get(f"{found.url}/metrics").text


@pytest.fixture(scope="session")
def metrics(model: str, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of all that a server with an index and a folder for more of them tells."""
    pytest.importorskip("lancedb", reason="the extra index is not installed")
    from secondpass import Index

    place = tmp_path_factory.mktemp("watched")
    with Index.open(place / "sea", keep_states=False) as index:
        index.add(TEXTS)
    far = (place / "far").as_uri()
    with Index.open(far, local_folder=place / "copy", keep_states=False) as index:
        index.add(TEXTS)
    (place / "data").mkdir()
    settings = ServerSettings(
        models=[model],
        indexes={"sea": place / "sea", "far": far},
        data=place / "data",
        cache=place / "scores.sqlite",
    )
    with pytest.MonkeyPatch.context() as patch:
        # Where the server keeps its copy of the index in object storage.
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        text = _metrics_of(settings)
    names: set[str] = set()
    for family in text_string_to_metric_families(text):
        endings = {
            "counter": ("_total",),
            "histogram": ("_bucket", "_sum", "_count"),
            "info": ("_info",),
        }.get(family.type, ("",))
        names |= {family.name + ending for ending in endings}
    return {name for name in names if not name.endswith("_created")}
