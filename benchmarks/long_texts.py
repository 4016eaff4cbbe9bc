"""Long documents and long queries: whether the answer is found, and what reading costs.

    python benchmarks/long_texts.py                     # all four tables, about half an hour
    python benchmarks/long_texts.py paragraph --questions 10
    python benchmarks/long_texts.py last-sentence query cost

Needs the collections squad-dev and arguana, see benchmarks/README.md. The figures of
docs/explanation/long-texts.md are printed by this.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from beir import Collection, load

from secondpass import Document, PassageAggregation, Reranker
from secondpass.inference.query_cut import shared_tokenizer

TOKENS = 3400
EVERY_WINDOW = PassageAggregation(limit=10_000)
QUERY_TOKENS = (64, 128, 256)
NOISE_TOKENS = 450
DEPTH = 8
TOKENIZER = shared_tokenizer()
Options = dict[str, Any]


class Articles:
    """The paragraphs of squad-dev by article, and the questions about them in random order."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        collection = load("squad-dev", qrels="test_1000.tsv")
        self.documents = {str(d.id): d for d in collection.documents}
        self.articles: dict[str, list[Document]] = {}
        for document in collection.documents:
            self.articles.setdefault(document.title or "", []).append(document)
        self._collection = collection

    def questions(self, paragraphs: int) -> Iterator[tuple[str, Document, list[Document]]]:
        """Yield questions, the right paragraph, and the others of its article."""
        queries = list(self._collection.queries.items())
        self.random.shuffle(queries)
        for name, query in queries:
            relevant = self._collection.qrels[name]
            right = self.documents[next(iter(relevant))]
            article = self.articles[right.title or ""]
            if len(article) >= paragraphs:
                yield query, right, [d for d in article if d.id not in relevant]

    def long_text(self, paragraphs: list[Document], must: Document | None = None) -> str:
        """Return shuffled paragraphs of about `TOKENS` tokens, with one that must be there."""
        shuffled = self.random.sample(paragraphs, len(paragraphs))
        texts: list[str] = []
        while shuffled and sum(map(TOKENIZER.count, texts)) < TOKENS:
            texts.append(shuffled.pop().text)
        if must is not None:
            texts.insert(self.random.randrange(len(texts) + 1), must.text)
        return " ".join(texts)


def paragraph(reranker: Reranker, count: int) -> None:
    """The answer in a paragraph anywhere, against two documents of the article without it."""
    tried: dict[str, Options] = {
        "the first eight windows": {"passages": PassageAggregation(limit=8)},
        "all": {"passages": EVERY_WINDOW},
        "all, and two finer ones (default)": {},
        "1,310 tokens of each, and two finer ones": {"budget_tokens": 3 * 1310},
    }
    articles, first = Articles(11), dict.fromkeys(tried, 0)
    questions = [q for q, _ in zip(articles.questions(24), range(count), strict=False)]
    for query, right, others in questions:
        texts = [articles.long_text(others, right), *(articles.long_text(others) for _ in "ab")]
        for name, options in tried.items():
            first[name] += reranker.rerank(query, texts, **options).results[0].index == 0
    _print_shares("a paragraph anywhere", first, len(questions))


def last_sentence(reranker: Reranker, count: int) -> None:
    """The answer in the last sentence, against five sentences of the same article."""
    tried: dict[str, Options] = {
        "the first eight windows": {"passages": PassageAggregation(limit=8)},
        "all": {"passages": EVERY_WINDOW},
        "all, and two finer ones (default)": {},
        "2,000 tokens in all, and two finer ones": {"budget_tokens": 2000},
    }
    articles, done = Articles(3), 0
    first = dict.fromkeys([*tried, "the sentence alone"], 0)
    for query, right, others in articles.questions(6):
        if done == count:
            break
        answer = max(_sentences(right.text), key=lambda s: _shared(s, query), default="")
        rivals = [s for d in others for s in _sentences(d.text)]
        if _shared(answer, query) < 3 or len(rivals) < 5:
            continue
        done += 1
        rivals = articles.random.sample(rivals, 5)
        filler = articles.long_text(articles.random.sample([*articles.documents.values()], 40))
        for name, options in tried.items():
            texts = [f"{filler} {answer}", *rivals]
            first[name] += reranker.rerank(query, texts, **options).results[0].index == 0
        results = reranker.rerank(query, [answer, *rivals]).results
        first["the sentence alone"] += results[0].index == 0
    _print_shares("one sentence, the last one", first, done)


def query(reranker: Reranker, count: int) -> None:
    """Long queries cut in three ways, among passages of the same article or debate."""
    articles = Articles(11)
    cases: dict[str, list[tuple[str, list[str]]]] = {"at the start": [], "at the end": []}
    for text, right, others in articles.questions(DEPTH + 2):
        if len(cases["at the end"]) == count:
            break
        noise = articles.long_text(articles.random.sample([*articles.documents.values()], 9))
        noise = _cut(noise, "head", NOISE_TOKENS)
        others = articles.random.sample(others, DEPTH - 1)
        texts = [right.text, *(d.text for d in others)]
        cases["at the start"].append((f"{text} {noise}", texts))
        cases["at the end"].append((f"{noise} {text}", texts))
    cases["arguana"] = list(_debates(load("arguana"), count))
    rules = [(rule, n) for n in QUERY_TOKENS for rule in ("head", "tail", "both")]
    for name, lists in cases.items():
        print(f"\n{name} ({len(lists)} queries), mean reciprocal rank")
        for rule, tokens in [*rules, ("whole", 510)]:
            found = [_reciprocal_rank(reranker, _cut(q, rule, tokens), t) for q, t in lists]
            print(f"  {rule:5} {tokens:4}  {sum(found) / len(found):.2f}", flush=True)


def cost(reranker: Reranker, count: int) -> None:
    """Fifty documents of 3,400 tokens: what is encoded, and how long it takes."""
    articles = Articles(5)
    every = [*articles.documents.values()]
    texts = [articles.long_text(articles.random.sample(every, 60)) for _ in range(50)]
    tried: dict[str, Options] = {
        "the first eight windows of each": {"passages": PassageAggregation(limit=8)},
        "default": {},
    }
    for name, options in tried.items():
        # Other texts for each, or the states of the first would be there for the second.
        fresh = [f"{name} {text}" for text in texts]
        started, cpu = time.perf_counter(), time.process_time()
        usage = reranker.rerank("In which year?", fresh, **options).usage
        spent = f"{time.process_time() - cpu:.1f} CPU s, {time.perf_counter() - started:.1f} s"
        print(f"  {name:34} {usage.tokens:8,} tokens  {spent}", flush=True)


def _debates(collection: Collection, count: int) -> Iterator[tuple[str, list[str]]]:
    documents = {str(d.id): d for d in collection.documents}
    debates: dict[str, list[str]] = {}
    for name in documents:
        debates.setdefault(name.rpartition("-")[0], []).append(name)
    names = [n for n, q in collection.queries.items() if 260 < TOKENIZER.count(q) < 500]
    random.Random(11).shuffle(names)
    for name in names[:count]:
        right = next(iter(collection.qrels[name]))
        others = [n for n in debates[name.rpartition("-")[0]] if n not in (right, name)]
        texts = [documents[n].text for n in (right, *others[: DEPTH - 1]) if n in documents]
        yield collection.queries[name], texts


def _cut(text: str, rule: str, limit: int) -> str:
    (tokens,) = TOKENIZER.encode([text], limit=len(text) + 1)
    count = len(tokens.ids)
    if count <= limit:
        return text
    if rule in ("head", "whole"):
        return text[: tokens.ends[limit - 1]]
    if rule == "tail":
        return text[tokens.ends[count - limit - 1] :]
    half = limit // 2
    return f"{text[: tokens.ends[half - 1]]} {text[tokens.ends[count - half - 1] :]}"


def _reciprocal_rank(reranker: Reranker, query_text: str, texts: list[str]) -> float:
    results = reranker.rerank(query_text, texts, max_query_tokens=510).results
    return 1 / next(r.rank for r in results if r.index == 0)


def _sentences(text: str) -> list[str]:
    return [s for s in re.split(r"(?<=[.!?])\s+", text) if len(s) > 40]


def _shared(text: str, query_text: str) -> int:
    words = (set(re.findall(r"\w{4,}", t.lower())) for t in (text, query_text))
    return len(set.intersection(*words))


def _print_shares(title: str, first: dict[str, int], count: int) -> None:
    print(f"\n{title} ({count} questions): the right one first")
    for name, right in first.items():
        print(f"  {name:42} {right / max(1, count):.2f}", flush=True)


TABLES: dict[str, Callable[[Reranker, int], None]] = {
    "paragraph": paragraph,
    "last-sentence": last_sentence,
    "query": query,
    "cost": cost,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--questions", type=int, default=40, metavar="N")
    arguments = parser.parse_args()
    if unknown := set(arguments.tables) - set(TABLES):
        parser.error(f"there is no table {sorted(unknown)[0]!r}: {', '.join(TABLES)}")
    reranker = Reranker()
    for name in arguments.tables or TABLES:
        TABLES[name](reranker, arguments.questions)


if __name__ == "__main__":
    main()
