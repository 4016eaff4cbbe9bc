"""Faults of a search on Ray under load: what the answers were, and when all were right again.

    python benchmarks/scale/faults.py [--parts processes redis] [--rate 3] [--seconds 20]
        [--json FILE]

An index of made-up passages is put into object storage of S3's kind on this machine (moto,
which must be installed, or in a folder `moto` of the environment, where `make test` puts it).
A Ray cluster of two nodes, both on this machine, serves it by two shards of two replicas each;
clients send searches at a steady rate. Then one fault after the other is made, and the load
goes on for `--seconds` more, and until all answers of five seconds are right. Part
`processes`:

- one replica of a shard is killed (SIGKILL),
- all replicas of a shard are stopped (SIGSTOP), and continued after `--seconds`,
- the object storage is stopped for as long, and continued,
- a new version of the index is published,
- a process that adds documents is killed in the middle of a commit, and another one waits for
  its lease,
- a node is killed with all its processes,
- the head node is killed, with which the cluster ends; the time is measured until a new one
  answers.

Part `redis`, with Debian's redis-server, once as a shared score cache and once for the state of
the head node:

- the score cache is killed, and an empty one started after half of `--seconds`,
- the process of the head node that keeps the state of the cluster (GCS) is killed, and started,
- the head node is killed, and one with the same port started.

An answer is right (status `reranked`, the results of before the faults), partial
(`partially_reranked`, and the scores of what was read are right), refused (429 or 503), failed
(no connection, a time-out, or another status of 5xx), or wrong: anything else. A wrong answer,
or an acknowledged document that is not there, is exit status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

from fault_load import KINDS, Load, passages, wait_for_shards
from fault_processes import (
    AT_ONCE,
    UNASKED,
    Redis,
    Writer,
    add,
    batches_kept,
    object_storage,
    replicas,
    stop_for,
)
from ray.cluster_utils import Cluster

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from server_process import Server, free_port, secondpass_command

MODEL = "bundled-tiny"
PLACE = "s3://bucket/docs"
HEAD_CPUS, NODE_CPUS = 8, 4
_BEFORE = 3.0
_BATCHES_BEFORE = 3
# After a fault the load goes on until it has had right answers only for so long, or gives up.
_QUIET, _HEALS = 5.0, 120.0


class Faults:
    """The faults of one run, and what came of them."""

    def __init__(self, work: Path, rate: float, seconds: float) -> None:
        self.work, self.rate, self.seconds = work, rate, seconds
        self.rows: dict[str, dict[str, Any]] = {}
        self.problems: list[str] = []
        self.others: Counter[str] = Counter()

    @contextmanager
    def served(self, cluster: Cluster, *options: str) -> Iterator[Load]:
        """Serve the index on a cluster, and give the load for it."""
        command = secondpass_command(
            *("--on", "ray", "--address", cluster.address, "--shards", "2", "--replicas", "2"),
            *("--shard-timeout", "3", "--model", MODEL, "--index", f"docs={PLACE}", *options),
        )
        with Server(command, ready="/ready", log=self.work / "log") as server:
            load = Load(server.url)
            wait_for_shards(server.url)
            load.learn()
            yield load
        self.others += load.others

    def make(
        self, load: Load, fault: str, do: Callable[[], object], *, heals: bool = True
    ) -> None:
        """Make a fault under load; `do` may return a note."""
        with load.going(self.rate):
            time.sleep(_BEFORE)
            began = time.monotonic()
            note = do()
            time.sleep(self.seconds)
            ends = time.monotonic() + (_HEALS if heals else 0)
            while time.monotonic() < ends and load.lately(_QUIET) != {"right"}:
                time.sleep(0.5)
        counts = Counter(kind for _, kind in load.seen)
        after = [at - began for at, kind in load.seen if kind != "right"]
        row = {**counts, "last_not_right_s": max(after, default=0.0), "note": note or ""}
        self.rows[fault] = row
        self.problems += load.wrong
        load.wrong.clear()
        print(fault, row, flush=True)
        if heals:
            wait_for_shards(load.url)

    def writer_killed(self, first: Writer, second: Writer) -> str:
        """Kill a process in the middle of a commit, and let another one write."""
        first.go()
        for _ in range(_BATCHES_BEFORE):
            began = time.monotonic()
            first.read()
        time.sleep(random.uniform(0.1, 0.9) * (time.monotonic() - began))
        acknowledged = _BATCHES_BEFORE + first.kill()
        killed = time.monotonic()
        second.go()
        second.read()
        seconds = time.monotonic() - killed
        second.kill()
        kept = batches_kept(PLACE, self.work, [first.name, second.name])
        halves = [count for counts in kept.values() for count in counts if count != AT_ONCE]
        if len(kept[first.name]) < acknowledged or halves or len(kept[second.name]) != 1:
            self.problems.append(f"of {acknowledged} batches there are {kept}")
        return (
            f"{acknowledged} batches acknowledged, {len(kept[first.name])} kept, "
            f"{len(halves)} of them in part; the next writer after {seconds:.1f} s"
        )

    def processes(self) -> None:
        """Make the faults that need no Redis."""
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": HEAD_CPUS})
        try:
            node = cluster.add_node(num_cpus=NODE_CPUS)
            with self.served(cluster) as load:
                make, seconds = self.make, self.seconds
                kill, storage = os.kill, self.storage
                make(load, "a replica killed", lambda: kill(replicas(0)[0], signal.SIGKILL))
                make(load, "a shard stopped", lambda: stop_for(seconds, replicas(1)))
                make(load, "the storage gone", lambda: stop_for(seconds, [storage]))
                new = {"id": "other", "text": UNASKED}
                make(load, "a version published", lambda: add(self.work, PLACE, [new]))
                first = Writer(PLACE, self.work, "first", 1000)
                second = Writer(PLACE, self.work, "second", 1)
                make(load, "a writer killed", lambda: self.writer_killed(first, second))
                make(
                    load,
                    "a node killed",
                    lambda: cluster.remove_node(node, allow_graceful=False),
                )
                head = cluster.head_node
                make(
                    load,
                    "the head killed",
                    lambda: cluster.remove_node(head, allow_graceful=False),
                    heals=False,
                )
        finally:
            cluster.shutdown()
        began = time.monotonic()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": HEAD_CPUS})
        try:
            cluster.add_node(num_cpus=NODE_CPUS)
            with self.served(cluster):
                seconds = time.monotonic() - began
                self.rows["the head killed"]["note"] = (
                    f"a new cluster answers in {seconds:.0f} s"
                )
        finally:
            cluster.shutdown()

    def redis(self) -> None:
        """Make the faults with Redis as a score cache, and for the state of Ray."""
        cache, state = Redis(), Redis()
        os.environ["RAY_REDIS_ADDRESS"] = state.address
        # The head is to be found again at the same port.
        head = {"num_cpus": HEAD_CPUS, "gcs_server_port": free_port()}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(num_cpus=NODE_CPUS)
            with self.served(cluster, "--cache", f"redis://{cache.address}/0") as load:
                self.make(
                    load, "the score cache killed", lambda: cache.kill_for(self.seconds / 2)
                )

                def restart_state() -> None:
                    node = cluster.head_node
                    node.kill_gcs_server()
                    time.sleep(2)
                    node.start_gcs_server()

                self.make(load, "the head's state process killed", restart_state)

                def restart_head() -> None:
                    cluster.remove_node(cluster.head_node, allow_graceful=False)
                    time.sleep(2)
                    cluster.add_node(**head)

                self.make(load, "the head killed, and started", restart_head)
        finally:
            cluster.shutdown()
            cache.kill()
            state.kill()
            del os.environ["RAY_REDIS_ADDRESS"]

    storage = 0
    """The process of the object storage."""


def main() -> int:
    """Make the faults, print a table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ("processes", "redis")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--rate", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with TemporaryDirectory() as name, object_storage(Path(name)) as storage:
        faults = Faults(Path(name), chosen.rate, chosen.seconds)
        faults.storage = storage.pid
        add(faults.work, PLACE, passages(500))
        for part in chosen.parts:
            getattr(faults, part)()
    print(f"\n| fault | {' | '.join(KINDS)} | last answer that was not right, s | |")
    print("|---" * (len(KINDS) + 3) + "|")
    for fault, row in faults.rows.items():
        counts = " | ".join(str(row.get(kind, 0)) for kind in KINDS)
        print(f"| {fault} | {counts} | {row['last_not_right_s']:.1f} | {row['note']} |")
    for text, count in faults.others.most_common(8):
        print(f"{count} times: {text}")
    for text in faults.problems[:5]:
        print("wrong:", text)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(faults.rows, indent=2) + "\n", "utf-8")
    return int(bool(faults.problems))


if __name__ == "__main__":
    sys.exit(main())
