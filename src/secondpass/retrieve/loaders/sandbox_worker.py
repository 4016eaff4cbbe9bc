"""Conversion worker: the child process of `ConversionSandbox`.

It reads paths and writes results, a line of JSON each. A file can make a parser loop forever
or exhaust the memory; then only this process ends, and the sandbox starts another.
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

from secondpass.retrieve.loaders.base import read_error


def convert(path: Path) -> dict[str, Any]:
    """Return the Markdown and the title of a file, or the error."""
    from markitdown import MarkItDownException, MissingDependencyException

    try:
        result = _converter().convert_local(str(path))
    except MissingDependencyException:
        return {"missing": path.suffix.lower().lstrip(".")}
    except (MarkItDownException, OSError, ValueError, RecursionError, MemoryError) as error:
        # markitdown wraps every other error in one of its own.
        memory = isinstance(error, MemoryError) or "MemoryError" in str(error)
        return {"memory": True} if memory else {"why": read_error(path, error).why}
    return {"text": result.text_content, "title": result.title}


def main() -> None:
    """Convert files until the input ends; arguments: seconds and megabytes for a file."""
    seconds, megabytes = (int(text) for text in sys.argv[1:])
    warnings.simplefilter("ignore")
    output = os.fdopen(os.dup(1), "w", encoding="ascii")
    # Parsers that print must not write between the results.
    os.dup2(2, 1)
    _converter()
    _limit_memory(megabytes)
    output.write("ready\n")
    output.flush()
    for line in sys.stdin:
        _set_alarm(seconds)
        result = convert(Path(json.loads(line)))
        _set_alarm(0)
        output.write(json.dumps(result) + "\n")
        output.flush()


@cache
def _converter() -> Any:
    from markitdown import MarkItDown
    from markitdown.converters import DocxConverter, PdfConverter, PptxConverter

    # Only these: the others would read a damaged file as plain text, and the result must not
    # depend on installed plugins.
    converter = MarkItDown(enable_builtins=False, enable_plugins=False)
    kinds: tuple[Any, ...] = (DocxConverter, PdfConverter, PptxConverter)
    for kind in kinds:
        converter.register_converter(kind())
    return converter


def _limit_memory(megabytes: int) -> None:
    """Limit the memory of this process beyond what it has now; on Linux only."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        return
    import resource

    # Relative, because packages reserve more address space on machines with more cores.
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = used + megabytes * 2**20
    soft = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _set_alarm(seconds: int) -> None:
    """Let the system end this process after a time, in case its parent is gone; 0 for never."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


if __name__ == "__main__":
    main()
