"""Loading the compiled native library and choosing its kernels for the processor."""

from __future__ import annotations

import ctypes
import functools
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from secondpass.inference.native.build import LIBRARY, digest

ENVIRONMENT = "SECONDPASS_KERNELS"
"""The environment variable that names the instruction set: "avx2", "avxvnni", "avx512vnni"."""


@dataclass(frozen=True, slots=True)
class Library:
    """The functions, and the chosen `kernels` (an address), with their `panel` width."""

    functions: ctypes.CDLL
    kernels: int
    name: str
    panel: int


class LibraryUnusable(Exception):
    """The file is not a library compiled from these sources; the message says why."""


@functools.cache
def load_library() -> Library | None:
    """Return the library, or None if it was not compiled or the processor is too old.

    Warns of a file that cannot be used.
    """
    if not LIBRARY.is_file():
        return None
    name = os.environ.get(ENVIRONMENT, "")
    try:
        library = open_library(LIBRARY, name)
        if library is None and name:
            raise LibraryUnusable(
                f"{ENVIRONMENT} is {name!r}, which this processor does not support"
            )
        return library
    except LibraryUnusable as error:
        warnings.warn(
            f"secondpass runs without its native engine: {error}. Install the package "
            "again, or in a checkout run: python src/secondpass/inference/native/build.py",
            RuntimeWarning,
            stacklevel=2,
        )
        return None


def open_library(file: Path, name: str = "") -> Library | None:
    """Return a library with the kernels of this name, or the best ones for the processor.

    None if the processor does not support them. Raises `LibraryUnusable`.
    """
    pointer = ctypes.c_void_p
    try:
        functions = ctypes.CDLL(str(file))
        functions.secondpass_digest.restype = ctypes.c_char_p
        compiled_from = functions.secondpass_digest().decode()
    except (OSError, AttributeError) as error:
        raise LibraryUnusable(f"{file.name} cannot be opened: {error}") from error
    if compiled_from != digest():
        raise LibraryUnusable(f"{file.name} was compiled from other sources")
    functions.secondpass_kernels.restype = pointer
    functions.secondpass_name.restype = ctypes.c_char_p
    functions.secondpass_name.argtypes = functions.secondpass_panel.argtypes = [pointer]
    functions.secondpass_pool.restype = pointer
    functions.secondpass_pool_end.argtypes = [pointer]
    integer = ctypes.c_int
    functions.secondpass_run.argtypes = [*[pointer] * 4, integer, pointer, integer, pointer]
    dense = (pointer, integer, pointer, integer, pointer, pointer, integer, integer, pointer)
    functions.secondpass_dense.argtypes = dense
    functions.secondpass_normalize.argtypes = [pointer, pointer, pointer, integer, integer]
    functions.secondpass_spin.restype = ctypes.c_double
    functions.secondpass_spin.argtypes = [pointer, integer, integer]
    kernels = functions.secondpass_kernels(name.encode())
    if not kernels:
        return None
    chosen = functions.secondpass_name(kernels).decode()
    return Library(functions, kernels, chosen, functions.secondpass_panel(kernels))
