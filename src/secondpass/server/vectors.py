"""Vectors of texts for every embedding API: what is read of long texts, and their encodings."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from secondpass.inference.tokenizer import Tokenizer
from secondpass.inference.types import Float32
from secondpass.inference.unicode import clean
from secondpass.server.http_errors import HttpError, invalid
from secondpass.server.request_context import RequestContext
from secondpass.server.scheduler.scheduled_models import ScheduledEncoder
from secondpass.server.state import EMBEDDER, ServerState

# The largest component of a vector of the bundled embedder is 0.673, that of the empty text; of
# passages it is 0.26. On this scale cosines change by less than 0.01.
_INT8_RANGE = 0.7
_CHARACTERS_PER_TOKEN = 12


class Cut(StrEnum):
    """Which end of a text is not read where it has more tokens than the model reads."""

    END = "end"
    START = "start"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TextVectors:
    """The vectors of texts.

    - `vectors`: `[texts, dimension]` float32 of unit length.
    - `tokens`: how many tokens were read, special tokens included.
    - `cut`: the positions of the texts of which an end was not read; `limit`: how many tokens
      are read of each, without the special ones.
    """

    vectors: Float32
    tokens: int
    cut: Sequence[int]
    limit: int

    @property
    def warnings(self) -> list[str]:
        """What a client should know of texts that were not read whole."""
        if not self.cut:
            return []
        where = ", ".join(map(str, self.cut[:10])) + (", …" if len(self.cut) > 10 else "")
        count, total = len(self.cut), len(self.vectors)
        return [
            f"{count} of {total} texts are longer than {self.limit} tokens and cut: {where}"
        ]


def embed_texts(
    state: ServerState,
    context: RequestContext,
    texts: Sequence[str],
    *,
    model: str | None = None,
    dimensions: int | None = None,
    cut: Cut = Cut.END,
    max_tokens: int | None = None,
) -> TextVectors:
    """Embed texts with the embedder of the indexes; blocks.

    The context's warnings say which texts were cut.
    `max_tokens` is how many tokens are read of a text, where the model would read more.
    Raises HttpError: 404 for another model where names are `strict`, 503 while models are
    loaded, 400 for more texts than a request may have, for other `dimensions` than the
    model's, and for a text that is too long where `cut` is NONE.
    """
    state.check_count(len(texts), context.caller.max_documents)
    if state.settings.strict and model not in (None, EMBEDDER):
        raise HttpError(404, "unknown model", f"the only embedder here is {EMBEDDER}")
    state.check_ready()
    embedder = state.embedder()
    if dimensions not in (None, embedder.dimension):
        raise invalid(
            f"dimensions can only be {embedder.dimension}, those that {EMBEDDER} has, "
            f"not {dimensions}"
        )
    tokenizer = embedder.encoder.tokenizer
    limit = embedder.max_length - tokenizer.special
    if max_tokens is not None:
        limit = min(limit, max_tokens)
    read, counts, long = cut_texts(tokenizer, list(map(clean, texts)), limit, cut)
    vectors = ScheduledEncoder(embedder, state.queue).encode(read)
    tokens = sum(counts) + tokenizer.special * len(texts)
    embedded = TextVectors(vectors, tokens, long, limit)
    context.warnings += tuple(embedded.warnings)
    return embedded


def cut_texts(
    tokenizer: Tokenizer, texts: list[str], limit: int, cut: Cut
) -> tuple[list[str], list[int], list[int]]:
    """Return what is read of each text, its number of tokens, and which texts are cut."""
    read, counts, long = list(texts), [], []
    for position, tokens in enumerate(tokenizer.encode(texts, limit + 1)):
        count = len(tokens.ids)
        if count > limit:
            if cut is Cut.NONE:
                raise HttpError(
                    400,
                    "too long",
                    f"text {position} has more than {limit} tokens, which is all that "
                    f"{EMBEDDER} reads: shorten it, or let it be cut",
                )
            long.append(position)
            count = limit
            if cut is Cut.END:
                read[position] = texts[position][: tokens.ends[limit - 1]]
            else:
                read[position], count = _last_tokens(tokenizer, texts[position], limit)
        counts.append(count)
    return read, counts, long


def _last_tokens(tokenizer: Tokenizer, text: str, limit: int) -> tuple[str, int]:
    """Return the end of a text that has at most `limit` tokens, and how many it has."""
    length = limit * _CHARACTERS_PER_TOKEN
    while True:
        # Only the end of a long text is tokenized, and more of it where its words are long.
        tail = text[-length:]
        (tokens,) = tokenizer.encode([tail], len(tail))
        if len(tokens.ids) > limit or len(tail) == len(text):
            break
        length *= 2
    first = max(0, len(tokens.ids) - limit)
    while True:
        end = tail[tokens.ends[first - 1] if first else 0 :]
        count = tokenizer.count(end)
        if count <= limit:
            return end, count
        # Cut within a word, whose rest has other tokens than it had in the word.
        first += count - limit


def encode_base64(vector: Float32) -> str:
    """Return a vector as base64 of its little-endian float32 numbers."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def quantize_int8(vectors: Float32) -> list[list[int]]:
    """Return vectors as numbers from -127 to 127, on one scale for all vectors."""
    scaled = np.clip(np.rint(vectors * (127 / _INT8_RANGE)), -127, 127)
    rows: list[list[int]] = scaled.astype(np.int8).tolist()
    return rows


def pack_signs(vectors: Float32) -> list[list[int]]:
    """Return one bit a dimension, 1 where it is above 0, in bytes from 0 to 255."""
    rows: list[list[int]] = np.packbits(vectors > 0, axis=1).tolist()
    return rows
