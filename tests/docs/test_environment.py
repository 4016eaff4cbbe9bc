"""The reference lists exactly the environment variables that the code reads."""

from __future__ import annotations

import re

from tests.docs.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "environment.md"
OTHERS = re.compile(r"(OTEL|HF)_")
_NAME = (
    r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:API_KEY|API_TOKEN|ACCOUNT_ID|BASE_URL|API_URL|API|HOME)"
)
NAMES = re.compile(rf"(SECONDPASS_[A-Z_]+|{_NAME})")


def test_every_variable_is_listed() -> None:
    sources = [*(ROOT / "src").rglob("*.py"), ROOT / "hatch_build.py"]
    read = {
        name
        for file in sources
        for name in re.findall(rf'"{NAMES.pattern}"', file.read_text("utf-8"))
    }
    assert len(read) > 30
    listed = {name for name in NAMES.findall(PAGE.read_text("utf-8")) if not OTHERS.match(name)}
    assert listed == {name for name in read if not OTHERS.match(name)}
