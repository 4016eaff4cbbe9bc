"""Markdown files: one document a file; front matter becomes its title and metadata."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.inference.unicode import clean
from secondpass.retrieve.loaders.base import Loader, read_text
from secondpass.types import Document

_FENCE = re.compile(
    r"^ {0,3}(`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(
    r"^ {0,3}#{1,6}[ \t]+(?P<hash>[^\n]*+)$"
    r"|^ {0,3}(?P<line>[^\s#>*+-][^\n]*)\n {0,3}(?:=+|-{2,})[ \t]*$",
    re.MULTILINE,
)
_YAML = re.compile(
    r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?(?:\n|\Z)", re.MULTILINE | re.DOTALL
)
_TOML = re.compile(r"\+\+\+[ \t]*\r?\n(.*?)^\+\+\+[ \t]*\r?(?:\n|\Z)", re.MULTILINE | re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_KEY = re.compile(r"[^\s:]+")
_MAX_FRONT_MATTER = 50_000
# The parser looks at all open brackets at each token.
_MAX_BRACKETS = 50


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the file as one document.

    Front matter (YAML between lines of `---`, TOML between lines of `+++`) is read if it is a
    mapping: its title is the document's, its other fields are metadata. Anything else at the
    beginning, such as a rule, is text. Without a title there, the first heading is the title.
    """
    text = read_text(path)
    front, body = split_front_matter(text)
    metadata = _metadata(front)
    title = next((k for k in metadata if k.lower() == "title"), None)
    heading = first_heading(body) if title is None else " ".join(metadata.pop(title).split())
    yield Document(body, name, heading or None, metadata)


LOADER = Loader((".md", ".markdown"), load, version=2, safe_bytes=2**20)


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return the fields of the front matter and the text after it; ({}, text) without any.

    Front matter is a mapping whose names have no spaces, and begins in the line after the
    first delimiter: two rules around "Any other business: none" are text.
    """
    match = _YAML.match(text)
    parse = _parse_yaml
    if match is None:
        match, parse = _TOML.match(text), _parse_toml
    if match is None or len(match[1]) > _MAX_FRONT_MATTER:
        return {}, text
    source = match[1]
    if _depth(source) > _MAX_BRACKETS:
        return {}, text
    if not source.strip():
        return {}, text[match.end() :]
    if not source.partition("\n")[0].strip():
        return {}, text
    fields = parse(source)
    if not fields or not all(isinstance(k, str) and _KEY.fullmatch(k) for k in fields):
        return {}, text
    return dict(fields), text[match.end() :]


def first_heading(text: str) -> str | None:
    """Return the text of the first heading outside of code blocks."""
    # A comment in a shell example is not a heading.
    heading = _HEADING.search(_FENCE.sub("", text))
    if heading is None:
        return None
    if heading["hash"] is None:
        return heading["line"].strip()
    return heading["hash"].rstrip().rstrip("#").strip() or None


def _depth(source: str) -> int:
    """Return how many brackets are open at once, at most."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(source):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest


def _parse_yaml(source: str) -> Mapping[Any, Any] | None:
    """Return the mapping, its scalars as they are written; None for anything else."""
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            "reading front matter", package="PyYAML", extra="index"
        ) from error
    try:
        # Aliases can grow a few lines to gigabytes once they are written out.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(source)):
            return None
        # Not safe_load, which makes 1.1 of "version: 1.10" and False of "lang: no".
        value = yaml.load(source, yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return None
    return value if isinstance(value, Mapping) else None


def _parse_toml(source: str) -> Mapping[str, Any] | None:
    try:
        return tomllib.loads(source.replace("\r\n", "\n"))
    except (ValueError, RecursionError):
        return None


def _metadata(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields as text, because other files may have other types in the same field.

    Lists are joined by commas; names inside a mapping get its name and an underscore before
    them. Of names that differ in case only, the first is used, as filters ignore case.
    """
    metadata: dict[str, str] = {}
    names: set[str] = set()
    stack: list[tuple[str, Any]] = list(reversed(list(fields.items())))
    while stack:
        key, value = stack.pop()
        if isinstance(value, Mapping):
            stack += reversed([(f"{key}_{inner}", item) for inner, item in value.items()])
            continue
        text = ", ".join(map(_scalar, value)) if isinstance(value, list) else _scalar(value)
        if text not in ("", "~", "null") and key.lower() not in names:
            names.add(key.lower())
            metadata[clean(key)] = clean(text)
    return metadata


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
