"""The architecture page agrees with the packages, the import contracts and the files."""

from __future__ import annotations

import re
import tomllib

from tests.docs.paths import ROOT

PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text("utf-8")
PACKAGE = ROOT / "src" / "secondpass"
# Public namespaces, the version and the entry point of `python -m`: on no floor.
FACADES = {"__init__", "__main__", "_lazy", "_version", "policies", "providers"}


def section(title: str) -> str:
    """Return the text of a section, up to the next heading of its level."""
    return re.split(r"^## ", PAGE.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.M)[0]


def floors() -> dict[str, int]:
    """Return the floor of each package in the picture."""
    return {
        name: int(number)
        for number, names in re.findall(
            r"^ ?(\d+)  (.+)$", section("Packages and floors"), re.M
        )
        for name in names.split()
    }


def test_picture_has_every_package() -> None:
    packages = {
        path.stem if path.is_file() else path.name
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert set(floors()) == packages - FACADES


def test_picture_agrees_with_the_import_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["id"] == "floors")
    # From the top; a name in parentheses is a package that does not exist yet.
    sets = [{name for name in re.split(r"[ |:]+", layer) if name[0] != "("} for layer in layers]
    sets = [names - FACADES for names in sets if names - FACADES]
    top = max(floors().values())
    for floor in range(1, top + 1):
        assert {n for n, at in floors().items() if at == floor} == sets[top - floor], floor
    assert {n for n, at in floors().items() if at == 0} == set().union(*sets[top:])


def test_table_agrees_with_the_picture() -> None:
    rows = re.findall(
        r"^\| (`[^|]+) \| [^|]+ \| ([^|]+) \|$", section("Packages and floors"), re.M
    )
    listed = set()
    for names, allowed in rows:
        highest = int(re.findall(r"\d+", allowed)[-1])
        for name in re.findall(r"`(\w+)`", names):
            assert highest == max(0, floors()[name] - 1), name
            listed.add(name)
    assert listed == set(floors())


def test_paths_of_tasks_exist() -> None:
    existing, _, _ = section("Where things live").partition("Places reserved")
    paths = re.findall(r"`((?:src|tests)/[\w/.]+)`", existing)
    assert len(paths) > 15
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert missing == []
