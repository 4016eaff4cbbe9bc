"""Build examples/wikipedia/ from the SQuAD 1.1 development set, deterministically.

    python scripts/build_sample.py            # reads $SECONDPASS_DATA/eval/squad-dev

The result is committed, so that nobody needs to run this. Whole articles are used, so that
each paragraph has similar ones beside it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SECONDPASS_DATA", ROOT.parent / "shared" / "data"))
SEED = "2026"
QUESTIONS_PER_ARTICLE = 4

ARTICLES = (
    "1973 oil crisis",
    "Amazon rainforest",
    "Apollo program",
    "Black Death",
    "Chloroplast",
    "Civil disobedience",
    "Computational complexity theory",
    "Ctenophora",
    "Doctor Who",
    "Economic inequality",
    "European Union law",
    "Force",
    "Genghis Khan",
    "Geology",
    "Harvard University",
    "Immune system",
    "Intergovernmental Panel on Climate Change",
    "Kenya",
    "Newcastle upon Tyne",
    "Nikola Tesla",
    "Normans",
    "Oxygen",
    "Packet switching",
    "Pharmacy",
    "Prime number",
    "Private school",
    "Rhine",
    "Scottish Parliament",
    "Southern California",
    "Steam engine",
    "Teacher",
    "University of Chicago",
    "Victoria and Albert Museum",
    "Warsaw",
    "Yuan dynasty",
)

# A question that needs its paragraph ("What did he do then?") is not a search query.
CONTEXT_DEPENDENT = re.compile(
    r"\b(he|she|him|his|her|hers|they|them|their|theirs|it|its|this|these|those|that"
    r"|there|then|above|below|following|passage|article|paragraph|text|author"
    r"|the university|the parliament|the collection|the centre|the gallery|mentioned"
    r"|one (?:example|reason|way)|another|other than|also|else|such)\b",
    re.IGNORECASE,
)
# Excluded by hand: misspelled, or not clear without the paragraph.
EXCLUDED = frozenset(
    Path(__file__).with_suffix(".left_out.txt").read_text("utf-8").splitlines()
)
QUESTION_START = re.compile(
    r"^(who|what|when|where|which|why|how|is|are|was|were|did|does|do|can)\b", re.I
)
STOP = {"the", "of", "and", "on", "in", "a", "an"}


def read_lines(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def is_standalone(question: str, title: str) -> bool:
    """Return whether a question is clear without its paragraph: it names something."""
    words = question.rstrip("?").split()
    if not (
        6 <= len(words) <= 16 and question.endswith("?") and QUESTION_START.match(question)
    ):
        return False
    if question in EXCLUDED or CONTEXT_DEPENDENT.search(question) or question.count("?") > 1:
        return False
    proper_names = [word for word in words[1:] if word[:1].isupper()]
    title_words = {word.lower() for word in re.findall(r"\w+", title)} - STOP
    return bool(proper_names) or bool(
        title_words & {word.lower().strip(",'\"") for word in words}
    )


def sort_key(text: str) -> bytes:
    """Return a pseudo-random sort key that is the same on every machine."""
    return hashlib.sha256((SEED + text).encode()).digest()


def select_questions(
    questions: dict[str, list[str]], titles: dict[str, str]
) -> list[tuple[str, str]]:
    """Select a few questions of each article, at most one of each paragraph."""
    chosen: list[tuple[str, str]] = []
    for title in ARTICLES:
        documents = sorted((d for d in questions if titles[d] == title), key=sort_key)
        candidates = [
            (document, min(standalone, key=sort_key))
            for document in documents
            if (standalone := [q for q in questions[document] if is_standalone(q, title)])
        ]
        chosen += candidates[:QUESTIONS_PER_ARTICLE]
    return sorted(chosen, key=lambda pair: sort_key(pair[1]))


def build(source: Path, target: Path) -> tuple[int, int]:
    """Write corpus, queries and qrels; return the numbers of paragraphs and questions."""
    names: dict[str, str] = {}
    titles: dict[str, str] = {}
    count: dict[str, int] = defaultdict(int)
    target.joinpath("qrels").mkdir(parents=True, exist_ok=True)
    with target.joinpath("corpus.jsonl").open("w", encoding="utf-8") as corpus:
        for row in read_lines(source / "corpus.jsonl.gz"):
            title = unquote(row["title"])
            if not row["_id"].startswith("dev") or title not in ARTICLES:
                continue
            count[title] += 1
            names[row["_id"]] = f"{slug(title)}-{count[title]:02d}"
            titles[row["_id"]] = title
            record = {"_id": names[row["_id"]], "title": title, "text": row["text"].strip()}
            corpus.write(json.dumps(record, ensure_ascii=False) + "\n")
    texts_by_query = {
        row["_id"]: " ".join(row["text"].split())
        for row in read_lines(source / "queries.jsonl.gz")
    }
    questions: dict[str, list[str]] = defaultdict(list)
    for line in source.joinpath("qrels", "test.tsv").read_text("utf-8").splitlines()[1:]:
        query, document, _ = line.split("\t")
        if document in titles:
            questions[document].append(texts_by_query[query])
    chosen = select_questions(questions, titles)
    with (
        target.joinpath("queries.jsonl").open("w", encoding="utf-8") as queries,
        target.joinpath("qrels", "test.tsv").open("w", encoding="utf-8") as qrels,
    ):
        qrels.write("query-id\tcorpus-id\tscore\n")
        for number, (document, text) in enumerate(chosen, start=1):
            queries.write(
                json.dumps({"_id": f"q{number:03d}", "text": text}, ensure_ascii=False) + "\n"
            )
            qrels.write(f"q{number:03d}\t{names[document]}\t1\n")
    return len(names), len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--source", type=Path, default=DATA / "eval" / "squad-dev")
    parser.add_argument("--target", type=Path, default=ROOT / "examples" / "wikipedia")
    arguments = parser.parse_args()
    if not (arguments.source / "corpus.jsonl.gz").is_file():
        raise SystemExit(
            f"{arguments.source} does not contain SQuAD: set SECONDPASS_DATA or --source."
        )
    paragraphs, questions = build(arguments.source, arguments.target)
    print(f"{arguments.target}: {paragraphs} paragraphs, {questions} judged questions")


if __name__ == "__main__":
    main()
