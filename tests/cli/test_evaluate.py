"""The commands that measure, on the part of the sample that is indexed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from secondpass import Index
from secondpass.evaluate import Collection, Run, search_all
from secondpass.evaluate import Run as TrecRun
from secondpass.evaluate.first_stage import run_first_stage
from tests.cli.conftest import SAMPLE
from tests.cli.conftest import Run as RunCommand
from tests.tiny_models import tiny_cross_encoder


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's judgements of what `sample_index` holds, as TREC qrels."""
    lines = (SAMPLE / "corpus.jsonl").read_text("utf-8").splitlines()[:200]
    known = {json.loads(line)["_id"] for line in lines}
    table = (SAMPLE / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]
    rows = [line.split("\t") for line in table]
    file = tmp_path_factory.mktemp("judged") / "qrels.trec"
    file.write_text("".join(f"{q} 0 {d} {g}\n" for q, d, g in rows if d in known), "utf-8")
    return file


def given(judged: Path) -> tuple[object, ...]:
    return ("--queries", SAMPLE / "queries.jsonl", "--qrels", judged)


@pytest.mark.parametrize("mode", ["bm25", "vector", "hybrid"])
@pytest.mark.parametrize("depth", [3, 10, 25])
def test_a_shallow_list_is_what_search_hands_over(
    sample_index: Path, judged: Path, mode: str, depth: int
) -> None:
    collection = Collection.read(SAMPLE, judged).first(6)
    with Index.open(sample_index, create=False) as index:
        runs = run_first_stage(index.retriever, collection.queries, 25)
        for query, text in collection.queries.items():
            results = index.search(
                text, mode=mode, candidates=depth, rerank=False, top_k=None
            ).results
            candidates = runs.rankings[query].candidates(mode, depth)
            assert [c.id for c in candidates] == [r.id for r in results]


def test_searches_and_runs_side_by_side(
    run: RunCommand, sample_index: Path, judged: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "now.trec.gz"
    ran = run("eval", "--index", sample_index, *given(judged), "--limit", 8, "--candidates", 10,
              "--measures", "nDCG@10", "RR@10", "--save-run", saved, "--json")  # fmt: skip
    assert ran.code == 0
    names = [one["name"] for one in ran.json["runs"]]
    assert names == ["bm25", "vector", "hybrid", "hybrid + bundled"]
    assert set(ran.json["runs"][0]["means"]) == {"nDCG@10", "RR@10"}
    again = run("eval", "--runs", saved, *given(judged), "--limit", 8, "--json")
    last = ran.json["runs"][-1]["means"]["nDCG@10"]
    assert again.json["runs"][0]["means"]["nDCG@10"] == pytest.approx(last)


def test_a_run_keeps_the_order_of_the_search(sample_index: Path, tmp_path: Path) -> None:
    queries = {"1": "When did the oil crisis begin?", "2": "Which empire?"}
    with Index.open(sample_index, create=False) as index:
        made = search_all(index, queries, candidates=12)
        orders = {
            q: [r.id for r in index.search(text, candidates=12, top_k=None).results]
            for q, text in queries.items()
        }
    made.write(tmp_path / "run.txt")
    read = Run.read(tmp_path / "run.txt")
    for query, order in orders.items():
        documents = list(dict.fromkeys(str(name).partition("#")[0] for name in order))
        assert read.ranking(query) == documents


def test_drift_ends_with_exit_code_one(run: RunCommand, judged: Path, tmp_path: Path) -> None:
    collection = Collection.read(SAMPLE, judged)
    good = {q: list(grades) for q, grades in collection.qrels.items()}
    TrecRun.from_rankings("good", good).write(tmp_path / "good.txt")
    bad = {q: ["nothing", *ids] for q, ids in good.items()}
    TrecRun.from_rankings("bad", bad).write(tmp_path / "bad.txt")
    fell = run("eval", "--runs", tmp_path / "bad.txt", *given(judged),
               "--against", tmp_path / "good.txt")  # fmt: skip
    assert fell.code == 1
    assert "FELL" in fell.out
    rose = run("eval", "--runs", tmp_path / "good.txt", *given(judged),
               "--against", tmp_path / "bad.txt", "--json")  # fmt: skip
    assert rose.code == 0
    assert rose.json["against"]["fell"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to measure"),
        (("--measures", "nDGC@10"), "nDCG"),
        (("--alpha", "2", "--measures", "RR"), "--alpha"),
        (("--limit", "0", "--runs", "RUN"), "limit"),
        (("--runs", "RUN", "RUN", "--save-run", "x.txt"), "several runs"),
        (("--runs", "none.txt"), "cannot be read"),
    ],
)
def test_what_cannot_be_measured_says_so(
    run: RunCommand,
    judged: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    file = tmp_path / "run.txt"
    collection = Collection.read(SAMPLE, judged)
    TrecRun.from_rankings("r", {q: ["x"] for q in collection.qrels}).write(file)
    typed = [str(file) if word == "RUN" else word for word in arguments]
    ran = run("eval", *given(judged), *typed)
    assert ran.code in (1, 2)
    assert message in ran.err


def test_the_report_answers_in_its_first_line(
    run: RunCommand, sample_index: Path, judged: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    ran = run("report", "--index", sample_index, *given(judged), "--depths", 3, 6,
              "--limit", 12, "--out", page)  # fmt: skip
    assert ran.code == 0
    assert ran.out.splitlines()[0].startswith(("Rerank", "Do not rerank", "Undecided"))
    assert "probabilities of bundled were not checked: There are too few labels" in ran.out
    assert "Whether its probabilities hold" in page.read_text("utf-8")
    assert ran.out.splitlines()[0][:20] in page.read_text("utf-8").replace("\xa0", " ")


def test_what_is_tuned_is_what_search_loads(
    run: RunCommand, sample_index: Path, judged: Path, tmp_path: Path
) -> None:
    file = tmp_path / "best.toml"
    ran = run("tune", "--index", sample_index, *given(judged), "--depths", 3, "--limit", 12,
              "--maximise", "RR@10", "--out", file, "--json")  # fmt: skip
    assert ran.code == 0
    written = tomllib.loads(file.read_text("utf-8"))
    assert written["measured"]["promised"] == pytest.approx(ran.json["promised"], abs=1e-4)
    assert written["search"]["mode"] == ran.json["settings"]["mode"]
    found = run("search", "oil", "--index", sample_index, "--config", file, "--json")
    assert found.code == 0
    assert found.json["usage"]["documents"] <= written["search"]["candidates"]


def test_what_is_typed_goes_before_the_file(
    run: RunCommand, sample_index: Path, tmp_path: Path
) -> None:
    file = tmp_path / "search.toml"
    file.write_text('[search]\nrerank = false\ncandidates = 4\nmode = "bm25"\n', "utf-8")
    by_file = run("search", "oil", "--index", sample_index, "--config", file, "--json").json
    assert by_file["status"] == "skipped"
    assert by_file["usage"]["documents"] == 4
    typed = run("search", "oil", "--index", sample_index, "--config", file,
                "--candidates", 2, "--rerank", "--json").json  # fmt: skip
    assert typed["status"] == "reranked"
    assert typed["usage"]["documents"] == 2


def test_how_models_are_loaded_can_be_said(
    run: RunCommand, sample_index: Path, judged: Path, tmp_path: Path
) -> None:
    # A folder that looks like a model's, because only those have a precision to choose.
    model = tmp_path / "model"
    tiny_cross_encoder(model).save_pretrained(model)
    few = ("--limit", 10, "--models", model, "--precision", "fp32")
    ran = run(
        "eval", "--index", sample_index, *given(judged), *few, "--candidates", 3, "--json"
    )
    assert ran.code == 0, ran.err
    file, page = tmp_path / "best.toml", tmp_path / "report.html"
    chosen = ("--index", sample_index, *given(judged), "--depths", 3, *few)
    assert run("report", *chosen, "--out", page).code == 0
    ran = run("tune", *chosen, "--out", file, "--json")
    assert ran.code == 0, ran.err
    if ran.json["settings"]["rerank"] is not False:
        assert tomllib.loads(file.read_text("utf-8"))["search"]["precision"] == "fp32"
    for command in ("eval", "report", "tune"):
        ran = run(command, *chosen[:6], "--models", "bundled", "--precision", "int7")
        assert ran.code == 2
        assert "int7" in ran.err
