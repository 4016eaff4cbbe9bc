"""Lock files of models: the commit that a name stands for, and the checksums of its files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ModelDamagedError
from secondpass.inference.hub_client import COMMIT, cache_folder
from secondpass.inference.repository_files import is_safe_name
from secondpass.storage import exclusive, expand_home, replace_file

FILE_NAME = "models.lock"
FORMAT = 1
PATH_VARIABLE = "SECONDPASS_MODELS_LOCK"
STRICT_VARIABLE = "SECONDPASS_REQUIRE_REVISION"
_OFF = ("", "0", "false", "no", "off")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """The checksum (hexadecimal SHA-256) and the size in bytes of a file."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Pin:
    """What a name stands for: a commit, and the files of the model at that commit by name."""

    commit: str
    files: Mapping[str, PinnedFile]


class ModelLock:
    """A lock file: pins by the name of the model, "owner/model" or "owner/model@revision".

    Several processes may read and write one at once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def pins(self) -> dict[str, Pin]:
        """Return all pins by name, none if there is no file.

        Raises `ModelDamagedError` for a file that is not a lock of models, or of a newer
        format.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise self._unreadable(str(error)) from error
        try:
            content = json.loads(text)
            if content["format"] > FORMAT:
                raise self._unreadable(f"it has the newer format {content['format']}")
            return {name: _parse_pin(entry) for name, entry in content["models"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._unreadable(f"it is not a lock of models ({error!r})") from error

    def find(self, name: str) -> Pin | None:
        """Return the pin of a name, None without one; raises what `pins` does."""
        return self.pins().get(name)

    def checksums(self, repository: str, commit: str) -> Pin | None:
        """Return the pin of any name of that repository that stands for the commit."""
        return next(
            (
                pin
                for name, pin in self.pins().items()
                if name.partition("@")[0] == repository and pin.commit == commit
            ),
            None,
        )

    def add(self, name: str, pin: Pin, *, replace: bool = False) -> Pin:
        """Add a pin, unless there is one of that name and not `replace`; return what is there.

        Raises OSError where the file cannot be written.
        """
        beside = cache_lock().path.parent
        beside.mkdir(parents=True, exist_ok=True)
        # One for all lock files, so that none appears in the folder of a project.
        with exclusive(beside / ".writing"):
            pins = self.pins()
            if name in pins and not replace:
                return pins[name]
            pins[name] = pin
            replace_file(self.path, _render(pins))
        return pin

    def _unreadable(self, why: str) -> ModelDamagedError:
        fix = "Delete it: names are then resolved again."
        if self.path != cache_lock().path:
            fix = (
                f"Restore it from version control, or name another one in {PATH_VARIABLE} "
                "(empty for none)."
            )
        return ModelDamagedError(
            "The lock file of models cannot be read", where=str(self.path), why=why, fix=fix
        )


def cache_lock() -> ModelLock:
    """Return the lock file of this user's download cache, which need not exist."""
    return ModelLock(cache_folder().parent / "secondpass" / FILE_NAME)


def project_lock() -> ModelLock | None:
    """Return the lock file of the project, None without one.

    It is the file that `SECONDPASS_MODELS_LOCK` names, if that is set, else `models.lock` in
    the working directory. Raises InputError if the variable names a file that is not there.
    """
    named = os.environ.get(PATH_VARIABLE)
    if named is None:
        path = Path(FILE_NAME)
        return ModelLock(path.absolute()) if path.is_file() else None
    if not named:
        return None
    path = expand_home(named)
    if not path.is_file():
        raise InputError(
            f"{PATH_VARIABLE} names a file that is not there",
            where=named,
            fix=f"Write it with: secondpass models pin OWNER/MODEL --lock {named}",
        )
    return ModelLock(path.absolute())


def requires_revision() -> bool:
    """Return whether only exact commits and names in the project's lock may be loaded."""
    return os.environ.get(STRICT_VARIABLE, "").strip().lower() not in _OFF


def _parse_pin(entry: Mapping[str, Any]) -> Pin:
    commit = entry["commit"]
    if not COMMIT.fullmatch(commit):
        raise ValueError(f"{commit!r} is not a commit")
    files = {}
    for name, file in entry["files"].items():
        if not is_safe_name(name) or not _SHA256.fullmatch(file["sha256"]):
            raise ValueError(f"{name!r} is not a file with its SHA-256")
        files[name] = PinnedFile(file["sha256"], int(file["bytes"]))
    if not files:
        raise ValueError("a model has no files")
    return Pin(commit, files)


def _render(pins: Mapping[str, Pin]) -> str:
    models = {
        name: {
            "commit": pin.commit,
            "files": {
                file: {"sha256": pinned.sha256, "bytes": pinned.bytes}
                for file, pinned in sorted(pin.files.items())
            },
        }
        for name, pin in sorted(pins.items())
    }
    return json.dumps({"format": FORMAT, "models": models}, indent=2) + "\n"
