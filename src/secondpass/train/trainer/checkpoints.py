"""The folder of a training run: description, metrics, checkpoint and best weights.

run.json          what was run: command, settings, data, versions
metrics.jsonl     the training curve, one JSON object a line
checkpoint/       everything that is needed to resume
best.safetensors  the weights with the best validation result
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondpass.errors import InputError, ModelDamagedError
from secondpass.storage import open_replacement, replace_file

RUN, METRICS, BEST = "run.json", "metrics.jsonl", "best.safetensors"
CHECKPOINT = "checkpoint"
FORMAT = 1
_STATE = "state.pt"


class RunFolder:
    """The files of one run; each is replaced atomically, except that metrics are appended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, description: Mapping[str, Any]) -> None:
        """Write run.json into an existing folder, and make the folder of the checkpoint."""
        (self.path / CHECKPOINT).mkdir(parents=True, exist_ok=True)
        self.write_description({"format": FORMAT, **description})

    def write_description(self, description: Mapping[str, Any]) -> None:
        """Replace run.json."""
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        # A lone surrogate can come from the command line.
        replace_file(self.path / RUN, text.encode("utf-8", "replace"))

    def description(self) -> dict[str, Any]:
        """Return the content of run.json; raises InputError if the folder is no run."""
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
            raise ModelDamagedError(f"{RUN} has another format", where=str(file))
        return value

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Append a line to the training curve."""
        with (self.path / METRICS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return the training curve; an unfinished last line is skipped."""
        file = self.path / METRICS
        rows = []
        if file.is_file():
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    rows.append(json.loads(line))
                except ValueError:
                    continue
        return rows

    def truncate_metrics(self, step: int) -> None:
        """Drop the part of the curve after `step`, which the checkpoint does not cover."""
        rows = [json.dumps(row) for row in self.metrics() if row["step"] <= step]
        replace_file(self.path / METRICS, "".join(f"{row}\n" for row in rows))

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint."""
        import torch

        with open_replacement(self.path / CHECKPOINT / _STATE) as stream:
            torch.save(dict(state), stream)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Return the checkpoint, or None if none was written yet."""
        import torch

        file = self.path / CHECKPOINT / _STATE
        if not file.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        # torch raises many types of error, those of pickle and zipfile among them.
        except Exception as error:
            raise ModelDamagedError(
                "The checkpoint cannot be read", where=str(file), why=str(error).splitlines()[0]
            ) from error
        return state

    def save_best(self, weights: Mapping[str, Any]) -> None:
        """Replace the best weights."""
        from safetensors.torch import save

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
        replace_file(self.path / BEST, save(tensors))

    def load_best(self) -> dict[str, Any]:
        """Return the best weights; raises InputError if there are none yet."""
        from safetensors.torch import load

        file = self.path / BEST
        if not file.is_file():
            raise InputError(
                "The training run has no weights yet",
                where=str(self.path),
                fix="Resume it: secondpass train … --resume",
            )
        try:
            return dict(load(file.read_bytes()))
        # safetensors raises its own error type, directly under Exception.
        except Exception as error:
            raise ModelDamagedError(
                "The weights cannot be read", where=str(file), why=str(error)
            ) from error
