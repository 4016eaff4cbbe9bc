from __future__ import annotations

import json
from pathlib import Path

import pytest

QUESTIONS = ("how do i reset my password", "why is the sky blue", "what was the slow ship")
PASSAGES = ("put the new password in the mail", "the sky was blue in the storm", "ship to sea")


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve questions, each with three passages."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [
        {"query": f"{question} {turn}", "text": f"{passage}, {turn * 3 + place} slow river"}
        for turn in range(4)
        for question in QUESTIONS
        for place, passage in enumerate(PASSAGES)
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return file
