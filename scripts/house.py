"""Measure how easily a stranger finds a file in the package.

    python scripts/house.py                 # of this checkout
    python scripts/house.py ../other        # of another one
    python scripts/house.py --json          # counts and lists as JSON

It prints the number of Python files of `src/secondpass`, their median and largest size, and
what CONTRIBUTING.md asks for: no file under 80 lines whose only importer is in its folder
(unless it is a registered kind of thing: a command, dialect, loader, provider, policy, engine
or a room that every dialect has), no base name twice in a top-level package, and no module
named by a gerund that is not a term of the field. Imports inside functions and for type
checking count too.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

PACKAGE = "secondpass"
MIN_LINES = 80
# Folders whose files are found by their kind, one file each; old and new names of a folder, so
# that a checkout of before the redesign can be measured too.
REGISTERED = {
    "command": ("cli",),
    "dialect": ("server/dialects", "server/rerank_dialects"),
    "loader": ("retrieve/readers", "retrieve/loaders"),
    "policy": ("rerank/policies",),
    "provider": ("rerank/hosted",),
    "engine": ("engine/runtimes", "inference/runtimes"),
    "backend": ("retrieve/backends",),
}
# Every dialect has these rooms.
ROOMS = frozenset({"routes", "schemas", "responses"})
FIELD_TERMS = frozenset(
    {
        "calibration",
        "chunking",
        "cross_fitting",
        "early_stopping",
        "indexing",
        "labelling",
        "pooling",
        "profiling",
        "query_rewriting",
        "sampling",
        "scoring",
        "streaming",
        "tracing",
        "tuning",
        "weight_averaging",
        "windowing",
    }
)


@dataclass(frozen=True)
class Report:
    """The measurements; paths are relative to the package, with "/" between folders."""

    files: int
    lines: int
    median_lines: float
    largest: dict[str, int]
    single_importer_in_folder: dict[str, str]
    small_single_importer: dict[str, str]
    repeated_names: dict[str, list[str]]
    gerunds: list[str]


def measure(checkout: Path) -> Report:
    """Measure the package of a checkout; raises SystemExit if there is none."""
    root = checkout / "src" / PACKAGE
    if not root.is_dir():
        raise SystemExit(f"{checkout} has no src/{PACKAGE}: give the root of a checkout.")
    sources = {
        path.relative_to(root).as_posix(): path.read_text("utf-8")
        for path in sorted(root.rglob("*.py"))
    }
    lines = {name: text.count("\n") for name, text in sources.items()}
    modules = {name for name in sources if not name.endswith("__init__.py")}
    importers = find_importers(sources)
    single = {
        name: next(iter(importers[name]))
        for name in sorted(modules)
        if len(importers[name]) == 1 and _folder(next(iter(importers[name]))) == _folder(name)
    }
    return Report(
        files=len(sources),
        lines=sum(lines.values()),
        median_lines=statistics.median(lines.values()),
        largest=dict(sorted(lines.items(), key=lambda item: -item[1])[:5]),
        single_importer_in_folder=single,
        small_single_importer={
            name: importer
            for name, importer in single.items()
            if lines[name] < MIN_LINES and registered_kind(name) is None
        },
        repeated_names=find_repeated_names(modules),
        gerunds=sorted(name for name in modules if is_gerund(PurePosixPath(name).stem)),
    )


def find_importers(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Return the files that import each file, anywhere in their text."""
    files = {_module(name): name for name in sources}
    importers: dict[str, set[str]] = {name: set() for name in sources}
    for name, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            for module in imported_modules(node):
                file = files.get(module)
                if file is not None and file != name:
                    importers[file].add(name)
    return importers


def imported_modules(node: ast.AST) -> list[str]:
    """Return the names that an import statement may import a module by."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        # A name may be a submodule.
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def find_repeated_names(modules: set[str]) -> dict[str, list[str]]:
    """Return base names with more than one file in a top-level package, "PACKAGE/NAME"."""
    files: dict[str, list[str]] = defaultdict(list)
    for name in sorted(modules):
        path = PurePosixPath(name)
        if len(path.parts) > 1 and path.stem not in ROOMS:
            files[f"{path.parts[0]}/{path.stem}"].append(name)
    return {name: paths for name, paths in sorted(files.items()) if len(paths) > 1}


def is_gerund(stem: str) -> bool:
    """Return whether a module is named by a gerund that is not a term of the field."""
    last = stem.split("_")[-1]
    return last.endswith("ing") and not {stem, last} & FIELD_TERMS


def registered_kind(name: str) -> str | None:
    """Return what kind of registered thing a file is, None if it is none."""
    folder = _folder(name)
    for kind, folders in REGISTERED.items():
        if folder in folders:
            return kind
    stem = PurePosixPath(name).stem
    return "room" if stem in ROOMS or stem.endswith("_routes") else None


def _folder(name: str) -> str:
    return PurePosixPath(name).parent.as_posix()


def _module(name: str) -> str:
    path = name.removesuffix(".py").removesuffix("/__init__")
    return PACKAGE if path == "__init__" else f"{PACKAGE}.{path.replace('/', '.')}"


def render(report: Report) -> str:
    """Return the report as text."""
    largest = ", ".join(f"{name} {count}" for name, count in report.largest.items())
    lines = [
        f"files                                {report.files:7,}",
        f"lines                                {report.lines:7,}",
        f"median lines                         {report.median_lines:7g}",
        f"largest: {largest}",
        f"one importer, in the same folder     {len(report.single_importer_in_folder):7,}",
        f"  under {MIN_LINES} lines, not registered     {len(report.small_single_importer):7,}",
        *(f"    {name} <- {by}" for name, by in report.small_single_importer.items()),
        f"names twice in a top-level package   {len(report.repeated_names):7,}",
        *(f"    {name}: {', '.join(paths)}" for name, paths in report.repeated_names.items()),
        f"modules in -ing, not field terms     {len(report.gerunds):7,}",
        *(f"    {name}" for name in report.gerunds),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("checkout", type=Path, nargs="?", default=here)
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    report = measure(arguments.checkout)
    print(json.dumps(asdict(report), indent=1) if arguments.json else render(report))


if __name__ == "__main__":
    main()
