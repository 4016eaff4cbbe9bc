"""The clients of clients.toml: what they are called, their setting, and what runs them."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
REQUIREMENTS = ROOT / "requirements"


@dataclass(frozen=True)
class Client:
    """A client: `package` of pip or `npm`, and `setting` with the `value` that it is given.

    `tested` is the test that runs it, `requests` one that sends what it sends, as it was `read`
    in the code of a version; without both, the tests of this folder run it.
    """

    key: str
    name: str
    setting: str
    value: str
    package: str | None = None
    npm: str | None = None
    version: str | None = None
    node: int = 0
    tested: str | None = None
    requests: str | None = None
    read: str | None = None

    @property
    def is_run_here(self) -> bool:
        """Whether the tests of this folder run it."""
        return self.tested is None and self.requests is None

    @property
    def settings(self) -> list[str]:
        """The names of its settings; one, but for clients that take two ports."""
        return self.setting.split(", ")

    def values(self, **server: object) -> dict[str, str]:
        """Return the settings of a server with this url, port and grpc_port."""
        values = self.value.split(", ")
        return {
            name: value.format(**server)
            for name, value in zip(self.settings, values, strict=True)
        }


def read_catalog() -> list[Client]:
    """Return the clients of clients.toml, in its order."""
    rows = tomllib.loads((FOLDER / "clients.toml").read_text("utf-8"))
    return [Client(key, **row) for key, row in rows.items()]


def installed_version(client: Client) -> str | None:
    """Return the version that the tests install; None for a client that is no package.

    Raises ValueError where no file says it.
    """
    if client.npm is not None:
        manifest = json.loads((REQUIREMENTS / "node" / "package.json").read_text("utf-8"))
        return str(manifest["dependencies"][client.npm])
    if client.package is None:
        return None
    name = re.escape(client.package)
    if client.version is not None:
        # Two versions of one distribution, or one that no other client can be installed with.
        line = re.compile(rf"{name}.*{re.escape(client.version)}|{re.escape(client.version)}")
        files = [ROOT / "Makefile"]
    else:
        line = re.compile(rf"^{name}(?:\[\w+\])?==(\S+)$", re.MULTILINE)
        files = [REQUIREMENTS / ("clients.txt" if client.is_run_here else "lock.txt")]
    for file in files:
        found = line.search(file.read_text("utf-8"))
        if found:
            return client.version or found[1]
    raise ValueError(f"no file of requirements/ has the version of {client.package}")
