"""The process that converts files: paths come in as lines of JSON, texts go out.

What is in a file can make a parser loop for ever or fill the memory. Then only this process
ends, which `Apart` sees and starts again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from secondpass.retrieve.loaders.base import unreadable


def converted(path: Path) -> dict[str, Any]:
    """Return the Markdown and the title of a file, or what went wrong."""
    from markitdown import MarkItDownException, MissingDependencyException

    try:
        found = _converter().convert_local(str(path))
    except MissingDependencyException:
        return {"missing": path.suffix.lower().lstrip(".")}
    except (MarkItDownException, OSError, ValueError, RecursionError, MemoryError) as error:
        # markitdown makes an error of its own of every other.
        memory = isinstance(error, MemoryError) or "MemoryError" in str(error)
        return {"memory": True} if memory else {"why": unreadable(path, error).why}
    return {"text": found.text_content, "title": found.title}


def main() -> None:
    """Answer until there is no more input; arguments: seconds and megabytes for a file."""
    seconds, megabytes = (int(text) for text in sys.argv[1:])
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    # What the parsers print must not come between the answers.
    os.dup2(2, 1)
    _converter()
    _limit(megabytes)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        _end_after(seconds)
        told = converted(Path(json.loads(line)))
        _end_after(0)
        answers.write(json.dumps(told) + "\n")
        answers.flush()


@cache
def _converter() -> Any:
    from markitdown import MarkItDown
    from markitdown.converters import DocxConverter, PdfConverter, PptxConverter

    # Only these: the others would take a damaged file for plain text and give its bytes, and
    # what is read must not depend on which plugins are installed.
    converter = MarkItDown(enable_builtins=False, enable_plugins=False)
    kinds: tuple[Any, ...] = (DocxConverter, PdfConverter, PptxConverter)
    for kind in kinds:
        converter.register_converter(kind())
    return converter


def _limit(megabytes: int) -> None:
    """Bound what this process may take beyond what it has, on Linux; elsewhere nothing does."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return
    import resource

    # Packages reserve more the more cores there are, so a sum for all would not do.
    there = int(statm.read_text().split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = there + megabytes * 2**20
    wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _end_after(seconds: int) -> None:
    """Let the system end this process, whose owner may be gone by then; 0 for not at all."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
