"""A language model for tests: it answers from a script and remembers what it was asked."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence

from secondpass.errors import InputError
from secondpass.llm import LLM, Completion, Prompt, TextStream

Answer = str | Completion | Exception
"""A text, a whole completion, or an error to raise."""


class ScriptedLLM(LLM):
    """Gives the answers of a script in turn, or those of a function of the prompt.

    `prompts` are those that were asked, in order. A text counts a token for each word. After
    the last answer of a list comes an `InputError`. Streams give a word at a time.
    """

    def __init__(
        self,
        script: Sequence[Answer] | Callable[[Prompt], Answer],
        *,
        name: str = "scripted",
        offers_logprobs: bool = False,
    ) -> None:
        self._script, self._name, self._logprobs = script, name, offers_logprobs
        self._lock = threading.Lock()
        self.prompts: list[Prompt] = []

    @property
    def name(self) -> str:
        """The name that was given."""
        return self._name

    @property
    def offers_logprobs(self) -> bool:
        """What was said about log-probabilities."""
        return self._logprobs

    def complete(self, prompt: Prompt) -> Completion:
        """Return, or raise, what the script has next."""
        with self._lock:
            place = len(self.prompts)
            self.prompts.append(prompt)
        if callable(self._script):
            answer = self._script(prompt)
        elif place < len(self._script):
            answer = self._script[place]
        else:
            raise InputError(
                f"The script has {len(self._script)} answers, and one more is asked"
            )
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Completion):
            return answer
        asked = len(prompt.system.split()) + len(prompt.user.split())
        return Completion(answer, input_tokens=asked, output_tokens=len(answer.split()))

    def stream(self, prompt: Prompt) -> TextStream:
        """Return the next answer, a word at a time."""

        def pieces() -> Iterator[str | Completion]:
            found = self.complete(prompt)
            yield from re.findall(r"\s*\S+|\s+$", found.text)
            yield found

        return TextStream(pieces())
