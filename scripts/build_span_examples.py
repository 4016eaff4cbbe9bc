"""Build documents with known answers, for training: their sentences, and their places.

    python scripts/build_span_examples.py --out runs/spans/squad.jsonl \\
        --sentences src-test.txt tgt-test.txt squad11_train.jsonl.gz
    python scripts/build_span_examples.py --out runs/spans/searches.jsonl \\
        --qed nq-train-*-qed.jsonlines
    python scripts/build_span_examples.py --out runs/spans/wikipedia.jsonl \\
        --squad new_wiki_v1.0.json
    python scripts/build_span_examples.py --out runs/spans/papers.jsonl \\
        --squad 200423_covidQA.json
    python scripts/build_span_examples.py --out runs/statements.jsonl \\
        --statements runs/spans/*.jsonl

Four kinds of files:

- `--sentences`: a file of sentences and one of the questions they answer, line by line, in
  lower case and split into tokens, and the pairs of questions and paragraphs (JSON lines) that
  they are of. `src-test.txt` and `tgt-test.txt` in `data/processed` of github.com/xinyadu/nqg
  (Du, Shao and Cardie, "Learning to Ask", ACL 2017) are of 44 articles of the training part of
  SQuAD 1.1 (CC BY-SA 4.0).
- `--qed`: questions to a search engine with a paragraph of Wikipedia and the answer in it.
  `nq-train-*-qed.jsonlines` at commit cdf8ed4 of github.com/google-research-datasets/QED (Lamm
  et al., TACL 2021; CC BY-SA 3.0), from Natural Questions.
- `--squad`: the format of SQuAD. `datasets/new_wiki_v1.0.json` of
  github.com/modestyachts/squadshifts-website (Miller et al., ICML 2020; CC BY 4.0), and
  `data/question-answering/200423_covidQA.json` of github.com/deepset-ai/COVID-QA (Möller et
  al., 2020; Apache-2.0).
- `--statements`: files that this script wrote. Of one sentence of each of their texts a part
  is taken, and words are left out: a query that is no question, which that sentence answers.

Written are JSON lines of `query`, `title`, `text`, `answers` (the places of the sentences that
answer) and `spans` ([start, end) of the answers themselves; none with `--sentences`). Questions
of the collections in $SECONDPASS_DATA/eval are left out, where it is set.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from secondpass.sentences import split_sentences

# How brackets are written in files of tokens.
_BRACKET = re.compile(r"-[lr][rsc]b-")
_SIGN = re.compile(r"[^a-z0-9]")
# A shorter text may be a part of several sentences by chance.
_SHORTEST = 20
# Fewer sentences are no choice, and fewer words say nothing.
_FEWEST_SENTENCES, _FEWEST_WORDS, _FEWEST_KEPT = 3, 9, 6
# A longer text is cut into its paragraphs, as it would be in an index.
_LONGEST = 2000
_BEFORE = re.compile(r" +([,.;:!?%)\]]|n't\b|'(?:s|re|ve|ll|d|m)?\b)")
_AFTER = re.compile(r"([(\[$]) +")


class Example(NamedTuple):
    """A question, a text, and the letters of its sentences that answer.

    `spans`: [start, end) of the answers themselves in the text, where they are known.
    """

    query: str
    title: str
    text: str
    marked: tuple[str, ...]
    spans: tuple[tuple[int, int], ...] = ()


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


def join_tokens(text: str) -> str:
    """Return a text of tokens as it is usually written."""
    text = text.replace("`` ", '"').replace(" ''", '"').replace("''", '"')
    return _AFTER.sub(r"\1", _BEFORE.sub(r"\1", text))


def read_sentences(sentences: Path, questions: Path, pairs: Path) -> Iterator[Example]:
    """Yield the question, its paragraph and its sentence; no text where none is known."""
    paragraphs: dict[str, list[dict[str, str]]] = defaultdict(list)
    with gzip.open(pairs, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            paragraphs[letters(row["query"])].append(row)
    marked = sentences.read_text("utf-8").splitlines()
    for sentence, question in zip(
        map(letters, marked), questions.read_text("utf-8").splitlines(), strict=True
    ):
        candidates = paragraphs[letters(question)]
        row = next((r for r in candidates if find_answers(r["positive"], sentence)), None)
        if row is None:
            yield Example(question, "", "", (sentence,))
        else:
            yield Example(row["query"], row["title"], row["positive"], (sentence,))


def read_qed(file: Path) -> Iterator[Example]:
    """Yield questions with the sentences that have the answer; none if it was not one."""
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        answers = [] if row["answer_type"] == "none" else row["answer_spans"]
        text, starts = row["paragraph_text"], row["sentence_starts"] or [0]
        bounds = zip(starts, [*starts[1:], len(text)], strict=True)
        marked = tuple(
            letters(text[start:end])
            for start, end in bounds
            if any(start <= answer[0] < end for answer in answers)
        )
        joined = join_tokens(text)
        found = [join_tokens(text[start:end]) for start, end in answers]
        places = [(joined.find(a), joined.find(a) + len(a)) for a in found if a in joined]
        yield Example(row["question_text"], row["title_text"], joined, marked, tuple(places))


def read_squad(file: Path) -> Iterator[Example]:
    """Yield the questions, each with the paragraph and the sentence of its first answer."""
    for article in json.loads(file.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            context = paragraph["context"]
            title = article.get("title") or context.splitlines()[0]
            for question in paragraph["qas"]:
                answers = question["answers"]
                start = answers[0]["answer_start"] if answers else -1
                text, start = cut_paragraph(context, start)
                spans = [(start, start + len(answers[0]["text"]))] if answers else []
                marked = tuple(
                    letters(text[a:b]) for a, b in split_sentences(text) if a <= start < b
                )
                name = title.replace("_", " ")
                asked = question["question"].strip()
                yield Example(asked, name, text, marked, tuple(spans))


def read_statements(files: Iterable[Path], seed: int = 0) -> Iterator[Example]:
    """Yield a part of one sentence of each text, as what is searched for."""
    rng = random.Random(seed)
    seen: set[tuple[str, str]] = set()
    for file in files:
        for line in file.read_text("utf-8").splitlines():
            row = json.loads(line)
            title, text = row["title"], row["text"]
            if (title, text) in seen:
                continue
            seen.add((title, text))
            sentences = split_sentences(text)
            start, end = rng.choice(sentences)
            words = text[start:end].split()
            if len(sentences) >= _FEWEST_SENTENCES and len(words) >= _FEWEST_WORDS:
                statement = shorten(words, rng)
                if title.lower() not in statement.lower() and rng.random() < 0.5:
                    statement = f"{title} {statement}"
                yield Example(statement, title, text, (letters(text[start:end]),))


def shorten(words: Sequence[str], rng: random.Random) -> str:
    """Return two to four fifths of the words in a row, without about a fifth of these."""
    count = max(_FEWEST_KEPT, int(len(words) * rng.uniform(0.4, 0.8)))
    first = rng.randrange(len(words) - count + 1)
    return " ".join(w for w in words[first : first + count] if rng.random() > 0.2)


def cut_paragraph(context: str, start: int) -> tuple[str, int]:
    """Return the part of a long text that the character is in, and its place there."""
    if len(context) <= _LONGEST:
        return context, start
    begin = context.rfind("\n", 0, max(0, start)) + 1
    end = context.find("\n", start)
    return context[begin : end if end >= 0 else len(context)], start - begin


def evaluated() -> set[str]:
    """Return the letters of all questions of the collections that are measured on."""
    found: set[str] = set()
    for file in Path(os.environ.get("SECONDPASS_DATA", "-"), "eval").glob("*/queries.jsonl*"):
        opened: Any = gzip.open if file.suffix == ".gz" else open
        with opened(file, "rt", encoding="utf-8") as lines:
            found |= {letters(json.loads(line)["text"]) for line in lines}
    return found


def write(examples: Iterable[Example], out: Any, left_out: set[str]) -> Counter[str]:
    """Write the examples with an answering sentence; return counts of all, by outcome."""
    counts: Counter[str] = Counter()
    for example in examples:
        answers = sorted({i for m in example.marked for i in find_answers(example.text, m)})
        if not example.text:
            counts["without a paragraph that has the sentence"] += 1
        elif letters(example.query) in left_out:
            counts["of an evaluated collection"] += 1
        elif not answers:
            counts["without the sentence"] += 1
        else:
            counts["written"] += 1
            row = example._asdict() | {"answers": answers}
            del row["marked"]
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sentences", type=Path, nargs=3, metavar="FILE")
    parser.add_argument("--qed", type=Path, nargs="*", default=[])
    parser.add_argument("--squad", type=Path, nargs="*", default=[])
    parser.add_argument("--statements", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sources: dict[str, Iterator[Example]] = {}
    if arguments.sentences:
        sources[arguments.sentences[0].name] = read_sentences(*arguments.sentences)
    sources |= {file.name: read_qed(file) for file in arguments.qed}
    sources |= {file.name: read_squad(file) for file in arguments.squad}
    if arguments.statements:
        sources["statements"] = read_statements(arguments.statements)
    left_out = evaluated()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8") as out:
        for name, examples in sources.items():
            print(json.dumps({"file": name, **write(examples, out, left_out)}))


if __name__ == "__main__":
    main()
