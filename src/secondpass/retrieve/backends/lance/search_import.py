"""LanceDB in a process that searches and ends, without what such a process never uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from secondpass.retrieve.backends.lance.client_import import (
    CLIENT,
    DeferredPackage,
    defer_package,
    import_lancedb,
)

# What LanceDB's namespaces send to a service: pydantic makes 146 classes of them.
_MODELS = f"{CLIENT}.models"
_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"


class DeferredName:
    """What a name of a deferred package stands for, imported when something is done with it."""

    def __init__(self, package: str, name: str) -> None:
        self._package, self._name = package, name

    def _value(self) -> Any:
        return getattr(import_module(self._package), self._name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call the value."""
        return self._value()(*args, **options)

    def __getattr__(self, name: str) -> Any:
        # Typing and inspection ask everything for such names.
        if name.startswith("__"):
            raise AttributeError(f"{self._name!r} has no attribute {name!r}")
        return getattr(self._value(), name)

    def __instancecheck__(self, instance: object) -> bool:
        """Ask the value, which is a class."""
        return isinstance(instance, self._value())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        """Put the value in its place among the bases of a class."""
        return (self._value(),)


class _Names(DeferredPackage):
    """A deferred package that gives a `DeferredName` to whoever imports a name from it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return DeferredName(self.__name__, name)


class _NoOverrides(ModuleType):
    """The package overrides without its checks, which LanceDB drops from Python 3.12 on.

    They compare the types of each method with those of its base class.
    """

    class EnforceOverrides:
        """Enforce nothing."""

    @staticmethod
    def override(method: Any) -> Any:
        """Return the method."""
        return method


class _Unimportable(MetaPathFinder, Loader):
    """Finds pandas, and does not import it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # LanceDB asks whether it is installed, and remembers the answer.
        if name != "pandas" or PathFinder.find_spec(name, path) is None:
            return None
        return ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        raise ModuleNotFoundError("a search by a command uses no pandas", name=spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Never called."""


@contextmanager
def without_other_packages() -> Iterator[None]:
    """Keep PyArrow from importing pandas in the block, and pydantic from looking for plugins.

    PyArrow does so for every value that it converts, and pydantic reads the metadata of every
    installed package for its first model. For a process of one's own that has no frames: in the
    block nothing can import pandas, unless it or PyArrow was imported before.
    """
    plugins = os.environ.get(_PLUGINS)
    os.environ.setdefault(_PLUGINS, "__all__")
    finder = None if {"pandas", "pyarrow"} & sys.modules.keys() else _Unimportable()
    if finder is not None:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if plugins is None:
            del os.environ[_PLUGINS]
        if finder is not None:
            sys.meta_path.remove(finder)
            shim = getattr(sys.modules.get("pyarrow.lib"), "_pandas_api", None)
            if shim is not None:
                # It remembers that there is no pandas: made anew, it looks again.
                shim.__init__()


def import_for_search() -> ModuleType:
    """Import and return the package lancedb; raises ImportError without it.

    The models of LanceDB's namespaces are imported when one is used. For a process of one's
    own, because other packages are loaded without a part of theirs meanwhile.
    """
    if "lancedb" in sys.modules:
        return import_lancedb()
    import pydantic

    defer_package(CLIENT)
    models = defer_package(_MODELS)
    overrides = sys.modules.get("overrides")
    sys.modules["overrides"] = _NoOverrides("overrides")
    if models is not None:
        models.__class__ = _Names
    settings: Any = pydantic.BaseModel.model_config
    before = dict(settings)
    # Models make their validators when they first validate something.
    settings["defer_build"] = True
    try:
        return import_lancedb()
    finally:
        settings.clear()
        settings.update(before)
        if models is not None:
            models.__class__ = DeferredPackage
        del sys.modules["overrides"]
        if overrides is not None:
            sys.modules["overrides"] = overrides
