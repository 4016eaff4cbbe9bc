"""Relevant spans: whether they hold the answer, what they save, and what they cost.

    python benchmarks/spans.py                          # all four tables, 993 questions
    python benchmarks/spans.py answer context --questions 300
    python benchmarks/spans.py cost --rounds 20

Needs the collections squad-dev and wikiqa-rerank and the training pairs selqa and fm2_dev_test,
see benchmarks/README.md. The answers of squad-dev are in benchmarks/answers. The figures of
docs/how-to/show-relevant-sentences.md are printed by this.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from beir import DATA, load

from secondpass import Document, Embedder, Reranker, Spans
from secondpass.answer import Passage
from secondpass.answer.extractive import find_spans, text_of_spans
from secondpass.inference.query_cut import shared_tokenizer
from secondpass.retrieve.loaders.jsonl import rows
from secondpass.sentences import split_sentences

ANSWERS = Path(__file__).parent / "answers" / "squad-dev.jsonl"
EVERY = Spans(threshold=0, max_spans=None)
PASSAGES = 5
CANDIDATES = 50
# Sentences of one document in `selqa` and `fm2`, fewer of which are no choice.
_FEWEST = 3
_WORD = re.compile(r"\w+")
Chooser = Callable[[str, Document], list[tuple[int, int]]]


class Bm25:
    """BM25 of the sentences of a document, with word statistics of many sentences."""

    def __init__(self, documents: Sequence[Document]) -> None:
        texts = [d.text[a:b] for d in documents for a, b in split_sentences(d.text)]
        self._count = len(texts)
        self._containing = Counter(word for text in texts for word in set(_words(text)))

    def best(self, query: str, document: Document) -> list[tuple[int, int]]:
        """Return the sentences of a document, best first."""
        sentences = split_sentences(document.text)
        bags = [Counter(_words(document.text[a:b])) for a, b in sentences]
        mean = sum(sum(bag.values()) for bag in bags) / max(1, len(bags))
        scores = []
        for bag in bags:
            norm = 1.2 * (0.25 + 0.75 * sum(bag.values()) / max(1.0, mean))
            scores.append(
                sum(
                    self._idf(w) * bag[w] * 2.2 / (bag[w] + norm)
                    for w in set(_words(query))
                    if bag[w]
                )
            )
        return [sentences[i] for i in np.argsort(-np.array(scores), kind="stable")]

    def _idf(self, word: str) -> float:
        n = self._containing[word]
        return math.log1p((self._count - n + 0.5) / (n + 0.5))


class Choosers:
    """The span chooser and the baselines, all of which return sentences, best first."""

    def __init__(self, reranker: Reranker, documents: Sequence[Document]) -> None:
        self.reranker, self.embedder = reranker, Embedder()
        self.named: dict[str, Chooser] = {
            "spans": self.spans,
            "the first sentence": lambda query, d: split_sentences(d.text),
            "BM25's best": Bm25(documents).best,
            "cosine's best": self.cosine,
        }

    def spans(self, query: str, document: Document) -> list[tuple[int, int]]:
        """All spans of a document."""
        (result,) = self.reranker.rerank(query, [document], spans=EVERY).results
        return [(s.start, s.end) for s in result.spans]

    def cosine(self, query: str, document: Document) -> list[tuple[int, int]]:
        """Its sentences by the cosine of the bundled embeddings."""
        sentences = split_sentences(document.text)
        vectors = self.embedder.encode([query, *(document.text[a:b] for a, b in sentences)])
        order = np.argsort(-(vectors[1:] @ vectors[0]), kind="stable")
        return [sentences[i] for i in order]

    def read(self, query: str, document: Document) -> list[tuple[int, int]]:
        """Each sentence reranked as a document of its own, with the title."""
        sentences = split_sentences(document.text)
        alone = [Document(document.text[a:b], title=document.title) for a, b in sentences]
        return [sentences[r.index] for r in self.reranker.rerank(query, alone).results]


class Question(NamedTuple):
    """A question, its paragraph, all paragraphs of the article, and the answers."""

    text: str
    right: Document
    article: list[Document]
    answers: list[str]


def questions(count: int) -> tuple[list[Question], list[Document]]:
    """Return questions of squad-dev in random order, and the collection's paragraphs."""
    collection = load("squad-dev", qrels="test_1000.tsv")
    documents = {str(d.id): d for d in collection.documents}
    articles: dict[str, list[Document]] = defaultdict(list)
    for document in collection.documents:
        articles[document.title or ""].append(document)
    answers = {row.values["_id"]: row.values["answers"] for row in rows(ANSWERS)}
    names = [name for name in collection.queries if name in answers]
    random.Random(0).shuffle(names)
    found = []
    for name in names[:count]:
        right = documents[next(iter(collection.qrels[name]))]
        query = collection.queries[name]
        found.append(Question(query, right, articles[right.title or ""], answers[name]))
    return found, collection.documents


def answer(reranker: Reranker, options: argparse.Namespace) -> None:
    """Whether an answer stands in the first span, or in the first two, of its paragraph."""
    asked, documents = questions(options.questions)
    choosers = Choosers(reranker, documents)
    tried = {**choosers.named, "each sentence read alone": choosers.read}
    hits = {name: [0, 0] for name in tried}
    for question in asked:
        text = question.right.text
        for name, choose in tried.items():
            sentences = choose(question.text, question.right)
            for k in (1, 2):
                pieces = [text[a:b] for a, b in sentences[:k]]
                found = any(a in piece for a in question.answers for piece in pieces)
                hits[name][k - 1] += found
    print(
        f"\nanswer in the first sentence, in the first two (squad-dev, {len(asked)} questions)"
    )
    for name, (one, two) in hits.items():
        print(f"  {name:26} {one / len(asked):.3f}  {two / len(asked):.3f}", flush=True)


def supporting(reranker: Reranker, options: argparse.Namespace) -> None:
    """Precision and recall against the sentences that are marked as supporting."""
    for title, collect in SUPPORTED.items():
        cases = list(collect(options.questions))
        choosers = Choosers(reranker, [document for _, document, _ in cases])
        tried = {f"{name}, one": (choose, 1) for name, choose in choosers.named.items()}
        print(f"\nsupporting sentences: {title} ({len(cases)} queries)")
        print(f"  {'':26} precision  recall  F1   kept")
        totals = {name: [0, 0] for name in [*tried, "spans (default)"]}
        relevant = sentences = 0
        for query, document, right in cases:
            relevant, sentences = (
                relevant + len(right),
                sentences + len(split_sentences(document.text)),
            )
            for name, (choose, count) in tried.items():
                _count(totals[name], choose(query, document)[:count], right)
            (result,) = reranker.rerank(query, [document], spans=True).results
            _count(totals["spans (default)"], [s[:2] for s in result.spans], right)
        for name, (hits, kept) in totals.items():
            precision, recall = hits / max(1, kept), hits / relevant
            f1 = 2 * precision * recall / max(1e-9, precision + recall)
            line = f"{precision:.3f}      {recall:.3f}   {f1:.3f}  {kept / sentences:.2f}"
            print(f"  {name:26} {line}", flush=True)


def _count(totals: list[int], chosen: Sequence[tuple[int, int]], right: set[Any]) -> None:
    totals[0] += len(set(chosen) & right)
    totals[1] += len(chosen)


Case = tuple[str, Document, set[tuple[int, int]]]


def _wikiqa(count: int) -> Iterator[Case]:
    """Yield the judged sentences of each query, in their order in the article."""
    collection = load("wikiqa-rerank")
    texts = {str(d.id): d.text for d in collection.documents}
    for name, query in list(collection.queries.items())[:count]:
        grades = collection.qrels[name]
        ids = sorted(grades, key=lambda i: int(i[1:]))
        right = [texts[i] for i in ids if grades[i] > 0]
        yield from _case(query, [texts[i] for i in ids], right, None)


def _selqa(count: int) -> Iterator[Case]:
    """Yield the answer sentences among up to eight others of their section, shuffled."""
    right, others = defaultdict(list), defaultdict(list)
    for row in _training("selqa"):
        right[row["query"]].append(row["positive"])
        others[row["query"]] += row.get("negatives", ())
    order = random.Random(0)
    for query in list(right)[:count]:
        pool = list(dict.fromkeys([*right[query], *others[query]]))
        order.shuffle(pool)
        yield from _case(query, pool, right[query], None)


def _fm2(count: int) -> Iterator[Case]:
    """Yield the gold sentences of a claim among those of other claims about the article."""
    right, of_title = defaultdict(list), defaultdict(list)
    for row in _training("fm2_dev_test"):
        right[row["query"], row["title"]].append(row["positive"])
        of_title[row["title"]].append(row["positive"])
    order, yielded = random.Random(0), 0
    for (query, title), positives in right.items():
        pool = list(dict.fromkeys(of_title[title]))
        if len(pool) < _FEWEST or yielded == count:
            continue
        order.shuffle(pool)
        yielded += 1
        yield from _case(query, pool[:10], positives, title)


def _case(
    query: str, sentences: Sequence[str], right: Sequence[str], title: str | None
) -> Iterator[Case]:
    """Yield a document of sentences, one a line, unless a marked one is not among them."""
    lines = [" ".join(s.split()) for s in sentences]
    text, marked = "\n".join(lines), {" ".join(s.split()) for s in right}
    # A marked text of several sentences marks each of them.
    spans, start = set(), 0
    for line in lines:
        if line in marked:
            end = start + len(line)
            spans |= {s for s in split_sentences(text) if start <= s[0] and s[1] <= end}
        start += len(line) + 1
    if spans:
        yield query, Document(text, title=title), spans


def _training(name: str) -> Iterator[dict[str, Any]]:
    for line in rows(DATA / "train" / f"{name}.jsonl.gz"):
        yield dict(line.values)


SUPPORTED: dict[str, Callable[[int], Iterator[Case]]] = {
    "WikiQA, sentences in order": _wikiqa,
    "SelQA, shuffled": _selqa,
    "Fool Me Twice, shuffled": _fm2,
}


def context(reranker: Reranker, options: argparse.Namespace) -> None:
    """What a language model reads: five passages of the article, or their spans."""
    asked, _ = questions(options.questions)
    count = shared_tokenizer().count
    tokens, hits = Counter[str](), Counter[str]()
    for question in asked:
        others = [d for d in question.article if d.id != question.right.id]
        nearest = reranker.rerank(question.text, others[:20], top_k=PASSAGES - 1).results
        documents = [question.right, *(others[r.index] for r in nearest)]
        passages = [Passage(i, d.text, (), i, d.title) for i, d in enumerate(documents, 1)]
        found, likelihoods = find_spans(question.text, passages, reranker)
        texts = {
            "passages": [p.text for p in found],
            "spans": list(map(text_of_spans, found, likelihoods)),
            "the best span alone": [p.text[slice(*p.highlight)] for p in found if p.highlight],
        }
        for name, parts in texts.items():
            tokens[name] += sum(map(count, parts))
            hits[name] += any(a in parts[0] for a in question.answers)
    print(f"\nwhat a language model reads ({len(asked)} questions, {PASSAGES} passages each)")
    print(f"  {'':26} tokens  of all  answer in the right passage")
    for name, total in tokens.items():
        share = total / tokens["passages"]
        line = f"{total / len(asked):6.0f}  {share:.2f}    {hits[name] / len(asked):.3f}"
        print(f"  {name:26} {line}", flush=True)


def cost(reranker: Reranker, options: argparse.Namespace) -> None:
    """The second pass of 50 candidates with and without spans, interleaved, states stored."""
    asked, documents = questions(40)
    rng = random.Random(1)
    # Processor time of all threads, and time by the clock.
    spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
    kinds: dict[str, dict[str, Any]] = {
        "top 5": {"top_k": 5},
        "top 5, spans": {"top_k": 5, "spans": True},
        "all 50": {},
        "all 50, spans": {"spans": True},
    }
    pairs: Counter[str] = Counter()
    encoded: Counter[str] = Counter()
    for n in range(options.rounds):
        question = asked[n % len(asked)]
        candidates = rng.sample(documents, CANDIDATES)
        reranker.rerank(question.text, candidates)  # Now their states are stored.
        names = list(kinds)
        rng.shuffle(names)
        for name in names:
            started = time.process_time(), time.perf_counter()
            response = reranker.rerank(question.text, candidates, **kinds[name])
            ended = time.process_time(), time.perf_counter()
            spent[name].append((ended[0] - started[0], ended[1] - started[1]))
            pairs[name] += response.usage.pairs
            encoded[name] += response.usage.tokens
    print(f"\nthe second pass of {CANDIDATES} candidates ({options.rounds} rounds)")
    print(f"  {'':26}  CPU ms  ratio       ms  ratio")
    for name in kinds:
        base = name.removesuffix(", spans")
        line = f"  {name:26}"
        for own, other in zip(
            zip(*spent[name], strict=True), zip(*spent[base], strict=True), strict=True
        ):
            ratio = statistics.median(a / b for a, b in zip(own, other, strict=True))
            line += f" {1000 * statistics.median(own):7.1f}   {ratio:.2f} "
        print(f"{line}  {pairs[name]} windows, {encoded[name]} tokens encoded", flush=True)


TABLES = {"answer": answer, "supporting": supporting, "context": context, "cost": cost}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def main() -> None:
    """Print the tables that are named, by default all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=", ".join(TABLES))
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--questions", type=int, default=993)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        parser.error(f"there is no table {min(unknown)!r}, but {', '.join(TABLES)}")
    reranker = Reranker(options.model)
    print(json.dumps({"model": options.model, "spans": repr(Spans())}))
    for name in options.tables or TABLES:
        TABLES[name](reranker, options)


if __name__ == "__main__":
    main()
