"""The machine and the package versions of a measurement."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from secondpass.cli.doctor import cpu_features
from secondpass.inference.native.library import load_library

PACKAGES = (
    *("onnxruntime", "openvino", "torch", "sentence-transformers", "transformers"),
    *("optimum-onnx", "optimum-intel", "nncf", "flashrank", "fastembed", "tokenizers", "numpy"),
)


def packages() -> dict[str, str]:
    """Return the installed versions of the packages."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def kernels() -> str:
    """Return which of secondpass's own kernels run here."""
    library = load_library()
    return "none" if library is None else library.name


def machine(threads: int) -> dict[str, object]:
    """Return the machine as a table of facts."""
    return {
        "processor": processor(),
        "instructions": cpu_features(),
        "own kernels": kernels(),
        "cores": os.cpu_count(),
        "threads": threads,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": packages(),
    }


class OtherLoad:
    """How many cores other processes kept busy, from its creation on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._others = _others_seconds()

    def cores(self) -> float:
        """Return the mean number of cores, at least 0."""
        seconds = time.monotonic() - self._started
        return max(0.0, (_others_seconds() - self._others) / seconds)


def _others_seconds() -> float:
    """Return the processor seconds of all processes but this one and its descendants."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guests are counted in `user` and `nice` as well.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    own = sum(os.times()[:4])
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            own += sum(child.cpu_times()[:4])
    return sum(times) - idle - guests - own


def has_vnni(features: list[str]) -> bool:
    """Return whether the processor has int8 dot-product instructions."""
    known = {"avx512_vnni", "avx_vnni", "amx_int8", "i8mm", "asimddp"}
    return not known.isdisjoint(features)
