"""Worker process of one engine: reads requests and writes replies as JSON lines."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speed.engines import Engine, EngineSettings, NotAvailableError, build
from speed.memory import limit_memory, peak_megabytes


def answer(engine: Engine, request: dict[str, Any]) -> dict[str, Any]:
    """Score all queries of a request, `clients` at once; return seconds and scores."""
    queries: Sequence[dict[str, Any]] = request["queries"]
    prepare = getattr(engine, "prepare", None)
    if prepare is not None:
        prepare([text for query in queries for text in query["texts"]])

    def score(query: dict[str, Any]) -> tuple[float, list[float]]:
        started = time.perf_counter()
        scores = engine.score(query["query"], query["texts"])
        return time.perf_counter() - started, scores

    started = time.perf_counter()
    with ThreadPoolExecutor(request["clients"]) as pool:
        results = pool.map(score, queries) if request["clients"] > 1 else map(score, queries)
        done = list(results)
    return {
        "seconds": [seconds for seconds, _ in done],
        "scores": [scores for _, scores in done],
        "wall": time.perf_counter() - started,
        "peak": peak_megabytes(),
    }


def serve(engine: Engine, requests: TextIO, replies: TextIO) -> None:
    """Answer requests until the input ends; an engine's errors become replies."""
    for line in requests:
        try:
            reply = answer(engine, json.loads(line))
        # Any error of an engine is its result for this workload.
        except Exception as error:  # noqa: BLE001
            reply = {
                "error": f"{type(error).__name__}: {error}"[:300],
                "peak": peak_megabytes(),
            }
        print(json.dumps(reply), file=replies, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine")
    parser.add_argument("models", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--memory", type=float, required=True, help="maximum GB")
    arguments = parser.parse_args()
    # Engines print to standard output; replies must not be mixed with that.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    limit_memory(arguments.memory)
    settings = EngineSettings(arguments.models, arguments.threads, arguments.max_length)
    started = time.perf_counter()
    try:
        engine = build(arguments.engine, settings)
        engine.score("a question to warm up with", ["A text to warm up with."] * 2)
    except NotAvailableError as error:
        print(json.dumps({"absent": str(error)}), file=replies, flush=True)
        return
    except Exception as error:  # noqa: BLE001
        reply = {"absent": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(reply), file=replies, flush=True)
        return
    loaded = {"seconds": time.perf_counter() - started, "peak": peak_megabytes()}
    print(json.dumps(loaded), file=replies, flush=True)
    serve(engine, sys.stdin, replies)


if __name__ == "__main__":
    main()
