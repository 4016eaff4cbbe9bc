"""The prompts of one reranking: sent concurrently, with their failures and costs counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from secondpass.errors import LLMError
from secondpass.llm import LLM, Completion, Prompt, Stop
from secondpass.rerank.llm.parse import Repairs

_PREFERENCE = (
    "Besides, the user who asks has a preference. It is an instruction, and it holds for every "
    "document: "
)


class PromptRunner:
    """Sends prompts to a model and counts; a prompt that fails does not stop the others.

    `instructions` are added to the system text of each prompt.

    After a failure that every prompt would meet (a wrong key, an unknown model) no further ones
    are sent. Thread-safe.

    - `sent`, `answered`: numbers of prompts; `tokens`: of prompts and answers, as the server
      reports them; `pairs`: documents in the prompts that were answered.
    """

    def __init__(self, llm: LLM, concurrency: int, instructions: str | None = None) -> None:
        self._llm, self._concurrency = llm, concurrency
        self._instructions = instructions
        self._lock = threading.Lock()
        self._errors: list[LLMError] = []
        self._repairs: list[Repairs] = []
        self.sent = self.answered = self.tokens = self.pairs = 0
        self._stopped, self._unusable = False, 0

    def complete(self, prompt: Prompt, documents: int) -> Completion | None:
        """Return the answer to a prompt about so many documents, or None where it failed."""
        if self._instructions is not None:
            system = f"{prompt.system}\n\n{_PREFERENCE}{self._instructions}"
            prompt = replace(prompt, system=system)
        with self._lock:
            self.sent += 1
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

    def run_all(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks that each call `complete`, up to `concurrency` at a time."""
        if len(tasks) < 2 or self._concurrency < 2:
            for task in tasks:
                task()
            return
        with ThreadPoolExecutor(min(self._concurrency, len(tasks))) as pool:
            for future in [pool.submit(task) for task in tasks]:
                future.result()

    def record(self, repairs: Repairs, *, usable: bool) -> None:
        """Record what was repaired in an answer; one that is not usable counts as failed."""
        with self._lock:
            if not usable:
                self._unusable += 1
            elif repairs:
                self._repairs.append(repairs)

    def check(self) -> None:
        """Raise an error if no answer was usable."""
        if self.sent and self.failed == self.sent:
            if self._errors:
                raise self._errors[0]
            raise LLMError(
                "The language model gave no answer that can be used",
                where=self._llm.name,
                why=f"none of {self.sent} answers has the requested form",
                fix="Use a larger model, or change the prompt.",
                retryable=True,
            )

    @property
    def failed(self) -> int:
        """How many prompts have no usable answer."""
        return self.sent - self.answered + self._unusable

    @property
    def reason(self) -> str | None:
        """What went wrong and what was repaired, or None."""
        reasons = []
        if self.failed:
            first = self._errors[0] if self._errors else "the answers were not usable"
            reasons.append(f"{self.failed} of {self.sent} prompts failed: {first}")
        if self._repairs:
            reasons.append(
                f"{len(self._repairs)} of {self.answered} answers repaired: {self._total()}"
            )
        return "; ".join(reasons) or None

    def _total(self) -> Repairs:
        return Repairs(
            sum(r.missing for r in self._repairs),
            sum(r.repeated for r in self._repairs),
            sum(r.unknown for r in self._repairs),
            any(r.prose for r in self._repairs),
        )
