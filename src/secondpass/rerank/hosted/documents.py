"""Candidates as the texts that are sent: joined, as YAML or as fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secondpass.errors import MissingExtraError
from secondpass.inference.unicode import clean
from secondpass.rerank.hosted.provider import Payload, Provider
from secondpass.rerank.scoring_options import Reading, field_text
from secondpass.types import Candidate

BLANK = "."
"""What is sent for a text with nothing in it, which several providers refuse."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The documents to send, the names of their fields (or none), what was cut of each."""

    documents: Sequence[Payload]
    fields: tuple[str, ...]
    unread: Sequence[int]


def prepare(
    candidates: Sequence[Candidate], reading: Reading, provider: Provider, characters: int
) -> Prepared:
    """Return the candidates as a provider wants them, each cut to so many characters."""
    texts = reading.texts(candidates)
    structured = reading.template is None and any(head for head, _ in texts)
    fields = reading.names if structured and provider.structure == "fields" else ()
    documents: list[Payload] = []
    unread: list[int] = []
    for candidate, (head, body) in zip(candidates, texts, strict=True):
        kept_head = head[:characters]
        kept_body = body[: characters - len(kept_head)]
        unread.append(len(head) + len(body) - len(kept_head) - len(kept_body))
        if fields:
            documents.append(_object(candidate, fields, len(kept_body)))
        elif structured and head and provider.structure == "yaml":
            whole = _object(candidate, reading.names, len(kept_body))
            documents.append(to_yaml({k: v for k, v in whole.items() if v.strip()}))
        else:
            space = " " if head and reading.template is None else ""
            text = clean(kept_head + space + kept_body)
            documents.append(text if text.strip() else BLANK)
    return Prepared(documents, fields, unread)


def to_yaml(fields: dict[str, str]) -> str:
    """Return fields as YAML in their order, the form Cohere recommends for such documents."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            "Sending documents with fields", package="PyYAML", extra="hosted"
        ) from error
    # PyYAML writes the rare line break U+0085 so that it is read back as a space.
    fields = {name: value.replace("\x85", "\n") for name, value in fields.items()}
    return str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=1 << 20))


def _object(candidate: Candidate, names: Sequence[str], last: int) -> dict[str, str]:
    """Return the fields of one document; of the last one only so many characters."""
    found = {n: clean(field_text(candidate.document, n) or "") for n in names}
    found[names[-1]] = found[names[-1]][:last]
    if not any(v.strip() for v in found.values()):
        found[names[-1]] = BLANK
    return found
