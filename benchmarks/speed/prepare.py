"""Models of the same weights in the format of each engine, made once and cached.

Each step runs in a process of its own: `python benchmarks/speed/prepare.py STEP FOLDER`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from secondpass.inference.model_folder import sha256
from speed import recipes
from speed.recipes import MADE_FROM

STEPS: dict[str, Callable[[Path, Path], None]] = {
    "weights": recipes.weights,
    "sbert-onnx": recipes.sbert_onnx,
    "sbert-openvino": recipes.sbert_openvino,
    "sbert-openvino-w8": recipes.sbert_openvino_w8,
    "sbert-openvino-int8": recipes.sbert_openvino_int8,
    "flashrank": recipes.flashrank,
    "fastembed": recipes.fastembed,
    "secondpass-fp32": recipes.secondpass_fp32,
    "secondpass-int8": recipes.secondpass_int8,
    "secondpass-cascade": recipes.secondpass_cascade,
}
"""By folder; each comes after those that it is made from."""


def folder_for(cache: Path, weights: Path | None, max_length: int) -> Path:
    """Return the folder of the models of these weights."""
    if weights is None:
        return cache / f"untrained-{max_length}"
    return cache / f"{sha256(weights / 'model.safetensors')[:16]}-{max_length}"


def prepare(models: Path, weights: Path | None, max_length: int, log: Path) -> Iterator[str]:
    """Make the missing models; yields each step's name before it runs.

    Engines without their model are later reported as not available; only the step of the
    weights must succeed, or `RuntimeError` is raised with the end of the log.
    """
    models.mkdir(parents=True, exist_ok=True)
    description = {"weights": None if weights is None else str(weights.resolve())}
    (models / MADE_FROM).write_text(
        json.dumps({**description, "max_length": max_length}), "utf-8"
    )
    for step in STEPS:
        yield step
        if (models / step).is_dir():
            continue
        command = [sys.executable, __file__, step, str(models)]
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        with log.open("ab") as output:
            process = subprocess.run(
                command, stdout=output, stderr=output, env=offline, check=False
            )
        if process.returncode and step == "weights":
            raise RuntimeError("\n".join(log.read_text("utf-8").splitlines()[-8:]))


def main() -> None:
    step, models = sys.argv[1], Path(sys.argv[2])
    with TemporaryDirectory(dir=models) as temporary:
        new = Path(temporary) / step
        STEPS[step](models, new)
        target = models / step
        shutil.rmtree(target, ignore_errors=True)
        new.replace(target)


if __name__ == "__main__":
    main()
