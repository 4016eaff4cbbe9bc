"""Hugging Face downloads: model folders at an exact revision."""

from __future__ import annotations

import re
from pathlib import Path

from secondpass.errors import ModelError, ModelNotFoundError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = (
    "onnx/model.onnx",
    "model.onnx",
    "model.safetensors",
)


def download(repository: str, revision: str) -> Path:
    """Download a repository at a commit, or find it in the cache; return its folder.

    Only the configuration, the tokenizer and one set of weights are downloaded: the ONNX
    graph if the repository has one, else the safetensors. No code is downloaded or run.
    Raises `ModelError` if `revision` is not a full commit hash, `ModelNotFoundError` if the
    repository, the revision or a required file does not exist.
    """
    if not _COMMIT.fullmatch(revision):
        raise ModelError(
            f"{repository!r} needs an exact revision",
            why="a branch or tag can move to another commit" if revision else "none was given",
            fix=f"Name the 40-digit commit, as in {repository}@0123…; the model's page lists "
            "its commits.",
        )
    config = _fetch(repository, revision, "config.json")
    _fetch(repository, revision, "tokenizer.json")
    missing: ModelError | None = None
    for weights in _WEIGHTS:
        try:
            _fetch(repository, revision, weights)
        except _Missing as error:
            missing = error
        else:
            return config.parent
    raise ModelNotFoundError(
        f"{repository!r} has neither an ONNX graph nor safetensors",
        where=f"revision {revision[:12]}",
        fix="Convert it with transformers (save_pretrained) and give the folder's path.",
    ) from missing


class _Missing(ModelNotFoundError):
    """A file that is not in the repository, or not in the cache while offline."""


def _fetch(repository: str, revision: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{name} of {repository} at {revision[:12]}"
    try:
        return Path(hf_hub_download(repository, name, revision=revision))
    except LocalEntryNotFoundError as error:
        raise _Missing(
            "The model is not in the cache and cannot be downloaded",
            where=where,
            why=str(error).splitlines()[0],
            fix="Check the network and HF_HUB_OFFLINE, or use the bundled model.",
        ) from error
    except EntryNotFoundError as error:
        raise _Missing("The repository has no such file", where=where) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ModelNotFoundError(
            f"There is no model {repository!r} at that revision",
            where=where,
            why=str(error).splitlines()[0],
            fix="Check the spelling and the commit; a private model needs HF_TOKEN.",
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise ModelError(
            "The model cannot be downloaded", where=where, why=str(error).splitlines()[0]
        ) from error


def list_cached() -> list[tuple[str, int, Path]]:
    """List the models in the download cache: ("owner/model@commit", bytes, folder)."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return []
    return sorted(
        (
            f"{repo.repo_id}@{revision.commit_hash}",
            revision.size_on_disk,
            revision.snapshot_path,
        )
        for repo in repositories
        if repo.repo_type == "model"
        for revision in repo.revisions
    )
