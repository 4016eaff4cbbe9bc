"""The import of LanceDB, without the client of a web service that an index never calls."""

from __future__ import annotations

import importlib.util
import sys
import threading
from types import ModuleType
from typing import Any

# LanceDB imports its models, and its `__init__` imports all calls of the service: half of the
# time that `import lancedb` takes.
CLIENT = "lance_namespace_urllib3_client"
_lock = threading.RLock()


class DeferredPackage(ModuleType):
    """A package whose `__init__` runs when something is asked of it that it does not have yet.

    Its submodules can be imported before that.
    """

    def __getattr__(self, name: str) -> Any:
        # Import machinery and typing ask every module for such names.
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _lock:
            loader = None if self.__spec__ is None else self.__spec__.loader
            if type(self) is DeferredPackage and loader is not None:
                # First, because `__init__` itself asks for names that are not there yet.
                object.__setattr__(self, "__class__", ModuleType)
                try:
                    loader.exec_module(self)
                except BaseException:
                    self.__class__ = DeferredPackage
                    raise
        return getattr(self, name)


def defer_package(name: str) -> ModuleType | None:
    """Put a package among the imported modules without running its `__init__`; return it.

    Nothing is done for one that is imported already, or not installed.
    """
    if name in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:  # of the package that it is in
        return None
    if spec is None or spec.submodule_search_locations is None:
        return None
    module = importlib.util.module_from_spec(spec)
    module.__class__ = DeferredPackage
    sys.modules.setdefault(name, module)
    return module


def import_lancedb() -> ModuleType:
    """Import and return the package lancedb; raises ImportError without it."""
    defer_package(CLIENT)
    import lancedb

    return lancedb
