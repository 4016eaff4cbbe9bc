"""What a training run leaves on disk, and how it comes back after an interruption.

run.json          what was run: command, settings, data, versions
metrics.jsonl     the curve, one JSON object a line
checkpoint/       everything that is needed to go on
best.safetensors  the weights that judged best
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ModelDamagedError

RUN, METRICS, BEST = "run.json", "metrics.jsonl", "best.safetensors"
CHECKPOINT = "checkpoint"
FORMAT = 1
_STATE = "state.pt"


class RunFolder:
    """The files of one run; every write is atomic."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, about: Mapping[str, Any]) -> None:
        """Write run.json into a folder that was made for it."""
        (self.path / CHECKPOINT).mkdir(parents=True, exist_ok=True)
        self.describe({"format": FORMAT, **about})

    def describe(self, about: Mapping[str, Any]) -> None:
        """Replace run.json."""
        text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
        _write(self.path / RUN, text.encode("utf-8", "replace"))

    def about(self) -> dict[str, Any]:
        """Return what run.json says; raises InputError if this is no run."""
        file = self.path / RUN
        try:
            value = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(
                "There is no training run", where=str(self.path), why=f"it has no {RUN}"
            ) from error
        except (OSError, ValueError) as error:
            raise ModelDamagedError(
                f"{RUN} cannot be read", where=str(file), why=str(error)
            ) from error
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ModelDamagedError(f"{RUN} is of another format", where=str(file))
        return value

    def record(self, row: Mapping[str, Any]) -> None:
        """Add a line to the curve."""
        with (self.path / METRICS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the curve; a last line that was not finished is left out."""
        file = self.path / METRICS
        rows = []
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    continue
        return rows

    def forget_after(self, step: int) -> None:
        """Drop the part of the curve that was not in the checkpoint."""
        rows = [json.dumps(row) for row in self.metrics() if row["step"] <= step]
        _write(self.path / METRICS, "".join(f"{row}\n" for row in rows).encode())

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint."""
        import torch

        file = self.path / CHECKPOINT / _STATE
        temporary = file.with_suffix(".tmp")
        with temporary.open("wb") as stream:
            torch.save(dict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)

    def restore(self) -> dict[str, Any] | None:
        """Return the checkpoint, or None if none was written yet."""
        import torch

        file = self.path / CHECKPOINT / _STATE
        if not file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        # torch raises many kinds, pickle's and zip's among them.
        except Exception as error:
            raise ModelDamagedError(
                "The checkpoint cannot be read", where=str(file), why=str(error).splitlines()[0]
            ) from error
        return state

    def save_best(self, weights: Mapping[str, Any]) -> None:
        """Replace the best weights."""
        from safetensors.torch import save

        once = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        _write(self.path / BEST, save(once))

    def best(self) -> dict[str, Any]:
        """Return the best weights; raises InputError if there are none yet."""
        from safetensors.torch import load

        file = self.path / BEST
        if not file.is_file():
            raise InputError(
                "The training run has no weights yet",
                where=str(self.path),
                fix="Go on with it: secondpass train … --resume",
            )
        try:
            return dict(load(file.read_bytes()))
        # safetensors raises its own error type, directly under Exception.
        except Exception as error:
            raise ModelDamagedError(
                "The weights cannot be read", where=str(file), why=str(error)
            ) from error


def _write(file: Path, data: bytes) -> None:
    temporary = file.with_name(f".{file.name}.tmp")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
