"""Model folder: files, manifest, checksums, fingerprint and input length of a model."""

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
_ONNX_PATHS = ("model.onnx", "onnx/model.onnx")
_ARCHITECTURES = {"ForCausalLM": "causal-lm", "ForConditionalGeneration": "seq2seq"}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files of one model.

    `manifest` is secondpass.json if `secondpass export` wrote one, else empty; `config` is
    the config.json of the training library, else empty.
    """

    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """The architecture in the manifest, or by the class of transformers in config.json.

        "causal-lm" and "seq2seq" for language models, "cross-encoder" for all others.
        """
        classes = self.config.get("architectures") or [""]
        by_class = next(
            (name for end, name in _ARCHITECTURES.items() if str(classes[0]).endswith(end)),
            "cross-encoder",
        )
        return str(self.manifest.get("architecture", by_class))

    @property
    def modules(self) -> list[Mapping[str, Any]]:
        """The modules of sentence-transformers, in order; none without modules.json."""
        value = _read_json(self.path / "modules.json", [])
        return [m for m in value if isinstance(m, Mapping)] if isinstance(value, list) else []

    def read_json(self, name: str) -> Mapping[str, Any]:
        """Return the JSON object in a file; empty if there is no such file.

        Raises `ModelDamagedError` if it cannot be read.
        """
        return _json(self.path / name)

    @property
    def onnx(self) -> Path | None:
        """The ONNX graph, or None if there is none."""
        return next((p for n in _ONNX_PATHS if (p := self.path / n).is_file()), None)

    @property
    def safetensors(self) -> Path | None:
        """The safetensors weights, or None if there are none."""
        single, sharded = "model.safetensors", "model.safetensors.index.json"
        return next((p for n in (single, sharded) if (p := self.path / n).is_file()), None)

    @property
    def digest(self) -> str:
        """The hexadecimal SHA-256 of the weights and the tokenizer, for cache keys."""
        recorded = self.manifest.get("files")
        if recorded:
            sums = [f"{name}:{recorded[name]['sha256']}" for name in sorted(recorded)]
        else:
            files = [*self._weights(), *self._module_files(), self.path / "tokenizer.json"]
            sums = [f"{f.name}:{sha256(f)}" for f in files if f.is_file()]
        return hashlib.sha256("\n".join(sums).encode()).hexdigest()

    def _weights(self) -> list[Path]:
        """Return the weights file, and its shards or external data."""
        if self.onnx is not None:
            # Weights beyond 2 GB are beside the graph: model.onnx_data, model.onnx.data.
            return sorted(self.onnx.parent.glob(f"{self.onnx.name}*"))
        if self.safetensors is None or self.safetensors.name == "model.safetensors":
            return [] if self.safetensors is None else [self.safetensors]
        return [self.safetensors, *sorted(self.path.glob("model-*.safetensors"))]

    def _module_files(self) -> list[Path]:
        """Return what sentence-transformers needs besides the model in the root."""
        places = [self.path / str(m["path"]) for m in self.modules if m.get("path")]
        settings = ("modules.json", "config_sentence_transformers.json")
        return [self.path / name for name in settings if places] + [
            place / name for place in places for name in ("config.json", "model.safetensors")
        ]

    def verify(self) -> None:
        """Compare every file with the checksum in the manifest.

        Raises `ModelDamagedError` naming the first file that is missing or differs.
        """
        for name, recorded in self.manifest.get("files", {}).items():
            file = self.path / name
            if not file.is_file():
                raise ModelDamagedError(
                    f"The model file {name} is missing", where=str(self.path), fix=_RESTORE
                )
            actual = sha256(file)
            if actual != recorded["sha256"]:
                raise ModelDamagedError(
                    f"The model file {name} is damaged",
                    where=str(file),
                    why=f"its SHA-256 is {actual[:12]}…, "
                    f"recorded is {recorded['sha256'][:12]}…",
                    fix=_RESTORE,
                )


_RESTORE = "Restore the folder (for a bundled model: pip install --force-reinstall secondpass)."


def open_folder(path: str | Path) -> ModelFolder:
    """Read a model folder's manifest and configuration and verify its checksums.

    Raises `ModelNotFoundError` if there is no such folder or no model in it,
    `ModelDamagedError` if a file differs from its checksum or the manifest cannot be read,
    `ModelError` if the manifest is of a newer format.
    """
    root = Path(path)
    if not root.is_dir():
        raise ModelNotFoundError(
            f"There is no model folder {str(root)!r}",
            fix="Give a folder with model.onnx or model.safetensors and tokenizer.json.",
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
            "The folder contains no model",
            where=str(root),
            why="it has neither model.onnx nor model.safetensors",
            fix="Export one with: secondpass export SOURCE --out FOLDER",
        )
    # A precomputed reranker has none of its own: it uses that of the encoder it names.
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


def _read_json(file: Path, default: Any) -> Any:
    if not file.is_file():
        return default
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelDamagedError(
            f"{file.name} cannot be read", where=str(file), why=str(error), fix=_RESTORE
        ) from error


def _json(file: Path) -> Mapping[str, Any]:
    value = _read_json(file, {})
    if not isinstance(value, dict):
        raise ModelDamagedError(
            f"{file.name} is not a JSON object", where=str(file), fix=_RESTORE
        )
    return value


def folder_identity(*folders: ModelFolder, **options: str | int) -> str:
    """Return the cache-key fingerprint of a model: a hexadecimal SHA-256.

    It covers the checksums of the files, and the whole manifest and configuration, since
    calibration, limits and labels are there: a score computed twice is better than a cached
    score of another model. `options` are the caller's choices, such as a label.
    """
    contents = [[f.digest, f.manifest, f.config] for f in folders]
    text = json.dumps([contents, options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


DEFAULT_LENGTH = 512

_OFFSET_POSITIONS = frozenset(
    {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}
)


def longest_input(config: Mapping[str, Any]) -> int:
    """Return the maximum input length in tokens, from config.json; 512 if it has none.

    RoBERTa's position ids start after the padding id, so some positions are not usable.
    """
    positions = int(config.get("max_position_embeddings", DEFAULT_LENGTH))
    if config.get("model_type") in _OFFSET_POSITIONS:
        pad = config.get("pad_token_id")
        positions -= (1 if pad is None else int(pad)) + 1
    return positions
