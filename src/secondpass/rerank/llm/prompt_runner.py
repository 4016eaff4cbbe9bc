"""The questions of one reranking: what they cost, and what became of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from secondpass.errors import LLMError
from secondpass.llm import LLM, Completion, Prompt, Stop
from secondpass.rerank.llm.parse import Repairs


class PromptRunner:
    """Asks a model and keeps count; a question that fails does not stop the others.

    A failure that would meet every question alike (a wrong key, an unknown model) stops
    further ones from being sent. Safe to use from several threads at once.
    """

    def __init__(self, llm: LLM, concurrency: int) -> None:
        self._llm, self._concurrency = llm, concurrency
        self._lock = threading.Lock()
        self._errors: list[LLMError] = []
        self._repairs: list[Repairs] = []
        self.asked = self.answered = self.tokens = self.pairs = 0
        self._stopped, self._useless = False, 0

    def ask(self, prompt: Prompt, documents: int) -> Completion | None:
        """Return the answer about so many documents, or None where it did not come."""
        with self._lock:
            self.asked += 1
            if self._stopped:
                return None
        try:
            answer = self._llm.complete(prompt)
            if answer.stop is Stop.REFUSAL:
                raise LLMError(
                    "The language model declined to answer",
                    where=self._llm.name,
                    retryable=True,
                )
        except LLMError as error:
            with self._lock:
                self._errors.append(error)
                self._stopped = self._stopped or error.status in (401, 402, 403, 404)
            return None
        with self._lock:
            self.answered += 1
            self.pairs += documents
            self.tokens += answer.tokens
        return answer

    def each(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks, some at a time; each asks for itself."""
        if len(tasks) < 2 or self._concurrency < 2:
            for task in tasks:
                task()
            return
        with ThreadPoolExecutor(min(self._concurrency, len(tasks))) as pool:
            for done in [pool.submit(task) for task in tasks]:
                done.result()

    def read(self, repairs: Repairs, *, usable: bool) -> None:
        """Count what became of an answer; one that is not usable has failed after all."""
        with self._lock:
            if not usable:
                self._useless += 1
            elif repairs:
                self._repairs.append(repairs)

    def check(self) -> None:
        """Raise an error if there was no answer at all that could be used."""
        if self.asked and self.failed == self.asked:
            if self._errors:
                raise self._errors[0]
            raise LLMError(
                "The language model gave no answer that can be used",
                where=self._llm.name,
                why=f"of {self.asked} answers none held what was asked for",
                fix="Ask a larger model, or change the prompt.",
                retryable=True,
            )

    @property
    def failed(self) -> int:
        """How many questions have no answer that can be used."""
        return self.asked - self.answered + self._useless

    @property
    def reason(self) -> str | None:
        """What went wrong and what was repaired, or None."""
        said = []
        if self.failed:
            first = self._errors[0] if self._errors else "the answers were of no use"
            said.append(f"{self.failed} of {self.asked} questions failed: {first}")
        if self._repairs:
            said.append(
                f"{len(self._repairs)} of {self.answered} answers repaired: {self._sum()}"
            )
        return "; ".join(said) or None

    def _sum(self) -> Repairs:
        return Repairs(
            sum(r.missing for r in self._repairs),
            sum(r.repeated for r in self._repairs),
            sum(r.unknown for r in self._repairs),
            any(r.prose for r in self._repairs),
        )
