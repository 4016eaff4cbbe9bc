"""A server on Ray that adds a copy of a shard under load, and takes it away afterwards.

    python benchmarks/scale/scale_copies.py [--clients 16] [--delays 5:10]

A server with `--replicas 1:2` on this machine searches made-up passages. One search a second
keeps one copy. Then `--clients` search without a pause, until there are two copies, and for 20
seconds more; then one search a second again, until there is one copy. The number of processes
of the shard is printed where it changes. A wrong answer, or a number that does not change
within three minutes, is exit status 1; refused ones (429) are counted. `--delays` is the option
`--scale-delays` of the server.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

# The processes of the server are found by it.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

from fault_load import QUERIES, Load, passages
from fault_processes import add, replicas

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from server_process import Server, secondpass_command

# All are candidates: many are equally good, and a search could take one or the other.
PASSAGES = 300
WATCH, LIMIT, LONGER = 1.0, 180.0, 20.0


class Watch:
    """The number of copies over the time, and the answers meanwhile."""

    def __init__(self, load: Load) -> None:
        self.load, self.began, self.copies = load, time.monotonic(), 0
        self.kinds: Counter[str] = Counter()

    def until(self, copies: int | None, clients: int, seconds: float) -> bool:
        """Search until there are so many copies, and at most so long; say whether there are.

        One client searches once a second, several without a pause.
        """
        ends = time.monotonic() + seconds
        answers: Counter[str] = Counter()

        def done() -> bool:
            return self.copies == copies or time.monotonic() > ends

        def search(client: int) -> None:
            number = client
            while not done():
                answers[self.load.kind(QUERIES[number % len(QUERIES)])] += 1
                number += 1
                if clients == 1:
                    time.sleep(1)

        began = time.monotonic()
        with ThreadPoolExecutor(clients) as threads:
            searching = [threads.submit(search, client) for client in range(clients)]
            while not all(one.done() for one in searching):
                now = len(replicas(0))
                if now != self.copies and not done():
                    print(f"{time.monotonic() - self.began:.0f} s: {now} copies", flush=True)
                    self.copies = now
                time.sleep(WATCH)
        self.kinds += answers
        rate = answers.total() / (time.monotonic() - began)
        passed = time.monotonic() - self.began
        what = f"clients: {clients}, {rate:.1f} searches a second, {dict(answers)}"
        print(f"{passed:.0f} s: {what}", flush=True)
        return self.copies == copies


def main() -> int:
    """Run the load, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--delays", default="5:10")
    chosen = parser.parse_args()
    with TemporaryDirectory() as name:
        work, place = Path(name), str(Path(name) / "index")
        add(work, place, passages(PASSAGES))
        command = secondpass_command(
            *("--on", "ray", "--replicas", "1:2", "--scale-delays", chosen.delays),
            *("--model", "bundled-tiny", "--threads", "1", "--index", f"docs={place}"),
        )
        with Server(command, ready="/ready", log=work / "log") as server:
            load = Load(server.url, candidates=PASSAGES)
            load.learn()
            watch = Watch(load)
            watch.until(None, 1, LONGER)
            one = watch.copies == 1
            grew = watch.until(2, chosen.clients, LIMIT)
            watch.until(None, chosen.clients, LONGER)
            shrank = watch.until(1, 1, LIMIT)
    for text in load.wrong[:5]:
        print("wrong:", text)
    return int(not (one and grew and shrank) or watch.kinds["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
