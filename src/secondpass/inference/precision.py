"""The precision of a model: int8 graphs made when a model is loaded, once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from secondpass.errors import (
    InputError,
    MissingExtraError,
    ModelDamagedError,
    ModelError,
    SecondpassError,
    nearest,
)
from secondpass.inference.int8_cache import (
    CachedInt8,
    cache_key,
    find_cached,
    lock_cache,
    remove_leftovers,
    store_outcome,
)
from secondpass.inference.model_folder import (
    DEFAULT_LENGTH,
    ModelFolder,
    longest_input,
    open_folder,
)
from secondpass.models import calibration_pairs as bundled_pairs
from secondpass.plain_progress import PlainProgress, plain_progress, write_line
from secondpass.storage import expand_home, place_problem

PRECISIONS = ("auto", "int8", "fp32")

MIN_OVERLAP = 0.9
"""The share of the top 10 of full precision that int8 must keep on held-out pairs."""

_WORKER = "secondpass.train.export.int8_worker"
_INTEGER_OPERATORS = frozenset(
    {
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "MatMulNBits",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)
# A process that has closed its output is about to exit, with a status that says why.
_EXIT_SECONDS = 10
_log = logging.getLogger("secondpass.precision")


@dataclass(frozen=True, slots=True)
class ModelPrecision:
    """The folder that a model is loaded from, its precision, and the reason."""

    folder: ModelFolder
    precision: str
    reason: str


def choose_precision(
    folder: ModelFolder,
    name: str,
    precision: str | None = None,
    calibration_pairs: str | Path | None = None,
) -> ModelPrecision:
    """Return where to load a model from.

    - `precision`: None for the files as they are; "int8" for integers, which are made of a
      cross-encoder in full precision, and kept in the user's cache; "auto" for the same, but
      full precision if that is not possible or ranks too differently; "fp32" for full
      precision.
    - `calibration_pairs`: a file of pairs like those that the model will see; by default those
      of the package.

    Making int8 takes a minute for a small model and longer for large ones; it runs in a
    process of its own, and says what it does. Raises `InputError` for values that cannot be,
    `ModelError` and `MissingExtraError` for "int8" that cannot be made.
    """
    if precision is None:
        if calibration_pairs is not None:
            raise InputError(
                "calibration_pairs is for a model that is loaded in int8",
                fix='Pass precision="int8" or "auto" too.',
            )
        stated = "fp32" if folder.onnx is None else "unknown"
        stated = str(folder.manifest.get("precision", stated))
        return ModelPrecision(folder, stated, "the files as they are")
    if precision not in PRECISIONS:
        raise InputError(
            f"precision cannot be {precision!r}", fix=nearest(str(precision), PRECISIONS)
        )
    pairs = bundled_pairs() if calibration_pairs is None else expand_home(calibration_pairs)
    if not pairs.is_file():
        raise InputError("There is no such file of calibration pairs", where=str(pairs))
    stored = stored_precision(folder)
    if precision == "fp32":
        if stored == "int8":
            raise ModelError(
                f"{name!r} cannot be loaded in full precision",
                where=str(folder.path),
                why="its weights are stored as 8-bit integers",
                fix="Leave precision out, or load the model that it was made from.",
            )
        return ModelPrecision(folder, stored, "full precision was asked for")
    if stored == "int8":
        return ModelPrecision(folder, stored, "the files are in int8")
    try:
        return _int8(folder, name, pairs)
    except (ModelError, MissingExtraError) as error:
        if precision == "int8":
            raise
        _log.warning("%s is loaded in full precision: %s", name, error)
        return ModelPrecision(folder, stored, f"no int8: {error}")


def stored_precision(folder: ModelFolder) -> str:
    """Return the precision of a model's files: "int8" or "fp32"."""
    if "precision" in folder.manifest:
        return str(folder.manifest["precision"])
    if folder.onnx is None:
        return "fp32"
    from secondpass.inference.native.onnx_file import UnreadableGraph, read_graph

    try:
        kinds = {node.kind for node in read_graph(folder.onnx).nodes}
    except UnreadableGraph:
        # The runtime says what is wrong with it.
        return "unknown"
    return "int8" if kinds & _INTEGER_OPERATORS else "fp32"


def _int8(folder: ModelFolder, name: str, pairs: Path) -> ModelPrecision:
    """Return the int8 model of a cross-encoder, which is made if the cache has none."""
    if folder.architecture != "cross-encoder":
        raise ModelError(
            f"{name!r} cannot be loaded in int8",
            where=str(folder.path),
            why=f"int8 is made of cross-encoders, and this is {folder.architecture!r}",
            fix="Leave precision out.",
        )
    why = _untraceable(folder)
    if why is not None:
        raise ModelError(
            f"{name!r} cannot be loaded in int8",
            where=str(folder.path),
            why=why,
            fix="Leave precision out.",
        )
    settings = {"max_length": _window(folder), "min_overlap": MIN_OVERLAP}
    key = cache_key(folder, pairs, settings)
    cached = find_cached(key)
    if cached is None:
        cached = _make_once(folder, name, pairs, key, settings)
    try:
        return _opened(cached, name)
    except ModelDamagedError as error:
        _log.warning("the int8 model of %s is made again: %s", name, error)
    return _opened(_make_once(folder, name, pairs, key, settings, damaged=cached), name)


def _untraceable(folder: ModelFolder) -> str | None:
    """Return why the exporter would not read what the runtime reads of a folder, or None."""
    if not folder.config:
        return "it has no config.json"
    try:
        modules = json.loads((folder.path / "modules.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return f"its modules.json cannot be read: {error}"
    if isinstance(modules, list) and len(modules) > 1:
        return "sentence-transformers saved it in several modules"
    return None


def _window(folder: ModelFolder) -> int:
    """Return the tokens of a window, which must be those of full precision."""
    stated = folder.manifest.get("max_length", DEFAULT_LENGTH)
    return min(longest_input(folder.config), int(stated))


def _opened(cached: CachedInt8, name: str) -> ModelPrecision:
    if cached.refused is not None:
        raise ModelError(
            f"{name!r} cannot be loaded in int8",
            where=str(cached.path),
            why=cached.refused,
            fix="Give pairs like those that it will see (calibration_pairs), or leave "
            "precision out; secondpass models clear lets it be tried again.",
        )
    reason = describe_quality(cached.quality)
    _log.info("%s is loaded in int8: %s", name, reason)
    return ModelPrecision(open_folder(cached.path), "int8", reason)


def describe_quality(quality: Mapping[str, Any]) -> str:
    """Return how an int8 model compares with full precision, in one line."""
    return (
        f"keeps {quality['top_10_overlap']:.3f} of the top 10 of full precision on "
        f"{quality['questions']} held-out questions; logit error "
        f"{quality['logit_error_mean']:.3f} on average, {quality['logit_error_p95']:.3f} at "
        f"the 95th percentile, {quality['logit_error_max']:.3f} at most"
    )


def _make_once(
    folder: ModelFolder,
    name: str,
    pairs: Path,
    key: str,
    settings: Mapping[str, Any],
    damaged: CachedInt8 | None = None,
) -> CachedInt8:
    """Make an int8 model, in place of a damaged one, or return what another process made."""
    try:
        with lock_cache() as root:
            # Another process may have replaced it in the meantime.
            if damaged is not None and _is_damaged(damaged.path):
                shutil.rmtree(damaged.path)
            cached = find_cached(key)
            if cached is None:
                remove_leftovers(root)
                _make(folder, name, pairs, root / key, settings)
                cached = find_cached(key)
    except OSError as error:
        problem = place_problem(error)
        raise ModelError(
            "The int8 model cannot be kept",
            where=str(error.filename),
            why=str(error.strerror) if problem is None else problem.why,
            fix=None if problem is None else problem.fix,
        ) from error
    assert cached is not None
    return cached


def _is_damaged(path: Path) -> bool:
    try:
        open_folder(path)
    except ModelError:
        return path.is_dir()
    return False


def _make(
    folder: ModelFolder, name: str, pairs: Path, out: Path, settings: Mapping[str, Any]
) -> None:
    """Make an int8 model in another process, so that this one does not keep its memory.

    A full-precision model is traced with PyTorch, and both versions are run: several times
    the memory of the model, which ends with the process.
    """
    request = {
        "source": str(folder.path.absolute()),
        "onnx": None if folder.onnx is None else str(folder.onnx.absolute()),
        "out": str(out),
        "name": name,
        "pairs": str(pairs.absolute()),
        **settings,
    }
    _say(f"Making the int8 model of {name}: once, it is kept in {out}")
    with plain_progress(write=_say) as progress, tempfile.TemporaryFile() as errors:
        worker = subprocess.Popen(
            # Without -P a json.py in the current folder would be run.
            [sys.executable, "-P", "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            reply = _follow(worker, json.dumps(request), progress)
            if reply is None:
                with suppress(subprocess.TimeoutExpired):
                    worker.wait(_EXIT_SECONDS)
        finally:
            worker.kill()
            status = worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        if reply is None:
            raise _died(name, status, errors)
    if "refused" in reply:
        out.mkdir(exist_ok=True)
        store_outcome(out, name, refused=reply["refused"], quality={})
    elif "error" in reply:
        raise _decode_error(reply["error"])


def _follow(
    worker: subprocess.Popen[str], request: str, progress: PlainProgress
) -> dict[str, Any] | None:
    """Send the request, show the progress, and return the last reply; None without one."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):
        # The pipe stays open: the worker ends when this process does.
        worker.stdin.write(f"{request}\n")
        worker.stdin.flush()
    for line in worker.stdout:
        reply: dict[str, Any] = json.loads(line)
        if "stage" not in reply:
            return reply
        total = reply["total"]
        progress.update(f"int8: {reply['stage']}", reply["done"], total if total > 0 else None)
    return None


def _died(name: str, status: int, errors: IO[bytes]) -> ModelError:
    errors.seek(0)
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    killed = status < 0
    why = f"its process was ended by signal {-status}" if killed else f"exit status {status}"
    if lines and not killed:
        why = f"{why}, {lines[-1]}"
    return ModelError(
        f"The int8 model of {name!r} was not made",
        why=why,
        fix="The memory may not suffice: export it on a larger machine (secondpass export), "
        "or leave precision out."
        if killed
        else None,
    )


def _decode_error(error: Mapping[str, Any]) -> SecondpassError:
    if "package" in error:
        return MissingExtraError(
            "Loading a model in int8", package=error["package"], extra=error["extra"]
        )
    kind: Callable[..., SecondpassError] = InputError if error["input"] else ModelError
    return kind(error["what"], where=error["where"], why=error["why"], fix=error["fix"])


def _say(line: str) -> None:
    """Write a line to the log if that shows it, else to standard error: it may take long."""
    if _log.isEnabledFor(logging.INFO) and _log.hasHandlers():
        _log.info(line)
    else:
        write_line(line)
