"""Compile the machine code: for the build of the package, which has no dependencies yet.

Run as a file, it compiles in place and says what came of it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / "kernels.so"

_SOURCES = ("encoder.h", "kernels.c", "schedule.c", "dispatch.c")
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = tuple(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni"))
_KERNELS = {
    "avx2": (_AVX2, ()),
    "avxvnni": ((*_AVX2, "-mavxvnni"), ("-DVNNI",)),
    "avx512vnni": (_AVX512, ("-DWIDE",)),
}
_FLAGS = (
    *("-std=c11", "-O3", "-fPIC", "-fvisibility=hidden", "-Wno-psabi"),
    *("-ffp-contract=off", "-fno-math-errno"),  # the same bits from every compiler
)


class BuildError(Exception):
    """There is no compiler for it here, or it failed; the message says which."""


def digest() -> str:
    """Return the hexadecimal SHA-256 of the sources; a library says of which it was made."""
    found = hashlib.sha256()
    for name in _SOURCES:
        found.update((HERE / name).read_bytes())
    return found.hexdigest()


def compile_library(target: Path = LIBRARY, *, emulation: Path | None = None) -> Path:
    """Compile `target` and return it; raises `BuildError`, and leaves no old file behind.

    `emulation` is a header with the instructions that this processor lacks, for tests.
    """
    target.unlink(missing_ok=True)
    if os.name != "posix" or platform.machine() not in ("x86_64", "AMD64"):
        raise BuildError(
            f"it is for Unix on x86-64, not {platform.system()} {platform.machine()}"
        )
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise BuildError("there is no C compiler; set CC, or install gcc")
    command: list[str | Path] = [*compiler.split(), *_FLAGS]
    if emulation is not None:
        command.append(f'-DEMULATED="{emulation}"')
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        parts: list[str | Path] = [HERE / "schedule.c", HERE / "dispatch.c"]
        for name, (instructions, variant) in _KERNELS.items():
            parts.append(Path(folder, f"{name}.o"))
            offered = instructions if emulation is None else _AVX2
            named = (*offered, *variant, f"-DNAME={name}")
            _run([*command, *named, "-c", HERE / "kernels.c", "-o", parts[-1]])
        new = Path(folder, target.name)
        whole = ("-D_GNU_SOURCE", f'-DDIGEST="{digest()}"', "-shared")
        _run([*command, *whole, *parts, "-o", new, "-lpthread", "-lm"])
        # A process that has the old one open keeps it.
        new.replace(target)
    return target


def _run(command: list[str | Path]) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{command[0]} failed: {done.stderr.strip()}")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"compiled {compile_library()}\n")
    except (BuildError, OSError) as error:
        sys.exit(f"not compiled: {error}")
