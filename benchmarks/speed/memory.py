"""Peak memory of this process, and a limit for it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_megabytes() -> float:
    """Return the peak resident size so far, in MB.

    On Linux from VmHWM: ru_maxrss starts at the size of the parent process.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def forget_peak() -> None:
    """Let the peak start at the present size, where the system can (Linux)."""
    file = Path("/proc/self/clear_refs")
    if file.is_file():
        file.write_text("5")


def limit_memory(gigabytes: float) -> None:
    """Make larger allocations fail, so that one engine cannot exhaust the machine."""
    if sys.platform == "linux":
        size = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
