"""Patterns that see input take time in proportion to its length.

Every pattern of the package, compiled at import or written in a call, is given shapes that
make a backtracking matcher slow, at two sizes. Python's `re` has no time limit, and it holds
the interpreter's lock: one request would stop a server.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import secondpass

ROOT = Path(secondpass.__file__).parent
# Characters that patterns of parsers turn on, and one of each kind that they do not.
_CHARACTERS = "a1_ \n\t\"'\\`<>/{}[](),.;:#=-*+~|&@!?é。\x00"
_SIZE = 1500
_FUNCTIONS = {"compile", "search", "match", "fullmatch", "findall", "finditer", "split", "sub"}


def _compiled() -> Iterator[tuple[str, re.Pattern[Any], bool]]:
    """Yield patterns that modules hold, and whether they only match from a beginning."""
    for module in pkgutil.walk_packages([str(ROOT)], "secondpass."):
        if module.name.endswith(("__main__", ".kernels")):
            continue
        try:
            found = importlib.import_module(module.name)
        except ImportError:
            continue
        source = Path(str(found.__file__)).read_text("utf-8")
        for name, value in vars(found).items():
            parts = value if isinstance(value, tuple | list) else (value,)
            for part in parts:
                for inner in part if isinstance(part, tuple) else (part,):
                    if isinstance(inner, re.Pattern):
                        uses = set(re.findall(rf"\b{name}\.(\w+)\(", source))
                        anchored = bool(uses) and uses <= {"match", "fullmatch"}
                        yield f"{module.name}.{name}", inner, anchored


def _written() -> Iterator[tuple[str, re.Pattern[Any], bool]]:
    """Yield patterns that are written in calls of `re`."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr in _FUNCTIONS - {"compile"}
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                pattern = re.compile(node.args[0].value)
                anchored = node.func.attr in ("match", "fullmatch")
                yield f"{path.relative_to(ROOT)}:{node.lineno}", pattern, anchored


def _patterns() -> dict[str, tuple[re.Pattern[Any], bool]]:
    """Return the distinct patterns, by where they stand."""
    distinct: dict[tuple[Any, int, bool], str] = {}
    for name, pattern, anchored in itertools.chain(_compiled(), _written()):
        distinct.setdefault((pattern.pattern, pattern.flags, anchored), name)
    return {
        f"{name} {text!r}"[:120]: (re.compile(text, flags), anchored)
        for (text, flags, anchored), name in distinct.items()
    }


def _shapes(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield beginnings, what is repeated, and ends, from the characters of a pattern."""
    text = pattern.pattern
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    own = [c for c in _CHARACTERS if c in text or c in "a1 \n"][:12]
    words = re.findall(r"[A-Za-z]{3,}", text)[:4]
    units = [*own, *("".join(pair) for pair in itertools.permutations(own, 2)), *words]
    openings = ["", *(c for c in own if c in "\"'`<{[(#*\n\\~-"), *words]
    for opening in openings:
        for unit in units:
            yield opening, unit, "\x00"


def _seconds(pattern: re.Pattern[Any], anchored: bool, text: str) -> float:
    given: Any = text.encode("utf-8") if isinstance(pattern.pattern, bytes) else text
    began = time.process_time()
    pattern.match(given)
    pattern.fullmatch(given)
    for _ in () if anchored else pattern.finditer(given):
        pass
    return time.process_time() - began


def test_every_pattern_takes_time_in_proportion_to_its_input() -> None:
    """One test: to import every module when tests are collected takes each worker seconds."""
    patterns = _patterns()
    assert len(patterns) > 100
    for name, (pattern, anchored) in patterns.items():
        for opening, unit, end in _shapes(pattern):
            count = _SIZE // len(unit)
            if _seconds(pattern, anchored, opening + unit * count + end) < 0.0015:
                # A quadratic pattern takes several times as long: a million steps and more.
                continue
            # Measured again, and longer: a busy machine slows down one measurement, not all.
            short, long = (
                min(
                    _seconds(pattern, anchored, opening + unit * size * count + end)
                    for _ in range(3)
                )
                for size in (4, 8)
            )
            assert long < 3 * short, (name, opening, unit, end, short, long)
