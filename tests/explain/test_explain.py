from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from secondpass import BaseReranker, Candidate, Document, Index, InputError, ScoreKind
from secondpass.explain import Explanation, explain, explain_text
from secondpass.explain.html import html_page
from secondpass.explain.terminal import print_explanation
from secondpass.policies import Blend, Rescored
from secondpass.rerank.score import Score, Scored
from secondpass.rerank.scoring_options import ScoringOptions

SAMPLE = Path(__file__).parents[2] / "examples" / "wikipedia" / "corpus.jsonl"
QUERY = "When did the oil crisis begin?"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    rows = [json.loads(line) for line in SAMPLE.read_text("utf-8").splitlines()[:60]]
    with Index.open(tmp_path_factory.mktemp("index")) as opened:
        opened.add([{**row, "source": "an encyclopaedia"} for row in rows])
        opened.optimize()
        yield opened


class CountingReranker(BaseReranker):
    """Counts the documents that it scores."""

    model = "counting"

    def __init__(self, reranker: BaseReranker) -> None:
        self.reranker = reranker
        self.read = 0
        self.texts: set[str] = set()

    @property
    def base(self) -> BaseReranker:
        return self

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        self.read += len(candidates)
        self.texts |= {f"{c.document.title}\n{c.document.text}" for c in candidates}
        return self.reranker.score(query, candidates, options)


@pytest.fixture(scope="module")
def found(index: Index) -> Explanation:
    return explain(index, QUERY, "1973-oil-crisis-01", candidates=20)


def test_it_says_what_the_search_shows(index: Index, found: Explanation) -> None:
    response = index.search(QUERY, candidates=20, top_k=None)
    (result,) = (r for r in response.results if r.id == "1973-oil-crisis-01")
    assert found.found
    assert found.places is not None
    assert found.places.final == result.rank
    assert found.places.first == result.first_stage_rank
    assert found.final_score == pytest.approx(result.score, abs=1e-6)
    assert found.probability == pytest.approx(result.probability, abs=1e-3)
    assert dict(found.parts) == pytest.approx(dict(result.parts), abs=1e-3)
    assert sum(t.score for t in found.terms) == pytest.approx(found.bm25, rel=1e-5)
    assert found.vector == result.first_stage.vector
    assert max(w.score for w in found.windows) == found.score


def test_boosts_are_explained_as_the_search_adds_them(index: Index) -> None:
    boost = ["source = 'an encyclopaedia': +0.3", "equals(title, value=nothing): 2"]
    response = index.search(QUERY, candidates=20, top_k=None, boost=boost)
    (result,) = (r for r in response.results if r.id == "1973-oil-crisis-01")
    explained = explain(index, QUERY, "1973-oil-crisis-01", candidates=20, boost=boost)
    assert explained.places is not None
    assert explained.places.final == result.rank
    assert dict(explained.parts) == pytest.approx(dict(result.parts), abs=1e-3)
    assert explained.parts["source = 'an encyclopaedia'"] == 0.3
    console = Console(file=io.StringIO(), width=120)
    print_explanation(explained, console)
    assert "boost source = 'an encyclopaedia'" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_second_reading_is_explained_as_the_search_adds_it(index: Index) -> None:
    again = {"rescore": "bundled-tiny", "rescore_window": 5, "rescore_weight": 0.7}
    response = index.search(QUERY, candidates=20, top_k=None, **again)
    results = {r.id: r for r in response.results if r.rank <= 6}
    for name in ("1973-oil-crisis-01", next(n for n, r in results.items() if r.rank == 6)):
        result = results[name]
        explained = explain(index, QUERY, name, candidates=20, **again)
        assert explained.places is not None
        assert explained.places.final == result.rank
        assert dict(explained.parts) == pytest.approx(dict(result.parts), abs=1e-3)
        assert (explained.parts["rescore"] > 0) == (result.rank < 6)
        assert explained.rescorer == "bundled-tiny"
    console = Console(file=io.StringIO(), width=120)
    print_explanation(explained, console)
    assert "rescored by bundled-tiny" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_second_reading_reads_each_document_once(index: Index) -> None:
    reader = CountingReranker(index.reranker("bundled-tiny"))
    explained = explain(
        index, QUERY, "1973-oil-crisis-01", candidates=20, rescore=reader, rescore_window=5
    )
    # Each of the candidates that can be in the window, and each changed document.
    assert explained.counterfactuals
    assert reader.read <= 5 + 1 + len(explained.counterfactuals)
    assert len(reader.texts) == reader.read


def test_an_id_means_a_document_before_a_passage_of_another(tmp_path: Path) -> None:
    page = "The first valve is red. The second valve is blue. The third valve is painted green."
    with Index.open(tmp_path, chunk_tokens=16, overlap=0) as opened:
        opened.add([Document(page, id="page"), Document("A list of valves.", id="page#2")])
        for wanted, document, chunk in (("page#2", "page#2", 0), ("page#1", "page", 1)):
            explained = explain(opened, "Which valve is blue?", wanted).document
            assert (explained.document_id, explained.chunk) == (document, chunk)
        assert explain(opened, "Which valve is blue?", "page").document.document_id == "page"
        results = opened.search("valve", top_k=None).results
        assert len({(r.document_id, r.chunk) for r in results}) == opened.count_passages()


def test_matches_are_places_in_the_document(tmp_path: Path) -> None:
    text = "Er fuhr die STRA\u00adßE entlang, dann lange Straßen. 合同转让"
    with Index.open(tmp_path, language="de") as index:
        index.add(
            [{"id": "a", "title": "Cafe\u0301", "text": text}, {"id": "b", "text": "Haus"}]
        )
        found = explain(index, "strasse café 合同", "a")
    places = {(m.where, m.text, m.word) for m in found.matches}
    assert places == {
        ("title", "Cafe\u0301", "café"),
        ("text", "STRA\u00adßE", "strasse"),
        ("text", "Straßen", "strasse"),
        ("text", "合同", "合同"),
    }
    fields = {"title": found.document.title or "", "text": found.document.text}
    assert all(fields[m.where][m.start : m.end] == m.text for m in found.matches)
    assert found.as_object()["matches"][0]["where"] == "title"


def test_a_counterfactual_is_where_the_changed_text_really_lands(
    index: Index, found: Explanation
) -> None:
    assert found.counterfactuals
    candidates = index.first_pass(QUERY, candidates=20)
    for one in found.counterfactuals:
        assert 1 <= one.rank <= len(candidates)
        assert one.bm25 is not None
    title = found.counterfactuals[0]
    assert title.change == "without its title"
    changed = [
        Document(c.document.text, c.document.id) if c.document.id == found.document.id else None
        for c in candidates
    ]
    swapped = [
        c if d is None else replace(c, document=d, bm25=title.bm25, vector=title.vector)
        for c, d in zip(candidates, changed, strict=True)
    ]
    rescored = Rescored(Blend(index.reranker()), index.reranker("bundled-full"))
    response = rescored.rerank(QUERY, swapped)
    (result,) = (r for r in response.results if r.id == found.document.id)
    assert result.rank == title.rank
    assert result.score == pytest.approx(title.score, abs=1e-3)


def test_each_field_is_left_out_in_turn(index: Index) -> None:
    fields = ("title", "source", "text")
    said = explain(index, QUERY, "1973-oil-crisis-01", candidates=10, fields=fields)
    response = index.search(QUERY, candidates=10, fields=fields, top_k=None)
    (result,) = (r for r in response.results if r.id == "1973-oil-crisis-01")
    assert said.places is not None
    assert said.places.final == result.rank
    assert said.final_score == pytest.approx(result.score, abs=1e-6)
    changes = [one.change for one in said.counterfactuals]
    assert changes[:3] == ["without its title", "without its source", "without its text"]
    assert changes.count("without its title") == 1
    whole, source, text = said.score, *said.counterfactuals[1:3]
    assert source.bm25 == pytest.approx(said.bm25, rel=1e-3)
    assert text.bm25 is not None
    assert said.bm25 is not None
    assert text.bm25 < said.bm25
    assert text.score < source.score
    assert whole > 0
    assert any("source" in note for note in said.notes)
    with pytest.raises(InputError, match="No document has the field 'sourc'"):
        explain(index, QUERY, "1973-oil-crisis-01", candidates=10, fields=("sourc", "text"))


def test_a_document_may_lack_a_field_that_others_have(tmp_path: Path) -> None:
    with Index.open(tmp_path / "index") as opened:
        opened.add(
            [
                Document("Tea is steeped at 80 degrees. It is green.", id="untitled"),
                Document("Bread rises for an hour.", id="bread", title="Bread"),
            ]
        )
        read = ["title", "text"]
        found = explain(opened, "How hot is tea?", "untitled", fields=read)
    assert found.answers
    assert not any("title" in change.change for change in found.counterfactuals)


def test_only_what_is_read_is_told() -> None:
    document = {"text": "red sky and red sea over there", "title": "red", "colour": "red"}
    read = explain_text(Words(), "red", document, fields=("colour",))
    assert read.score == 1.0
    assert read.spans == ()
    assert read.faithfulness is None
    titled = explain_text(Words(), "red", document, fields=("title", "colour"))
    assert {s.where for s in titled.spans} == {"title"}
    with pytest.raises(InputError, match="fields"):
        explain_text(Words(), "red", document, fields="title")  # type: ignore[arg-type]


def test_the_best_spans_hold_against_others(found: Explanation) -> None:
    trust = found.faithfulness
    assert trust is not None
    assert trust.removed < trust.words
    assert trust.random_low <= trust.random <= trust.random_high
    assert trust.drop > trust.random


def test_what_the_first_pass_left_out_is_explained_too(index: Index) -> None:
    far = next(
        d.id
        for batch in index.iter_documents()
        for d in batch
        if d.id not in {c.document.id for c in index.first_pass(QUERY, candidates=5)}
    )
    assert far is not None
    said = explain(index, QUERY, far, candidates=5)
    assert said.found is False
    assert said.places is not None
    assert said.places.first is None
    assert said.places.candidates == 6
    with pytest.raises(InputError, match="no document 'nowhere'"):
        explain(index, QUERY, "nowhere", candidates=5)


def test_pages_and_terminals_show_it(found: Explanation) -> None:
    page = html_page(found)
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert QUERY in page
    console = Console(record=True, width=100, file=io.StringIO())
    print_explanation(found, console)
    shown = console.export_text()
    for word in ("Rank by stage", "crisis", "would", "random others", "sum"):
        assert word in shown
    assert json.loads(json.dumps(found.as_object()))["places"]["final"] == 1


class Words(BaseReranker):
    """Scores a text by how many words of the query it has."""

    kind = ScoreKind.SIMILARITY

    @property
    def model(self) -> str:
        return "words"

    def score(
        self, query: str, candidates: Sequence[Candidate], options: ScoringOptions
    ) -> Scored:
        asked = set(query.lower().split())
        texts = [f"{head} {body}" for head, body in options.texts(candidates)]
        counts = [sum(w.strip(".,").lower() in asked for w in t.split()) for t in texts]
        return Scored([Score(float(n)) for n in counts], self.kind)


def test_contributions_are_exact_for_a_reranker_that_counts_words() -> None:
    text = "A red car stood there. The sky was blue. Nobody saw any of it. It rained a lot."
    said = explain_text(Words(), "red sky", {"text": text, "title": "red things"})
    assert said.score == 3.0
    sentences = {s.text: s.contribution for s in said.spans if s.level == "sentence"}
    assert sentences == {
        "red things": 1.0,
        "A red car stood there.": 1.0,
        "The sky was blue.": 1.0,
        "Nobody saw any of it.": 0.0,
        "It rained a lot.": 0.0,
    }
    words = {s.text for s in said.spans if s.level == "word" and s.contribution > 0}
    assert words == {"red", "sky"}
    asked = {s.text: s.contribution for s in said.spans if s.where == "query"}
    assert asked == {"red": 2.0, "sky": 1.0}
    assert said.faithfulness is not None
    assert said.faithfulness.drop > said.faithfulness.random


@pytest.mark.parametrize("text", ["x", "", "日本語", "\u200b", "a\x00b", "one two three."])
def test_short_texts_say_what_is_not_possible(text: str) -> None:
    said = explain_text(Words(), "one", {"text": text})
    assert said.faithfulness is None
    assert said.notes
    assert html_page(said)


def test_scores_of_one_list_cannot_be_explained() -> None:
    class Ranks(Words):
        kind = ScoreKind.RANK

    with pytest.raises(InputError, match="one list only"):
        explain_text(Ranks(), "a", "b")
    with pytest.raises(InputError, match="query is empty"):
        explain_text(Words(), " ", "b")


def test_surrogates_do_not_break_a_page() -> None:
    page = html_page(explain_text(Words(), "a \ud800", "b \udfff <i>"))
    assert page.encode("utf-8")
    assert "<i>" not in page
