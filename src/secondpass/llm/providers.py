"""The providers that are built in, each with its address and the variable of its key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypedDict, Unpack

from secondpass.llm.anthropic import AnthropicMessages
from secondpass.llm.openai import OpenAIChat
from secondpass.llm.remote import RemoteLLM
from secondpass.llm.wire import Dialect
from secondpass.remote.client import find_key


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
