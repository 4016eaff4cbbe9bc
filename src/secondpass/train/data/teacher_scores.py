"""Teacher scores for every group, cached on disk while they are computed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path

from secondpass.errors import InputError, ModelError
from secondpass.rerank.base import BaseReranker
from secondpass.train.data.examples import Examples, Group
from secondpass.train.data.sampling import fill_with_random
from secondpass.types import Status

Progress = Callable[[str, int, int], None]


def add_teacher_scores(
    examples: Examples,
    teacher: BaseReranker,
    cache: Path,
    *,
    size: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> Examples:
    """Return the same groups with a teacher's scores of up to `size` passages each.

    Groups with fewer passages are filled with random ones. Scores that are in the file `cache`
    are not computed again, so that an interrupted call can be repeated. `progress` is called
    with "teach", the number of groups done and their total. Raises InputError if `size` is
    under 2, ModelError if the teacher fails.
    """
    if size < 2:
        raise InputError("a teacher compares at least 2 passages", why=f"size is {size}")
    cached = _read_cache(cache)
    cache.parent.mkdir(parents=True, exist_ok=True)
    groups = []
    with cache.open("a", encoding="utf-8") as stream:
        for done, group in enumerate(examples.groups, start=1):
            filled = _fill_group(group, len(examples.passages), size, f"taught {seed} {done}")
            indices = (*filled.positives, *filled.negatives)
            texts = [examples.passages[index] for index in indices]
            key = _cache_key(teacher.model, group.query, texts)
            if key not in cached:
                cached[key] = _score(teacher, group.query, texts)
                stream.write(json.dumps({"key": key, "scores": cached[key]}) + "\n")
                stream.flush()
            scores = tuple(cached[key])
            groups.append(
                Group(filled.query, filled.positives, filled.negatives, filled.source, scores)
            )
            if progress is not None:
                progress("teach", done, len(examples.groups))
    return Examples(examples.passages, groups)


def _fill_group(group: Group, passages: int, size: int, seed: str) -> Group:
    """Return the group with `size` passages, as far as there are so many."""
    positives = group.positives[: max(1, size // 2)]
    count = min(size - len(positives), passages - len(group.positives))
    own = group.negatives[:count]
    negatives = fill_with_random(group, own, count, passages, random.Random(seed))
    return Group(group.query, positives, negatives, group.source)


def _score(teacher: BaseReranker, query: str, texts: list[str]) -> list[float]:
    response = teacher.rerank(query, texts)
    if response.status is not Status.RERANKED or len(response.results) != len(texts):
        raise ModelError(
            "The teacher did not score a group",
            where=repr(query[:80]),
            why=response.reason,
            fix="Use another teacher, or leave the query out.",
        )
    scores = {result.index: result.score for result in response.results}
    return [scores[index] for index in range(len(texts))]


def _cache_key(model: str, query: str, texts: list[str]) -> str:
    digest = hashlib.sha256()
    for text in (model, query, *texts):
        digest.update(hashlib.sha256(text.encode("utf-8", "replace")).digest())
    return digest.hexdigest()[:32]


def _read_cache(cache: Path) -> dict[str, list[float]]:
    """Return the scores in the file by key; invalid lines are skipped."""
    scores: dict[str, list[float]] = {}
    if not cache.is_file():
        return scores
    content = cache.read_bytes()
    for line in content.split(b"\n"):
        try:
            row = json.loads(line)
            scores[row["key"]] = [float(score) for score in row["scores"]]
        except (ValueError, KeyError, TypeError):
            continue
    if content and not content.endswith(b"\n"):
        # End a line that an interruption cut off, so that it does not damage the next one.
        with cache.open("ab") as stream:
            stream.write(b"\n")
    return scores
