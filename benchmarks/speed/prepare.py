"""The same weights in the format of each engine, made once and kept.

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
    "sbert-openvino-int8": recipes.sbert_openvino_int8,
    "flashrank": recipes.flashrank,
    "fastembed": recipes.fastembed,
    "secondpass-fp32": recipes.secondpass_fp32,
    "secondpass-int8": recipes.secondpass_int8,
    "secondpass-cascade": recipes.secondpass_cascade,
}
"""By folder, in an order in which each finds what it is made of."""


def folder_for(cache: Path, weights: Path | None, max_length: int) -> Path:
    """Return where the models of these weights are kept."""
    if weights is None:
        return cache / f"untrained-{max_length}"
    return cache / f"{sha256(weights / 'model.safetensors')[:16]}-{max_length}"


def prepare(models: Path, weights: Path | None, max_length: int, log: Path) -> Iterator[str]:
    """Make what is not there yet; yields each step's name before it is taken.

    Raises `RuntimeError` with the end of the log where a step fails; engines that lack
    their model are then reported as absent, only the weights themselves must be there.
    """
    models.mkdir(parents=True, exist_ok=True)
    about = {"weights": None if weights is None else str(weights.resolve())}
    (models / MADE_FROM).write_text(json.dumps({**about, "max_length": max_length}), "utf-8")
    for step in STEPS:
        yield step
        if (models / step).is_dir():
            continue
        command = [sys.executable, __file__, step, str(models)]
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        with log.open("ab") as output:
            done = subprocess.run(
                command, stdout=output, stderr=output, env=offline, check=False
            )
        if done.returncode and step == "weights":
            raise RuntimeError("\n".join(log.read_text("utf-8").splitlines()[-8:]))


def main() -> None:
    step, models = sys.argv[1], Path(sys.argv[2])
    with TemporaryDirectory(dir=models) as temporary:
        made = Path(temporary) / step
        STEPS[step](models, made)
        target = models / step
        shutil.rmtree(target, ignore_errors=True)
        made.replace(target)


if __name__ == "__main__":
    main()
