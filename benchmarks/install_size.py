"""Size of an installation in megabytes, against the limit of the base install.

    python benchmarks/install_size.py                       # the base install
    python benchmarks/install_size.py --extra index         # with an extra
    python benchmarks/install_size.py --packages            # each package with its license

A fresh environment is created in a temporary folder; the size of an empty one (pip) is
subtracted. Byte code that pip compiles counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MB = 250


def size(folder: Path) -> int:
    return sum(
        f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink()
    )


def measure_install(extra: str | None) -> tuple[float, list[tuple[str, str, float]]]:
    """Install into a fresh environment; return the total in MB, and the sizes by package."""
    with tempfile.TemporaryDirectory() as name:
        environment = Path(name) / "env"
        venv.create(environment, with_pip=True)
        packages = next(environment.glob("lib/python*/site-packages"))
        before = size(packages)
        target = str(ROOT) if extra is None else f"{ROOT}[{extra}]"
        pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        lock = str(ROOT / "requirements" / "lock.txt")
        subprocess.run([*pip, "install", "--quiet", "-c", lock, target], check=True)
        total = (size(packages) - before) / 1e6
        return total, package_sizes([str(packages)])


def package_sizes(path: list[str]) -> list[tuple[str, str, float]]:
    """Return (name, license, MB) of each distribution, largest first."""
    rows = []
    for distribution in distributions(path=path):
        total = 0
        for file in distribution.files or ():
            located = Path(str(distribution.locate_file(file)))
            total += located.stat().st_size if located.is_file() else 0
        rows.append((distribution.metadata["Name"], license_of(distribution), total / 1e6))
    return sorted(rows, key=lambda row: -row[2])


def license_of(distribution: Distribution) -> str:
    """Return the license that a package's metadata declares."""
    fields = distribution.metadata
    declared = fields.get("License-Expression") or fields.get("License") or ""
    if not declared or len(declared) > 40:
        kinds = [c for c in fields.get_all("Classifier") or () if c.startswith("License ::")]
        declared = ", ".join(c.rpartition(" :: ")[2] for c in kinds) or declared[:40]
    return declared.splitlines()[0] if declared else "see the package"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extra", help="such as index, or index,ingest")
    parser.add_argument("--packages", action="store_true", help="list every package")
    arguments = parser.parse_args()
    total, packages = measure_install(arguments.extra)
    title = "base install" if arguments.extra is None else f"with {arguments.extra}"
    if arguments.packages:
        for name, license_name, megabytes in packages:
            print(f"{megabytes:8.1f}  {name}  ({license_name})")
    limit = f"   (limit {LIMIT_MB})" if arguments.extra is None else ""
    print(f"{title}: {total:.1f} MB{limit}")
    return 0 if arguments.extra is not None or total < LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
