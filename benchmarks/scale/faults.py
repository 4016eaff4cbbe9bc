"""Faults of a search on Ray under load: what the answers were, and when all were right again.

    python benchmarks/scale/faults.py [--rate 3] [--seconds 20] [--json FILE]

An index of made-up passages is put into object storage of S3's kind on this machine (moto,
which must be installed, or in a folder `moto` of the environment, where `make test` puts it).
A Ray cluster of two nodes, both on this machine, serves it by two shards of two replicas each;
clients send searches at a steady rate. Then one fault after the other is made, and the load
goes on for `--seconds` more:

- one replica of a shard is killed (SIGKILL),
- all replicas of a shard are stopped (SIGSTOP), and continued after `--seconds`,
- the object storage is stopped for as long, and continued,
- a new version of the index is published,
- a node is killed with all its processes.

An answer is right (status `reranked`, the results of before the faults), partial
(`partially_reranked`, and the scores of what was read are right), refused (429 or 503), or
wrong: anything else. A wrong answer is exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Before Ray is imported: it reads them then, and gives them to what it starts.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}

import httpx2
from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from server_process import Server, free_port, secondpass_command

MODEL = "bundled-tiny"
WORDS = ("river", "sea", "ship", "bread", "water", "harbor", "tea", "storm", "bridge", "field")
TOLERANCE = 1e-3
CLIENTS = 16


@dataclass
class Load:
    """Searches at a steady rate, each compared with what a quiet server answered."""

    url: str
    expected: dict[str, dict[str, float]] = field(default_factory=dict)
    seen: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)

    def ask(self, query: str) -> httpx2.Response:
        """Send one search."""
        body = {"query": query, "candidates": 30, "top_k": 30, "blend": False}
        return httpx2.post(f"{self.url}/api/v1/indexes/docs/search", json=body, timeout=60)

    def learn(self) -> None:
        """Ask each query once, and keep the results as the right ones."""
        for query in QUERIES:
            found = self.ask(query)
            found.raise_for_status()
            self.expected[query] = {r["id"]: r["score"] for r in found.json()["results"]}

    def kind(self, query: str) -> str:
        """Ask one query, and say what its answer is."""
        try:
            found = self.ask(query)
        except httpx2.HTTPError as error:
            self.wrong.append(repr(error)[:200])
            return "wrong"
        if found.status_code in (429, 503):
            self.refusals[f"{found.status_code} {found.json().get('message')}"] += 1
            return "refused"
        if found.status_code == 200:
            body, right = found.json(), self.expected[query]
            read = {r["id"]: r["score"] for r in body["results"] if r["scored"]}
            known = all(abs(right.get(i, 1e9) - score) < TOLERANCE for i, score in read.items())
            if known and body["status"] == "reranked" and read.keys() == right.keys():
                return "right"
            if known and body["status"] == "partially_reranked":
                return "partial"
        self.wrong.append(f"{found.status_code} {found.text[:200]}")
        return "wrong"

    @contextmanager
    def going(self, rate: float) -> Iterator[None]:
        """Send searches inside, so many a second."""
        stop, self.seen = threading.Event(), []

        def one(query: str) -> None:
            began = time.monotonic()
            kind = self.kind(query)
            self.seen.append((began, kind))

        def run() -> None:
            draw = random.Random(7)
            with ThreadPoolExecutor(CLIENTS) as threads:
                while not stop.wait(1 / rate):
                    threads.submit(one, draw.choice(QUERIES))

        sending = threading.Thread(target=run)
        sending.start()
        try:
            yield
        finally:
            stop.set()
            sending.join()


NEW = {"id": "other", "text": "No query here asks for this."}
QUERIES = [f"a {a} near the {b}" for a in WORDS[:5] for b in WORDS[5:]]


def passages(count: int) -> list[dict[str, str]]:
    """Return short passages over few words, so that each query has many candidates."""
    draw = random.Random(3)
    return [
        {
            "id": f"d{i}",
            "text": "The {} is near the {}. A {} was seen.".format(*draw.sample(WORDS, 3)),
        }
        for i in range(count)
    ]


def replicas(shard: int) -> list[int]:
    """Return the processes of a shard that this process's cluster runs."""
    name, own = f"ServeReplica:secondpass:shard-{shard}", []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_text()
            variables = (folder / "environ").read_bytes()
        except OSError:
            continue
        if name in title and os.environ["RAY_AUTH_TOKEN"].encode() in variables:
            own.append(int(folder.name))
    return own


@contextmanager
def object_storage(work: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start moto, and name it to this process and to those that it starts."""
    port = free_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_REGION": "us-east-1",
        "XDG_CACHE_HOME": str(work / "cache"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**os.environ, "PYTHONPATH": str(Path(sys.prefix) / "moto")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + 120
        while True:
            request = urllib.request.Request(
                f"{os.environ['AWS_ENDPOINT_URL']}/bucket", method="PUT"
            )
            try:
                urllib.request.urlopen(request, timeout=10).close()
                break
            except OSError:
                if time.monotonic() > ends or process.poll() is not None:
                    raise
                time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def stop_for(seconds: float, processes: list[int]) -> None:
    """Stop processes, and let them go on later; those that were replaced are left."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    time.sleep(seconds)
    for process in processes:
        try:
            os.kill(process, signal.SIGCONT)
        except ProcessLookupError:
            continue


def add(work: Path, place: str, documents: list[dict[str, str]]) -> None:
    """Add documents to the index, by the command that a user has."""
    file = work / f"{documents[0]['id']}.jsonl"
    file.write_text("".join(json.dumps(document) + "\n" for document in documents))
    command = [sys.executable, "-m", "secondpass", "index", str(file), "--index", place]
    subprocess.run(command, check=True, capture_output=True)


def main() -> int:
    """Make the faults, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows: dict[str, Any] = {}
    with TemporaryDirectory() as name, object_storage(Path(name)) as storage:
        place = "s3://bucket/docs"
        work = Path(name)
        add(work, place, passages(500))
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 8})
        try:
            node = cluster.add_node(num_cpus=4)
            options = ("--on", "ray", "--address", cluster.address, "--shards", "2")
            command = secondpass_command(
                *options, "--replicas", "2", "--shard-timeout", "3", "--model", MODEL,
                *("--index", f"docs={place}"),
            )  # fmt: skip
            faults: dict[str, Callable[[], object]] = {
                "a replica killed": lambda: os.kill(replicas(0)[0], signal.SIGKILL),
                "a shard stopped": lambda: stop_for(chosen.seconds, replicas(1)),
                "the storage gone": lambda: stop_for(chosen.seconds, [storage.pid]),
                "a version published": lambda: add(work, place, [NEW]),
                "a node killed": lambda: cluster.remove_node(node, allow_graceful=False),
            }
            with Server(command, ready="/ready", log=work / "log") as server:
                load = Load(server.url)
                load.learn()
                for fault, make in faults.items():
                    with load.going(chosen.rate):
                        time.sleep(3)
                        began = time.monotonic()
                        make()
                        time.sleep(chosen.seconds)
                    counts = Counter(kind for _, kind in load.seen)
                    after = [at - began for at, kind in load.seen if kind != "right"]
                    rows[fault] = {**counts, "last_not_right_s": max(after, default=0.0)}
                    print(fault, rows[fault], flush=True)
                    wait_for_shards(server.url)
        finally:
            cluster.shutdown()
    print("\n| fault | right | partial | refused | wrong | last answer that was not right, s |")
    print("|---|---|---|---|---|---|")
    for fault, row in rows.items():
        counts_of = [str(row.get(k, 0)) for k in ("right", "partial", "refused", "wrong")]
        print(f"| {fault} | {' | '.join(counts_of)} | {row['last_not_right_s']:.1f} |")
    for text, count in load.refusals.most_common(5):
        print(f"refused, {count} times: {text}")
    for text in load.wrong[:5]:
        print("wrong:", text)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    return int(bool(load.wrong))


def wait_for_shards(url: str) -> None:
    """Wait until all shards answer again, at most two minutes."""
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        found = httpx2.get(f"{url}/ready", timeout=60)
        if found.status_code == 200 and not found.json()["indexes"]["docs"]["missing_shards"]:
            return
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
