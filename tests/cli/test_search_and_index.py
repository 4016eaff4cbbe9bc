from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import SAMPLE, Run

QUERY = "When did the oil crisis begin?"


def test_json_has_the_promised_shape(run: Run, sample_index: Path) -> None:
    ran = run("search", QUERY, "--index", sample_index, "--json", "--candidates", 10)
    assert ran.code == 0
    found = ran.json
    assert found["status"] == "reranked"
    assert len(found["results"]) == 5
    first = found["results"][0]
    assert first["id"] == "1973-oil-crisis-01"
    assert set(first["first_stage"]) == {"rank", "score", "bm25", "vector"}
    assert first["text"]
    assert {"rank", "score", "probability", "truncated", "metadata"} <= set(first)
    assert {"embed", "bm25", "vector", "rerank", "total"} <= set(found["timings"])


def test_the_stages_add_up_to_the_whole_command(run: Run, sample_index: Path) -> None:
    for more, loads in (((), False), (("--early-exit",), True)):
        command = ("search", QUERY, "--index", sample_index, "--candidates", 10, *more)
        timings = run(*command, "--json").json["timings"]
        assert {"start", "open", "embed", "other"} <= set(timings)
        assert ("load" in timings) == loads
        assert list(timings)[-1] == "total"
        total = timings.pop("total")
        beside = min(timings["bm25"], timings["embed"] + timings["vector"])
        assert sum(timings.values()) - beside == pytest.approx(total, abs=0.1)
    assert "bm25" in run(*command).err
    assert "at the same time" in run(*command).err


def test_without_reranking(run: Run, sample_index: Path) -> None:
    ran = run(
        "search", QUERY, "--index", sample_index, "--json", "--no-rerank", "--mode", "bm25"
    )
    assert ran.json["status"] == "skipped"
    assert ran.json["model"] is None
    assert [r["first_stage"]["rank"] for r in ran.json["results"]] == [1, 2, 3, 4, 5]


def test_lists_are_repeated_options_whose_texts_may_have_commas(
    run: Run, sample_index: Path
) -> None:
    command = ("search", QUERY, "--index", sample_index, "--json", "--candidates", 10)
    variants = ("--query-variant", "oil, crisis", "--query-variant", "embargo")
    found = run(*command, *variants, "--variant-scores", "max", "--adaptive").json
    assert found["query"] == QUERY
    assert found["usage"]["pairs"] >= 3 * 10
    good, bad = (found["results"][i]["document_id"] for i in (0, -1))
    liked = ("--like", good, "--unlike", bad, "--feedback", 2)
    ids = [r["document_id"] for r in run(*command, *liked).json["results"]]
    assert good in ids
    assert bad not in ids
    ran = run(*command, "--like", "nowhere")
    assert ran.code == 2
    assert "like has the id 'nowhere'" in ran.err
    ran = run(*command, "--instructions", "prefer recent documents")
    assert ran.code == 2
    assert (
        "cannot follow"
        in run(*command, "--instructions", "prefer recent", "--on-unsupported", "ignore").json[
            "reason"
        ]
    )


def test_the_comparison_shows_both_orders(run: Run, sample_index: Path) -> None:
    ran = run("search", QUERY, "--index", sample_index, "--compare", "--candidates", 10)
    assert ran.code == 0
    assert "before" in ran.out
    assert "after" in ran.out
    assert "was" in ran.out
    assert "rerank" in ran.err
    both = run("search", QUERY, "--index", sample_index, "--compare", "--json").json
    assert both["before"]["status"] == "skipped"


def test_the_explanation_shows_the_parts(run: Run, sample_index: Path) -> None:
    ran = run("search", QUERY, "--index", sample_index, "--explain", "--candidates", 5)
    for word in ("bm25", "vector", "sum of rerank", "windows"):
        assert word in ran.out


def test_boosts_pins_and_groups_on_the_command_line(run: Run, sample_index: Path) -> None:
    asked = ("search", QUERY, "--index", sample_index, "--candidates", 5, "--json")
    before = [row["document_id"] for row in run(*asked).json["results"]]
    options = [
        "--boost",
        "equals(title, value=none): -1",
        "--boost",
        "equals(title, value=x): 2",
    ]
    options += ["--pin", before[1], "--hide", before[0], "--diversity", "0.0"]
    ran = run(*asked, *options, "--group-by", "document", "--group-size", 2)
    assert ran.code == 0, ran.err
    after = [row["document_id"] for row in ran.json["results"]]
    assert after[0] == before[1]
    assert before[0] not in after
    assert "pinned" in ran.json["results"][0]["parts"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--top-k", "0"], 2, "top_k must be at least 1"),
        (["--candidates", "-1"], 2, "candidates must be at least 1"),
        (["--candidates", "0"], 2, "candidates must be at least 1"),
        (["--mode", "hybird"], 2, "Did you mean 'hybrid'"),
        (["--fusion", "rff"], 2, "Did you mean 'rrf'"),
        (["--filter", "yaer > 3"], 2, "yaer"),
        (["--filter", "title = "], 2, "filter"),
        (["--model", "bundeld"], 1, "Did you mean 'bundled'"),
        (["--boost", "title = 'x'"], 2, "must end with a colon and a number"),
        (["--boost", "gaus(day, scale=3d): 1"], 2, "Did you mean 'gauss'"),
        (["--group-by", "titel"], 2, "no field 'titel'"),
    ],
)
def test_errors(
    run: Run, sample_index: Path, options: list[str], code: int, message: str
) -> None:
    ran = run("search", QUERY, "--index", sample_index, *options)
    assert ran.code == code
    assert message in ran.err
    assert ran.out == ""


def test_a_missing_index_names_the_next_command(run: Run, tmp_path: Path) -> None:
    ran = run("search", QUERY, "--index", tmp_path / "absent")
    assert ran.code == 1
    assert "secondpass index PATH --index" in ran.err
    assert not (tmp_path / "absent").exists()


def test_indexing_again_skips_what_is_there(run: Run, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("# Boats\n\nA boat floats on the water.")
    (notes / "b.txt").write_text("Bread needs an oven.")
    first = run("index", notes, "--index", tmp_path / "i", "--json")
    assert first.code == 0
    assert (first.json["added"], first.json["files"]) == (2, 2)
    again = run("index", notes, "--index", tmp_path / "i", "--json")
    assert (again.json["added"], again.json["files_unchanged"]) == (0, 2)
    (notes / "b.txt").unlink()
    (notes / "a.md").write_text("# Boats\n\nA boat sinks.")
    third = run("index", notes, "--index", tmp_path / "i", "--json")
    assert (third.json["updated"], third.json["deleted"], third.json["total"]) == (1, 1, 1)
    found = run("search", "boat", "--index", tmp_path / "i", "--json").json["results"]
    assert [r["id"] for r in found] == ["a.md"]


def test_one_bad_file_does_not_stop_the_rest(run: Run, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("A boat floats.")
    (notes / "b.jsonl").write_text('{"text": \n')
    ran = run("index", notes, "--index", tmp_path / "i")
    assert ran.code == 1
    assert "b.jsonl" in ran.err
    assert "1 added" in ran.err or "2 added" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent.txt"], 1, "absent.txt"),
        (["--chunk-tokens", "-4"], 2, "chunk"),
        (["--overlap", "999"], 2, "overlap"),
        (["--language", "klingon"], 2, "klingon"),
    ],
)
def test_index_errors(
    run: Run, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "a.txt").write_text("A boat.")
    if arguments[0].startswith("--"):
        arguments = [str(tmp_path / "a.txt"), *arguments]
    ran = run("index", *arguments, "--index", tmp_path / "i")
    assert ran.code == code
    assert message in ran.err


def test_a_folder_that_is_no_index_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    ran = run("index", tmp_path / "precious.txt", "--index", tmp_path)
    assert ran.code == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["precious.txt"]


def test_other_passages_than_the_indexs_are_refused(run: Run, sample_index: Path) -> None:
    ran = run("index", SAMPLE, "--index", sample_index, "--chunk-tokens", "99")
    assert ran.code == 2
    assert "chunk tokens 256" in ran.err


def test_killed_while_indexing_it_opens_and_goes_on(run: Run, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"_id": f"d{i}", "text": f"Text {i} about rivers. " * 12} for i in range(900)]
    corpus.write_text("\n".join(map(json.dumps, rows)))
    folder = tmp_path / "i"
    command = [sys.executable, "-m", "secondpass", "index", str(corpus), "--index", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        # The first data file is the first batch of documents; its commit follows.
        if list(folder.glob("passages.lance/data/*.lance")):
            time.sleep(0.5)
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    stored = run("search", "rivers", "--index", folder, "--no-rerank", "--json")
    assert stored.code == 0
    assert stored.json["results"]
    resumed = run("index", corpus, "--index", folder, "--json").json
    assert resumed["total"] == 900
    assert resumed["unchanged"] > 0
    assert resumed["added"] + resumed["unchanged"] == 900


def test_the_home_folder_and_odd_names(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("The key is under the mat.\n", "utf-8")
    # As from a configuration that no shell reads.
    for name, folder in (("~/notes", tmp_path / "home" / "notes"), ("s3:x", tmp_path / "s3:x")):
        for code in ("0 updated", "1 unchanged"):
            indexed = run("index", "a.txt", "--index", name)
            assert indexed.code == 0, indexed.err
            assert code in indexed.out + indexed.err
        assert (folder / "index.json").is_file()
        found = run("search", "key", "--index", name, "--json")
        assert [r["id"] for r in found.json["results"]] == ["a.txt"]
    assert not (tmp_path / "~").exists()
    refused = run("index", "a.txt", "--index", "s4://bucket/notes")
    assert refused.code == 2
    assert "an index cannot be at s4://" in refused.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "home", "s3:x"]


@pytest.mark.parametrize(
    ("number", "why"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only")]
)
def test_an_index_that_cannot_be_written_gives_one_error(
    number: int, why: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("The key hangs behind the clock.")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, "in the words of the system", str(tmp_path))

    with monkeypatch.context() as patch:
        patch.setattr("secondpass.retrieve.backends.lance.table.replace", fail)
        ran = run("index", tmp_path / "a.txt", "--index", tmp_path / "index")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    assert ran.err.splitlines()[-1].startswith("Error: the documents were not stored")
    assert why in ran.err
    # Of any other file of any command.
    with monkeypatch.context() as patch:
        patch.setattr("secondpass.retrieve.ingest.ingest", fail)
        ran = run("index", tmp_path / "a.txt", "--index", tmp_path / "other")
    assert (ran.code, ran.err.count("Error: a file cannot be used")) == (1, 1)
    assert why in ran.err
    assert run("index", tmp_path / "a.txt", "--index", tmp_path / "index").code == 0


def test_unread_front_matter_and_other_formats_are_named(run: Run, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.md").write_text("---\ntitle: x\na: [b\n---\nThe key hangs behind the clock.\n")
    (notes / "b.rst").write_text("Not read.")
    (notes / "LICENSE").write_text("Not read.")
    ran = run("index", notes, "--index", tmp_path / "index")
    assert ran.code == 0
    assert f"Kept as text: {notes / 'a.md'}, front matter that is not YAML: line " in ran.err
    assert "Files of other formats, not read: 1 without a suffix, 1 .rst" in ran.err
    found = run("index", notes, "--index", tmp_path / "other", "--json").json
    assert list(found["kept_as_text"]) == [str(notes / "a.md")]
    assert found["other_formats"] == {"": 1, ".rst": 1}
    assert found["left_out"] == {}


def test_rows_that_are_skipped_are_named(run: Run, tmp_path: Path) -> None:
    rows = ['{"text": "one", "n": 1}', '{"text": "two", "n": "?"}', '{"text": "six", "n": 2}']
    rows += ['{"text": bad', '{"text": null}', '{"text": "ten"}']
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    arguments = ("index", str(tmp_path / "a.jsonl"), "--index", str(tmp_path / "i"))
    result = run(*arguments)
    assert result.code == 0
    assert "a.jsonl, line 2" in result.err
    assert "Rows skipped: 2" in result.err
    assert "not valid JSON (" in result.err
    assert "Without text: " in result.err
    assert "6 documents: 3 added" in result.err
    report = run(*arguments, "--json").json
    places = [" ".join(report["skipped"]), " ".join(report["blank"])]
    assert ["line 2" in places[0], "line 4" in places[0], "line 5" in places[1]] == [True] * 3
    result = run(*arguments, "--strict")
    assert result.code == 2
    assert "a.jsonl, line 2" in result.err


def test_states_of_passages_are_stored_as_chosen(run: Run, tmp_path: Path) -> None:
    note, index = tmp_path / "note.txt", tmp_path / "index"
    note.write_text("The oil crisis began in October 1973. " * 20, "utf-8")
    assert run("index", note, "--index", index, "--states", "compact").code == 0
    (file,) = index.glob("states-*-compact-1.sqlite")
    assert json.loads((index / "index.json").read_text("utf-8"))["states"] == "compact"
    assert run("search", QUERY, "--index", index, "--json").json["results"]
    (doctor,) = run("doctor", "--index", index, "--json").json["indexes"]
    assert doctor["unread_windows"] == 0
    ran = run("index", note, "--index", index, "--states", "none", "--keep-states")
    assert ran.code == 2
    assert "contradict" in ran.err
    assert file.is_file()
