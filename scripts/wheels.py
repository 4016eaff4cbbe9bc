"""Build what is published into dist/, install it, and rerank with it.

    make wheels

- The sources.
- A wheel for any platform, which runs in ONNX Runtime.
- A wheel for Linux on x86-64 with the machine code, for every glibc from 2.17 (2012) on: Zig's
  C compiler links against the symbols of that version, so no old system is needed to build it.

What is committed is built. Fails if a wheel needs a newer system than its name says, or does
not rerank in an environment of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
GLIBC = "2.17"
PLATFORM = "manylinux_2_17_x86_64.manylinux2014_x86_64"
SWITCH = "SECONDPASS_BUILD_NATIVE"
# Prints whether the machine code runs, and fails where the better text is not the first.
TRY = """
from secondpass import Reranker
from secondpass.inference.native.library import load_library
found = Reranker().rerank("capital of France", ["Bread is baked.", "Paris is the capital."])
assert found.results[0].index == 1, found
library = load_library()
print("none" if library is None else library.name)
"""


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command and return what it prints."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def built(sources: Path, into: Path, target: str, **environment: str) -> Path:
    """Build one target from the sources and return the file."""
    run(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", into, cwd=sources,
        **environment)  # fmt: skip
    (found,) = into.iterdir()
    return found


def native(sources: Path, into: Path) -> Path:
    """Build the wheel with machine code; fails where it needs a newer glibc."""
    compiler = f"{sys.executable} -m ziglang cc -target x86_64-linux-gnu.{GLIBC} -s"
    wheel = built(sources, into, "wheel", CC=compiler, **{SWITCH: "1"})
    tags = ("tags", "--remove", "--platform-tag", PLATFORM, wheel)
    named = into / run(sys.executable, "-m", "wheel", *tags, cwd=into).split()[-1]
    said = run(sys.executable, "-m", "auditwheel", "show", named)
    needs = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_x86_64", said)]
    if not needs or min(needs) > int(GLIBC.partition(".")[2]):
        raise SystemExit(f"{named.name} does not run where its name says:\n{said}")
    return named


def tried(wheel: Path, folder: Path) -> str:
    """Install a wheel into an environment of its own and return what TRY prints."""
    run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
    run(*pip, "-c", ROOT / "requirements" / "lock.txt", wheel)
    return run(folder / "bin" / "python", "-W", "error", "-c", TRY, cwd=folder).strip()


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        run("git", "archive", "--output", work / "sources.tar", "HEAD")
        sources = work / "sources"
        with tarfile.open(work / "sources.tar") as packed:
            packed.extractall(sources, filter="data")
        made = {
            "sources": built(sources, work / "sdist", "sdist"),
            "any": built(sources, work / "any", "wheel", **{SWITCH: "0"}),
            "native": native(sources, work / "native"),
        }
        for name, file in made.items():
            if name != "sources":
                kernels = tried(file, work / f"env-{name}")
                if (kernels == "none") != (name == "any"):
                    raise SystemExit(f"{file.name} has the kernels {kernels!r}")
            shutil.copy(file, DIST)
            print(f"{file.stat().st_size / 1e6:6.1f} MB  dist/{file.name}")
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())


if __name__ == "__main__":
    main()
