"""URLs of databases: what they name, and what is never printed of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import InputError
from secondpass.retrieve.backends.database_url import file_url, parse_url
from secondpass.retrieve.backends.registry import is_database_url, open_retriever


def test_all_parts() -> None:
    url = parse_url(
        "postgresql://me:s%40cret@[::1]:5433/shop?table=docs&text=body&fields=a,b&timeout=2.5"
    )
    assert (url.host, url.port, url.user, url.secret) == ("::1", 5433, "me", "s@cret")
    assert (url.path, url.table, url.text, url.fields) == ("shop", "docs", "body", ("a", "b"))
    assert (url.timeout, url.connect_timeout) == (2.5, 5.0)
    assert "cret" not in repr(url) + str(url)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///a.db", "a.db"),
        ("sqlite:////var/a.db", "/var/a.db"),
        ("sqlite:///~/a.db", str(Path("~/a.db").expanduser())),
        ("sqlite:///a%20b%3F.db?table=x", "a b?.db"),
    ],
)
def test_files(url: str, file: str) -> None:
    assert parse_url(url).file == Path(file)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///a?tabel=x", "Did you mean 'table'"),
        ("sqlite:///a?table=x&table=y", "twice"),
        ("sqlite:///a?table=x&collection=y", "two tables"),
        ("sqlite:///a?table=", "without a value"),
        ("sqlite:///a?timeout=0", "seconds above 0"),
        ("sqlite:///a?timeout=nan", "seconds above 0"),
        ("sqlite:///a?format=xml", "unknown format"),
        ("sqlite:///a#b", "%23"),
        ("postgresql://h:port/x", "cannot be read"),
    ],
)
def test_mistakes(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_url(url)


@given(st.text("abz019:/@?&=#%", max_size=20))
def test_a_password_is_never_in_what_is_printed(inside: str) -> None:
    secret = f"S3CRET{inside}S3CRET"
    for url in (
        f"postgresql://me:{secret}@host:1/db?table=x",
        f"qdrant://host/?api_key={secret.replace('&', '')}",
    ):
        try:
            printed = repr(parse_url(url))
        except InputError as error:
            printed = str(error)
        assert "S3CRET" not in printed


def test_a_url_that_is_made_of_a_file_is_that_file(tmp_path: Path) -> None:
    for name in ("plain.db", "it's 100% #1?.db", "ü&=.db"):
        url = parse_url(file_url("sqlite", tmp_path / name, table="a&b"))
        assert url.file == tmp_path / name
        assert url.table == "a&b"


def test_a_scheme_that_is_not_there_names_the_nearest() -> None:
    assert is_database_url("SQLite:///a.db")
    assert not is_database_url("s3://bucket")
    with pytest.raises(InputError, match="Did you mean 'postgresql'"):
        open_retriever("postgresqll://me:pw@host/db")
    with pytest.raises(InputError, match="no URL"):
        open_retriever("docs.db")
