"""The providers that are built in, each with its address and the variable of its key.

Language models by name: "anthropic/…", "openai/…", "ollama/…", "llamacpp/…", "vllm/…".
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TypedDict, Unpack

from secondpass.errors import InputError, ModelNotFoundError, nearest
from secondpass.llm.anthropic import AnthropicMessages
from secondpass.llm.base import LLM
from secondpass.llm.openai import OpenAIChat
from secondpass.llm.remote import RemoteLLM
from secondpass.llm.wire import Dialect
from secondpass.remote.client import find_key

PROVIDERS = "secondpass.llms"
"""Entry points by provider: a callable (model, base_url=, api_key=, **options) -> LLM."""


def load_llm(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout: float = 60.0,
    deadline: float | None = 120.0,
    retries: int = 2,
    extra_tokens: int = 0,
) -> LLM:
    """Return the language model of that name, PROVIDER/MODEL; nothing is sent yet.

    `base_url` and `api_key` stand in for the provider's own address and environment
    variable; the others are those of `RemoteLLM`. Raises `ModelNotFoundError` for an
    unknown provider, `InputError` for a name without a model or a key that is missing.
    """
    provider, _, model = name.partition("/")
    known = {e.name: e for e in entry_points(group=PROVIDERS)}
    if provider not in known:
        raise ModelNotFoundError(
            f"There is no language model {name!r}",
            why="a name begins with its provider, as in anthropic/MODEL",
            fix=nearest(provider, known),
        )
    if not model:
        raise InputError(
            f"{name!r} names no model", fix=f"Write {provider}/MODEL, with the model's name."
        )
    build: Callable[..., LLM] = known[provider].load()
    return build(
        model,
        base_url=base_url,
        api_key=api_key,
        timeout=timeout,
        deadline=deadline,
        retries=retries,
        extra_tokens=extra_tokens,
    )


class Options(TypedDict, total=False):
    """The options of `RemoteLLM` that every provider hands on."""

    timeout: float
    deadline: float | None
    retries: int
    extra_tokens: int


@dataclass(frozen=True, slots=True)
class Provider:
    """Builds the models of one provider.

    `own_url` is where they are by default, and `url_variable` names the environment
    variable that says otherwise; `key_variable` that of the key, which only `own_url`
    must have where `key_needed`.
    """

    name: str
    own_url: str
    url_variable: str
    key_variable: str
    key_needed: bool = False
    anthropic: bool = False

    def __call__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        **options: Unpack[Options],
    ) -> RemoteLLM:
        """Return a model; raises `InputError` for a key that is missing."""
        url = base_url if base_url is not None else os.environ.get(self.url_variable)
        url = url if url else self.own_url
        own = url.rstrip("/") == self.own_url
        key = find_key(self.name, api_key, [self.key_variable], self.key_needed and own)
        chat = OpenAIChat(newest=self.name == "openai" and own)
        dialect: Dialect = AnthropicMessages() if self.anthropic else chat
        return RemoteLLM(
            f"{self.name}/{model}",
            model,
            dialect,
            base_url=url,
            key=key,
            offers_logprobs=not self.anthropic,
            **options,
        )


anthropic = Provider(
    "anthropic",
    "https://api.anthropic.com",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_API_KEY",
    key_needed=True,
    anthropic=True,
)
openai = Provider(
    "openai", "https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY", key_needed=True
)
ollama = Provider("ollama", "http://127.0.0.1:11434/v1", "OLLAMA_BASE_URL", "OLLAMA_API_KEY")
llamacpp = Provider(
    "llamacpp", "http://127.0.0.1:8080/v1", "LLAMACPP_BASE_URL", "LLAMACPP_API_KEY"
)
vllm = Provider("vllm", "http://127.0.0.1:8000/v1", "VLLM_BASE_URL", "VLLM_API_KEY")
