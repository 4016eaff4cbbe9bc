"""Compact records: what is read again is near, and never of another format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass.rerank.precomputed.record_formats import COMPACT, FORMATS, FULL
from secondpass.rerank.precomputed.store import StateStore
from secondpass.rerank.precomputed.types import Record
from secondpass.retrieve.settings import States

LOST = 0.13
"""The share of a normal variable's square that four levels lose is .1175 (Max, 1960)."""


def normal_record(seed: int, tokens: int, codes: int, dimension: int) -> Record:
    numbers = np.random.default_rng(seed)
    values = numbers.normal(size=(tokens, codes))
    scales = np.abs(values).max(axis=1, keepdims=True) / 127
    embedding = numbers.normal(size=dimension)
    return Record(
        np.rint(values / scales).astype(np.int8),
        (scales[:, 0] * numbers.uniform(0.1, 10, tokens)).astype(np.float16),
        (embedding / np.linalg.norm(embedding)).astype(np.float32),
    )


def states(record: Record) -> np.ndarray:
    return record.codes * record.scales.astype(np.float32)[:, None]


@given(
    seed=st.integers(0, 2**32 - 1),
    tokens=st.integers(1, 40),
    codes=st.integers(1, 140),
    dimension=st.integers(1, 20),
)
def test_what_is_read_again_has_its_shape_and_is_near(
    seed: int, tokens: int, codes: int, dimension: int
) -> None:
    record = normal_record(seed, tokens, codes, dimension)
    again = COMPACT.as_stored(record)
    assert again.codes.shape == (tokens, codes)
    assert again.tokens == tokens
    assert again.codes.dtype == np.int8
    assert len(COMPACT.pack(record)) == tokens * (-(-codes // 4) + 2) + dimension
    before, after = states(record), states(again)
    # No state is longer than before or points away, whatever its codes are.
    lost = ((before - after) ** 2).sum(axis=1)
    assert (lost <= (before**2).sum(axis=1) * 1.001).all()
    assert np.linalg.norm(again.embedding) == pytest.approx(1, abs=1e-3)
    assert record.embedding @ again.embedding > 1 - 1e-3


def test_normal_codes_lose_what_the_theory_says() -> None:
    record = normal_record(0, 200, 128, 384)
    before, after = states(record), states(COMPACT.as_stored(record))
    assert ((before - after) ** 2).sum() < LOST * (before**2).sum()
    full = len(FULL.pack(record))
    assert len(COMPACT.pack(record)) < 0.27 * full


@given(st.lists(st.lists(st.integers(-127, 127), min_size=5, max_size=5), min_size=1))
def test_any_codes_can_be_written(rows: list[list[int]]) -> None:
    codes = np.array(rows, dtype=np.int8)
    record = Record(codes, np.ones(len(rows), np.float16), np.zeros(3, np.float32))
    again = COMPACT.as_stored(record)
    assert np.isfinite(states(again)).all()
    assert not again.embedding.any()
    assert not states(again)[~codes.any(axis=1)].any()


def test_the_largest_scale_stays_finite() -> None:
    largest = np.array([np.finfo(np.float16).max])
    record = Record(np.full((1, 8), 127, np.int8), largest, np.ones(1, np.float32))
    assert np.isfinite(states(COMPACT.as_stored(record))).all()


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("length", [0, 3, 4, 13])
def test_an_impossible_length_is_refused(form: object, length: int) -> None:
    with pytest.raises(ValueError, match="bytes are not a"):
        form.unpack(bytes(length), 8, 4)  # type: ignore[attr-defined]


def test_formats_are_the_values_of_the_option() -> None:
    assert {*FORMATS, "none"} == set(States.__args__)  # type: ignore[attr-defined]


def test_a_full_record_is_what_it_was() -> None:
    record = normal_record(1, 5, 8, 4)
    assert FULL.as_stored(record) is record
    assert FULL.unpack(FULL.pack(record), 8, 4).to_bytes() == record.to_bytes()


def store_at(file: Path, name: str) -> StateStore:
    return StateStore(file, digest="d", codes=8, dimension=4, format=FORMATS[name])


def test_a_file_of_the_other_format_counts_as_empty(tmp_path: Path) -> None:
    key, record = bytes(16), normal_record(0, 5, 8, 4)
    full, compact = store_at(tmp_path / "f", "full"), store_at(tmp_path / "f", "compact")
    full.put([(key, record)])
    assert compact.get([key]).records == {}
    assert compact.put([(key, record)]) is None
    (found,) = compact.get([key]).records.values()
    assert found.to_bytes() == COMPACT.as_stored(record).to_bytes()
    assert full.get([key]).records == {}
    full.close()
    compact.close()


def test_a_store_takes_what_another_one_has(tmp_path: Path) -> None:
    full, compact = store_at(tmp_path / "f", "full"), store_at(tmp_path / "c", "compact")
    compact.copy_from(full)
    assert compact.count() == 0
    records = {n.to_bytes(16): normal_record(n, 1 + n % 7, 8, 4) for n in range(1203)}
    full.put(records.items())
    compact.copy_from(full)
    assert compact.get(list(records)).records.keys() == records.keys()
    full.close()
    compact.close()
