"""Kept scores: never another pair's, never another model's, whatever happens to the file."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass import Candidate, Document, InputError, PassageAggregation, Reranker, ScoreKind
from secondpass.inference.model_folder import MANIFEST
from secondpass.policies import Cached
from secondpass.rerank.policies.score_cache import pair_keys
from secondpass.rerank.policies.score_store import (
    CachedScore,
    ScoreMemory,
    ScoreStore,
    pack,
    unpack,
)
from secondpass.rerank.score import Score
from secondpass.rerank.scoring_options import ScoringOptions
from tests.rerank.simple import Numbers, numbered
from tests.tiny_models import tiny_cross_encoder, tiny_reader

ANY = st.text(st.characters(), max_size=6)
PAIRS = st.tuples(ANY, ANY, st.none() | ANY, ANY)
"""Identity, query, title, text."""


def key(pair: tuple[str, str, str | None, str], reading: ScoringOptions) -> bytes:
    identity, query, title, text = pair
    return pair_keys(identity, query, reading, [Candidate(Document(text, title=title))])[0]


def depends_on(pair: tuple[str, str, str | None, str], reading: ScoringOptions) -> object:
    identity, query, title, text = pair
    texts = reading.texts([Candidate(Document(text, title=title))])
    return identity, query, replace(reading, top_k=None, started=None), texts


def readings() -> st.SearchStrategy[ScoringOptions]:
    fields = st.none() | st.sampled_from([("text",), ("title", "text"), ("text", "title")])
    templates = st.none() | st.sampled_from(["{text}", "{title}: {text}", "{title}{text}"])
    passages = st.sampled_from(
        [PassageAggregation(), PassageAggregation("mean"), PassageAggregation(overlap=0.5)]
    )
    lengths = st.none() | st.integers(1, 3)
    return st.one_of(
        st.builds(ScoringOptions, fields, max_length=lengths, passages=passages),
        st.builds(ScoringOptions, template=templates, max_length=lengths, passages=passages),
    )


@given(PAIRS, PAIRS, readings(), readings())
def test_keys_are_equal_just_where_all_that_a_score_depends_on_is(
    one: Any, other: Any, reading: ScoringOptions, another: ScoringOptions
) -> None:
    same = depends_on(one, reading) == depends_on(other, another)
    assert (key(one, reading) == key(other, another)) is same
    assert key(one, reading) == key(one, replace(reading, top_k=3, started=1.0))
    assert key(one, reading) != key(one, replace(reading, instructions="recent"))


@given(ANY, ANY, ANY, ANY)
def test_parts_of_a_key_do_not_run_together(a: str, b: str, c: str, d: str) -> None:
    different = (a, b) != (c, d)
    reading = ScoringOptions()
    assert (key((a, b, None, "x"), reading) != key((c, d, None, "x"), reading)) is different
    assert (key(("m", "q", a, b), reading) != key(("m", "q", c, d), reading)) is different


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.floats(0, 1),
    st.integers(1, 1000),
    st.integers(0, 10**12),
    st.sampled_from([ScoreKind.LOGIT, ScoreKind.SIMILARITY, ScoreKind.PROBABILITY]),
    st.integers(0, 8 * 34 - 1),
)
def test_a_score_comes_back_to_the_last_bit_or_not_at_all(
    value: float, probability: float | None, windows: int, unread: int, kind: Any, bit: int
) -> None:
    kept = CachedScore(Score(value, probability, windows, unread), kind)
    packed = pack(b"k" * 16, kept)
    assert unpack(b"k" * 16, packed) == kept
    with pytest.raises(ValueError, match="checksum"):
        unpack(b"l" * 16, packed)
    damaged = bytearray(packed)
    damaged[bit // 8 % len(packed)] ^= 1 << bit % 8
    with pytest.raises(ValueError, match="checksum"):
        unpack(b"k" * 16, bytes(damaged))


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_memory_keeps_those_used_last(uses: list[int], limit: int) -> None:
    memory, order = ScoreMemory(limit), list[int]()
    for n in uses:
        name = bytes([n])
        found = memory.get([name])
        assert (name in found) == (n in order)
        memory.put({name: CachedScore(Score(float(n)), ScoreKind.LOGIT)})
        order = [*(o for o in order if o != n), n][-limit:]
    assert len(memory) == len(order)
    assert all(memory.get([bytes([n])])[bytes([n])].score.value == n for n in order)


def test_each_pair_is_computed_once(tmp_path: Path) -> None:
    inner = Numbers()
    cached = Cached(inner, tmp_path / "deep" / "er" / "scores.sqlite")
    plain = Numbers().rerank("q", numbered([1.0, 3.0, 1.0]))
    first = cached.rerank("q", numbered([1.0, 3.0, 1.0]))
    assert first.results == plain.results
    assert inner.asked == [["1.0", "3.0"]]
    second = cached.rerank("q", numbered([2.0, 3.0]))
    assert inner.asked[1:] == [["2.0"]]
    assert (second.usage.scored, second.usage.pairs) == (2, 1)
    third = cached.rerank("q", numbered([3.0, 2.0, 1.0]))
    assert (third.usage.scored, third.usage.pairs, third.usage.tokens) == (3, 0, 0)
    assert cached.rerank("Q", numbered([3.0])).usage.pairs == 1
    assert cached.rerank("q", numbered([3.0]), max_length=5).usage.pairs == 1
    stats = cached.stats()
    assert (stats.memory_hits, stats.file_hits, stats.misses) == (4, 0, 5)
    assert stats.entries == stats.file_entries == 5
    cached.close()
    again = Cached(inner, tmp_path / "deep" / "er" / "scores.sqlite")
    assert again.rerank("q", numbered([1.0, 3.0, 1.0])).results == plain.results
    assert (again.stats().file_hits, again.stats().misses) == (2, 0)
    assert Cached(Numbers()).stats().file_bytes == 0


def test_scores_of_lists_pass_through_and_are_not_kept(tmp_path: Path) -> None:
    inner = Numbers(ScoreKind.RANK)
    cached = Cached(inner, tmp_path / "s")
    for turn in (1, 2):
        response = cached.rerank("q", numbered([1.0, 3.0, 1.0]))
        assert response.results == inner.rerank("q", numbered([1.0, 3.0, 1.0])).results
        assert cached.stats().misses == 2 * turn
    assert cached.stats().entries == cached.stats().file_entries == 0


def test_another_model_never_answers(tmp_path: Path) -> None:
    file = tmp_path / "scores.sqlite"
    for number in range(3):
        cached = Cached(Numbers(identity=f"model {number}", times=float(number)), file)
        values = [r.score for r in cached.rerank("q", numbered([2.0])).results]
        assert values == [2.0 * number]
        assert cached.stats().misses == 1


def test_an_identity_covers_whatever_changes_scores(tmp_path: Path) -> None:
    tiny_reader(tmp_path / "r")
    manifest = tmp_path / "r" / MANIFEST
    said = json.loads(manifest.read_text())
    seen = {Reranker(tmp_path / "r").identity}
    assert seen == {Reranker(tmp_path / "r").identity}
    changes = ({"calibration": {"scale": 2.0, "shift": 0.0}}, {"max_length": 30})
    for change in changes:
        manifest.write_text(json.dumps({**said, **change}))
        seen.add(Reranker(tmp_path / "r").identity)
    manifest.write_text(json.dumps(said))
    inside = tmp_path / "r" / "encoder" / "config.json"
    config = json.loads(inside.read_text())
    manifest_inside = tmp_path / "r" / "encoder" / MANIFEST
    encoder = json.loads(manifest_inside.read_text())
    encoder["files"].pop("config.json")
    manifest_inside.write_text(json.dumps(encoder))
    seen.add(Reranker(tmp_path / "r").identity)
    inside.write_text(json.dumps({**config, "max_position_embeddings": 50}))
    seen.add(Reranker(tmp_path / "r").identity)
    tiny_reader(tmp_path / "other", seed=14)
    seen.add(Reranker(tmp_path / "other").identity)
    assert len(seen) == 6
    assert None not in seen


def test_the_identity_of_a_cross_encoder(tmp_path: Path) -> None:
    tiny_cross_encoder(tmp_path / "a", labels=2)
    tiny_cross_encoder(tmp_path / "b", "roberta", labels=2)
    one = Reranker(tmp_path / "a")
    seen = {one.identity, Reranker(tmp_path / "a", label=0).identity}
    seen.add(Reranker(tmp_path / "b").identity)
    assert len(seen) == 3
    assert one.identity == Reranker(tmp_path / "a").identity


def test_where_a_cache_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        Cached(Numbers(), tmp_path)
    with pytest.raises(InputError):
        Cached(Numbers(), "")
    for options in ({"entries": 0}, {"max_bytes": -1}, {"entries": 1.5}):
        with pytest.raises(InputError):
            Cached(Numbers(), **options)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("x")
    response = Cached(Numbers(), tmp_path / "file" / "s").rerank("q", numbered([1.0]))
    assert response.usage.scored == 1
    assert "could not be used" in str(response.reason)


# --- the file


def name(number: int) -> bytes:
    return number.to_bytes(16, "little")


def kept(number: int) -> CachedScore:
    return CachedScore(Score(number / 7, 0.25, 1 + number % 3, number), ScoreKind.LOGIT)


def batch(*numbers: int) -> dict[bytes, CachedScore]:
    return {name(n): kept(n) for n in numbers}


def store_at(file: Path, max_bytes: int = 10**9) -> ScoreStore:
    return ScoreStore(file, max_bytes=max_bytes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a folder with % and ?" / "scores.sqlite"


@pytest.fixture
def store(file: Path) -> Iterator[ScoreStore]:
    store = store_at(file)
    yield store
    store.close()


def test_what_was_kept_is_found_and_nothing_is_made_before(store: ScoreStore) -> None:
    assert store.get([name(1)]) == ({}, None)
    assert store.size() == (0, 0)
    assert not store.file.parent.exists()
    assert store.put(batch(*range(1200))) is None
    assert store.get([name(n) for n in range(600, 1800)]) == (batch(*range(600, 1200)), None)
    assert store.size()[0] == 1200
    store.put(batch(1, 2, 3))
    assert store.size()[0] == 1200


def test_the_oldest_go_first_and_the_file_stays_small(file: Path) -> None:
    store = store_at(file, 200_000)
    for start in range(0, 20_000, 200):
        assert store.put(batch(*range(start, start + 200))) is None
        assert store.size()[1] <= 200_000
    store.close()
    assert file.stat().st_size < 400_000
    found, _ = store.get([name(n) for n in range(20_000)])
    numbers = sorted(int.from_bytes(n, "little") for n in found)
    assert numbers == list(range(numbers[0], 20_000))
    assert len(numbers) > 500
    store.close()
    tiny = store_at(file.with_name("tiny"), 1)
    assert tiny.put(batch(1, 2, 3)) is None
    assert tiny.get([name(1)]) == ({}, None)
    tiny.close()


KILLED = """
import sys
from pathlib import Path
from tests.rerank.policies.test_score_cache import batch, store_at

store = store_at(Path(sys.argv[1]))
number = 0
while True:
    assert store.put(batch(*range(number, number + 50))) is None
    number += 50
    print(number, flush=True)
"""


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_a_kill_at_any_moment_costs_at_most_one_write(store: ScoreStore, steps: int) -> None:
    with child(KILLED, store.file) as process:
        assert process.stdout is not None
        told = 0
        for _ in range(steps):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
        assert process.wait() == -signal.SIGKILL
    found, problem = store.get([name(n) for n in range(told + 100)])
    assert problem is None
    assert set(batch(*range(told))) <= set(found)
    assert len(found) % 50 == 0
    assert all(found[n] == kept(int.from_bytes(n, "little")) for n in found)
    assert store.put(batch(10**6)) is None
    with sqlite3.connect(store.file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


WRITER = """
import sys
from pathlib import Path
from secondpass import storage
from tests.rerank.policies.test_score_cache import batch, store_at

# On a busy machine the other writer may take long.
storage._BUSY_SECONDS = 60.0
store = store_at(Path(sys.argv[1]))
start = int(sys.argv[2])
for first in range(start, start + 400, 8):
    scores = batch(*range(first, first + 8))
    # SQLite may say at once that another process writes: then nothing is kept, and no error.
    while store.get(list(scores))[0] != scores:
        assert store.put(scores) is None
"""


def test_two_processes_write_while_threads_read(store: ScoreStore) -> None:
    stop, wrong = threading.Event(), list[object]()

    def read() -> None:
        while not stop.is_set():
            found, problem = store.get([name(n) for n in range(800)])
            if problem is not None or found != batch(
                *(int.from_bytes(n, "little") for n in found)
            ):
                wrong.append(problem)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    with child(WRITER, store.file, 0) as one, child(WRITER, store.file, 400) as two:
        assert one.wait() == two.wait() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.get([name(n) for n in range(800)]) == (batch(*range(800)), None)


@settings(max_examples=60)
@given(data=st.data())
def test_damaged_bytes_never_give_a_wrong_score(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("damaged") / "scores.sqlite"
    store = store_at(file)
    store.put(batch(*range(200)))
    store.close()
    content = bytearray(file.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "zero"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[place:]
    else:
        content[place : place + 3000] = bytes(min(3000, len(content) - place))
    file.write_bytes(content)
    for _ in range(2):
        found, _ = store.get([name(n) for n in range(200)])
        assert found == batch(*(int.from_bytes(n, "little") for n in found))
        store.put(batch(*(n for n in range(200) if name(n) not in found)))
    store.close()


def test_a_damaged_file_is_set_aside_and_said(file: Path) -> None:
    file.parent.mkdir()
    garbage = b"This is not a database. " * 1000
    file.write_bytes(garbage)
    inner = Numbers()
    cached = Cached(inner, file)
    response = cached.rerank("q", numbered([1.0, 2.0]))
    assert response.usage.scored == 2
    assert "set aside" in str(response.reason)
    assert file.with_name("scores.sqlite.damaged").read_bytes() == garbage
    assert cached.stats().file_entries == 2
    assert cached.rerank("q", numbered([1.0, 2.0])).reason is None
    cached.close()


def test_a_schema_that_is_not_text_is_set_aside_and_said(store: ScoreStore) -> None:
    store.put(batch(1))
    store.close()
    # SQLite quotes it in its message, which then is not text either.
    damaged = store.file.read_bytes().replace(b"CREATE TABLE", b"CRE\xc1TE TABLE")
    store.file.write_bytes(damaged)
    found, problem = store.get([name(1)])
    assert found == {}
    assert problem == "scores.sqlite was damaged and set aside: its schema is damaged"
    assert store.file.with_name("scores.sqlite.damaged").read_bytes() == damaged
    assert store.put(batch(2)) is None
    assert store.get([name(1), name(2)]) == (batch(2), None)
    for call in (lambda: store.put(batch(3)), store.size):
        store.close()
        store.file.write_bytes(damaged)
        call()
        assert not store.file.exists()


def test_a_database_of_others_is_left_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE precious (mine)")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    response = Cached(Numbers(), file).rerank("q", numbered([1.0]))
    assert "another database" in str(response.reason)
    assert file.read_bytes() == before
    assert sorted(p.name for p in file.parent.iterdir()) == [file.name]


def test_a_file_that_is_taken_away_is_made_again(store: ScoreStore) -> None:
    store.put(batch(1))
    for found in store.file.parent.iterdir():
        found.unlink()
    assert store.get([name(1)]) == ({}, None)
    assert store.put(batch(2)) is None
    assert store.get([name(1), name(2)]) == (batch(2), None)
    other = store_at(store.file)
    assert other.get([name(2)]) == (batch(2), None)
    other.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork here")
def test_a_forked_process_opens_the_file_for_itself(store: ScoreStore) -> None:
    store.put(batch(1))
    pid = os.fork()
    if pid == 0:
        found, problem = store.get([name(1)])
        done = problem is None and found == batch(1) and store.put(batch(2)) is None
        store.close()
        os._exit(0 if done else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.put(batch(3)) is None
    assert store.get([name(n) for n in (1, 2, 3)]) == (batch(1, 2, 3), None)
