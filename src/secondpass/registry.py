"""Models by name: bundled, a folder, a repository at a revision, or a provider's."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from secondpass.errors import InputError, ModelError, ModelNotFoundError, nearest
from secondpass.inference.model_folder import ModelFolder, open_folder
from secondpass.models import BUNDLED, bundled_path
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.hosted.registry import provider_names, split_name

ARCHITECTURES = "secondpass.architectures"
"""Entry points by architecture: a callable (folder, name=, label=, threads=) -> reranker.

One whose models have exits takes `exits=True` too.
"""

LLM_RERANKERS = "secondpass.llm_rerankers"
"""Entry points by provider of language models: a callable (provider, model) -> reranker."""

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def load_reranker(
    name: str | Path,
    *,
    revision: str | None = None,
    label: str | int | None = None,
    threads: int | None = None,
    exits: bool = False,
    api_key: str | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
    partial: bool = False,
) -> BaseReranker:
    """Return the reranker of that name.

    `name` is "bundled", the path of a model folder, "provider/model" of a hosted
    reranker (see `split_name`) or of a language model (see `rerank.llm.names`), both without
    a `revision`, or "owner/model" (or "owner/model@revision") of a Hugging Face
    repository, whose `revision` is a full commit hash. `api_key`, `base_url`, `timeout` and
    `partial` are for providers, see `HostedReranker`. Raises `ModelNotFoundError` with the nearest
    names for an unknown name, `InputError` for options that the model does not have.
    """
    if isinstance(name, str) and revision is None and split_name(name) is not None:
        for option, value in (("label", label), ("threads", threads), ("exits", exits or None)):
            if value is not None:
                raise InputError(f"{option} is for models that run here, not {name!r}")
        from secondpass.rerank.hosted.model import HostedReranker

        seconds = 30.0 if timeout is None else timeout
        return HostedReranker(
            name, api_key=api_key, base_url=base_url, timeout=seconds, partial=partial
        )
    for option, given in (("api_key", api_key), ("base_url", base_url)):
        if given is not None:
            raise InputError(f"{option} is for providers, and {str(name)!r} is a model")
    provider, _, model = str(name).partition("/")
    if model and revision is None and "@" not in model and not Path(name).is_dir():
        asked = {e.name: e for e in entry_points(group=LLM_RERANKERS)}
        if provider in asked:
            if exits:
                raise InputError(f"exits is for models that run here, not {str(name)!r}")
            over: Callable[..., BaseReranker] = asked[provider].load()
            return over(provider, model)
    folder = resolve(name, revision=revision)
    architectures = {e.name: e for e in entry_points(group=ARCHITECTURES)}
    if folder.architecture not in architectures:
        raise ModelError(
            f"{str(name)!r} is not a reranker",
            where=str(folder.path),
            why=f"its architecture is {folder.architecture!r}",
            fix=nearest(folder.architecture, architectures),
        )
    build: Callable[..., BaseReranker] = architectures[folder.architecture].load()
    # Named only where it is wanted: an architecture of another package may not know it.
    wanted = {"exits": True} if exits else {}
    return build(folder, name=str(name), label=label, threads=threads, **wanted)


def resolve(name: str | Path, *, revision: str | None = None) -> ModelFolder:
    """Return the verified folder that a model's name stands for."""
    text = str(name)
    if text in BUNDLED:
        return open_folder(bundled_path(text))
    if isinstance(name, Path) or Path(text).is_dir() or text.startswith((".", "/", "~")):
        return open_folder(Path(text).expanduser())
    repository, _, pinned = text.partition("@")
    if _REPOSITORY.fullmatch(repository):
        from secondpass.inference.huggingface import download

        return open_folder(download(repository, revision if revision is not None else pinned))
    raise ModelNotFoundError(
        f"There is no model {text!r}",
        why="it is neither bundled, nor a folder, nor OWNER/MODEL@REVISION, nor a provider's",
        fix=nearest(text, [*BUNDLED, *provider_names()]),
    )
