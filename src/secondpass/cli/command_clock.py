"""Where the time of a command goes, from the start of the process on."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from secondpass.types import RerankResponse

BESIDE = ("embed", "vector")
"""The stages of a search that run at the same time as "bm25"."""


class CommandClock:
    """Measures what a search by a command does around the search itself.

    Make one when the command has read its options. "start" is the time until then, with the
    interpreter and imports, where the system says when the process began (Linux), and
    otherwise absent.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._start = since_start()
        self._open = 0.0

    def opened(self) -> None:
        """Note that index and models are loaded."""
        self._open = (time.perf_counter() - self._began) * 1000

    def add_to(self, response: RerankResponse) -> RerankResponse:
        """Return the response with the stages around it, and the total of the command.

        "other" is what no stage counts, such as imports within the search.
        """
        stages = {} if self._start is None else {"start": self._start}
        total = (time.perf_counter() - self._began) * 1000 + sum(stages.values())
        stages |= {"open": self._open}
        stages |= {name: ms for name, ms in response.timings.items() if name != "total"}
        other = max(0.0, total - in_sequence(stages))
        return replace(response, timings={**stages, "other": other, "total": total})


def in_sequence(stages: Mapping[str, float]) -> float:
    """Return the sum of all stages, of those at the same time only the longer ones."""
    beside = sum(stages.get(name, 0.0) for name in BESIDE)
    return sum(stages.values()) - min(beside, stages.get("bm25", 0.0))


def since_start() -> float | None:
    """Return the milliseconds since this process began, to about 10; None if not known."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        # Field 22 of the file, in ticks since the machine was started.
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return (time.clock_gettime(time.CLOCK_BOOTTIME) - began) * 1000
    except (OSError, ValueError, IndexError, AttributeError):
        return None
