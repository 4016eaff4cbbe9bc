"""The compiled library: where it is, whether it fits, and its functions."""

from __future__ import annotations

import ctypes
import functools
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from secondpass.inference.native.build import LIBRARY, digest

ENVIRONMENT = "SECONDPASS_KERNELS"
"""Names the instructions to use ("avx2", "avxvnni", "avx512vnni") instead of the best ones."""


@dataclass(frozen=True, slots=True)
class Library:
    """The functions, and the `kernels` chosen, with the columns of their `panel`."""

    functions: ctypes.CDLL
    kernels: int
    name: str
    panel: int


class LibraryUnusable(Exception):
    """The file is no library of these sources; the message says why."""


@functools.cache
def load_library() -> Library | None:
    """Return the library, or None where it was not compiled or the processor is too old.

    Warns of a file that cannot be used.
    """
    if not LIBRARY.is_file():
        return None
    name = os.environ.get(ENVIRONMENT, "")
    try:
        found = open_library(LIBRARY, name)
        if found is None and name:
            raise LibraryUnusable(f"{ENVIRONMENT} names {name!r}, which this processor has not")
        return found
    except LibraryUnusable as error:
        warnings.warn(
            f"secondpass runs without its own machine code: {error}. Install the package "
            "again, or from a checkout run: python src/secondpass/inference/native/build.py",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def open_library(file: Path, name: str = "") -> Library | None:
    """Return a library with the kernels of a name, or the best ones for this processor.

    None if the processor cannot run them. Raises `LibraryUnusable`.
    """
    pointer = ctypes.c_void_p
    try:
        functions = ctypes.CDLL(str(file))
        functions.secondpass_digest.restype = ctypes.c_char_p
        made_of = functions.secondpass_digest().decode()
    except (OSError, AttributeError) as error:
        raise LibraryUnusable(f"{file.name} cannot be opened: {error}") from error
    if made_of != digest():
        raise LibraryUnusable(f"{file.name} was compiled from other sources")
    functions.secondpass_kernels.restype = pointer
    functions.secondpass_name.restype = ctypes.c_char_p
    functions.secondpass_name.argtypes = functions.secondpass_panel.argtypes = [pointer]
    functions.secondpass_pool.restype = pointer
    functions.secondpass_pool_end.argtypes = [pointer]
    whole = ctypes.c_int
    functions.secondpass_run.argtypes = [*[pointer] * 4, whole, pointer, whole, pointer]
    dense = (pointer, whole, pointer, whole, pointer, pointer, whole, whole, pointer)
    functions.secondpass_dense.argtypes = dense
    kernels = functions.secondpass_kernels(name.encode())
    if not kernels:
        return None
    chosen = functions.secondpass_name(kernels).decode()
    return Library(functions, kernels, chosen, functions.secondpass_panel(kernels))
