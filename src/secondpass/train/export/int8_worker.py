"""The process that makes an int8 model when one is loaded (`secondpass.inference.precision`).

It reads one request, a line of JSON, from standard input, and writes lines of JSON to standard
output: the progress, then `{"made": true}`, `{"refused": reason}` if int8 ranks too
differently, or `{"error": …}`. It ends when its standard input is closed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from secondpass.errors import InputError, MissingExtraError, ModelError, SecondpassError
from secondpass.inference.int8_cache import store_outcome
from secondpass.train.export.atomic_folder import replace_folder
from secondpass.train.export.calibrate import Progress
from secondpass.train.export.export import (
    ExportSettings,
    check_packages,
    write_model,
)
from secondpass.train.export.verify import RankingError


def make_int8(request: dict[str, Any], progress: Progress) -> None:
    """Write the int8 model of a request to the folder `out`, whole or not at all.

    Raises `RankingError` if it ranks too differently, and what `export_model` raises.
    """
    out, source = Path(request["out"]), Path(request["source"])
    onnx = None if request["onnx"] is None else Path(request["onnx"])
    settings = ExportSettings(
        calibrate=Path(request["pairs"]),
        max_length=request["max_length"],
        min_overlap=request["min_overlap"],
        name=request["name"],
        origin=request["name"],
        at_load=True,
    )
    check_packages(traced=onnx is None)
    with replace_folder(out, None, force=True) as folder:
        # Graphs of gigabytes: beside the cache, and not in a /tmp that may be memory.
        tempfile.tempdir = str(folder.parent)
        manifest = write_model(source, folder, out.name, settings, progress, onnx)
        store_outcome(folder, request["name"], quality=manifest["quality"])


def main() -> None:
    """Answer one request on standard input."""
    # What libraries print must not come between the replies.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def progress(stage: str, done: int, total: int) -> None:
        _reply(replies, {"stage": stage, "done": done, "total": total})

    try:
        make_int8(request, progress)
    except RankingError as error:
        _reply(replies, {"refused": error.why})
    except MissingExtraError as error:
        _reply(replies, {"error": {"package": error.package, "extra": error.extra}})
    except SecondpassError as error:
        fields = {name: getattr(error, name) for name in ("what", "where", "why", "fix")}
        _reply(replies, {"error": {"input": isinstance(error, InputError), **fields}})
    # PyTorch and ONNX Runtime have errors of their own for models that they cannot handle.
    except Exception as error:  # noqa: BLE001 - reported to the parent process
        first = (str(error).strip() or repr(error)).splitlines()[0]
        made = ModelError(
            "The model cannot be converted to int8",
            where=request["source"],
            why=f"{type(error).__name__}: {first[:300]}",
        )
        fields = {name: getattr(made, name) for name in ("what", "where", "why", "fix")}
        _reply(replies, {"error": {"input": False, **fields}})
    else:
        _reply(replies, {"made": True})


def _reply(replies: IO[str], value: dict[str, Any]) -> None:
    replies.write(json.dumps(value) + "\n")
    replies.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
