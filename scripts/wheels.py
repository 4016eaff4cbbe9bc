"""Build the published packages into dist/, install them, and rerank with each.

    make wheels

- The sources.
- A wheel for any platform, which runs in ONNX Runtime.
- A wheel for Linux on x86-64 with the machine code, for every glibc from 2.17 (2012) on: Zig's
  C compiler links against the symbols of that version, so no old system is needed to build it.

- Two bills of materials (CycloneDX) beside them: of what the wheel installs with the versions
  of the lock, and of the whole lock, with the extras and the tools.

It builds the committed state. Fails if a wheel needs a newer system than its name says, or does
not rerank in an environment of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
LOCK = ROOT / "requirements" / "lock.txt"
GLIBC = "2.17"
PLATFORM = "manylinux_2_17_x86_64.manylinux2014_x86_64"
NATIVE_SWITCH = "SECONDPASS_BUILD_NATIVE"
# Prints whether the machine code runs, and fails if the better text is not the first.
TEST_PROGRAM = """
from secondpass import Reranker
from secondpass.inference.native.library import load_library
response = Reranker().rerank("capital of France", ["Bread is baked.", "Paris is the capital."])
assert response.results[0].index == 1, response
library = load_library()
print("none" if library is None else library.name)
"""


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    """Run a command and return its output."""
    process = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return process.stdout


def build(sources: Path, target_folder: Path, target: str, **environment: str) -> Path:
    """Build one target from the sources and return the file."""
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        target,
        "-d",
        target_folder,
    ]
    run(*command, cwd=sources, **environment)
    (file,) = target_folder.iterdir()
    return file


def build_native_wheel(sources: Path, target_folder: Path) -> Path:
    """Build the wheel with machine code; fails if it needs a newer glibc."""
    compiler = f"{sys.executable} -m ziglang cc -target x86_64-linux-gnu.{GLIBC} -s"
    wheel = build(sources, target_folder, "wheel", CC=compiler, **{NATIVE_SWITCH: "1"})
    tags = ("tags", "--remove", "--platform-tag", PLATFORM, wheel)
    file_name = run(sys.executable, "-m", "wheel", *tags, cwd=target_folder).split()[-1]
    tagged = target_folder / file_name
    output = run(sys.executable, "-m", "auditwheel", "show", tagged)
    required_glibc = [int(minor) for minor in re.findall(r"manylinux_2_(\d+)_x86_64", output)]
    if not required_glibc or min(required_glibc) > int(GLIBC.partition(".")[2]):
        raise SystemExit(f"{tagged.name} needs a newer glibc than its name:\n{output}")
    return tagged


def try_install(wheel: Path, folder: Path) -> str:
    """Install a wheel into an environment of its own and return the output of TEST_PROGRAM."""
    run(sys.executable, "-m", "venv", folder)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
    run(*pip, "-c", LOCK, wheel)
    return run(folder / "bin" / "python", "-W", "error", "-c", TEST_PROGRAM, cwd=folder).strip()


def write_bill(source: str, place: Path, version: str, file: Path) -> dict[str, Any]:
    """Write the bill of materials of an `environment` or of a file of `requirements`."""
    tool = (sys.executable, "-m", "cyclonedx_py", source, place)
    main = ("--pyproject", ROOT / "pyproject.toml", "--mc-type", "library")
    output = ("--output-format", "JSON", "--output-reproducible", "--output-file", file)
    run(*tool, *main, *output)
    bill: dict[str, Any] = json.loads(file.read_text("utf-8"))
    # pyproject.toml leaves the version to a file.
    bill["metadata"]["component"]["version"] = version
    file.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n", "utf-8")
    return bill


def check_bill(bill: dict[str, Any], lock: str, *, whole: bool) -> None:
    """Raise SystemExit if a component of a bill is not at the version of the lock.

    - `whole`: everything in the lock must be in the bill too.
    """
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", lock, re.MULTILINE))
    own = bill["metadata"]["component"]["name"]
    found = {
        re.sub(r"[-_.]+", "-", part["name"]).lower(): part.get("version", "").partition("+")[0]
        for part in bill.get("components", ())
    }
    found.pop(own, None)
    wrong = {name: version for name, version in found.items() if pins.get(name) != version}
    missing = pins.keys() - found.keys() if whole else set()
    if own != "secondpass" or not found or wrong or missing:
        raise SystemExit(
            f"the bill of {own} is not that of the lock: other versions {wrong},"
            f" missing {sorted(missing)}"
        )


def write_bills(environment: Path, version: str) -> None:
    """Write and check both bills of materials; the environment loses pip."""
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools", "pip")
    lock = LOCK.read_text("utf-8")
    for source, place, name in (
        ("environment", python, "cdx"),
        ("requirements", LOCK, "lock.cdx"),
    ):
        file = DIST / f"secondpass-{version}.{name}.json"
        bill = write_bill(source, place, version, file)
        check_bill(bill, lock, whole=source == "requirements")
        print(f"{len(bill['components']):6} parts  dist/{file.name}")


def main() -> None:
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory() as folder_name:
        work = Path(folder_name)
        run("git", "archive", "--output", work / "sources.tar", "HEAD")
        sources = work / "sources"
        with tarfile.open(work / "sources.tar") as archive:
            archive.extractall(sources, filter="data")
        built_files = {
            "sources": build(sources, work / "sdist", "sdist"),
            "any": build(sources, work / "any", "wheel", **{NATIVE_SWITCH: "0"}),
            "native": build_native_wheel(sources, work / "native"),
        }
        for name, file in built_files.items():
            if name != "sources":
                kernels = try_install(file, work / f"env-{name}")
                if (kernels == "none") != (name == "any"):
                    raise SystemExit(f"{file.name} has the kernels {kernels!r}")
            shutil.copy(file, DIST)
            print(f"{file.stat().st_size / 1e6:6.1f} MB  dist/{file.name}")
        packages = list(DIST.iterdir())
        write_bills(work / "env-native", built_files["any"].name.split("-")[1])
    run(sys.executable, "-m", "twine", "check", "--strict", *packages)


if __name__ == "__main__":
    main()
