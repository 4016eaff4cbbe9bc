"""Cache key of an embedder: the same as long as its vectors are the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from secondpass.retrieve.store_protocol import TextEncoder
from secondpass.storage import replace_file

PROBES = (
    "What is the capital of France?",
    "Vitamin D deficiency is associated with an increased risk of bone fractures.",
    "the boundary layer on a flat plate at hypersonic speed",
    "def add(a, b): return a + b",
    "Ünïcode, 1234.5 % and a rather long tail of words, words, words.",
)
MIN_COSINE = 0.9999
"""The cosine from which two vectors of a probe count as the same.

Another build of the same graph moves them by far less, another model or another quantization
by far more.
"""


def embedder_key(embedder: TextEncoder, tokenizer: Path, file: Path) -> str:
    """Return the key of the embedder in `file`, adding it if it is new.

    Two embedders are the same if they have the same tokenizer file and nearly the same
    vectors for the probes, whatever the bytes of their graphs.
    """
    tokens = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    vectors = embedder.encode(PROBES)
    known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for name, entry in known.items():
        if entry["tokenizer"] == tokens and _same_vectors(vectors, np.array(entry["probes"])):
            return str(name)
    rounded = np.round(vectors.astype(np.float64), 5)
    name = hashlib.sha256(tokens.encode() + rounded.tobytes()).hexdigest()[:12]
    known[name] = {"tokenizer": tokens, "probes": rounded.tolist()}
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, json.dumps(known))
    return name


def _same_vectors(vectors: np.ndarray, known: np.ndarray) -> bool:
    return vectors.shape == known.shape and bool(
        ((vectors * known).sum(axis=1) >= MIN_COSINE).all()
    )
