"""Which versions of which packages made a model."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("secondpass", "torch", "transformers", "onnx-ir", "onnxruntime")


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed, by name."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
