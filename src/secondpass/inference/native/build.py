"""Compiler of the native library. Standalone: the build of the package runs it by its path.

Run as a script, it compiles the library in place and prints the result.
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

NUMERICS = 1
"""Raised when a change of the C code changes a score by a bit: cached scores are then older."""

_SOURCES = ("encoder.h", "vectors.h", "kernels.c", "schedule.c", "dispatch.c")
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = tuple(f"-mavx512{part}" for part in ("f", "bw", "dq", "vl", "vnni"))
_KERNELS = {
    "avx2": (_AVX2, ()),
    "avxvnni": ((*_AVX2, "-mavxvnni"), ("-DVNNI",)),
    "avx512vnni": (_AVX512, ("-DWIDE",)),
}
_FLAGS = (
    *("-std=c11", "-fPIC", "-fvisibility=hidden", "-Wno-psabi"),
    *("-ffp-contract=off", "-fno-math-errno"),  # the same bits from every compiler
)


class BuildError(Exception):
    """There is no compiler for this platform, or it failed; the message says which."""


def digest() -> str:
    """Return the hexadecimal SHA-256 of the sources, compiled into the library too."""
    sha256 = hashlib.sha256()
    for name in _SOURCES:
        sha256.update((HERE / name).read_bytes())
    return sha256.hexdigest()


def numerics(engine: str) -> str:
    """Return what keys of cached scores say of an engine: its name, here with `NUMERICS`."""
    return f"{engine} {NUMERICS}" if engine == "native" else engine


def compile_library(target: Path = LIBRARY, *, emulation: Path | None = None) -> Path:
    """Compile `target` and return it; an older file is deleted first. Raises `BuildError`.

    `emulation` is a header that emulates instructions this processor lacks, for tests.
    """
    target.unlink(missing_ok=True)
    if os.name != "posix" or platform.machine() not in ("x86_64", "AMD64"):
        raise BuildError(
            f"it needs Unix on x86-64, not {platform.system()} {platform.machine()}"
        )
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise BuildError("no C compiler was found; set CC, or install gcc")
    command: list[str | Path] = [*compiler.split(), *_FLAGS]
    if emulation is None:
        command.append("-O3")
    else:  # whose code is long: to optimise it takes three times as long as to compile it
        command += ["-O0", f'-DEMULATED="{emulation}"']
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        parts: list[str | Path] = [HERE / "schedule.c", HERE / "dispatch.c"]
        for name, (instructions, variant) in _KERNELS.items():
            parts.append(Path(folder, f"{name}.o"))
            target_flags = instructions if emulation is None else _AVX2
            flags = (*target_flags, *variant, f"-DNAME={name}")
            _run([*command, *flags, "-c", HERE / "kernels.c", "-o", parts[-1]])
        new = Path(folder, target.name)
        flags = ("-D_GNU_SOURCE", f'-DDIGEST="{digest()}"', "-shared")
        _run([*command, *flags, *parts, "-o", new, "-lpthread", "-lm"])
        # Renamed, so that a process with the old library open keeps it.
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
