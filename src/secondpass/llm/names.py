"""Language models by name: "anthropic/…", "openai/…", "ollama/…", "llamacpp/…", "vllm/…"."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from secondpass.errors import InputError, ModelNotFoundError, nearest
from secondpass.llm.base import LLM

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
