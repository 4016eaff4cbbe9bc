"""A teacher's scores for every group, kept on disk as they come."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

from secondpass.errors import InputError, ModelError
from secondpass.rerank.base import BaseReranker
from secondpass.train.data.examples import Examples, Group
from secondpass.train.data.sampling import fill
from secondpass.types import Status

Progress = Callable[[str, int, int], None]


def taught(
    examples: Examples,
    teacher: BaseReranker,
    cache: Path,
    *,
    size: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> Examples:
    """Return the same groups with a teacher's scores of up to `size` passages each.

    Groups with fewer get random passages besides. Scores already in the file `cache` are
    not asked for again, so that what was stopped goes on. `progress` is called with "teach",
    groups done and their number. Raises InputError if `size` is under 2, ModelError if the
    teacher fails.
    """
    if size < 2:
        raise InputError("a teacher compares at least 2 passages", why=f"size is {size}")
    known = _read(cache)
    cache.parent.mkdir(parents=True, exist_ok=True)
    groups = []
    with cache.open("a", encoding="utf-8") as stream:
        for done, group in enumerate(examples.groups, start=1):
            wider = _widened(group, len(examples.passages), size, f"taught {seed} {done}")
            places = (*wider.positives, *wider.negatives)
            texts = [examples.passages[place] for place in places]
            key = _key(teacher.model, group.query, texts)
            if key not in known:
                known[key] = _ask(teacher, group.query, texts)
                stream.write(json.dumps({"key": key, "scores": known[key]}) + "\n")
                stream.flush()
            scores = tuple(known[key])
            groups.append(
                Group(wider.query, wider.positives, wider.negatives, wider.source, scores)
            )
            if progress is not None:
                progress("teach", done, len(examples.groups))
    return Examples(examples.passages, groups)


def _widened(group: Group, passages: int, size: int, seed: str) -> Group:
    positives = group.positives[: max(1, size // 2)]
    wanted = min(size - len(positives), passages - len(group.positives))
    own = group.negatives[:wanted]
    negatives = fill(group, own, wanted, passages, random.Random(seed))
    return Group(group.query, positives, negatives, group.source)


def _ask(teacher: BaseReranker, query: str, texts: list[str]) -> list[float]:
    response = teacher.rerank(query, texts)
    if response.status is not Status.RERANKED or len(response.results) != len(texts):
        raise ModelError(
            "The teacher did not score a group",
            where=repr(query[:80]),
            why=response.reason,
            fix="Use another teacher, or leave the query out.",
        )
    by_place = {result.index: result.score for result in response.results}
    return [by_place[place] for place in range(len(texts))]


def _key(model: str, query: str, texts: list[str]) -> str:
    digest = hashlib.sha256()
    for text in (model, query, *texts):
        digest.update(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    return digest.hexdigest()[:32]


def _read(cache: Path) -> dict[str, list[float]]:
    """Return what is in the file; a line that was not finished is left out."""
    known: dict[str, list[float]] = {}
    if not cache.is_file():
        return known
    whole = cache.read_bytes()
    for line in whole.split(b"\n"):
        try:
            row = json.loads(line)
            known[row["key"]] = [float(score) for score in row["scores"]]
        except (ValueError, KeyError, TypeError):
            continue
    if whole and not whole.endswith(b"\n"):
        # What was cut off must not spoil the line that comes next.
        with cache.open("ab") as stream:
            stream.write(b"\n")
    return known
