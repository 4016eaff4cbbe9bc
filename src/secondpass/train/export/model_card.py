"""Model card of an exported folder, and the package versions that made it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_FILES = "## Files\n"
_MEASURED = {
    "logit_error_mean": "logit error, mean",
    "logit_error_p95": "logit error, 95th percentile",
    "logit_error_max": "logit error, largest",
    "probability_error_mean": "probability error, mean",
    "probability_error_p95": "probability error, 95th percentile",
    "probability_error_max": "probability error, largest",
    "cosine_error_mean": "cosine error, mean",
    "cosine_error_p95": "cosine error, 95th percentile",
    "cosine_error_max": "cosine error, largest",
    "batch_effect": "largest change of a probability with the other rows of a batch",
    "padding_effect": "largest change of a probability with padding",
    "top_10_overlap": "share of the top 10 kept",
    "kendall_tau": "Kendall's tau",
    "rank_biased_overlap": "rank-biased overlap (p = 0.9)",
    "questions": "questions",
    "candidates": "candidates a question",
}


def model_card(manifest: Mapping[str, Any], notes: str | None) -> str:
    """Return a model card in Markdown; `notes` describes data, quality and limits."""
    outputs = _outputs(manifest)
    versions = ", ".join(f"{n} {v}" for n, v in manifest["created_with"].items())
    lines = [
        f"# {manifest['name']}",
        "",
        f"- What: {manifest['architecture']}, {outputs}",
        f"- Weights from: {manifest['source']}",
        f"- License of the weights: {manifest['license'] or 'not stated'}",
        f"- Parameters: {manifest['parameters']:,}",
        f"- Window: {manifest['max_length']} tokens, special tokens included",
        f"- Precision: {_PRECISIONS[manifest['precision']]}",
        f"- Made by `secondpass export` with {versions}",
        "",
        notes.strip() if notes is not None else _NO_NOTES,
    ]
    if manifest["quality"]:
        lines += ["", "## Against full precision", "", _HELD_OUT, "", "| measure | value |"]
        lines += ["|---|---|"]
        lines += [f"| {_MEASURED[k]} | {v} |" for k, v in manifest["quality"].items()]
    if manifest.get("exit"):
        lines += ["", "## Early exit", "", _EXIT.format(**manifest["exit"])]
    return replace_files("\n".join(lines) + f"\n\n{_FILES}", manifest["files"])


def replace_files(card: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a model card with another list of files, its last section."""
    lines = ["", "| file | bytes | SHA-256 |", "|---|---|---|"]
    lines += [
        f"| {name} | {file['bytes']:,} | `{file['sha256']}` |" for name, file in files.items()
    ]
    return card[: card.rindex(_FILES)] + _FILES + "\n".join([*lines, ""])


def _outputs(manifest: Mapping[str, Any]) -> str:
    if manifest["architecture"] == "embedder":
        return f"{manifest['dimension']} dimensions, unit length"
    if manifest["architecture"] == "reader":
        encoder = manifest["encoder"]
        encoder_name = encoder.get("model", f"in the folder {encoder.get('folder')}")
        return f"{manifest['codes']} int8 values a token, encoder {encoder_name}"
    return f"labels: {', '.join(manifest['labels'])}"


_PRECISIONS = {
    "fp32": "single-precision floating point",
    "int8": "static 8-bit integers in linear layers (activations 8 bits, weights 7 bits, one "
    "scale a column) and embedding tables (one scale a row); everything else single precision",
}
_NO_NOTES = (
    "What this model was trained on, how good it is and where it fails is not documented: "
    "pass --notes FILE.md to `secondpass export`."
)
_EXIT = (
    "With early exit, candidates whose early score (start.onnx) is more than {margin:.2f} "
    "log-odds below that of the last requested place are not scored in full. The margin is "
    "meant to keep the whole top of {confidence:.0%} of lists; it was fitted on {lists}."
)
_HELD_OUT = "On pairs of questions that were not used for calibration."


_PACKAGES = ("secondpass", "torch", "transformers", "onnx-ir", "onnxruntime")


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages by name."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
