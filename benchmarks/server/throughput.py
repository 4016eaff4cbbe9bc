"""Throughput: requests a second and latency of servers under concurrent clients.

    python benchmarks/server/throughput.py --weights FOLDER [--infinity COMMAND] [--rounds 5]

`--weights` is a cross-encoder as transformers saves it; secondpass serves its export (int8, by
`secondpass export`), Infinity the weights as they are (torch); `--onnx` is a folder of the same
weights as `make bench` prepares it (sbert-onnx), for Infinity's optimum engine. `--infinity` is
the command `infinity_emb` of an environment with requirements.txt. All servers stay up; in each
round each one in turn gets requests from each number of clients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from sample_questions import SAMPLE, Question, load_questions
from server_process import Server, secondpass_command

PAIRS = SAMPLE.parents[1] / "src/secondpass/models/calibration/pairs.jsonl"
CLIENTS = (1, 4, 16)
DOCUMENTS = (5, 20)


@dataclass(frozen=True)
class Entry:
    """A server, its rerank path, and the name of its model."""

    name: str
    server: Server
    path: str = "/rerank"
    model: str = "m"


@dataclass(frozen=True)
class Cell:
    """The measurement of one server with one number of clients."""

    name: str
    documents: int
    clients: int
    requests: float
    median: float
    p95: float


async def measure_requests(
    entry: Entry, questions: Sequence[Question], clients: int, seconds: float
) -> list[float]:
    """Send as fast as responses come, for `seconds`; return the seconds of each request."""
    times: list[float] = []
    counter = iter(range(10**9))
    end = time.perf_counter() + seconds

    async def client(http: httpx2.AsyncClient) -> None:
        while time.perf_counter() < end:
            question = questions[next(counter) % len(questions)]
            body = {"model": entry.model, "query": question.query, "documents": question.texts}
            started = time.perf_counter()
            response = await http.post(entry.path, json=body)
            response.raise_for_status()
            times.append(time.perf_counter() - started)

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(
        base_url=entry.server.url, timeout=120, limits=limits
    ) as http:
        await asyncio.gather(*(client(http) for _ in range(clients)))
    return times


def measure_cell(
    entry: Entry, questions: Sequence[Question], clients: int, seconds: float
) -> Cell:
    started = time.perf_counter()
    times = asyncio.run(measure_requests(entry, questions, clients, seconds))
    elapsed = time.perf_counter() - started
    times.sort()
    p95 = times[min(len(times) - 1, int(0.95 * len(times)))]
    return Cell(
        entry.name,
        len(questions[0].texts),
        clients,
        len(times) / elapsed,
        times[len(times) // 2],
        p95,
    )


def agreement(entries: Sequence[Entry], questions: Sequence[Question]) -> dict[str, float]:
    """Return the share of the first server's top three that each server has."""
    tops: dict[str, list[set[int]]] = {}
    for entry in entries:
        for question in questions:
            body = {"model": entry.model, "query": question.query, "documents": question.texts}
            reply = httpx2.post(entry.server.url + entry.path, json=body, timeout=120).json()
            best = sorted(reply["results"], key=lambda r: -r["relevance_score"])[:3]
            tops.setdefault(entry.name, []).append({r["index"] for r in best})
    first = tops[entries[0].name]
    return {
        name: statistics.mean(len(a & b) / 3 for a, b in zip(first, own, strict=True))
        for name, own in tops.items()
    }


def servers(arguments: argparse.Namespace, folder: Path) -> list[Entry]:
    log, threads = folder / "log", arguments.threads
    exported = folder / "exported"
    command = [sys.executable, "-m", "secondpass", "export", str(arguments.weights)]
    command += ["--out", str(exported), "--name", "m", "--calibrate", str(PAIRS)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    options = [] if threads is None else ["--threads", str(threads)]
    entries = [
        Entry(
            "secondpass, same weights, int8",
            Server(
                secondpass_command("--model", str(exported), *options), ready="/ready", log=log
            ),
            path="/infinity/rerank",
        ),
        Entry(
            "secondpass, bundled reader",
            Server(secondpass_command("--model", "bundled", *options), ready="/ready", log=log),
            path="/infinity/rerank",
        ),
    ]
    if arguments.infinity is None:
        return entries
    infinity = [str(arguments.infinity), "v2", "--host", "127.0.0.1", "--port", "{port}"]
    infinity += ["--served-model-name", "m"]
    infinity += ["--device", "cpu", "--no-bettertransformer", "--batch-size", "32"]
    forms = {"torch": arguments.weights, "optimum": arguments.onnx}
    for engine, weights in forms.items():
        if weights is not None:
            command = [*infinity, "--engine", engine, "--model-id", str(weights)]
            server = Server(command, ready="/health", log=log, threads=threads)
            entries.append(Entry(f"Infinity, {engine}", server))
    return entries


def table(cells: Sequence[Cell]) -> str:
    """Return a table of medians over rounds, with the range of requests a second."""
    lines = [
        "| server | documents | clients | requests/s | spread | p50 ms | p95 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    keys = dict.fromkeys((c.documents, c.clients, c.name) for c in cells)
    for documents, clients, name in sorted(keys, key=lambda k: (k[0], k[1])):
        server_cells = [
            c for c in cells if (c.documents, c.clients, c.name) == (documents, clients, name)
        ]
        rates = [c.requests for c in server_cells]
        lines.append(
            f"| {name} | {documents} | {clients} | {statistics.median(rates):.1f} |"
            f" {min(rates):.1f} to {max(rates):.1f} |"
            f" {statistics.median(c.median for c in server_cells) * 1000:.0f} |"
            f" {statistics.median(c.p95 for c in server_cells) * 1000:.0f} |"
        )
    return "\n".join(lines)


def ratios(cells: Sequence[Cell]) -> str:
    """Return the ratio of the first server's requests a second to those of each other.

    That is the median over rounds of the ratio within a round.
    """
    first = cells[0].name
    rates: dict[tuple[str, int, int], list[float]] = {}
    for cell in cells:
        rates.setdefault((cell.name, cell.documents, cell.clients), []).append(cell.requests)
    lines = []
    for (name, documents, clients), other_rates in rates.items():
        if name != first:
            first_rates = rates[first, documents, clients]
            ratio = statistics.median(
                a / b for a, b in zip(first_rates, other_rates, strict=True)
            )
            lines.append(
                f"{first} / {name}, {documents} documents, {clients} clients: {ratio:.2f}"
            )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--infinity", type=Path, help="the command infinity_emb")
    parser.add_argument("--onnx", type=Path, help="the same weights for Infinity's optimum")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--documents", type=int, nargs="+", default=DOCUMENTS)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cells: list[Cell] = []
    with TemporaryDirectory() as folder:
        entries: list[Entry] = []
        try:
            for entry in servers(arguments, Path(folder)):
                try:
                    entry.server.start()
                except RuntimeError as error:
                    print(f"not available: {entry.name}: {error}", file=sys.stderr)
                else:
                    entries.append(entry)
            questions_by_size = {n: load_questions(n) for n in arguments.documents}
            same = [e for e in entries if "bundled" not in e.name]
            for name, share in agreement(
                same, next(iter(questions_by_size.values()))[:20]
            ).items():
                print(f"share of the top three of {same[0].name}: {name} {share:.3f}")
            for turn in range(arguments.rounds):
                for questions in questions_by_size.values():
                    for clients in arguments.clients:
                        for entry in entries:
                            cells.append(
                                measure_cell(entry, questions, clients, arguments.seconds)
                            )
                print(f"round {turn + 1} of {arguments.rounds}", file=sys.stderr)
        finally:
            for entry in entries:
                entry.server.stop()
    print(table(cells))
    print(ratios(cells))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(c) for c in cells], indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
