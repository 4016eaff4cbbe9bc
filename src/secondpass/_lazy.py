"""Lazy loading of public names, so that importing a namespace is quick."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module


def load_public_name(package: str, modules: Mapping[str, str], name: str) -> object:
    """Import the public name of a package from the module that defines it.

    `modules` has the module of each name, relative to `secondpass`. The value is stored in
    the package, so that later accesses are ordinary attribute accesses. Raises
    `AttributeError` for a name that is not in `modules`.
    """
    if name not in modules:
        raise AttributeError(
            f"module {package!r} has no attribute {name!r}",
            name=name,
            obj=sys.modules[package],
        )
    value = getattr(import_module(f"secondpass.{modules[name]}"), name)
    setattr(sys.modules[package], name, value)
    return value
