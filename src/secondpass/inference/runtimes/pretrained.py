"""Loading of transformers folders: safetensors, no code of the folder, no missing weights."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from secondpass.errors import InputError, MissingExtraError, ModelDamagedError, ModelError
from secondpass.inference.model_folder import ModelFolder

# Nothing reads the output of this layer, and sentence-transformers does not store it.
_UNUSED = ("pooler.",)


def load_pretrained(folder: ModelFolder, auto_class: str, *, device: str | None = None) -> Any:
    """Return the model of a folder in single precision, ready to run, and never to train.

    - `auto_class`: the class of transformers that loads it, such as "AutoModelForCausalLM".
    - `device`: where it runs, such as "cuda" or "cuda:1"; None is the CPU.

    Raises `MissingExtraError` without PyTorch and transformers, `ModelError` for a model that
    needs code of its repository or that transformers cannot open, `ModelDamagedError` where
    weights are missing from the files, `InputError` for a device that does not exist.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            "Loading a model without an ONNX graph", package="transformers", extra="torch"
        ) from error
    target = _device(torch, device)
    where = str(folder.path)
    try:
        with silence_libraries():
            model, info = getattr(transformers, auto_class).from_pretrained(
                where,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if "auto_map" in folder.config:
            raise needs_code(where) from error
        raise ModelError(
            "transformers cannot open the model", where=where, why=str(error)
        ) from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(_UNUSED))
    if missing:
        raise ModelDamagedError(
            "Weights of the model are missing",
            where=where,
            why=f"the files have no {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
            fix="Use a model that was trained as a reranker: one without its last layer gives "
            "random scores.",
        )
    return model.eval().to(target)


def needs_code(where: str) -> ModelError:
    """Return the error for a model that only runs with Python code of its repository."""
    return ModelError(
        "The model needs code of its repository",
        where=where,
        why="no code of a model is run, and transformers has none for it",
        fix="`secondpass models known` lists models that need none.",
    )


def _device(torch: Any, name: str | None) -> Any:
    try:
        device = torch.device("cpu" if name is None else name)
    except RuntimeError as error:
        raise InputError(
            f"There is no device {name!r}", fix='Name one of PyTorch, such as "cpu" or "cuda".'
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "CUDA is not available",
            why="this PyTorch finds no NVIDIA GPU, or was built without CUDA",
            fix="Leave device out to run on the CPU.",
        )
    return device


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Suppress progress bars, warnings and log lines of torch and transformers."""
    import transformers

    transformers_logging: Any = transformers.utils.logging
    was_enabled = transformers_logging.is_progress_bar_enabled()
    levels = {name: logging.getLogger(name).level for name in ("torch.onnx", "transformers")}
    transformers_logging.disable_progress_bar()
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if was_enabled:
            transformers_logging.enable_progress_bar()
