"""Versions in object storage: what moves the pointer, and what must not."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from secondpass.errors import IndexStoreError
from secondpass.index.storage.objects import FolderObjects
from secondpass.index.storage.versions import CURRENT, PublishedVersions, StoredFile


@pytest.fixture
def published(tmp_path: Path) -> PublishedVersions:
    return PublishedVersions(FolderObjects(tmp_path / "objects"))


def file(letter: str) -> StoredFile:
    return StoredFile(letter * 64, 1)


def test_versions_follow_each_other(published: PublishedVersions) -> None:
    assert published.current() is None
    first = published.publish({"a": file("a")}, None, 1)
    second = published.publish({"a": file("a"), "b/c": file("b")}, first, 1)
    assert (first.number, second.number) == (1, 2)
    assert published.current() == second
    assert published.files(first) == {"a": file("a")}
    assert published.files(second) == {"a": file("a"), "b/c": file("b")}


def test_a_writer_that_was_overtaken_cannot_commit(published: PublishedVersions) -> None:
    first = published.publish({"a": file("a")}, None, 1)
    published.publish({"a": file("b")}, first, 1)
    with pytest.raises(IndexStoreError, match="nothing was stored"):
        published.publish({"a": file("c")}, first, 1)
    with pytest.raises(IndexStoreError, match="nothing was stored"):
        published.publish({"a": file("c")}, None, 1)
    current = published.current()
    assert current is not None
    assert published.files(current) == {"a": file("b")}


def test_a_fence_stops_an_earlier_writer_before_the_later_one_has_written(
    published: PublishedVersions,
) -> None:
    first = published.publish({"a": file("a")}, None, 1)
    fenced = published.fence(first, 2)
    assert (fenced.number, fenced.version, fenced.epoch) == (1, first.version, 2)
    with pytest.raises(IndexStoreError, match="nothing was stored"):
        published.publish({"a": file("z")}, first, 1)
    with pytest.raises(IndexStoreError, match="nothing was stored"):
        published.fence(fenced, 1)
    assert published.publish({"a": file("b")}, fenced, 2).number == 2


def test_a_fence_keeps_what_an_earlier_writer_committed_just_before(
    published: PublishedVersions,
) -> None:
    first = published.publish({"a": file("a")}, None, 1)
    late = published.publish({"a": file("b")}, first, 1)
    fenced = published.fence(first, 2)
    assert (fenced.version, fenced.epoch) == (late.version, 2)


def test_what_no_version_of_a_day_needs_is_deleted(published: PublishedVersions) -> None:
    objects = published.objects
    assert isinstance(objects, FolderObjects)
    (objects.folder.parent / "x").write_bytes(b"x")
    for letter in "abcd":
        objects.upload(file(letter).name, objects.folder.parent / "x")
    first = published.publish({"a": file("a")}, None, 1)
    second = published.publish({"b": file("b")}, first, 1)
    third = published.publish({"c": file("c")}, second, 1)

    def age(name: str, days: float) -> None:
        path = objects.folder / name
        os.utime(path, (path.stat().st_atime, time.time() - 86_400 * days))

    def names() -> set[str]:
        return {info.name for info in objects.list()}

    everything = names()
    for letter in "abcd":
        age(file(letter).name, 9)
    # Nothing names it; it may be of a writer that is about to.
    age(file("d").name, 0.5)
    age(first.version, 9)
    age(second.version, 8)
    # The first version ended 8 days ago, the second just now: a reader may be fetching it.
    assert published.delete_unused(third) == 2
    assert names() == everything - {file("a").name, first.version}
    assert published.files(first) is None
    age(file("d").name, 2)
    age(third.version, 1.5)
    objects.upload(file("e").name, objects.folder.parent / "x")
    assert published.delete_unused(third) == 3
    assert names() == {CURRENT, third.version, file("c").name, file("e").name}
    assert published.current() == third


@pytest.mark.parametrize(
    ("path", "digest"),
    [
        *[
            (path, "a" * 64)
            for path in ("../a", "/a", "a/../../b", "a//b", ".a", "a\\b", "c:a")
        ],
        *[("a", digest) for digest in ("", "a" * 63, "../" + "a" * 61, "A" * 64)],
    ],
)
def test_a_list_cannot_name_files_outside_of_the_copy(
    published: PublishedVersions, path: str, digest: str
) -> None:
    pointer = published.publish({path: StoredFile(digest, 1)}, None, 1)
    with pytest.raises(IndexStoreError, match="holds something else"):
        published.files(pointer)


@pytest.mark.parametrize("content", [b"", b"\x00", b"[1]", b"{}", b'{"format": 1}'])
def test_a_prefix_of_others_is_said(published: PublishedVersions, content: bytes) -> None:
    published.objects.put_if(CURRENT, content, None)
    with pytest.raises(IndexStoreError, match="holds something else") as raised:
        published.current()
    assert raised.value.fix == "Give another prefix, or an empty one."


def test_a_prefix_with_other_objects_is_said(published: PublishedVersions) -> None:
    published.objects.put_if("photos/1.jpg", b"x", None)
    with pytest.raises(IndexStoreError, match=r"'photos/1\.jpg'"):
        published.current()


def test_an_index_of_a_newer_version_is_said(published: PublishedVersions) -> None:
    published.objects.put_if(CURRENT, json.dumps({"format": 2, "x": 1}).encode(), None)
    with pytest.raises(IndexStoreError, match="newer version") as raised:
        published.current()
    assert "pip install -U secondpass" in str(raised.value)
