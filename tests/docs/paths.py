"""The root of the repository, and the environment of commands in the documentation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return the environment, with the commands of the running Python first on PATH.

    Caches go below the working directory.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    cache = str(Path.cwd() / ".cache")
    return {**os.environ, "PATH": path, "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": cache}
