"""A language model as one request uses it: with the client's sampling, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from secondpass.llm import LLM, Completion, Prompt, Stop, TextStream
from secondpass.rerank.llm.documents import count_tokens
from secondpass.server.openai.schemas import Sampling


class Metered(LLM):
    """Writes the answer with a client's sampling; other questions are asked as they are.

    `input_tokens` and `output_tokens` are those of all calls, counted here where the server
    behind does not tell; `stop` is why the answer ended, None before.
    """

    def __init__(self, llm: LLM, sampling: Sampling) -> None:
        self._llm, self._sampling = llm, sampling
        self.input_tokens = self.output_tokens = 0
        self.stop: Stop | None = None

    @property
    def name(self) -> str:
        """That of the model."""
        return self._llm.name

    def complete(self, prompt: Prompt) -> Completion:
        """Return the answer to a prompt that is not the client's."""
        found = self._llm.complete(prompt)
        self._count(prompt, found)
        return found

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the answer piece by piece, as the client wants it sampled."""
        wanted = self._sampling
        prompt = replace(prompt, stop=wanted.stop, seed=wanted.seed, top_p=wanted.top_p)
        if wanted.temperature is not None:
            prompt = replace(prompt, temperature=wanted.temperature)

        def pieces() -> Iterator[str | Completion]:
            stream = self._llm.stream(prompt)
            try:
                yield from stream
            finally:
                stream.close()
            if stream.completion is not None:
                self.stop = stream.completion.stop
                self._count(prompt, stream.completion)
                yield stream.completion

        return TextStream(pieces())

    def _count(self, prompt: Prompt, found: Completion) -> None:
        given, made = found.input_tokens, found.output_tokens
        if given is None:
            given = count_tokens(f"{prompt.system}\n{prompt.user}")
        self.input_tokens += given
        self.output_tokens += count_tokens(found.text) if made is None else made
