"""Print the installed versions as constraints for pip.

    .venv/bin/python scripts/lock.py > requirements/lock.txt

pyproject.toml has the supported versions; these are the versions that were tested together.
Constraints install nothing by themselves, so a line for a package that another platform does
not need has no effect there.
"""

from __future__ import annotations

import re
from importlib.metadata import distributions

OWN = {"secondpass"}
HEAD = """\
# The versions that were tested together (make lock). Used as `pip install -c`: nothing
# here is installed unless pyproject.toml asks for it.
"""


def pins() -> list[str]:
    """Return `name==version` for each installed package, without local version labels."""
    versions = {
        re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower(): package.version.partition(
            "+"
        )[0]
        for package in distributions()
    }
    return [
        f"{name}=={version}" for name, version in sorted(versions.items()) if name not in OWN
    ]


if __name__ == "__main__":
    print(HEAD + "\n".join(pins()))
