"""The base class of language models, and streamed answers."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self

from secondpass.llm.types import Completion, Prompt


class TextStream:
    """An answer that arrives in pieces; it can be iterated over once.

    `completion` is the whole answer, once the last piece was taken; None before. Call `close`
    to stop early, which closes the connection.
    """

    def __init__(self, pieces: Iterator[str | Completion]) -> None:
        self._pieces = pieces
        self.completion: Completion | None = None

    def __iter__(self) -> Iterator[str]:
        for piece in self._pieces:
            if isinstance(piece, Completion):
                self.completion = piece
            elif piece:
                yield piece

    def close(self) -> None:
        """Stop, and close the connection."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class AsyncTextStream:
    """The same as `TextStream`, for `async for`."""

    def __init__(self, pieces: AsyncIterator[str | Completion]) -> None:
        self._pieces = pieces
        self.completion: Completion | None = None

    async def __aiter__(self) -> AsyncIterator[str]:
        async for piece in self._pieces:
            if isinstance(piece, Completion):
                self.completion = piece
            elif piece:
                yield piece

    async def aclose(self) -> None:
        """Stop, and close the connection."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


class LLM(ABC):
    """A language model that completes prompts; thread-safe.

    A subclass defines `complete`; streaming and async methods have defaults that use it. All
    methods raise `LLMError` where there is no answer.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the model, as it appears in responses."""

    @property
    def offers_logprobs(self) -> bool:
        """Whether log-probabilities can be requested; a server may still leave them out."""
        return False

    @abstractmethod
    def complete(self, prompt: Prompt) -> Completion:
        """Return the answer to a prompt."""

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the answer piece by piece; by default in one piece."""

        def pieces() -> Iterator[str | Completion]:
            completion = self.complete(prompt)
            yield completion.text
            yield completion

        return TextStream(pieces())

    async def acomplete(self, prompt: Prompt) -> Completion:
        """Do as `complete`, without blocking the event loop."""
        return await asyncio.to_thread(self.complete, prompt)

    def astream(self, prompt: Prompt) -> AsyncTextStream:
        """Do as `stream`, for `async for`."""

        async def pieces() -> AsyncIterator[str | Completion]:
            completion = await self.acomplete(prompt)
            yield completion.text
            yield completion

        return AsyncTextStream(pieces())

    def close(self) -> None:
        """Close connections; the model can be used again."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
