"""Whether reranking pays: collections, runs, measures, tests, the report. Extra `eval`.

    >>> from secondpass.evaluate import Collection, Run, evaluate

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secondpass.evaluate.collection import Collection
    from secondpass.evaluate.measures import Evaluation, evaluate
    from secondpass.evaluate.run import Run, search_all
    from secondpass.evaluate.significance import Comparison, compare
    from secondpass.evaluate.study import Study, study
    from secondpass.evaluate.tuning import Tuned, tune

_HOMES = {
    "Collection": "collection",
    "Comparison": "significance",
    "Evaluation": "measures",
    "Run": "run",
    "Study": "study",
    "Tuned": "tuning",
    "compare": "significance",
    "evaluate": "measures",
    "search_all": "run",
    "study": "study",
    "tune": "tuning",
}

__all__ = [
    "Collection",
    "Comparison",
    "Evaluation",
    "Run",
    "Study",
    "Tuned",
    "compare",
    "evaluate",
    "search_all",
    "study",
    "tune",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
