"""Print the versions that are installed here, as constraints for pip.

    .venv/bin/python scripts/lock.py > requirements/lock.txt

pyproject.toml says what secondpass can work with; these are the versions that were
tested together. As constraints they install nothing by themselves, so a line for a
package that another platform does not need does no harm there.
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
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version.partition("+")[0]
        for found in distributions()
    }
    return [
        f"{name}=={version}" for name, version in sorted(versions.items()) if name not in OWN
    ]


if __name__ == "__main__":
    print(HEAD + "\n".join(pins()))
