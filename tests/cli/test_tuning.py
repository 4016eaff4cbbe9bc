"""What `tune` writes beyond the first pass, and that `search` does what it says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from secondpass import Index
from secondpass.evaluate.calibration import write_calibration
from secondpass.index.config_file import Configuration
from secondpass.rerank.calibration import Calibration
from secondpass.rerank.policies.calibration import model_identity
from tests.cli.conftest import SAMPLE
from tests.cli.conftest import Run as RunCommand

QUERY = "When did the oil crisis begin?"


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's judgements of what `sample_index` holds, as BEIR has them."""
    lines = (SAMPLE / "corpus.jsonl").read_text("utf-8").splitlines()[:200]
    known = {json.loads(line)["_id"] for line in lines}
    table = (SAMPLE / "qrels" / "test.tsv").read_text("utf-8").splitlines()
    file = tmp_path_factory.mktemp("judged") / "qrels.tsv"
    kept = [line for line in table[1:] if line.split("\t")[1] in known]
    file.write_text("\n".join([table[0], *kept]) + "\n", "utf-8")
    return file


def written(file: Path, text: str) -> Path:
    file.write_text(f"[search]\n{text}\n", "utf-8")
    return file


def test_a_cascade_and_a_threshold_are_tried_written_and_loaded(
    run: RunCommand, sample_index: Path, judged: Path, tmp_path: Path
) -> None:
    file, calibration = tmp_path / "best.toml", tmp_path / "calibration.json"
    with Index.open(sample_index, create=False) as index:
        reranker = index.reranker()
        bent = Calibration("platt", "bundled", model_identity(reranker), scale=0.5, shift=-1.0)
    write_calibration(calibration, bent)
    given = ("--queries", SAMPLE / "queries.jsonl", "--qrels", judged, "--limit", 14)
    ran = run("tune", "--index", sample_index, *given, "--depths", 14, "--cascade",
              "--rescore", "bundled-tiny",
              "--keep", 0.8, "--top-k", 5, "--calibration", calibration, "--out", file,
              "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    # Three first passes, four fusions with 21 shares, and each second pass twice: by the
    # default blend, alone, tuned, and tuned with three weights of neighbors; and read again by
    # another model with five weights.
    assert ran.json["tried"] == 3 + 4 * 21 + 2 * 3 * (1 + 1 + 56 + 3 * 56) + 3 * 5
    settings = tomllib.loads(file.read_text("utf-8"))["search"]
    assert settings == ran.json["settings"]
    found = ran.json["threshold"]
    if settings["rerank"] is False:
        assert "no second pass" in ran.json["no_threshold"]
        return
    assert settings["calibration"] == "calibration.json"
    assert settings["min_probability"] == found["least"]
    assert 0 <= found["removed"] <= 1
    search = ("search", QUERY, "--index", sample_index, "--config", file, "--top-k", 10)
    shown = run(*search, "--json").json
    assert shown["results"][0]["id"] == "1973-oil-crisis-01"
    assert all(r["probability"] >= found["least"] for r in shown["results"])
    everything = run(*search, "--min-probability", 0, "--json").json
    least = [r for r in everything["results"] if (r["probability"] or 0) >= found["least"]]
    assert [r["id"] for r in shown["results"]] == [r["id"] for r in least]


def test_search_applies_the_cascade_and_the_threshold_of_a_file(
    run: RunCommand, sample_index: Path, tmp_path: Path
) -> None:
    file = written(
        tmp_path / "s.toml",
        'candidates = 40\nrerank = "bundled"\ncascade = true\nmin_probability = 0.2',
    )
    search = ("search", QUERY, "--index", sample_index, "--config", file, "--json")
    found = run(*search).json
    assert found["status"] == "partially_reranked"
    assert "of 40 candidates could still reach the top 10" in found["reason"]
    assert found["usage"]["scored"] < 40
    assert found["results"]
    assert all(r["scored"] and r["probability"] >= 0.2 for r in found["results"])
    typed = run(*search, "--no-cascade", "--min-probability", 0).json
    assert typed["status"] == "reranked"
    assert typed["usage"]["scored"] == 40
    # What goes around a model keeps what the file says of it.
    budget = run(*search, "--budget-ms", 60_000).json
    assert budget["usage"]["scored"] == found["usage"]["scored"]
    assert [r["id"] for r in budget["results"]] == [r["id"] for r in found["results"]]
    alone = run(*search, "--no-rerank").json
    assert alone["status"] == "skipped"
    assert alone["results"]


def test_a_budget_is_kept_beside_a_file_that_names_a_model(
    run: RunCommand, sample_index: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "s.toml", 'rerank = "bundled"\ncandidates = 40')
    ran = run("search", QUERY, "--index", sample_index, "--config", file,
              "--budget-ms", 0.001, "--json")  # fmt: skip
    assert ran.json["status"] == "partially_reranked"
    named = written(tmp_path / "t.toml", 'rerank = "bundled-tiny"\ncandidates = 3')
    ran = run("search", QUERY, "--index", sample_index, "--config", named, "--rerank", "--json")
    assert ran.json["model"] == "bundled-tiny"


def test_a_threshold_is_of_the_probabilities_it_was_chosen_for(
    run: RunCommand, sample_index: Path, tmp_path: Path
) -> None:
    file = written(tmp_path / "s.toml", "min_probability = 0.2\ncandidates = 3")
    search = ("search", QUERY, "--index", sample_index, "--config", file)
    ran = run(*search, "--model", "bundled-tiny")
    assert ran.code == 2
    assert "chosen for another model or calibration" in ran.err
    ran = run(*search, "--calibration", tmp_path / "none.json")
    assert "chosen for another model or calibration" in ran.err
    assert run(*search, "--model", "bundled").code == 0
    assert run(*search, "--model", "bundled-tiny", "--min-probability", 0).code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--keep", 1), "between 0 and 1"),
        (("--keep", 0.99), "12 relevant documents are too few"),
        (("--top-k", 0), "top_k"),
        (("--cascade", "--depths", 10), "a cascade does nothing with 10 candidates"),
        (("--cascade", "--models", "bundled-tiny"), "No margin is known"),
        (
            ("--calibration", "x.json", "--models", "bundled", "bundled-tiny"),
            "is for one model",
        ),
        (("--calibration", "x.json"), "no calibration file"),
    ],
)
def test_what_cannot_be_tuned_says_so(
    run: RunCommand,
    sample_index: Path,
    judged: Path,
    tmp_path: Path,
    options: tuple[object, ...],
    message: str,
) -> None:
    out = tmp_path / "best.toml"
    ran = run("tune", "--index", sample_index, "--queries", SAMPLE / "queries.jsonl", "--qrels",
              judged, "--limit", 12, "--out", out, *options)  # fmt: skip
    assert ran.code == 2
    assert message in ran.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cascade = 1", "true or false"),
        ("min_probability = 1.5", "from 0 to 1"),
        ("min_probability = true", "from 0 to 1"),
        ('calibration = ""', "path of a file"),
        ("rerank = false\ncascade = true", "cascade is for the second pass"),
        ("rerank = false\nmin_probability = 0.0", "min_probability is for the second pass"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Configuration.read(written(tmp_path / "s.toml", text))


def test_a_calibration_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    found = Configuration.read(written(tmp_path / "s.toml", 'calibration = "c.json"'))
    assert found.search["calibration"] == str(tmp_path / "c.json")
