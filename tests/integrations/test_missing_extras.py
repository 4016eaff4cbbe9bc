"""Without its package, an integration says what to install."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

from secondpass import MissingExtraError

EXTRAS = {
    "haystack": ["haystack"],
    "lancedb": ["pyarrow", "lancedb.rerankers"],
    "langchain": ["langchain_core.callbacks", "langchain_core.documents"],
    "llama_index": ["llama_index.core.bridge.pydantic", "llama_index.core.schema"],
    "pyterrier": ["pandas", "pyterrier"],
}


@pytest.mark.parametrize(("module", "imported"), EXTRAS.items(), ids=EXTRAS)
def test_a_missing_package_names_the_extra(
    module: str, imported: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in imported:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"secondpass.integrations.{module}", raising=False)
    extra = module.replace("_", "-")
    with pytest.raises(MissingExtraError, match=rf"secondpass\[{extra}\]") as caught:
        importlib.import_module(f"secondpass.integrations.{module}")
    root = Path(__file__).resolve().parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = project["optional-dependencies"][extra]
    assert [w for w in wanted if w.startswith(caught.value.package)]
