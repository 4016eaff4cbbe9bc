"""Build documents with known answering sentences, for `scripts/train_answers.py`.

    python scripts/build_span_examples.py sentences.txt questions.txt \\
        --squad ../shared/data/train/squad11_train.jsonl.gz --out runs/spans.jsonl

The first two files pair each question with the sentence that has its answer, one a line.
They are `src-test.txt` and `tgt-test.txt` in `data/processed` of github.com/xinyadu/nqg (Du,
Shao and Cardie, "Learning to Ask", ACL 2017), made from 44 articles of the training part of
SQuAD 1.1 (CC BY-SA 4.0). Their text is in lower case and split into tokens, so it is compared
by letters and digits alone. The paragraphs come from the training data folder.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import Counter, defaultdict
from pathlib import Path

from secondpass.sentences import split_sentences

# How brackets are written in those files.
_BRACKET = re.compile(r"-[lr][rsc]b-")
_SIGN = re.compile(r"[^a-z0-9]")
# A shorter text may be a part of several sentences by chance.
_SHORTEST = 20


def letters(text: str) -> str:
    """Return the letters and digits of a text, in lower case."""
    return _SIGN.sub("", _BRACKET.sub("", text.lower()))


def find_answers(text: str, marked: str) -> list[int]:
    """Return the places of the sentences of a text that are, hold or belong to a marked one."""
    found = []
    for place, (start, end) in enumerate(split_sentences(text)):
        sentence = letters(text[start:end])
        inside = len(sentence) > _SHORTEST and (sentence in marked or marked in sentence)
        if sentence and (sentence == marked or inside):
            found.append(place)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--squad", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    paragraphs: dict[str, list[dict[str, str]]] = defaultdict(list)
    with gzip.open(arguments.squad, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            paragraphs[letters(row["query"])].append(row)
    marked = arguments.sentences.read_text("utf-8").splitlines()
    questions = arguments.questions.read_text("utf-8").splitlines()
    counts: Counter[str] = Counter()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8") as out:
        for sentence, question in zip(
            map(letters, marked), map(letters, questions), strict=True
        ):
            candidates = [
                (r, find_answers(r["positive"], sentence)) for r in paragraphs[question]
            ]
            row, answers = next(((r, a) for r, a in candidates if a), (None, []))
            if row is None:
                counts["without a paragraph" if not candidates else "without the sentence"] += 1
                continue
            counts["written"] += 1
            written = {
                "query": row["query"],
                "title": row["title"],
                "text": row["positive"],
                "answers": answers,
            }
            out.write(json.dumps(written, ensure_ascii=False) + "\n")
    print(json.dumps({"questions": len(questions), **counts}))


if __name__ == "__main__":
    main()
