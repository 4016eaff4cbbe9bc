"""Sessions of PostgreSQL: read-only, with time-outs, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secondpass.errors import MissingExtraError
from secondpass.retrieve.backends.connection_pool import ConnectionPool
from secondpass.retrieve.backends.database_url import DatabaseURL

if TYPE_CHECKING:
    from psycopg import Connection

# Of the session: what pgvector does where a filter leaves too few of its nearest.
_SESSION = {
    "default_transaction_read_only": "on",
    "TimeZone": "UTC",
    "hnsw.ef_search": "100",
    "hnsw.iterative_scan": "strict_order",
    "ivfflat.iterative_scan": "relaxed_order",
}


class Session:
    """Connections to one database, each read-only and with a time-out for statements."""

    def __init__(self, url: DatabaseURL) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtraError(
                "PostgreSQL", package="psycopg", extra="postgres"
            ) from error
        self._url, self._psycopg = url, psycopg
        late = (psycopg.errors.QueryCanceled, psycopg.errors.ConnectionTimeout)
        self._pool: ConnectionPool[Connection[Any]] = ConnectionPool(
            url,
            self._connect,
            lambda connection: connection.close(),
            errors=(psycopg.Error,),
            dropped=(psycopg.OperationalError, psycopg.InterfaceError),
            timed_out=lambda error: isinstance(error, late),
            usable=lambda connection: not connection.broken and not connection.closed,
        )

    def run(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one statement."""
        return self._pool.read(
            lambda connection: connection.execute(statement.encode(), values).fetchall()
        )

    def close(self) -> None:
        """End the connections."""
        self._pool.close()

    def _connect(self) -> Connection[Any]:
        url = self._url
        given: dict[str, Any] = {
            "host": url.host or url.options.get("host"),
            "port": url.port,
            "user": url.user,
            "password": url.secret,
            "dbname": url.path or None,
            "sslmode": url.options.get("sslmode"),
            "sslrootcert": url.options.get("sslrootcert"),
        }
        connection = self._psycopg.connect(
            **{name: value for name, value in given.items() if value is not None},
            connect_timeout=max(1, round(url.connect_timeout)),
            autocommit=True,
            # Poolers give the statements of one session to several connections.
            prepare_threshold=None,
        )
        settings = _SESSION | {"statement_timeout": str(round(url.timeout * 1000))}
        calls = ", ".join("set_config(%s, %s, false)" for _ in settings)
        flat = [part for pair in settings.items() for part in pair]
        connection.execute(f"SELECT {calls}".encode(), flat)
        return connection
