"""Model folder: files, manifest, checksums, fingerprint and input length of a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondpass.errors import ModelDamagedError, ModelError, ModelNotFoundError

MANIFEST = "secondpass.json"
FORMAT = 1
WEIGHTS = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
"""The list of the files (shards) that large weights are split into."""

_ONNX_PATHS = ("model.onnx", "onnx/model.onnx")
_ARCHITECTURES = {"ForCausalLM": "causal-lm", "ForConditionalGeneration": "seq2seq"}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """The files of one model.

    `manifest` is secondpass.json if `secondpass export` wrote one, else empty; `config` is
    the config.json of the training library, else empty. `checksums` are SHA-256 of files by
    name, of whoever has just verified them.
    """

    path: Path
    manifest: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)

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
        names = (WEIGHTS, SHARD_INDEX)
        return next((p for n in names if (p := self.path / n).is_file()), None)

    @property
    def digest(self) -> str:
        """The hexadecimal SHA-256 of the weights and the tokenizer, for cache keys."""
        recorded = self.manifest.get("files")
        if recorded:
            sums = [f"{name}:{recorded[name]['sha256']}" for name in sorted(recorded)]
        else:
            files = [*self._weights(), *self._module_files(), self.path / "tokenizer.json"]
            sums = [f"{f.name}:{self._checksum(f)}" for f in files if f.is_file()]
        return hashlib.sha256("\n".join(sums).encode()).hexdigest()

    def _weights(self) -> list[Path]:
        """Return the weights file, and its shards or external data."""
        if self.onnx is not None:
            # Weights beyond 2 GB are beside the graph: model.onnx_data, model.onnx.data.
            return sorted(self.onnx.parent.glob(f"{self.onnx.name}*"))
        if self.safetensors is None or self.safetensors.name == WEIGHTS:
            return [] if self.safetensors is None else [self.safetensors]
        return [self.safetensors, *read_shards(self.safetensors)]

    def _checksum(self, file: Path) -> str:
        verified = self.checksums.get(file.relative_to(self.path).as_posix())
        return sha256(file) if verified is None else verified

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


def open_folder(path: str | Path, *, checksums: Mapping[str, str] | None = None) -> ModelFolder:
    """Read a model folder's manifest and configuration and verify its checksums.

    `checksums` are those that the caller has just verified; large weights take seconds.
    Raises `ModelNotFoundError` if there is no such folder or no model in it,
    `ModelDamagedError` if a file differs from its checksum, if safetensors (or a shard of them)
    are missing or cut off, or if the manifest cannot be read,
    `ModelError` if the manifest is of a newer format.
    """
    root = Path(path)
    if not root.is_dir():
        raise ModelNotFoundError(
            f"There is no model folder {str(root)!r}",
            fix="Give a folder with model.onnx or model.safetensors and tokenizer.json.",
        )
    folder = ModelFolder(
        root, _json(root / MANIFEST), _json(root / "config.json"), checksums or {}
    )
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
    if folder.onnx is None and folder.safetensors is not None:
        check_safetensors(folder.safetensors)
    return folder


def read_shards(index: Path) -> dict[Path, list[str]]:
    """Return the shards that an index lists, in order, and the tensors of each.

    Raises `ModelDamagedError` if the index cannot be read or names a file elsewhere.
    """
    shards: dict[Path, list[str]] = {}
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelDamagedError(
            "The index of the shards cannot be read",
            where=str(index),
            why="it has no weight_map",
            fix=_COPY_AGAIN,
        )
    for tensor, name in sorted(names.items(), key=lambda item: (str(item[1]), item[0])):
        if not isinstance(name, str) or Path(name).name != name:
            raise ModelDamagedError(
                "The index of the shards names a file outside of the folder",
                where=str(index),
                why=f"{tensor!r} is in {name!r}",
            )
        shards.setdefault(index.parent / name, []).append(tensor)
    return shards


def check_safetensors(file: Path) -> None:
    """Check that weights are complete, reading only the headers of the files.

    `file` is model.safetensors, or the index of its shards. Raises `ModelDamagedError` naming
    the first file that is missing, cut off, or lacks a tensor that the index lists.
    """
    shards = read_shards(file) if file.name == SHARD_INDEX else {file: []}
    for shard, tensors in shards.items():
        if not shard.is_file():
            raise ModelDamagedError(
                f"The model file {shard.name} is missing",
                where=str(shard.parent),
                why=f"{file.name} lists it",
                fix=_COPY_AGAIN,
            )
        why = _safetensors_problem(shard, tensors)
        if why is not None:
            raise ModelDamagedError(
                f"The model file {shard.name} is damaged",
                where=str(shard),
                why=why,
                fix=_COPY_AGAIN,
            )


def _safetensors_problem(file: Path, tensors: Iterable[str]) -> str | None:
    """Return what is wrong with the header of a safetensors file, or None.

    The file is the length of the header (8 bytes, little-endian), the header, a JSON object
    with the place of each tensor, and their bytes (https://github.com/huggingface/safetensors).
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > size - 8:
                return f"its header ends behind its {size:,} bytes"
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        ends = {name: int(place["data_offsets"][1]) for name, place in header.items()}
    # A header of any other form than the format's.
    except (
        OSError,
        ValueError,
        RecursionError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        return f"its header cannot be read: {type(error).__name__}"
    end = 8 + length + max(ends.values(), default=0)
    if end != size:
        return f"it has {size:,} bytes, and its header says {end:,}"
    missing = [name for name in tensors if name not in ends]
    return None if not missing else f"it lacks {missing[0]}"


_COPY_AGAIN = "Download or copy the folder again."


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
