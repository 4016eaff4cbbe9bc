"""Known rerankers: what each one is, what it needs and what was published about it.

The facts are in `known_models.toml`; this module reads and checks them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from secondpass.errors import InputError

RUNS = ("onnx", "torch", "convert", "no")
ARCHITECTURES = ("cross-encoder", "causal-lm", "seq2seq", "listwise")
_PLACEHOLDERS = ("{instruction}", "{query}", "{document}")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a language model reads of a pair, and which of its outputs are the score.

    - `parts`: texts that are tokenized one by one, with `{query}` and `{document}`, each once,
      and possibly `{instruction}`. What is in front of the document is read once for all
      documents of a query, so a query in front of it costs the least.
    - `instruction`: the model's default; empty for none. `parts_with_instruction` are the
      parts where one is given, for models that leave out the line otherwise.
    - `positive`, `negative`: the answers. The score is the logit of the first token of
      `positive`, less that of `negative` if there is one, times `scale`.

    Raises `InputError` for parts without a query or a document.
    """

    parts: tuple[str, ...]
    positive: str
    negative: str | None = None
    instruction: str = ""
    parts_with_instruction: tuple[str, ...] = ()
    scale: float = 1.0

    def __post_init__(self) -> None:
        for parts in filter(None, (self.parts, self.parts_with_instruction)):
            text = "".join(parts)
            counts = {name: text.count(name) for name in _PLACEHOLDERS}
            if (
                counts["{query}"] != 1
                or counts["{document}"] != 1
                or counts[_PLACEHOLDERS[0]] > 1
            ):
                raise InputError(
                    "A prompt must have {query} and {document} once each",
                    why=f"it is {text!r}",
                )
        if not self.parts or not self.positive:
            raise InputError("A prompt must have parts, and the positive answer")

    @property
    def takes_instruction(self) -> bool:
        """Whether an instruction has a place in the prompt."""
        return "{instruction}" in "".join((*self.parts, *self.parts_with_instruction))

    def choose(self, instruction: str) -> tuple[str, ...]:
        """Return the parts for an instruction, or for none where it is empty.

        Raises `InputError` for an instruction that has no place in the prompt.
        """
        if instruction and not self.takes_instruction:
            raise InputError("The model takes no instruction")
        return self.parts_with_instruction or self.parts if instruction else self.parts


@dataclass(frozen=True, slots=True)
class Figure:
    """A published figure: what was measured, in percent, and the address that says so."""

    measure: str
    value: float
    source: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One reranker; `known_models.toml` says what the fields may be.

    - `parameters`: their number, rounded; `window`: the tokens of the longest input that it is
      meant for.
    - `runs`: "onnx", "torch", "convert" (after saving it in another format) or "no"; `needs`:
      what is missing in the last two cases.
    - `activation`: what its authors apply to the output; empty where the folder says it.
    """

    name: str
    parameters: int
    languages: str
    license: str
    window: int
    architecture: str
    backbone: str
    runs: str
    quality: tuple[Figure, ...] = ()
    aliases: tuple[str, ...] = ()
    commercial: bool = True
    activation: str = ""
    needs: str = ""
    note: str = ""
    prompt: Prompt | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def make_prompt(values: Mapping[str, Any]) -> Prompt:
    """Return a prompt from TOML or JSON; raises `InputError` for missing or unknown fields."""
    fields: dict[str, Any] = {
        name: tuple(map(str, value)) if isinstance(value, list) else value
        for name, value in values.items()
    }
    try:
        return Prompt(**fields)
    except TypeError as error:
        raise InputError("A prompt has wrong fields", why=str(error)) from error


@cache
def known_models() -> tuple[KnownModel, ...]:
    """Return the known rerankers, in the order of the file."""
    with Path(__file__).with_name("known_models.toml").open("rb") as stream:
        data = tomllib.load(stream)
    prompts = {name: make_prompt(fields) for name, fields in data["prompts"].items()}
    return tuple(_make_model(row, data, prompts) for row in data["models"])


def _make_model(
    row: Mapping[str, Any], data: Mapping[str, Any], prompts: Mapping[str, Prompt]
) -> KnownModel:
    fields = dict(row)
    figures = tuple(
        Figure(data["measures"][f["measure"]], f["value"], data["sources"][f["source"]])
        for f in fields.pop("quality", ())
    )
    prompt = fields.pop("prompt", None)
    return KnownModel(
        **fields | {"aliases": tuple(fields.get("aliases", ()))},
        quality=figures,
        prompt=None if prompt is None else prompts[prompt],
    )


def find_known(*names: str) -> KnownModel | None:
    """Return the model that one of the names stands for, None if none does.

    A name is "owner/model", with or without "@revision", or a path whose last folder is called
    "model", "owner--model" or as in the cache of Hugging Face ("models--owner--model/…").
    """
    rows = [(row, (row.name, *row.aliases)) for row in known_models()]
    for name in names:
        text = name.partition("@")[0].rstrip("/").replace("\\", "/")
        folders = text.split("/")
        for row, row_names in rows:
            spelled = {n.replace("/", "--") for n in row_names}
            bare = {n.partition("/")[2] for n in row_names}
            if text in row_names or folders[-1] in spelled | bare:
                return row
            if any(folder == f"models--{s}" for folder in folders for s in spelled):
                return row
    return None
