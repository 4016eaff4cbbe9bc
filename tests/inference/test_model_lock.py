from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.errors import ModelDamagedError
from secondpass.inference.model_lock import (
    FILE_NAME,
    ModelLock,
    Pin,
    PinnedFile,
    project_lock,
    requires_revision,
)

FILES = {"config.json": PinnedFile("0" * 64, 12), "a/b.onnx": PinnedFile("1" * 64, 0)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    monkeypatch.delenv("SECONDPASS_MODELS_LOCK", raising=False)
    monkeypatch.chdir(tmp_path)


def pin(digit: str = "a") -> Pin:
    return Pin(digit * 40, FILES)


def test_the_first_pin_of_a_name_stays_unless_it_is_replaced(tmp_path: Path) -> None:
    lock = ModelLock(tmp_path / FILE_NAME)
    assert lock.find("a/b") is None
    assert lock.add("a/b", pin()) == pin()
    assert lock.add("a/b", pin("b")) == pin()
    assert lock.add("a/b@main", pin("c")) == pin("c")
    assert ModelLock(lock.path).pins() == {"a/b": pin(), "a/b@main": pin("c")}
    assert lock.checksums("a/b", "c" * 40) == pin("c")
    assert lock.checksums("a/c", "c" * 40) is None
    assert lock.add("a/b", pin("b"), replace=True) == pin("b")
    assert {f.name for f in tmp_path.iterdir()} == {FILE_NAME, "cache"}


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    lock = ModelLock(tmp_path / FILE_NAME)
    names = [f"a/{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: lock.add(name, pin()), names))
    assert set(lock.pins()) == set(names)


def test_where_the_lock_of_a_project_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project_lock() is None
    ModelLock(tmp_path / FILE_NAME).add("a/b", pin())
    found = project_lock()
    assert found is not None
    assert found.path == tmp_path / FILE_NAME
    monkeypatch.setenv("SECONDPASS_MODELS_LOCK", "")
    assert project_lock() is None


@pytest.mark.parametrize(("value", "strict"), [("1", True), ("0", False), ("", False)])
def test_strict(value: str, strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDPASS_REQUIRE_REVISION", value)
    assert requires_revision() is strict


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a/b", "commit", "files"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(_JSON)
def test_any_content_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, models: object
) -> None:
    lock = ModelLock(tmp_path_factory.getbasetemp() / "any.lock")
    lock.path.write_text(json.dumps({"format": 1, "models": models}), encoding="utf-8")
    try:
        pins = lock.pins()
    except ModelDamagedError:
        return
    assert all(len(found.commit) == 40 and found.files for found in pins.values())
