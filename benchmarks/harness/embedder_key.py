"""A name for an embedder that stays the same for as long as its vectors do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from secondpass.retrieve.store_protocol import TextEncoder

PROBES = (
    "What is the capital of France?",
    "Vitamin D deficiency is associated with an increased risk of bone fractures.",
    "the boundary layer on a flat plate at hypersonic speed",
    "def add(a, b): return a + b",
    "Ünïcode, 1234.5 % and a rather long tail of words, words, words.",
)
ALIKE = 0.9999
"""The cosine from which two vectors of a probe count as the same.

Another build of the same graph moves them by far less, another model or another
quantisation by far more.
"""


def embedder_key(embedder: TextEncoder, tokenizer: Path, file: Path) -> str:
    """Return the short name under which `file` knows the embedder, adding it if it is new.

    Two embedders are the same if they have the same tokenizer file and read the probes
    alike, whatever the bytes of their graphs.
    """
    tokens = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    vectors = embedder.encode(PROBES)
    known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for name, entry in known.items():
        if entry["tokenizer"] == tokens and _alike(vectors, np.array(entry["probes"])):
            return str(name)
    rounded = np.round(vectors.astype(np.float64), 5)
    name = hashlib.sha256(tokens.encode() + rounded.tobytes()).hexdigest()[:12]
    known[name] = {"tokenizer": tokens, "probes": rounded.tolist()}
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_suffix(".part")
    half.write_text(json.dumps(known), "utf-8")
    half.replace(file)
    return name


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(((one * other).sum(axis=1) >= ALIKE).all())
