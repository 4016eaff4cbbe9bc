"""Language models by name: "anthropic/…", "openai/…", "ollama/…", "llamacpp/…", "vllm/…"."""

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
from secondpass.llm.wire import WireFormat
from secondpass.remote.endpoint import find_key

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

    `base_url` and `api_key` come before the provider's own address and environment variables;
    the others are those of `RemoteLLM`. Raises `ModelNotFoundError` for an unknown provider,
    `InputError` for a name without a model or a missing key.
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
            f"{name!r} has no model after the provider", fix=f"Write {provider}/MODEL."
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


class RemoteOptions(TypedDict, total=False):
    """The options of `RemoteLLM` that every provider passes on."""

    timeout: float
    deadline: float | None
    retries: int
    extra_tokens: int


@dataclass(frozen=True, slots=True)
class Provider:
    """Builds the models of one provider.

    - `default_url`: the base URL, unless the environment variable `url_variable` has another.
    - `key_variable`: the environment variable of the key; it is required only where
      `key_required`, and only for `default_url`.
    - `anthropic`: whether the wire format is that of Anthropic, not OpenAI.
    """

    name: str
    default_url: str
    url_variable: str
    key_variable: str
    key_required: bool = False
    anthropic: bool = False

    def __call__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        **options: Unpack[RemoteOptions],
    ) -> RemoteLLM:
        """Return a model; raises `InputError` for a missing key."""
        url = base_url if base_url is not None else os.environ.get(self.url_variable)
        url = url if url else self.default_url
        is_default = url.rstrip("/") == self.default_url
        required = self.key_required and is_default
        key = find_key(self.name, api_key, [self.key_variable], required)
        wire_format: WireFormat
        if self.anthropic:
            wire_format = AnthropicMessages()
        else:
            wire_format = OpenAIChat(openai=self.name == "openai" and is_default)
        return RemoteLLM(
            f"{self.name}/{model}",
            model,
            wire_format,
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
    key_required=True,
    anthropic=True,
)
openai = Provider(
    "openai",
    "https://api.openai.com/v1",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    key_required=True,
)
ollama = Provider("ollama", "http://127.0.0.1:11434/v1", "OLLAMA_BASE_URL", "OLLAMA_API_KEY")
llamacpp = Provider(
    "llamacpp", "http://127.0.0.1:8080/v1", "LLAMACPP_BASE_URL", "LLAMACPP_API_KEY"
)
vllm = Provider("vllm", "http://127.0.0.1:8000/v1", "VLLM_BASE_URL", "VLLM_API_KEY")
