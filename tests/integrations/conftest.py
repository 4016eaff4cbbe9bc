"""What the tests of all integrations share. Frameworks send nothing about these runs."""

from __future__ import annotations

import os

import pytest

from secondpass import BaseReranker
from secondpass.policies import Fallback
from secondpass.testing import ScriptedReranker

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["LANGSMITH_TRACING"] = "false"

QUERY = "How do I change my password?"
SEA = "The sea is blue."
RULES = "Passwords have at least twelve characters."
RESET = "To change your password, open Settings."


@pytest.fixture
def scripted() -> ScriptedReranker:
    """Scores by text: RESET 2.0, RULES 0.0, SEA -1.0."""
    return ScriptedReranker({RESET: 2.0, RULES: 0.0, SEA: -1.0}, default=None)


@pytest.fixture
def down() -> BaseReranker:
    """A reranker that fails, so that the first stage's order stands."""
    return Fallback(ScriptedReranker({}, failures=[RuntimeError("down")] * 9))
