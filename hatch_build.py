"""Compile the machine code when the package is built, check the page, add the sample."""

from __future__ import annotations

import os
import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "SECONDPASS_BUILD_NATIVE"
"""0 leaves it out, 1 fails without it; otherwise it is tried."""
PAGE = "src/secondpass/server/web/static/index.html"
SAMPLE = {"examples/wikipedia": "secondpass/sample"}


class NativeBuild(BuildHookInterface):
    """Adds the library to a wheel, or puts it beside its sources in an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile; without a compiler the package is built without, and runs slower.

        Raises FileNotFoundError without the page, which is built and committed by `make ui`.
        """
        if not Path(self.root, PAGE).is_file():
            raise FileNotFoundError(f"{PAGE} is missing: build the page with `make ui`")
        if self.target_name == "wheel" and version == "standard":
            for source, target in SAMPLE.items():
                build_data["force_include"][str(Path(self.root, source))] = target
        wanted = os.environ.get(SWITCH, "")
        if self.target_name != "wheel" or wanted == "0":
            return
        # By its path: the package itself cannot be imported while it is being built.
        build = runpy.run_path(str(Path(self.root, "src/secondpass/inference/native/build.py")))
        try:
            library = build["compile_library"]()
        except (build["NotBuilt"], OSError) as error:
            if wanted == "1":
                raise
            self.app.display_warning(f"secondpass is built without its machine code: {error}")
            return
        build_data["artifacts"].append(f"/{library.relative_to(self.root).as_posix()}")
        # No part of it depends on the version of Python.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
