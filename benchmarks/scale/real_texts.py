"""The passages of all texts of $SECONDPASS_DATA, split without a model, in one file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scale.encoded_passages import CACHE, documents
from secondpass.retrieve.chunking import approximate_tokens, split_document

Text = tuple[str | None, str]
"""Title and text of a passage."""


class RealTexts:
    """Titles and texts by number, read from a file: they take no memory of a measurement."""

    def __init__(self, file: Path, ends: NDArray[np.int64]) -> None:
        self._file = os.open(file, os.O_RDONLY)
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, number: int) -> Text:
        start = int(self._ends[number - 1]) if number else 0
        line = os.pread(self._file, int(self._ends[number]) - start, start)
        title, text = json.loads(line)
        return title, text


def open_texts(folder: Path = CACHE) -> RealTexts:
    """Return the passages of all texts; write their file first, if it is not there."""
    file, ends_file = folder / "texts.jsonl", folder / "texts.ends.npy"
    if not ends_file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        ends = []
        with file.open("wb") as stream:
            for text in split_texts():
                stream.write(json.dumps(text).encode() + b"\n")
                ends.append(stream.tell())
        # Last: where it is there, the file of the texts is complete.
        np.save(ends_file, np.array(ends, np.int64))
    return RealTexts(file, np.load(ends_file))


def split_texts() -> Iterator[Text]:
    """Yield the passages of all documents."""
    for document in documents():
        for passage in split_document(document, str(document.id), approximate_tokens):
            yield passage.title, passage.text
