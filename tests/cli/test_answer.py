from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.llm.server import KEY, serving


def test_an_answer_without_a_model(run: Run, sample_index: Path) -> None:
    ran = run("answer", "What caused the 1973 oil crisis?", "--index", sample_index, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["status"] == "extractive"
    assert ran.json["citations"]
    shown = run("answer", "What caused the 1973 oil crisis?", "--index", sample_index)
    assert ran.json["text"] in shown.out
    assert "extractive by bundled" in shown.err
    hidden = [name for option in ran.json["passages"] for name in option["ids"]][:1]
    other = run(
        *("answer", "What caused the 1973 oil crisis?", "--index", sample_index, "--json"),
        *("--hide", hidden[0], "--group-by", "document"),
    )
    assert hidden[0] not in [name for p in other.json["passages"] for name in p["ids"]]


def test_a_model_behind_a_server(
    run: Run, sample_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    question = ("answer", "What caused the 1973 oil crisis?", "--index", sample_index)
    with serving() as server:
        server.answer = lambda system, user: "An embargo caused the oil crisis [1] [99]."
        ran = run(*question, "--llm", "openai/m", "--base-url", server.openai)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("An embargo caused the oil crisis [1].\n[1] ")
    assert "Removed citations of passages that do not exist: [99]" in ran.err
    failed = run(*question, "--llm", "openai/m", "--base-url", "http://127.0.0.1:9/v1")
    assert failed.code == 1
    assert "could not be reached" in failed.err
    assert run(*question, "--llm", "opnai/m").code == 1
    assert run("answer", " ", "--index", sample_index).code == 2
