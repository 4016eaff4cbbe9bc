"""Evaluation: collections, runs, measures, significance tests, judgments and studies.

    >>> from secondpass.evaluate import Collection, Run, evaluate

Needs the extra `eval`. Names are imported at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondpass._lazy import load_public_name

if TYPE_CHECKING:
    from secondpass.evaluate.collection import Collection
    from secondpass.evaluate.judge import agreement, judge_all
    from secondpass.evaluate.labelling import GradeFile, Labelling
    from secondpass.evaluate.measures import Evaluation, evaluate
    from secondpass.evaluate.pooling import pool
    from secondpass.evaluate.qrels import read_qrels
    from secondpass.evaluate.run import Run, search_all
    from secondpass.evaluate.significance import Comparison, compare
    from secondpass.evaluate.study import Study, run_study
    from secondpass.evaluate.tuning import Tuned, tune

_MODULES = {
    "Collection": "evaluate.collection",
    "Comparison": "evaluate.significance",
    "Evaluation": "evaluate.measures",
    "GradeFile": "evaluate.labelling",
    "Labelling": "evaluate.labelling",
    "Run": "evaluate.run",
    "Study": "evaluate.study",
    "Tuned": "evaluate.tuning",
    "agreement": "evaluate.judge",
    "compare": "evaluate.significance",
    "evaluate": "evaluate.measures",
    "judge_all": "evaluate.judge",
    "pool": "evaluate.pooling",
    "read_qrels": "evaluate.qrels",
    "run_study": "evaluate.study",
    "search_all": "evaluate.run",
    "tune": "evaluate.tuning",
}

__all__ = [
    "Collection",
    "Comparison",
    "Evaluation",
    "GradeFile",
    "Labelling",
    "Run",
    "Study",
    "Tuned",
    "agreement",
    "compare",
    "evaluate",
    "judge_all",
    "pool",
    "read_qrels",
    "run_study",
    "search_all",
    "tune",
]


def __getattr__(name: str) -> object:
    return load_public_name(__name__, _MODULES, name)


def __dir__() -> list[str]:
    return __all__
