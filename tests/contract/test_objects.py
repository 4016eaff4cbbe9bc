"""What every object storage must do: a folder, and S3 as moto speaks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from secondpass.errors import IndexStoreError, InputError
from secondpass.index.storage.objects import FolderObjects, Objects, open_objects
from tests.loopback.moto_server import ObjectServer, object_server
from tests.loopback.redis_server import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as found:
        yield found


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return FolderObjects(tmp_path / "objects")
    server = request.getfixturevalue("server")
    return open_objects(f"s3://bucket/{tmp_path.name}/deep", server.options)


def test_what_is_not_there(objects: Objects, tmp_path: Path) -> None:
    assert objects.get("a/b") is None
    assert list(objects.list()) == []
    assert not objects.download("a/b", tmp_path / "file")
    objects.delete(["a/b"])
    objects.delete([])
    assert objects.put_if("a/b", b"new", "|1") is None
    assert objects.get("a/b") is None


def test_a_put_needs_the_tag_of_what_is_there(objects: Objects) -> None:
    first = objects.put_if("a/b", b"one", None)
    assert first is not None
    assert objects.put_if("a/b", b"other", None) is None
    assert objects.get("a/b") == (b"one", first)
    second = objects.put_if("a/b", b"two", first)
    assert second not in (None, first)
    assert objects.put_if("a/b", b"three", first) is None
    assert objects.get("a/b") == (b"two", second)


def test_of_many_writers_at_once_one_wins(objects: Objects) -> None:
    tag = None
    for turn in range(3):
        start, won = threading.Barrier(6), list[tuple[bytes, str]]()

        def write(number: int, turn: int = turn, tag: str | None = tag) -> None:
            content = f"{turn} {number}".encode()
            start.wait()  # noqa: B023 - the threads of a turn end in it
            new = objects.put_if("pointer", content, tag)
            if new is not None:
                won.append((content, new))  # noqa: B023

        threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert objects.get("pointer") == won[0]
        tag = won[0][1]


def test_files_go_and_come_whole(objects: Objects, tmp_path: Path) -> None:
    content = bytes(range(256)) * 50_000
    (tmp_path / "up").write_bytes(content)
    objects.upload("objects/ab/large", tmp_path / "up")
    assert objects.download("objects/ab/large", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == content
    (tmp_path / "up").write_bytes(b"")
    objects.upload("objects/ab/large", tmp_path / "up")
    assert objects.download("objects/ab/large", tmp_path / "down")
    assert (tmp_path / "down").read_bytes() == b""


def test_listing_and_deleting(objects: Objects) -> None:
    names = {"CURRENT", "objects/aa/1", "objects/bb/2", "objectsx/3"}
    for name in names:
        objects.put_if(name, b"x" + name.encode(), None)
    assert {info.name for info in objects.list()} == names
    assert {info.name for info in objects.list("objects")} == {"objects/aa/1", "objects/bb/2"}
    (found,) = [info for info in objects.list() if info.name == "CURRENT"]
    assert found.size == 8
    assert found.modified.tzinfo is not None
    objects.delete(["objects/aa/1", "CURRENT", "nothing"])
    assert {info.name for info in objects.list()} == {"objects/bb/2", "objectsx/3"}


# --- what is wrong is said


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://bucket/a", "an index cannot be at ftp://"),
        ("s4://bucket/a", "Did you mean 's3'"),
        ("s3:///a", "names no bucket"),
        ("s3://key:hidden@bucket/a", "credentials in storage_options"),
        ("s3://bucket/a?hidden=1", "bucket and a prefix only"),
        ("file://host/a", "folder of this machine"),
    ],
)
def test_urls_that_cannot_be(url: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        open_objects(url)
    assert said in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_a_setting_that_there_is_not() -> None:
    pytest.importorskip("obstore", reason="the extra s3 is not installed")
    with pytest.raises(InputError, match="a setting is not known") as raised:
        open_objects("s3://bucket/a", {"aws_secret_acess_key": "hidden"})
    assert "hidden" not in str(raised.value)


def test_a_bucket_that_is_not_there(server: ObjectServer, tmp_path: Path) -> None:
    objects = open_objects("s3://no-bucket/a", server.options)
    (tmp_path / "file").write_bytes(b"x")
    for call in (
        lambda: objects.get("a"),
        lambda: objects.put_if("a", b"", None),
        lambda: objects.upload("a", tmp_path / "file"),
        lambda: objects.download("a", tmp_path / "other"),
        lambda: list(objects.list()),
    ):
        with pytest.raises(IndexStoreError, match="there is no bucket 'no-bucket'"):
            call()


def test_a_storage_that_is_not_there(server: ObjectServer) -> None:
    options = {**server.options, "aws_endpoint": f"http://127.0.0.1:{free_port()}"}
    objects = open_objects("s3://bucket/a", options)
    with pytest.raises(IndexStoreError, match="it cannot be reached") as raised:
        objects.get("a")
    assert raised.value.where == "s3://bucket/a"


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    objects = open_objects(f"{tmp_path.as_uri()}/file")
    for call in (lambda: objects.get("a"), lambda: objects.put_if("a", b"x", None)):
        with pytest.raises(IndexStoreError, match="Give a folder"):
            call()
