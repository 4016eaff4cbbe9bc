"""Documents with known answering sentences, built from the files of three data sets."""

from __future__ import annotations

import gzip
import json
import os
import random
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from secondpass.sentences import split_sentences

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "build_span_examples.py"


def build(
    folder: Path, *arguments: object, data: Path | None = None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Run the script; return what it wrote, and what it printed of each file."""
    out = folder / "spans.jsonl"
    command = [sys.executable, SCRIPT, *arguments, "--out", out]
    environment = {name: v for name, v in os.environ.items() if name != "SECONDPASS_DATA"}
    if data is not None:
        environment["SECONDPASS_DATA"] = str(data)
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=True, env=environment
    )
    lines = out.read_text("utf-8").splitlines()
    return list(map(json.loads, lines)), list(map(json.loads, done.stdout.splitlines()))


def write_rows(file: Path, *rows: object) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return file


def squad_file(file: Path, context: str, question: str, answer: str, title: str) -> Path:
    place = context.index(answer)
    asked = {"question": question, "answers": [{"text": answer, "answer_start": place}]}
    paragraph = {"context": context, "qas": [asked]}
    return write_rows(file, {"data": [{"title": title, "paragraphs": [paragraph]}]})


def test_a_marked_sentence_is_found_in_the_paragraph_of_the_question(tmp_path: Path) -> None:
    (tmp_path / "src.txt").write_text(
        "the bridge -lrb- built in 1869 -rrb- is of iron .\nno such sentence is there .\n"
    )
    (tmp_path / "tgt.txt").write_text("when was the bridge built ?\nwho painted it ?\n")
    row = {
        "query": "When was the bridge built?",
        "title": "A bridge",
        "positive": "It is long. The bridge (built in 1869) is of iron. It is red.",
    }
    with gzip.open(tmp_path / "pairs.jsonl.gz", "wt", encoding="utf-8") as pairs:
        pairs.write(json.dumps(row) + "\n")
    files = [tmp_path / name for name in ("src.txt", "tgt.txt", "pairs.jsonl.gz")]
    rows, counts = build(tmp_path, "--sentences", *files)
    assert rows == [
        {
            "query": row["query"],
            "title": row["title"],
            "text": row["positive"],
            "answers": [1],
            "spans": [],
        }
    ]
    assert counts == [
        {"file": "src.txt", "written": 1, "without a paragraph that has the sentence": 1}
    ]


def test_the_sentence_of_an_answer_to_a_search_is_marked_and_tokens_are_joined(
    tmp_path: Path,
) -> None:
    text = "It was built ( in 1869 ) by Ann . It `` stands '' today . Bob paints it ."
    found = {
        "question_text": "who paints the bridge",
        "title_text": "A bridge",
        "paragraph_text": text,
        "sentence_starts": [0, text.index("It ``"), text.index("Bob")],
        "answer_spans": [[text.index("Bob"), text.index("Bob") + 3]],
        "answer_type": "single_sentence",
    }
    file = write_rows(tmp_path / "qed.jsonlines", found, found | {"answer_type": "none"})
    rows, counts = build(tmp_path, "--qed", file)
    assert rows == [
        {
            "query": "who paints the bridge",
            "title": "A bridge",
            "text": 'It was built (in 1869) by Ann. It "stands" today. Bob paints it.',
            "answers": [2],
            "spans": [[50, 53]],
        }
    ]
    assert counts == [{"file": "qed.jsonlines", "written": 1, "without the sentence": 1}]


def test_the_sentence_of_a_marked_answer_is_found_by_its_place(tmp_path: Path) -> None:
    context = "Ann came first. Then Ann left. Bob stayed with his old dog."
    file = squad_file(tmp_path / "squad.json", context, " Who stayed?", "Bob", "A_visit")
    rows, _ = build(tmp_path, "--squad", file)
    assert rows == [
        {
            "query": "Who stayed?",
            "title": "A visit",
            "text": context,
            "answers": [2],
            "spans": [[31, 34]],
        }
    ]


def test_a_long_text_is_cut_to_the_paragraph_of_the_answer(tmp_path: Path) -> None:
    wanted = "The trial had 90 patients. Most of them got well."
    context = "\n".join(["A paper", "Some words here. " * 200, wanted, "The end."])
    file = squad_file(tmp_path / "papers.json", context, "How many patients?", "90", "")
    rows, _ = build(tmp_path, "--squad", file)
    assert [(row["title"], row["text"], row["answers"], row["spans"]) for row in rows] == [
        ("A paper", wanted, [0], [[14, 16]])
    ]


def test_a_question_of_an_evaluated_collection_is_left_out_and_counted(tmp_path: Path) -> None:
    context = "Ann came first. Then Ann left. Bob stayed with his old dog."
    file = squad_file(tmp_path / "squad.json", context, "Who stayed?", "Bob", "A visit")
    queries = tmp_path / "data" / "eval" / "one" / "queries.jsonl"
    queries.parent.mkdir(parents=True)
    write_rows(queries, {"_id": "1", "text": "who stayed"})
    rows, counts = build(tmp_path, "--squad", file, data=tmp_path / "data")
    assert rows == []
    assert counts == [{"file": "squad.json", "of an evaluated collection": 1}]


def test_statements_are_parts_of_one_sentence_of_each_text(tmp_path: Path) -> None:
    iron = "The bridge over the river was built of iron in 1869 by two brothers from Derby."
    text = (
        f"It is long. {iron} It is red and white, and green where the old paint has come off."
    )
    row = {"query": "?", "title": "A bridge", "text": text, "answers": [0], "spans": []}
    short = {
        **row,
        "title": "B",
        "text": "One sentence of more than nine words is no choice, so.",
    }
    file = write_rows(tmp_path / "made.jsonl", row, row, short)
    found = set()
    for _ in range(2):
        rows, counts = build(tmp_path, "--statements", file)
        assert counts == [{"file": "statements", "written": 1}]
        for made in rows:
            (place,) = made["answers"]
            start, end = split_sentences(text)[place]
            words = text[start:end].split()
            asked = made["query"].removeprefix("A bridge ").split()
            assert set(asked) <= set(words)
            assert 2 < len(asked) < len(words)
            assert (made["title"], made["text"]) == ("A bridge", text)
            found.add(made["query"])
    # The same each time.
    assert len(found) <= 1


def test_a_statement_keeps_the_order_of_its_words() -> None:
    script = runpy.run_path(str(SCRIPT))
    words = [str(n) for n in range(20)]
    for seed in range(50):
        kept = list(map(int, script["shorten"](words, random.Random(seed)).split()))
        assert kept == sorted(kept)
        assert kept[-1] - kept[0] < 16
        assert len(kept) >= 1
