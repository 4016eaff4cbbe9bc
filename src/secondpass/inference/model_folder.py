"""A model on disk: which files it has, what they say, and whether they are whole.

What tells the scores of one model from those of another.

How many tokens a model can read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondpass.errors import ModelDamagedError, ModelError, ModelNotFoundError

MANIFEST = "secondpass.json"
FORMAT = 1
_ONNX_PLACES = ("model.onnx", "onnx/model.onnx")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files of one model.

    `manifest` is secondpass.json where `secondpass export` wrote one, else empty;
    `config` is the config.json of the training library, else empty.
    """

    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """What kind of model this is: "cross-encoder" unless the manifest says otherwise."""
        return str(self.manifest.get("architecture", "cross-encoder"))

    @property
    def onnx(self) -> Path | None:
        """The ONNX graph, or None if there is none."""
        return next((p for n in _ONNX_PLACES if (p := self.path / n).is_file()), None)

    @property
    def safetensors(self) -> Path | None:
        """The safetensors weights, or None if there are none."""
        whole, parts = "model.safetensors", "model.safetensors.index.json"
        return next((p for n in (whole, parts) if (p := self.path / n).is_file()), None)

    @property
    def digest(self) -> str:
        """A hexadecimal SHA-256 of the weights and the tokenizer, for cache keys."""
        recorded = self.manifest.get("files")
        if recorded:
            sums = [f"{name}:{recorded[name]['sha256']}" for name in sorted(recorded)]
        else:
            files = [*self._weights(), self.path / "tokenizer.json"]
            sums = [f"{f.name}:{sha256(f)}" for f in files if f.is_file()]
        return hashlib.sha256("\n".join(sums).encode()).hexdigest()

    def _weights(self) -> list[Path]:
        """Return the file of the weights, with the further files that it is spread over."""
        if self.onnx is not None:
            # Weights beyond 2 GB stand beside the graph: model.onnx_data, model.onnx.data.
            return sorted(self.onnx.parent.glob(f"{self.onnx.name}*"))
        if self.safetensors is None or self.safetensors.name == "model.safetensors":
            return [] if self.safetensors is None else [self.safetensors]
        return [self.safetensors, *sorted(self.path.glob("model-*.safetensors"))]

    def verify(self) -> None:
        """Compare every file with the checksum that the manifest records.

        Raises `ModelDamagedError` naming the first file that is missing or differs.
        """
        for name, recorded in self.manifest.get("files", {}).items():
            file = self.path / name
            if not file.is_file():
                raise ModelDamagedError(
                    f"The model file {name} is missing", where=str(self.path), fix=_RESTORE
                )
            found = sha256(file)
            if found != recorded["sha256"]:
                raise ModelDamagedError(
                    f"The model file {name} is damaged",
                    where=str(file),
                    why=f"its SHA-256 is {found[:12]}…, recorded is {recorded['sha256'][:12]}…",
                    fix=_RESTORE,
                )


_RESTORE = "Restore the folder (for a bundled model: pip install --force-reinstall secondpass)."


def open_folder(path: str | Path) -> ModelFolder:
    """Read a model folder's manifest and configuration and verify its checksums.

    Raises `ModelNotFoundError` if there is no such folder or it holds no model,
    `ModelDamagedError` if a file is not what the manifest says, `ModelError` if the
    manifest cannot be read or is of a newer format.
    """
    root = Path(path)
    if not root.is_dir():
        raise ModelNotFoundError(
            f"There is no model folder {str(root)!r}",
            fix="Give a folder that holds model.onnx or model.safetensors and tokenizer.json.",
        )
    folder = ModelFolder(root, _json(root / MANIFEST), _json(root / "config.json"))
    if int(folder.manifest.get("format", FORMAT)) > FORMAT:
        raise ModelError(
            "The model was exported by a newer version",
            where=str(root),
            fix="Run: pip install --upgrade secondpass",
        )
    folder.verify()
    if folder.onnx is None and folder.safetensors is None:
        raise ModelNotFoundError(
            "The folder holds no model",
            where=str(root),
            why="neither model.onnx nor model.safetensors is in it",
            fix="Export one with: secondpass export SOURCE --out FOLDER",
        )
    # A reader has none of its own: it reads the tokens of the encoder that it names.
    if "encoder" not in folder.manifest and not (root / "tokenizer.json").is_file():
        raise ModelNotFoundError(
            "The model has no tokenizer.json",
            where=str(root),
            fix="Save it from transformers with: AutoTokenizer.from_pretrained(…)"
            ".save_pretrained(FOLDER)",
        )
    return folder


def sha256(file: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _json(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelDamagedError(
            f"{file.name} cannot be read", where=str(file), why=str(error), fix=_RESTORE
        ) from error
    if not isinstance(value, dict):
        raise ModelDamagedError(
            f"{file.name} is not a JSON object", where=str(file), fix=_RESTORE
        )
    return value


def folder_identity(*folders: ModelFolder, **options: str | int) -> str:
    """Return a hexadecimal SHA-256 of all in these folders that scores depend on.

    The whole manifest and configuration count besides the files' checksums, since
    calibration, limits and labels stand there: better a score computed twice than one
    served for another model's. `options` are what the caller chose, such as a label.
    """
    said = [[f.digest, f.manifest, f.config] for f in folders]
    text = json.dumps([said, options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


DEFAULT_LENGTH = 512

_OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}
)


def longest_input(config: Mapping[str, Any]) -> int:
    """Return how many tokens a model can read, from its config.json; 512 if it is silent.

    RoBERTa's table of positions begins after the padding id, so some are not usable.
    """
    positions = int(config.get("max_position_embeddings", DEFAULT_LENGTH))
    if config.get("model_type") in _OFFSET_POSITIONS:
        pad = config.get("pad_token_id")
        positions -= (1 if pad is None else int(pad)) + 1
    return positions
