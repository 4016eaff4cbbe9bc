"""Markdown files: one document a file; front matter becomes its title and metadata."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from secondpass.errors import MissingExtraError
from secondpass.inference.unicode import clean
from secondpass.retrieve.loaders.base import UNREAD_HEAD, Loader, leave_out, read_text
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
_BLANK = re.compile(r"(?:[ \t]*+\r?\n)*+")
_BRACKET = re.compile(r"[\[\]{}]")
_KEY = re.compile(r"[^\s:]+")
_SPACED_KEY = re.compile(r"[^\n:]+")
# With one of these beside them, names with spaces are fields too, not the beginning of a text.
_COMMON_FIELDS = frozenset(
    ("title", "date", "tags", "tag", "author", "aliases", "description", "created", "updated")
)
_FIRST_FIELD = re.compile(r"[\w.-]+[ \t]*[:=]")
_YAML_FIELD = re.compile(r"^([\w.-]++):[ \t]++([^\n]*)", re.MULTILINE)
_TOML_LINE = re.compile(r"at line ([0-9]+)")
_PAIRS = {"[": "]", "{": "}", "'": "'", '"': '"'}
_MAX_FRONT_MATTER = 50_000
# The parser looks at all open brackets at each token.
_MAX_BRACKETS = 50


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the file as one document.

    Front matter (YAML between lines of `---`, TOML between lines of `+++`, a JSON object) is
    read if it is a mapping: its title is the document's, its other fields are metadata.
    Anything else at the beginning, such as a rule, is text; what looks like front matter and
    cannot be read is reported too. Without a title there, the first heading is the title.
    """
    text = read_text(path)
    if "\n" not in text.rstrip():
        # Lines of an old Mac end with that alone.
        text = text.replace("\r", "\n")
    front, body = split_front_matter(text)
    metadata = _metadata(front)
    title = next((k for k in metadata if k.lower() == "title"), None)
    heading = first_heading(body) if title is None else " ".join(metadata.pop(title).split())
    yield Document(body, name, heading or None, metadata)


LOADER = Loader((".md", ".markdown"), load, version=4, safe_bytes=2**20)


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """Return the fields of the front matter and the text after it; ({}, text) without any.

    Front matter is a mapping that begins in the line after the first delimiter, whose names
    have no spaces unless one is common, such as "title": two rules around "Any other business:
    none" are text. Blank lines before it do not count.
    """
    if text.startswith("{"):
        return _split_json(text)
    start = _BLANK.match(text).end()  # type: ignore[union-attr]
    match, kind = _YAML.match(text, start), "YAML"
    if match is None:
        match, kind = _TOML.match(text, start), "TOML"
    if match is None:
        return {}, text
    source = match[1]
    if not source.strip():
        return {}, text[match.end() :]
    if not source.partition("\n")[0].strip():
        return {}, text
    try:
        if len(source) > _MAX_FRONT_MATTER or _depth(source) > _MAX_BRACKETS:
            raise ValueError("too large")
        fields = _parse_yaml(source) if kind == "YAML" else _parse_toml(source)
    except ValueError as error:
        # A rule, and a line that is no field, are text as they should be.
        if _FIRST_FIELD.match(source):
            leave_out(f"{UNREAD_HEAD} that is not {kind}: {error}")
        return {}, text
    return (dict(fields or {}), text[match.end() :]) if _are_names(fields) else ({}, text)


def _are_names(fields: Mapping[Any, Any] | None) -> bool:
    names = [name for name in fields or () if isinstance(name, str)]
    if not names or len(names) < len(fields or ()):
        return False
    common = any(name.lower() in _COMMON_FIELDS for name in names)
    return all((_SPACED_KEY if common else _KEY).fullmatch(name) for name in names)


def _split_json(text: str) -> tuple[dict[str, Any], str]:
    head = text[:_MAX_FRONT_MATTER]
    if _depth(head.partition("\n}")[0]) > _MAX_BRACKETS:
        return {}, text
    try:
        fields, end = json.JSONDecoder(parse_float=str, parse_int=str).raw_decode(head)
    except (ValueError, RecursionError):
        return {}, text
    body = text[end:]
    # A file that is all JSON has no other text.
    if not body.strip() or body[0] not in "\r\n" or not _are_names(fields):
        return {}, text
    return {k: v for k, v in fields.items() if v is not None}, body.lstrip("\r\n")


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
    """Return the mapping, its scalars as they are written; None for anything else.

    Raises ValueError, with the line in the file, for what is not YAML.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            "reading front matter", package="PyYAML", extra="index"
        ) from error
    problem = "nested too deep"
    for attempt in (source, _YAML_FIELD.sub(_quote_value, source)):
        try:
            tokens = list(yaml.scan(attempt))
            # Aliases can grow a few lines to gigabytes once they are written out.
            aliases = [t for t in tokens if isinstance(t, yaml.AliasToken)]
            if aliases and any(isinstance(t, yaml.AnchorToken) for t in tokens):
                line = aliases[0].start_mark.line + 2
                raise ValueError(f"line {line}: aliases are not read")
            # Not safe_load, which makes 1.1 of "version: 1.10" and False of "lang: no".
            value = yaml.load(attempt, yaml.BaseLoader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            if attempt is source:
                # After the delimiter, and counted from 1.
                problem = "damaged" if mark is None else f"line {mark.line + 2}"
        except (TypeError, RecursionError):
            continue
        else:
            return value if isinstance(value, Mapping) else None
    raise ValueError(problem)


def _quote_value(field: re.Match[str]) -> str:
    """Return a field as people write it, such as "title: A: b", as YAML."""
    value = field[2].strip()
    closing = _PAIRS.get(value[:1])
    if closing is not None:
        # One that never closes goes on in the next line, or is a mistake.
        closed = len(value) > 1 and value.endswith(closing) and not value.startswith("{{")
        plain = closed or closing not in value[1:]
    else:
        plain = (
            ": " not in value and not value.endswith(":") and value[:1] not in tuple("%@`&*")
        )
    quoted = value if plain else "'" + value.replace("'", "''") + "'"
    return f"{field[1]}: {quoted}"


def _parse_toml(source: str) -> Mapping[str, Any]:
    """Return the fields; raises ValueError for what is not TOML."""
    try:
        return tomllib.loads(source.replace("\r\n", "\n"))
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    except ValueError as error:
        line = _TOML_LINE.search(str(error))
        # After the delimiter.
        raise ValueError(f"line {int(line[1]) + 1}" if line else "it ends early") from error


def _metadata(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields as text, because other files may have other types in the same field.

    Lists are joined by commas; names inside a mapping, or the mappings of a list, get its name
    and an underscore before them. Of names that differ in case only, the first is used, as
    filters ignore case.
    """
    metadata: dict[str, str] = {}
    names: set[str] = set()
    stack: list[tuple[str, Any]] = list(reversed(list(fields.items())))
    while stack:
        key, value = stack.pop()
        if isinstance(value, Mapping):
            stack += reversed([(f"{key}_{inner}", item) for inner, item in value.items()])
            continue
        if isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            inner = dict.fromkeys(name for item in value for name in item)
            stack += [
                (f"{key}_{name}", [item[name] for item in value if name in item])
                for name in reversed(inner)
            ]
            continue
        text = _scalar(value)
        if text not in ("", "~", "null") and key.lower() not in names:
            names.add(key.lower())
            metadata[clean(key)] = clean(text)
    return metadata


def _scalar(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_scalar(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_scalar, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
