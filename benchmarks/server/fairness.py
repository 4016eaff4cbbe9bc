"""Fairness: the latency of a light tenant, alone and beside one at ten times its share.

    python benchmarks/server/fairness.py [--seconds 60] [--times 10] [--json FILE]

Two tenants have a key each. First eight clients of one tenant send as fast as they get
responses, which gives the capacity. Then the light tenant sends reranks of 20 paragraphs at
random times (a Poisson process) at a fifth of the capacity: alone, and while the heavy tenant
sends the same requests at `--times` its share, half of the capacity. A response of 429 to the
light tenant, or a p95 latency of more than twice that of the quiet run, is exit status 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from sample_questions import load_questions
from server_process import Server, secondpass_command

from secondpass.server.access.api_keys import KeyFile

CLOSED_CLIENTS = 8
CAPACITY_SECONDS = 15.0
LIGHT_LOAD = 0.2
MAX_SLOWDOWN = 2.0
PARAGRAPHS = 20


class Tenant:
    """Sends requests with the key of one tenant, and keeps statuses and seconds."""

    def __init__(self, url: str, key: str, seed: int) -> None:
        self.http = httpx2.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            timeout=120,
            limits=httpx2.Limits(max_connections=None),
        )
        self.rng = random.Random(seed)
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self._questions = load_questions(PARAGRAPHS, 40)

    async def send(self) -> None:
        """Send one request; no text is sent twice, so that nothing is remembered."""
        question = self.rng.choice(self._questions)
        texts = [f"{text} {self.rng.random()}" for text in question.texts]
        started = time.perf_counter()
        body = {"query": question.query, "documents": texts}
        response = await self.http.post("/v1/rerank", json=body)
        self.statuses[response.status_code] += 1
        if response.status_code == 200:
            self.seconds.append(time.perf_counter() - started)

    async def send_at_random(self, rate: float, seconds: float) -> None:
        """Send at a rate for some seconds, whether or not earlier requests are done."""
        end, pending = time.perf_counter() + seconds, list[asyncio.Task[None]]()
        while time.perf_counter() < end:
            await asyncio.sleep(self.rng.expovariate(rate))
            pending.append(asyncio.create_task(self.send()))
        await asyncio.gather(*pending)

    async def capacity(self, seconds: float) -> float:
        """Return the requests a second of clients that wait for each response."""
        end, done = time.perf_counter() + seconds, 0

        async def client() -> None:
            nonlocal done
            while time.perf_counter() < end:
                await self.send()
                done += 1

        await asyncio.gather(*(client() for _ in range(CLOSED_CLIENTS)))
        return done / seconds

    def summary(self) -> dict[str, Any]:
        """Return statuses and latencies so far, and start anew."""
        ordered = sorted(self.seconds) or [float("nan")]
        found = {
            "statuses": dict(self.statuses),
            "p50": ordered[len(ordered) // 2],
            "p95": ordered[int(0.95 * len(ordered))],
        }
        self.statuses, self.seconds = Counter(), []
        return found


async def measure(url: str, keys: list[str], seconds: float, times: float) -> dict[str, Any]:
    """Return what was measured."""
    light, heavy = Tenant(url, keys[0], 1), Tenant(url, keys[1], 2)
    await heavy.send()
    rate = await heavy.capacity(CAPACITY_SECONDS)
    heavy.summary()
    await light.send_at_random(LIGHT_LOAD * rate, seconds)
    quiet = light.summary()
    # The heavy tenant begins earlier, so that all is full when the light one comes.
    flood = asyncio.create_task(heavy.send_at_random(times * rate / 2, seconds + 5))
    await asyncio.sleep(5)
    await light.send_at_random(LIGHT_LOAD * rate, seconds)
    loaded = light.summary()
    await flood
    return {
        "capacity": rate,
        "light, alone": quiet,
        "light, beside the heavy one": loaded,
        "heavy": heavy.summary(),
        "slowdown of the p95": loaded["p95"] / quiet["p95"],
    }


def main() -> None:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--times", type=float, default=10)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        file = KeyFile(Path(folder, "keys.json"))
        keys = [file.create(name, ["rerank"], tenant=name) for name in ("light", "heavy")]
        command = secondpass_command("--keys", str(file.file))
        server = Server(command, ready="/ready", log=Path(folder, "log"))
        try:
            server.start()
            found = asyncio.run(measure(server.url, keys, chosen.seconds, chosen.times))
        finally:
            server.stop()
    print(json.dumps(found, indent=1))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    refused = found["light, beside the heavy one"]["statuses"].keys() - {200}
    if refused or found["slowdown of the p95"] > MAX_SLOWDOWN:
        sys.exit(1)


if __name__ == "__main__":
    main()
