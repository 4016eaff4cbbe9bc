"""How many megabytes an installation takes, against the limit of the base install.

    python benchmarks/install_size.py                       # the base install
    python benchmarks/install_size.py --extra index         # with an extra
    python benchmarks/install_size.py --packages            # each package with its licence

A fresh environment is made in a temporary folder; what a bare one holds (pip) is
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


def fresh(extra: str | None) -> tuple[float, list[tuple[str, str, float]]]:
    """Install into a fresh environment; return MB in all, and by package."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "env"
        venv.create(place, with_pip=True)
        packages = next(place.glob("lib/python*/site-packages"))
        before = size(packages)
        target = str(ROOT) if extra is None else f"{ROOT}[{extra}]"
        pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        lock = str(ROOT / "requirements" / "lock.txt")
        subprocess.run([*pip, "install", "--quiet", "-c", lock, target], check=True)
        total = (size(packages) - before) / 1e6
        return total, by_package([str(packages)])


def by_package(path: list[str]) -> list[tuple[str, str, float]]:
    """Return (name, licence, MB) of each distribution, largest first."""
    rows = []
    for found in distributions(path=path):
        total = 0
        for file in found.files or ():
            where = Path(str(found.locate_file(file)))
            total += where.stat().st_size if where.is_file() else 0
        rows.append((found.metadata["Name"], licence(found), total / 1e6))
    return sorted(rows, key=lambda row: -row[2])


def licence(found: Distribution) -> str:
    """Return the licence that a package's metadata declares."""
    fields = found.metadata
    stated = fields.get("License-Expression") or fields.get("License") or ""
    if not stated or len(stated) > 40:
        kinds = [c for c in fields.get_all("Classifier") or () if c.startswith("License ::")]
        stated = ", ".join(c.rpartition(" :: ")[2] for c in kinds) or stated[:40]
    return stated.splitlines()[0] if stated else "see the package"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extra", help="such as index, or index,ingest")
    parser.add_argument("--packages", action="store_true", help="list every package")
    arguments = parser.parse_args()
    total, packages = fresh(arguments.extra)
    what = "base install" if arguments.extra is None else f"with {arguments.extra}"
    if arguments.packages:
        for name, terms, megabytes in packages:
            print(f"{megabytes:8.1f}  {name}  ({terms})")
    limit = f"   (limit {LIMIT_MB})" if arguments.extra is None else ""
    print(f"{what}: {total:.1f} MB{limit}")
    return 0 if arguments.extra is not None or total < LIMIT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
