from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secondpass.errors import InputError, ReadError
from secondpass.retrieve.backends.lance.open import open_index
from secondpass.retrieve.ingest import add_documents, ingest
from secondpass.retrieve.ingest_report import IngestProgress
from secondpass.retrieve.loaders import LOADERS, is_sparse
from secondpass.retrieve.loaders.files import sandbox
from secondpass.retrieve.loaders.sandbox import CHARACTERS
from secondpass.types import Document
from tests.retrieve.hashed_embedder import HashedEmbedder
from tests.retrieve.loaders.test_files import write


class Setting:
    def __init__(self, folder: Path) -> None:
        self.files = folder / "files"
        self.index = folder / "index"
        self.embedder = HashedEmbedder()
        self.store = open_index(self.index, self.embedder, chunk_tokens=20, overlap=0)

    def run(self, *names: str, **options):
        before = self.embedder.encoded
        paths = [self.files / n for n in names] or [self.files]
        report = ingest(paths, self.store, self.embedder, **options)
        return report, self.embedder.encoded - before

    def content(self):
        rows = self.store._table.search().where("_sp_chunk >= 0").limit(None).to_list()
        return sorted(
            (r["_sp_doc"], r["_sp_chunk"], r["_sp_search"], r["_sp_hash"], *r["_sp_vector"])
            for r in rows
        )

    def ids(self):
        return sorted({row[0] for row in self.content()})


@pytest.fixture
def setting(tmp_path):
    made = Setting(tmp_path)
    write(made.files / "a.txt", "alpha zebra")
    write(made.files / "sub" / "b.md", "# Title\n\n" + "beta words here. " * 20)
    rows = [{"_id": f"r{i}", "text": f"row {i}", "n": i} for i in range(5)]
    write(made.files / "rows.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    return made


def test_files_become_passages(setting):
    report, encoded = setting.run()
    assert (report.files, report.documents, report.added) == (3, 7, 7)
    assert (report.errors, report.deleted, report.duplicates) == ([], 0, 0)
    assert report.passages == setting.store.count_passages() == encoded > 7
    assert setting.store.count_documents() == 7
    hit = setting.store.bm25("beta", 1)[0]
    assert hit.document.metadata["document_id"] == "sub/b.md"
    assert hit.document.title == "Title"
    assert setting.store.bm25("row", 9, "n = 3")[0].id == "r3"


def test_files_with_very_little_text_are_named(setting):
    write(setting.files / "app.html", "<script>" + "x = 1;" * 1000 + "</script><p>Loading</p>")
    write(setting.files / "empty.html", "<script>" + "x = 1;" * 1000 + "</script>")
    write(setting.files / "page.html", "<p>" + "a page of words " * 200)
    write(setting.files / "small.html", "<script>x = 1;</script>")
    write(setting.files / "large.jsonl", '{"text": "a", "other": "' + "x" * 5000 + '"}\n')
    report, _ = setting.run()
    assert report.sparse == [str(setting.files / n) for n in ("app.html", "empty.html")]


@pytest.mark.parametrize(
    ("name", "size", "characters", "sparse"),
    [
        ("one-slide.pptx", 28_000, 60, False),
        ("one-slide.PPTX", 45_000, 60, False),
        ("pictures.pptx", 900_000, 60, True),
        ("one-line.docx", 37_000, 20, False),
        ("scans.docx", 900_000, 20, True),
        ("scan.pdf", 28_000, 20, True),
        ("app.html", 28_000, 20, True),
    ],
)
def test_what_empty_office_files_have_is_not_counted(name, size, characters, sparse):
    assert is_sparse(Path(name), size, characters) is sparse


def test_what_was_cut_and_left_out_is_counted(setting, monkeypatch):
    monkeypatch.setenv(CHARACTERS, "100")
    page = "<nav>Home</nav><p hidden>Later<p>Text of a page."
    for name in ("a.html", "sub/b.html"):
        write(setting.files / name, page)
    write(setting.files / "long.jsonl", json.dumps({"text": "word " * 30}) + "\n")
    report, _ = setting.run()
    long, markdown = (str(setting.files / n) for n in ("long.jsonl", "sub/b.md"))
    assert report.cut == {long: 50, markdown: 249}
    assert report.left_out == {"hidden and navigation elements": 4}


def test_files_are_read_again_when_their_loader_reads_more(setting, monkeypatch):
    setting.run()
    loader = replace(LOADERS[".md"], version=LOADERS[".md"].version + 1)
    monkeypatch.setitem(LOADERS, ".md", loader)
    report, encoded = setting.run()
    assert (report.files, report.files_unchanged, report.unchanged, encoded) == (1, 2, 1, 0)


def test_a_second_run_reads_and_embeds_nothing(setting):
    setting.run()
    version = setting.store.version
    report, encoded = setting.run()
    assert (report.files, report.files_unchanged, encoded) == (0, 3, 0)
    assert setting.store.count_passages() > 7
    assert setting.store.version - version <= 1
    (setting.files / "a.txt").touch()
    assert setting.run()[0].files == 0


def test_only_what_changed_is_embedded(setting):
    setting.run()
    lines = (setting.files / "rows.jsonl").read_text().splitlines()
    changed = [lines[0].replace("row 0", "changed"), *lines[1:3], '{"_id": "new", "text": "n"}']
    write(setting.files / "rows.jsonl", "\n".join(changed))
    report, encoded = setting.run()
    assert encoded == 2
    assert (report.added, report.updated, report.unchanged, report.deleted) == (1, 1, 2, 2)
    assert {"r3", "r4"}.isdisjoint(setting.ids())
    assert setting.store.bm25("changed", 1)[0].id == "r0"


def test_files_that_are_gone_leave_the_index(setting):
    setting.run()
    (setting.files / "rows.jsonl").unlink()
    report, encoded = setting.run()
    assert (report.files_removed, report.deleted, encoded) == (1, 5, 0)
    assert setting.store.count_documents() == 2
    # Files outside the folder that is indexed now are left alone.
    (setting.files / "a.txt").unlink()
    assert setting.run("sub")[0].files_removed == 0
    assert setting.store.count_documents() == 2


def test_a_moved_file_is_not_embedded_again(setting):
    setting.run()
    (setting.files / "rows.jsonl").rename(setting.files / "sub" / "moved.jsonl")
    report, encoded = setting.run()
    assert (report.unchanged, report.deleted, encoded) == (5, 0, 0)
    assert "r1" in setting.ids()
    (setting.files / "sub" / "moved.jsonl").unlink()
    assert setting.run()[0].deleted == 5


def test_two_files_with_the_same_id_are_an_error(setting):
    write(setting.files / "again.jsonl", '{"_id": "r1", "text": "other"}\n')
    with pytest.raises(ReadError, match=r"'r1'.*two files"):
        setting.run(batch_size=1)
    errors = []
    report, _ = setting.run(on_error=errors.append, batch_size=2)
    assert len(errors) == len(report.errors) == 1
    again, _ = setting.run(on_error=errors.append)
    assert len(again.errors) == 1
    write(setting.files / "again.jsonl", '{"_id": "r9", "text": "other"}\n')
    assert setting.run()[0].added == 1


def test_an_id_twice_in_a_file_is_counted(setting):
    lines = ['{"_id": "x", "text": "one"}', '{"_id": "y", "text": "y"}']
    write(setting.files / "rows.jsonl", "\n".join([*lines, lines[0].replace("one", "two")]))
    for batch_size in (1, 64):
        report, _ = setting.run(batch_size=batch_size)
        assert report.duplicates == (batch_size == 1)
    assert setting.store.bm25("two", 1)[0].id == "x"
    assert setting.store.bm25("one", 1) == []


def test_a_bad_file_does_not_stop_the_rest(setting):
    write(setting.files / "bad.txt", b"\xff\xfe\xff")
    write(setting.files / "bad.jsonl", '{"_id": "good", "text": "good one"}\n{\n')
    errors = []
    report, _ = setting.run(on_error=errors.append)
    assert len(errors) == len(report.errors) == 2
    assert any("bad.jsonl, line 2" in str(e) for e in errors)
    assert setting.store.count_documents() == 8
    # They are tried again, and are read once they are mended.
    write(setting.files / "bad.txt", "fine now")
    write(setting.files / "bad.jsonl", '{"_id": "good", "text": "good one"}\n')
    report, encoded = setting.run(on_error=errors.append)
    assert (len(errors), report.added, report.unchanged, encoded) == (2, 1, 1, 1)
    write(setting.files / "bad.txt", b"\xff")
    with pytest.raises(ReadError, match="UTF-8"):
        setting.run()


def test_a_missing_package_does_not_stop_the_rest(setting, monkeypatch):
    # In the process that reads files, which must be a new one.
    write(setting.files.parent / "modules" / "markitdown.py", "raise ImportError")
    monkeypatch.syspath_prepend(setting.files.parent / "modules")
    sandbox().close()
    write(setting.files / "a.pdf", "%PDF")
    errors = []
    assert setting.run(on_error=errors.append)[0].added == 7
    assert "secondpass[ingest]" in str(errors[0])
    sandbox().close()


def test_empty_documents_are_counted_and_not_stored(setting):
    write(setting.files / "a.txt", " \n")
    write(setting.files / "empty.jsonl", "")
    report, _ = setting.run()
    assert (report.empty, report.added) == (1, 6)
    assert "a.txt" not in setting.ids()
    write(setting.files / "rows.jsonl", '{"_id": "r1", "text": " "}\n')
    report, _ = setting.run()
    assert (report.empty, report.deleted) == (1, 5)


def test_other_lengths_or_fields_read_everything_again(setting):
    setting.run()
    report, encoded = setting.run(chunk_tokens=30)
    assert report.updated == 7
    assert encoded == report.passages > 0
    assert setting.run(chunk_tokens=30)[1] == 0
    report, encoded = setting.run("rows.jsonl", chunk_tokens=30, fields=["text", "_id"])
    assert report.updated == 5


def test_a_field_of_another_type_stops_with_its_name(setting):
    write(setting.files / "z.jsonl", '{"_id": "bad", "text": "x", "n": "three"}\n')
    with pytest.raises(InputError, match=r"'bad'.*z\.jsonl, line 1.*'n'"):
        setting.run(batch_size=1)
    assert setting.store.count_documents() == 6


def test_the_last_progress_counts_what_was_read(setting):
    # Of the five lines, one is a header and one is blank; the row that is skipped counts.
    write(setting.files / "rows.csv", "id,text\n1,a\n\n2\n3,c\n")
    seen: list[IngestProgress] = []
    setting.run("rows.csv", progress=seen.append, strict=False)
    assert (seen[-1].documents, seen[-1].total) == (3, 3)


def test_progress(setting):
    seen: list[IngestProgress] = []
    setting.run(progress=seen.append, batch_size=2)
    assert [p.documents for p in seen] == sorted(p.documents for p in seen)
    assert (seen[-1].documents, seen[-1].total) == (7, 7)
    assert seen[-1].passages == setting.store.count_passages()


def test_what_is_in_the_index_is_recorded_in_its_table_alone(setting):
    setting.run()
    assert not (setting.index / "files.json").exists()
    # As an older version left it: neither its content nor its absence means anything.
    (setting.index / "files.json").write_text('{"files": {}}')
    (setting.files / "rows.jsonl").unlink()
    report, encoded = setting.run()
    assert (report.files_unchanged, report.files_removed, report.deleted) == (2, 1, 5)
    assert encoded == 0
    paths = {str(setting.files / "a.txt"), str(setting.files / "sub" / "b.md")}
    assert setting.store.files().keys() == paths


def test_files_are_no_documents(setting):
    setting.run()
    store, path = setting.store, str(setting.files / "a.txt")
    passages = store.count_passages()
    assert len(store.files()) == 3
    assert len(store.list_passages(limit=None)) == passages
    assert sum(len(batch) for batch in store.iter_documents()) == passages
    assert len(store.vector(setting.embedder.encode(["zebra"])[0], 100)) == passages
    assert store.passages_of(path) == []
    assert store.lookup([path]) == store.get([path]) == {}
    assert store.delete([path]) == 0
    assert setting.run()[0].files_unchanged == 3
    # A document may have the path of a file as its id.
    add_documents([Document("zebra two", id=path)], store, setting.embedder)
    assert store.delete([path]) == 1
    assert setting.run()[0].files_unchanged == 3


def test_in_every_state_a_file_that_is_recorded_is_complete(setting):
    write(setting.files / "more.jsonl", '{"_id": "m", "text": "first"}\n')
    setting.run(batch_size=2)
    rows = [{"_id": f"r{i}", "text": f"row {i} again"} for i in range(1, 8)]
    write(setting.files / "rows.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    setting.run(batch_size=2)
    path = str(setting.files / "rows.jsonl")
    contents = {tuple(f"r{i}" for i in range(5)), tuple(f"r{i}" for i in range(1, 8))}
    seen = set()
    for version in setting.store.versions():
        state = setting.store.checkout(version.number)
        digest = state.files().get(path)
        if digest is not None:
            ids = tuple(sorted(state.ids_by_source(path)))
            texts = {d.text for batch in state.iter_documents() for d in batch if d.id in ids}
            assert ids in contents
            assert len({text.endswith("again") for text in texts}) == 1
            seen.add((digest, ids))
    assert len(seen) == 2


def test_a_file_that_is_changed_back_after_an_interruption_is_read_again(setting):
    setting.run()
    original = (setting.files / "rows.jsonl").read_text()
    write(setting.files / "rows.jsonl", original.replace("row", "line"))

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting.run(progress=stop, batch_size=2)
    assert setting.store.bm25("line", 9) != []
    write(setting.files / "rows.jsonl", original)
    setting.run()
    assert setting.store.bm25("line", 9) == []
    assert len(setting.store.bm25("row", 9)) == 5


class Interrupting(HashedEmbedder):
    """An embedder during whose first call another ingest runs."""

    def __init__(self, other) -> None:
        super().__init__()
        self.other = other

    def encode(self, texts):
        if self.other is not None:
            other, self.other = self.other, None
            other()
        return super().encode(texts)


def test_a_document_that_another_writer_stores_meanwhile_is_not_replaced(setting):
    write(setting.files / "one" / "x.jsonl", '{"_id": "x", "text": "of one"}\n')
    write(setting.files / "two" / "x.jsonl", '{"_id": "x", "text": "of two"}\n')
    embedder = Interrupting(lambda: setting.run("two"))
    errors = []
    report = ingest([setting.files / "one"], setting.store, embedder, on_error=errors.append)
    assert (report.added, report.conflicts, report.stored, len(errors)) == (0, 1, 0, 1)
    assert [h.document.text for h in setting.store.bm25("one two", 9)] == ["of two"]
    # The file that lost is not recorded, and is reported the next time too.
    assert setting.run("one", on_error=errors.append)[0].conflicts == 1


def test_a_file_that_another_writer_adds_meanwhile_is_kept(setting):
    def other():
        write(setting.files / "late.txt", "late zebra")
        setting.run()

    ingest([setting.files], setting.store, Interrupting(other))
    assert "late.txt" in {h.id for h in setting.store.bm25("late", 9)}
    assert setting.run()[0].files_unchanged == 4


def test_ctrl_c_keeps_what_was_stored(setting):
    def stop(progress):
        if progress.documents >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting.run(progress=stop, batch_size=2)
    stored = setting.store.count_documents()
    assert 4 <= stored < 7
    report, _ = setting.run()
    assert report.added == 7 - stored
    assert setting.store.count_documents() == 7


def test_documents_from_memory(tmp_path):
    embedder = HashedEmbedder()
    store = open_index(tmp_path, embedder)
    documents = [Document("alpha", id="a"), Document("beta"), Document("beta"), Document(" ")]
    done: list[int] = []
    report = add_documents(documents, store, embedder, progress=done.append, batch_size=2)
    assert (report.added, report.empty, store.count_documents()) == (2, 1, 2)
    assert sum(done) == report.documents == 4
    assert add_documents(iter(documents), store, embedder).added == 0
    assert add_documents([Document("gamma", id="a")], store, embedder).updated == 1
    assert store.bm25("alpha", 1) == []
    with pytest.raises(InputError, match="embedder"):
        add_documents(documents, store, None)
    with pytest.raises(InputError, match="batch_size"):
        add_documents(documents, store, embedder, batch_size=0)


INGEST = """
import sys
from pathlib import Path
from secondpass.retrieve.ingest import ingest
from secondpass.retrieve.backends.lance.open import open_index
from tests.retrieve.hashed_embedder import HashedEmbedder
embedder = HashedEmbedder()
store = open_index(sys.argv[1], embedder, chunk_tokens=20, overlap=5)
ingest([sys.argv[2]], store, embedder, batch_size=8,
       progress=lambda p: print(p.documents, flush=True))
"""


def test_two_writers_lose_nothing(tmp_path):
    for folder in ("one", "two"):
        for n in range(6):
            write(tmp_path / folder / f"{folder}{n}.txt", f"zebra {folder} {n} " * 30)
        rows = [{"_id": f"{folder}{i}", "text": f"row {i}"} for i in range(20)]
        write(tmp_path / folder / "r.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    index = tmp_path / "index"
    open_index(index, HashedEmbedder(), chunk_tokens=20, overlap=5).close()
    # Two folders, and one of them twice.
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", INGEST, str(index), str(tmp_path / folder)],
            stdout=subprocess.DEVNULL,
        )
        for folder in ("one", "two", "two")
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    embedder = HashedEmbedder()
    store = open_index(index, embedder)
    assert store.count_documents() == 2 * 26
    assert len(store.files()) == len([f for f in store.files().values() if f]) == 14
    options = {"chunk_tokens": 20, "overlap": 5}
    for folder in ("one", "two"):
        (tmp_path / folder / f"{folder}0.txt").unlink()
        report = ingest([tmp_path / folder], store, embedder, **options)
        assert (report.files_unchanged, report.deleted, embedder.encoded) == (6, 1, 0)
    assert store.count_documents() == 2 * 25


@pytest.mark.parametrize("kill_at", [8, 40, 120])
def test_killed_and_resumed_equals_a_clean_run(tmp_path, kill_at):
    files = tmp_path / "files"
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        rows = [
            {"_id": f"{name}{i}", "text": " ".join(f"w{w}" for w in rng.integers(0, 90, 30))}
            for i in range(100)
        ]
        write(files / f"{name}.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    command = [sys.executable, "-c", INGEST, str(tmp_path / "index"), str(files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= kill_at:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL

    resumed, clean = Setting(tmp_path), Setting(tmp_path / "clean")
    stored = resumed.store.count_passages()
    assert stored >= kill_at
    options = {"chunk_tokens": 20, "overlap": 5}
    _, embedded = resumed.run(**options)
    clean.files = files
    _, all_embedded = clean.run(**options)
    assert embedded == all_embedded - stored
    assert resumed.content() == clean.content()
    assert [(h.id, round(h.score, 4)) for h in resumed.store.bm25("w3 w50", 20)] == [
        (h.id, round(h.score, 4)) for h in clean.store.bm25("w3 w50", 20)
    ]


def test_ids_that_repeat_are_reported_once_for_two_files(setting):
    setting.run()
    write(setting.files / "y.csv", "id,text\n1,One.\n2,Two.\n3,Three.\n")
    write(setting.files / "z.csv", "id,text\n1,Uno.\n2,Due.\n4,Quattro.\n")
    errors = []
    report, _ = setting.run(on_error=errors.append)
    assert (report.conflicts, len(errors), report.added) == (2, 1, 4)
    assert "y.csv" in str(errors[0])
    assert "z.csv" in str(errors[0])
    assert "--prefix-ids" in str(errors[0])

    report, _ = setting.run(prefix_ids=True)
    assert (report.conflicts, report.added, report.deleted) == (0, 11, 9)
    names = ["y.csv:1", "z.csv:1", "a.txt", "1"]
    assert set(setting.store.lookup(names)) == set(names[:3])
    assert setting.run(prefix_ids=True)[0].files_unchanged == 5


def test_a_row_of_another_type_is_skipped_and_named(setting):
    rows = [{"id": f"x{i}", "text": f"word {i}", "year": i} for i in range(3)]
    lines = [json.dumps(row) for row in rows]
    odd = '{"id": "odd", "text": "odd", "year": "n.d."}'
    # The first row of the run does not decide.
    write(setting.files / "a.jsonl", odd + "\n\n" + "\n".join(lines) + "\n")
    write(
        setting.files / "b.jsonl",
        '{"id": "b1", "text": "b", "year": 1.5}\n\n' + odd.replace("odd", "b2") + "\n",
    )
    for _ in range(2):
        report, _ = setting.run(strict=False)
        assert len(report.skipped) == 2
        assert all("'n.d.' (text), and must be number" in str(e) for e in report.skipped)
        assert "a.jsonl, line 1" in str(report.skipped[0])
        assert "b.jsonl, line 3" in str(report.skipped[1])
        assert report.errors == []
    assert setting.store.count_documents() == 7 + 4
    with pytest.raises(InputError, match=r"'odd'.*a\.jsonl, line 1.*'year'"):
        setting.run()


ODD_ROWS = {
    "a.jsonl": (
        '{"id": "1", "text": "one", "n": 1}',
        ['{"text": bad', "[1]", '{"id": "x"}', '{"text": ["x"]}', '{"text": 7}'],
        '{"id": "2", "text": "two", "n": 2}',
    ),
    "a.csv": (
        "id,text,n\n1,one,1",
        ["x,short", "x,too,3,long", 'x,"t"ext,3'],
        "2,two,2",
    ),
}


@pytest.mark.parametrize("name", ODD_ROWS)
def test_an_odd_row_does_not_end_its_file(setting, name):
    first, odd, last = ODD_ROWS[name]
    # The stored version of a row that cannot be read stays.
    write(setting.files / name, f"{first}\n{last}\n{last.replace('2', '3')}\n")
    setting.run(strict=False)
    misfit = '{"id": "4", "text": "four", "n": "n.d."}'
    odd = [*odd, misfit if name == "a.jsonl" else "4,four,n.d."]
    write(setting.files / name, "\n".join([first, *odd, last, ""]))
    report, _ = setting.run(strict=False)
    start = first.count("\n") + 2
    for number in range(start, start + len(odd)):
        assert any(f"{name}, line {number})" in str(error) for error in report.skipped)
    assert len(report.skipped) == len(odd)
    assert len(setting.store.lookup(["1", "2", "3", "4"])) == 3
    assert setting.store.fields["n"] == "integer"
    assert len(setting.run(strict=False)[0].skipped) == len(odd)
    with pytest.raises(ReadError, match=rf"{name}, line {start}\)"):
        setting.run(strict=True)


def test_skipped_rows_are_named_where_the_file_fails_later(setting):
    rows = b'{"text": "one", "n": 1}\n{"text": "two", "n": "?"}\n{"text": 3}\n'
    (setting.files / "a.jsonl").write_bytes(rows + b"\xff\n")
    report, _ = setting.run(strict=False, on_error=lambda _: None)
    assert "line 4" in str(report.errors[0])
    places = sorted(str(error.where)[-6:] for error in report.skipped)
    assert places == ["line 2", "line 3"]


@pytest.mark.parametrize("rows", [1, 150])
def test_a_file_without_a_good_row_is_an_error(setting, rows):
    write(setting.files / "a.jsonl", "text\n" * rows + '{"text": "late"}\n' * (rows > 100))
    report, _ = setting.run(strict=False, on_error=lambda _: None)
    assert report.skipped == []
    assert "a.jsonl, line 1" in str(report.errors[0])


def test_rows_without_text_are_named(setting):
    write(setting.files / "a.jsonl", '{"text": "a"}\n{"text": 5}\n\n{"text": null, "n": 1}\n')
    report, _ = setting.run(strict=False)
    assert report.empty == 1
    assert [where[-15:] for where in report.blank] == ["a.jsonl, line 4"]


def test_cells_take_the_type_that_is_stored(setting):
    setting.run()
    write(setting.files / "z.csv", "id,text,n\nc,Three.,7\nd,Four.,n.d.\ne,Five.,8\n")
    report, _ = setting.run(strict=False)
    (skipped,) = report.skipped
    assert "z.csv, line 3" in str(skipped)
    assert {h.id for h in setting.store.bm25("three four five", 9, "n > 6")} == {"c", "e"}


def test_cells_of_several_types_are_text(setting):
    write(setting.files / "y.csv", "id,text,flag\nc,Three.,true\nd,Four.,yes\ne,Five.,1\n")
    write(setting.files / "z.csv", "id,text,flag\nf,Six.,0\n")
    assert setting.run(strict=False)[0].skipped == []
    assert setting.store.fields["flag"] == "text"


def test_cells_are_text_in_all_files_if_they_are_in_one(setting):
    write(setting.files / "a.csv", "id,text,sku\na,One.,100\nb,Two.,2.50\n")
    write(setting.files / "b.csv", "id,text,sku\nc,Three.,A12\n")
    report, _ = setting.run()
    assert report.skipped == []
    assert setting.store.fields["sku"] == "text"
    assert setting.store.bm25("two", 1, "sku = '2.50'")[0].id == "b"
