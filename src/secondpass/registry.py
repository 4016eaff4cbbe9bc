"""Rerankers by name: bundled, a model folder, a Hugging Face repository, or a provider's."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable
from importlib.metadata import EntryPoints, PackageNotFoundError, distribution, entry_points
from pathlib import Path

from secondpass.errors import InputError, ModelError, ModelNotFoundError, nearest
from secondpass.inference.model_folder import ModelFolder, open_folder
from secondpass.inference.precision import choose_precision
from secondpass.models import BUNDLED, bundled_path
from secondpass.rerank.base import BaseReranker
from secondpass.rerank.hosted.registry import provider_names, split_name
from secondpass.storage import expand_home

ARCHITECTURES = "secondpass.architectures"
"""Entry points by architecture: a callable (folder, name=, label=, threads=) -> reranker.

One whose models can exit early takes `early_exit=True` too, one of `TAKES_DEVICE` a `device`.
"""

TAKES_DEVICE = ("causal-lm", "cross-encoder", "seq2seq")
"""Architectures that PyTorch can run on a GPU."""

LLM_RERANKERS = "secondpass.llm_rerankers"
"""Entry points by provider of language models: a callable (provider, model) -> reranker."""

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def load_reranker(
    name: str | Path,
    *,
    revision: str | None = None,
    label: str | int | None = None,
    threads: int | None = None,
    early_exit: bool = False,
    api_key: str | None = None,
    base_url: str | None = None,
    timeout: float | None = None,
    partial: bool = False,
    exits: bool | None = None,
    precision: str | None = None,
    calibration_pairs: str | Path | None = None,
    device: str | None = None,
) -> BaseReranker:
    """Return the reranker of that name.

    `name` is "bundled", the path of a model folder, "provider/model" of a hosted reranker (see
    `split_name`) or of a language model (see `rerank.llm.registry`), both without a `revision`,
    or "owner/model" (or "owner/model@revision") of a Hugging Face repository, see
    `inference.huggingface.fetch_model`. `api_key`, `base_url`, `timeout` and `partial` are for
    providers, see `HostedReranker`. `device` is where PyTorch runs a model that is loaded from
    transformers' files, such as "cuda". `exits` is the deprecated name of `early_exit`.
    `precision` and `calibration_pairs` are described at `choose_precision`. Raises
    `ModelNotFoundError` with the nearest names for an unknown name, `InputError` for options
    that the model does not have.
    """
    early_exit = resolve_early_exit(early_exit, exits)
    # Those of providers in other packages take 30 ms to find among hundreds of packages.
    may_be_hosted = revision is None and name not in BUNDLED
    if isinstance(name, str) and may_be_hosted and split_name(name) is not None:
        local_options = {
            "label": label,
            "threads": threads,
            "early_exit": early_exit or None,
            "precision": precision,
            "calibration_pairs": calibration_pairs,
            "device": device,
        }
        for option, value in local_options.items():
            if value is not None:
                raise InputError(f"{option} is for models that run here, not {name!r}")
        from secondpass.rerank.hosted.model import HostedReranker

        seconds = 30.0 if timeout is None else timeout
        return HostedReranker(
            name, api_key=api_key, base_url=base_url, timeout=seconds, partial=partial
        )
    for option, value in (("api_key", api_key), ("base_url", base_url)):
        if value is not None:
            raise InputError(f"{option} is for providers, and {str(name)!r} runs here")
    provider, _, model = str(name).partition("/")
    if model and revision is None and "@" not in model and not Path(name).is_dir():
        providers = {e.name: e for e in entry_points(group=LLM_RERANKERS)}
        if provider in providers:
            here_only = (
                ("early_exit", early_exit or None),
                ("precision", precision),
                ("device", device),
            )
            for option, value in here_only:
                if value is not None:
                    raise InputError(f"{option} is for models that run here, not {str(name)!r}")
            build_llm_reranker: Callable[..., BaseReranker] = providers[provider].load()
            return build_llm_reranker(provider, model)
    try:
        folder = resolve(name, revision=revision)
    except ModelError as error:
        meant = _meant_provider(str(name), error)
        if meant is None:
            raise
        fix = meant if error.fix is None else f"{meant} {error.fix}"
        raise type(error)(error.what, where=error.where, why=error.why, fix=fix) from error
    architectures = {e.name: e for e in own_entry_points(ARCHITECTURES)}
    if folder.architecture not in architectures:
        # Those of other packages take 40 ms to find among hundreds of packages.
        architectures |= {e.name: e for e in entry_points(group=ARCHITECTURES)}
    if folder.architecture not in architectures:
        raise ModelError(
            f"{str(name)!r} is not a reranker",
            where=str(folder.path),
            why=f"its architecture is {folder.architecture!r}",
            fix=nearest(folder.architecture, architectures),
        )
    build: Callable[..., BaseReranker] = architectures[folder.architecture].load()
    # Passed only where they are set: an architecture of another package may not have them.
    options: dict[str, object] = {"early_exit": True} if early_exit else {}
    if device is not None:
        if folder.architecture not in TAKES_DEVICE:
            raise InputError(
                f"device is for models in transformers' format, and {str(name)!r} is none",
                fix="Leave it out: the model runs on the CPU.",
            )
        options["device"] = device
    chosen = choose_precision(folder, str(name), precision, calibration_pairs)
    loaded = build(chosen.folder, name=str(name), label=label, threads=threads, **options)
    loaded.precision, loaded.precision_reason = chosen.precision, chosen.reason
    return loaded


def own_entry_points(group: str) -> EntryPoints:
    """Return the entry points of this package alone; none where it is not installed."""
    try:
        return distribution("secondpass").entry_points.select(group=group)
    except PackageNotFoundError:
        return EntryPoints()


def _meant_provider(name: str, error: ModelError) -> str | None:
    """Return "Did you mean …?" for the name of a repository that may be a provider's model."""
    owner, _, model = name.partition("/")
    if not model:
        return None
    from secondpass.inference.hub_client import UnreachableError

    if not isinstance(error, ModelNotFoundError | UnreachableError):
        return None
    providers = [*provider_names(), *(e.name for e in entry_points(group=LLM_RERANKERS))]
    near = difflib.get_close_matches(owner, providers, n=1, cutoff=0.75)
    return f"Did you mean {f'{near[0]}/{model}'!r}?" if near else None


def resolve_early_exit(early_exit: bool, exits: bool | None) -> bool:
    """Return the value of `early_exit`, with a warning where its old name `exits` was used."""
    if exits is None:
        return early_exit
    warnings.warn(
        "exits is deprecated: pass early_exit instead", DeprecationWarning, stacklevel=3
    )
    return exits


def resolve(name: str | Path, *, revision: str | None = None) -> ModelFolder:
    """Return the verified folder of a model by its name; see `load_reranker`."""
    text = str(name)
    if text in BUNDLED:
        return open_folder(bundled_path(text))
    if isinstance(name, Path) or Path(text).is_dir() or text.startswith((".", "/", "~")):
        return open_folder(expand_home(text))
    from secondpass.models.known import find_known

    repository = text.partition("@")[0]
    known = find_known(repository)
    if known is not None and known.runs == "no" and repository in (known.name, *known.aliases):
        raise ModelError(
            f"{repository!r} cannot be loaded",
            why=f"it needs {known.needs}",
            fix="`secondpass models known` lists models that can.",
        )
    if _REPOSITORY.fullmatch(repository):
        from secondpass.inference.huggingface import fetch_model, split_revision

        repository, named = split_revision(text)
        if revision is not None and named and revision != named:
            raise InputError(
                f"{text!r} names another revision than {revision!r}", fix="Give only one."
            )
        fetched = fetch_model(repository, named if revision is None else revision)
        return open_folder(fetched.folder, checksums=fetched.checksums)
    raise ModelNotFoundError(
        f"There is no model {text!r}",
        why="it is neither bundled, nor a folder, nor OWNER/MODEL, nor a provider's",
        fix=nearest(text, [*BUNDLED, *provider_names()]),
    )
