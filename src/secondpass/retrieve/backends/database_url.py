"""Names of databases: `scheme://user@host:port/db?table=docs&text=body`, secrets aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from secondpass.errors import InputError, nearest
from secondpass.storage import expand_home

TABLE_WORDS = ("table", "collection", "index")
"""What engines call the thing that is searched; a URL names it by any of these."""
PARAMETERS = (
    *TABLE_WORDS,
    *("id", "text", "title", "vector", "parent", "chunk", "fields", "format", "schema"),
    *("analyzer", "connect_timeout", "timeout"),
)
FORMATS = ("text", "html", "json")
_SECRET_PARAMETERS = ("password", "api_key", "token")
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class DatabaseURL:
    """A parsed URL of a database; printing it shows no secret.

    - `scheme`, `host`, `port`, `user`: as in the URL, None where absent; an IPv6 address has no
      brackets.
    - `secret`: the password or key that the URL has, None where it is in the environment.
    - `path`: what follows the host, without the first slash: a database, a file or an index.
    - `table`: what to search there; also written `collection` or `index`.
    - `id`, `text`, `title`, `vector`, `parent`, `chunk`: columns or fields by role; `fields`:
      those that documents carry and filters can name, None for all others there are.
    - `format`: what the text column holds, one of FORMATS.
    - `schema`, `analyzer`: where the table is, and how its text is split into words.
    - `connect_timeout`, `timeout`: in seconds, of a connection and of a query.
    - `options`: the parameters of the engine alone, by name.
    """

    scheme: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    secret: str | None = field(default=None, repr=False)
    path: str = ""
    table: str | None = None
    id: str | None = None
    text: str | None = None
    title: str | None = None
    vector: str | None = None
    parent: str | None = None
    chunk: str | None = None
    fields: tuple[str, ...] | None = None
    format: str = "text"
    schema: str | None = None
    analyzer: str | None = None
    connect_timeout: float = 5.0
    timeout: float = 10.0
    options: dict[str, str] = field(default_factory=dict)
    redacted: str = ""
    """The URL as it can be printed."""

    def __repr__(self) -> str:
        return f"DatabaseURL({self.redacted!r})"

    def __str__(self) -> str:
        return self.redacted

    @property
    def file(self) -> Path:
        """The file or folder of a local engine; raises InputError where there is none.

        `scheme:///a.db` is relative to the working folder, `scheme:////a.db` is absolute, and
        `scheme:///~/a.db` is in the home folder.
        """
        if self.host is not None or not self.path:
            raise InputError(
                f"{self.scheme} needs a file",
                where=self.redacted,
                fix=f"Write {self.scheme}:///FILE for one in this folder, and "
                f"{self.scheme}:////FOLDER/FILE for an absolute path.",
            )
        return expand_home(self.path)


def parse_url(url: str, extra: Sequence[str] = ()) -> DatabaseURL:
    """Parse the URL of a database.

    `extra` are the parameters that this engine has beyond PARAMETERS. Raises InputError for
    what is no such URL, an unknown parameter, one given twice, and a value out of range; no
    message has a secret.
    """
    redacted = redact(url)
    try:
        parts = urlsplit(url)
        port = parts.port
        # The end of a password that has one of / ? # is taken for a path or a parameter.
        misread = parts.netloc != "" and "@" in parts.path + parts.query + parts.fragment
    except ValueError:
        misread = True
    if misread:
        # What urllib says may quote a part of the password.
        raise InputError(
            "the URL of a database cannot be read",
            where=redacted,
            why="its host or its port is not valid, or it has an @ too many",
            fix="Write @ as %40, and in a password / as %2F, ? as %3F and # as %23.",
        )
    if not parts.scheme or "://" not in url:
        raise InputError(
            "this is no URL of a database",
            where=redacted,
            fix="Write scheme://…, such as sqlite:///file.db?table=docs",
        )
    given = _parameters(parts.query, redacted, (*PARAMETERS, *extra))
    if parts.fragment:
        raise InputError(
            "the URL of a database has a '#'",
            where=redacted,
            fix="Write it as %23 where it is part of a name.",
        )
    tables = [given.pop(word) for word in TABLE_WORDS if word in given]
    if len(tables) > 1:
        raise InputError("the URL names two tables", where=redacted, fix="Name one of them.")
    secrets = [given.pop(name) for name in _SECRET_PARAMETERS if name in given]
    fields = given.pop("fields", None)
    kind = given.pop("format", "text")
    if kind not in FORMATS:
        raise InputError(f"unknown format {kind!r}", where=redacted, fix=nearest(kind, FORMATS))
    password = None if parts.password is None else unquote(parts.password)
    return DatabaseURL(
        parts.scheme.lower(),
        host=parts.hostname,
        port=port,
        user=None if parts.username is None else unquote(parts.username),
        secret=next(iter(secrets), password),
        path=unquote(parts.path.removeprefix("/")),
        table=next(iter(tables), None),
        fields=None if fields is None else tuple(f.strip() for f in fields.split(",") if f),
        format=kind,
        connect_timeout=_seconds(given, "connect_timeout", 5.0, redacted),
        timeout=_seconds(given, "timeout", 10.0, redacted),
        options={name: given.pop(name) for name in extra if name in given},
        redacted=redacted,
        **given,
    )


def redact(url: str) -> str:
    """Return a URL without its password, keys and tokens, even where it cannot be parsed."""
    scheme, separator, rest = url.partition("://")
    # A password may have characters that should have been escaped: all up to the last @ of the
    # URL is hidden, unless there is no place for one.
    authority, at, place = rest.rpartition("@")
    if separator and at and not rest.startswith("/"):
        user, colon, _ = authority.partition(":")
        rest = f"{user}{colon}{_HIDDEN if colon else ''}@{place}"
    head, mark, query = f"{scheme}{separator}{rest}".partition("?")
    parts = []
    for part in query.split("&"):
        name, equals, _ = part.partition("=")
        hidden = unquote(name).lower().strip() in _SECRET_PARAMETERS
        parts.append(f"{name}{equals}{_HIDDEN}" if hidden else part)
    return head + mark + "&".join(parts)


def file_url(scheme: str, file: Path, **parameters: str) -> str:
    """Return the URL of a local engine's file, with parameters such as `table`."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    return f"{scheme}:///{quote(str(file))}" + (f"?{query}" if query else "")


def _parameters(query: str, redacted: str, known: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known and name not in _SECRET_PARAMETERS:
            raise InputError(
                f"unknown parameter {name!r} in the URL of a database",
                where=redacted,
                fix=nearest(name, known),
            )
        if name in given:
            raise InputError(f"the URL has {name!r} twice", where=redacted)
        if not value.strip():
            raise InputError(
                f"the URL has {name!r} without a value", where=redacted, fix="Leave it out."
            )
        given[name] = value
    return given


def _seconds(given: dict[str, str], name: str, default: float, redacted: str) -> float:
    text = given.pop(name, None)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise InputError(
            f"{name} cannot be used",
            where=redacted,
            why=f"it is {text!r}",
            fix="Give seconds above 0, such as 5 or 0.5.",
        )
    return seconds
