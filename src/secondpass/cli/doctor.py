"""`secondpass doctor`: checks of the installation, the CPU and the bundled models."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from secondpass._version import __version__
from secondpass.cli import options

_PACKAGES = {
    "onnxruntime": "base",
    "tokenizers": "base",
    "numpy": "base",
    "huggingface-hub": "base",
    "lancedb": "index",
    "semchunk": "index",
    "markitdown": "ingest",
    "torch": "torch",
    "transformers": "torch",
    "onnx": "export",
    "httpx2": "hosted",
    "redis": "redis",
}
# Looking at all of a million passages takes minutes.
_SAMPLED_PASSAGES = 2000
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def doctor(
    index: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER|URL",
            help="Index to check too: what searches would still have to read, and what object "
            "storage has of it.",
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Score cache to check too, as in redis://HOST:6379/0.",
            show_default=False,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check the environment, the runtimes, the CPU, every bundled model, indexes and a cache.

    Exits with 1 if a bundled model is missing, damaged or ranks a simple example wrong, if
    a lock file of models cannot be read, or if the score cache cannot be used.

    Example:  secondpass doctor
    """
    from secondpass.cli.models import describe_int8
    from secondpass.cli.output import print_json
    from secondpass.inference.int8_cache import list_int8

    models = [_check(name) for name in _bundled_names()]
    locks = _describe_locks()
    score_cache = None if cache is None else _check_cache(cache)
    healthy = all(m["ok"] for m in models) and locks["problem"] is None
    healthy = healthy and (score_cache is None or score_cache["ok"])
    report: dict[str, Any] = {
        "ok": healthy,
        "secondpass": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "cpu_features": cpu_features(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "models": models,
        "model_locks": locks,
        "int8_models": [describe_int8(entry) for entry in list_int8()],
        "score_cache": score_cache,
        "indexes": [_check_index(place) for place in index or ()],
    }
    if as_json:
        print_json(report)
    else:
        _print(report)
    if not healthy:
        sys.exit(1)


def _bundled_names() -> tuple[str, ...]:
    from secondpass.models import BUNDLED

    return BUNDLED


def _check(name: str) -> dict[str, Any]:
    """Load a bundled model, which verifies its checksums, and test it on a simple example."""
    from secondpass.errors import SecondpassError
    from secondpass.reranker import Reranker
    from secondpass.retrieve.embedder import Embedder

    try:
        if name.endswith("embedder"):
            a, b, c = Embedder().encode(["a red car", "a crimson automobile", "boiled rice"])
            correct = float(a @ b) > float(a @ c)
        else:
            texts = ["Boil the rice for ten minutes.", "Paris is the capital of France."]
            response = Reranker(name).rerank("What is the capital of France?", texts)
            correct = response.results[0].index == 1
    except SecondpassError as error:
        return {"name": name, "ok": False, "problem": str(error)}
    return {
        "name": name,
        "ok": correct,
        "problem": None if correct else "it puts a wrong text first; reinstall secondpass",
    }


def _describe_locks() -> dict[str, Any]:
    """Return the lock files of downloaded models, and how many each pins."""
    from secondpass.errors import SecondpassError
    from secondpass.inference.model_lock import cache_lock, project_lock, requires_revision

    files: dict[str, Any] = {"project": None, "cache": {"path": str(cache_lock().path)}}
    problem = None
    try:
        files["cache"]["models"] = len(cache_lock().pins())
        project = project_lock()
        if project is not None:
            files["project"] = {"path": str(project.path), "models": len(project.pins())}
    except SecondpassError as error:
        problem = str(error)
    return {**files, "require_revision": requires_revision(), "problem": problem}


def _check_index(index: str) -> dict[str, Any]:
    """Count what an index holds, and what of it searches would have to encode; no write."""
    from secondpass.cli.output import working
    from secondpass.index.index import Index
    from secondpass.index.storage.objects import parse_place

    place = parse_place(index)
    with working("Checking the index"), Index.open(place, create=False) as opened:
        remote = opened.remote
        states = opened.check_states(_SAMPLED_PASSAGES)
        return {
            "path": str(place),
            "documents": opened.count(),
            "passages": opened.count_passages(),
            "states": states.states,
            "state_bytes": states.bytes,
            "checked_passages": states.passages,
            "unread_passages": states.unread_passages,
            "unread_windows": states.unread_windows,
            "storage": None if remote is None else asdict(remote.describe_storage()),
        }


def _check_cache(url: str) -> dict[str, Any]:
    """Ask a Redis whether it can cache scores; raises InputError for another place."""
    from secondpass.errors import InputError
    from secondpass.rerank.policies.redis_store import RedisURL, check_redis, is_redis_url

    if not is_redis_url(url):
        raise InputError(
            "--cache checks a Redis, by its URL", fix="Write redis://HOST:PORT/DB."
        )
    return check_redis(RedisURL.parse(url))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_features() -> list[str]:
    """Return the instruction sets for int8 inference that the CPU supports.

    Read from /proc/cpuinfo; empty where it does not exist (macOS, Windows).
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            words = set(file.read().split())
    except OSError:
        return []
    return [name for name in _FEATURES if name in words]


def _cache_verdict(found: dict[str, Any]) -> str:
    if found["problem"] is not None:
        return f"{found['url']}: PROBLEM: {found['problem']}; searches do without it"
    advice = "" if found["advice"] is None else f"; {found['advice']}"
    return f"{found['url']}: Redis {found['version']}, {found['milliseconds']} ms{advice}"


def _index_line(found: dict[str, Any]) -> str:
    passages, checked = found["passages"], found["checked_passages"]
    unread = f"{found['unread_windows']:,} windows that searches would encode"
    if checked < passages and checked:
        unread = (
            f"of {checked:,} sampled passages {found['unread_passages']:,} have windows that "
            f"searches would encode, {found['unread_windows']:,} in all"
        )
    hint = "; secondpass optimize reads them" if found["unread_windows"] else ""
    return (
        f"{found['documents']:,} documents, {passages:,} passages, {found['states']:,} stored "
        f"states of {found['state_bytes']:,} bytes, {unread}{hint}"
    )


def _storage_line(stored: dict[str, Any]) -> str:
    writer = "nobody" if stored["writer"] is None else stored["writer"]
    rows = stored["unindexed_rows"]
    hint = "; secondpass optimize indexes them" if rows else ""
    return (
        f"version {stored['version']} of {stored['current']}: {stored['files']:,} files, "
        f"{stored['bytes']:,} bytes; {writer} has the lease; {rows:,} rows outside the text "
        f"index{hint}; {stored['local_bytes']:,} bytes on this machine"
    )


def _print(report: dict[str, Any]) -> None:
    typer.echo(f"secondpass {report['secondpass']}, Python {report['python']}")
    typer.echo(f"{report['platform']}, {report['processors']} processors")
    typer.echo(f"instructions: {', '.join(report['cpu_features']) or 'unknown'}")
    for name, installed in report["packages"].items():
        extra = _PACKAGES[name]
        absent = f"not installed (pip install 'secondpass[{extra}]')"
        typer.echo(f"  {name}: {absent if installed is None else installed}")
    for model in report["models"]:
        verdict = "ok, checksums match" if model["ok"] else f"PROBLEM: {model['problem']}"
        typer.echo(f"  model {model['name']}: {verdict}")
    locks = report["model_locks"]
    if locks["problem"] is not None:
        typer.echo(f"  model locks: PROBLEM: {locks['problem']}")
    else:
        for name in ("project", "cache"):
            lock = locks[name]
            pinned = "none" if lock is None else f"{lock['path']}, {lock['models']} models"
            typer.echo(f"  model lock of the {name}: {pinned}")
    if locks["require_revision"]:
        typer.echo("  SECONDPASS_REQUIRE_REVISION: only exact and locked models are loaded")
    for entry in report["int8_models"]:
        found = f"fp32, as int8 {entry['refused']}" if entry["refused"] else entry["check"]
        typer.echo(f"  int8 of {entry['name']} (made at load): {found}")
    if report["score_cache"] is not None:
        typer.echo(f"  score cache {_cache_verdict(report['score_cache'])}")
    for found in report["indexes"]:
        typer.echo(f"  index {found['path']}: {_index_line(found)}")
        if found["storage"] is not None:
            typer.echo(f"    {_storage_line(found['storage'])}")
    typer.echo("All is well." if report["ok"] else "Something is wrong; see above.")
