"""Every reranker that must pass the contract: add a new one here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from secondpass import BaseReranker, Blend, Fallback, Reranker
from tests.loopback.clients import MODELS, client
from tests.loopback.server import Loopback, running
from tests.tiny_models import tiny_cross_encoder, tiny_reader


def _tiny(folder: Path) -> BaseReranker:
    tiny_cross_encoder(folder, "bert", labels=2)
    return Reranker(folder)


def _tiny_reader(folder: Path) -> BaseReranker:
    tiny_reader(folder)
    return Reranker(folder)


@cache
def _server() -> Loopback:
    """One server for the session; its threads end with the program."""
    serving = running()
    _kept.append(serving)
    return serving.__enter__()


_kept: list[object] = []


def _hosted(folder: Path, *, name: str) -> BaseReranker:
    return client(name, _server())


FACTORIES: dict[str, Callable[[Path], BaseReranker]] = {
    "bundled": lambda folder: Reranker(),
    "bundled-tiny": lambda folder: Reranker("bundled-tiny"),
    "blend": lambda folder: Blend(Reranker()),
    "torch": _tiny,
    "reader": _tiny_reader,
    "fallback": lambda folder: Fallback(Reranker("bundled-tiny"), timeout=60.0),
    **{name: partial(_hosted, name=name) for name in MODELS},
}
"""Name to factory; a factory gets an empty folder that lives as long as the session."""
