"""Every code block of README.md and docs/ is run, page by page, in order.

The Python blocks of a page share a namespace; a bash block runs with `bash -euo pipefail`.
A block that cannot run here has a line before it that says why:

    <!-- not run: it downloads a model -->

A block that needs a package of an extra names it, and is skipped if that is not installed:

    <!-- needs: haystack -->

Blocks of TypeScript are run by `make test-typescript`.
"""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from tests.docs.paths import ROOT, environment

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = re.compile(r"<!-- not run: (\S.*) -->\s*$")
NEEDS = re.compile(r"<!-- needs: (\w+) -->\s*$")
FENCE = re.compile(r"^ *```(\w*)", re.MULTILINE)
SHOWN_ONLY = {"text", "json", "csv", "html", "ts"}
SECONDS = 300


def run_bash(example: Example) -> str | None:
    """Run a block; return the error, or None."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", str(example.parsed)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return None
    return f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"


SYBIL = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser(language="bash", evaluator=run_bash)]
)


def blocks(page: Path) -> tuple[Document, list[Example]]:
    """Return a page and its code blocks that are run."""
    document = SYBIL.parse(page)
    return document, [e for e in document.examples() if is_run(document.text[: e.start])]


def is_run(before: str) -> bool:
    """Return whether the text before a block lets it run here."""
    needed = NEEDS.search(before)
    return NOT_RUN.search(before) is None and (
        needed is None or find_spec(needed[1]) is not None
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_code_blocks_run(page: Path, workplace: Path) -> None:
    assert workplace == Path.cwd()
    _, examples = blocks(page)
    for example in examples:
        example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_block_has_a_language(page: Path) -> None:
    opened = FENCE.findall(page.read_text("utf-8"))[::2]
    assert set(opened) <= SHOWN_ONLY | {"python", "bash"}


def test_failing_block_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nassert False\n```\n\n```bash\nfalse\ntrue\n```\n", "utf-8")
    _, (python, bash) = blocks(page)
    with pytest.raises(AssertionError):
        python.evaluate()
    with pytest.raises(Exception, match="exit code 1"):
        bash.evaluate()


def test_block_is_skipped_only_with_a_reason(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    block = "```python\nassert False\n```\n"
    page.write_text(f"<!-- not run: it fails -->\n{block}\n<!-- not run: -->\n{block}", "utf-8")
    assert len(blocks(page)[1]) == 1


def test_block_is_skipped_without_its_package(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    block = "```python\nassert False\n```\n"
    page.write_text(
        f"<!-- needs: nothing_of_this_name -->\n{block}\n<!-- needs: sybil -->\n{block}"
    )
    assert len(blocks(page)[1]) == 1
