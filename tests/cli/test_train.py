from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.tiny_models import tiny_cross_encoder, tiny_embedder
from tests.train.toy_examples import toy_examples, write_pairs

pytest.importorskip("onnxscript")

_SMALL = (
    "--epochs 0.5 --group 4 --batch 8 --layers 1 --codes 16 --matching 0 --hold-out 0.2 "
    "--query-tokens 24 --document-tokens 24 --threads 1"
)
SMALL = _SMALL.split()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_pairs(folder / "pairs.jsonl", toy_examples())
    tiny_embedder(folder / "bert")
    return folder


def test_from_weights_to_a_reader_that_answers(run: Run, places: Path) -> None:
    encoder, out, reader = places / "encoder", places / "run", places / "reader"
    made = run(
        "export", places / "bert", "--out", encoder, "--kind", "embedder",
        "--precision", "fp32", "--states-layers", "1",
    )  # fmt: skip
    assert made.code == 0, made.err
    command = (
        "train", places / "pairs.jsonl", "--out", out, "--base", places / "bert",
        "--encoder", encoder, "--cap", "one=20", "--weight", "two=0.5", *SMALL,
    )  # fmt: skip
    trained = run(*command, "--json")
    assert trained.code == 0, trained.err
    about = trained.json["run"]
    assert about["status"] == "done"
    assert about["settings"]["caps"] == {"one": 20}
    assert about["settings"]["weights"] == {"two": 0.5}
    again = run(*command)
    assert again.code == 2
    assert "--resume" in again.err
    resumed = run(*command, "--resume")
    assert resumed.code == 0, resumed.err
    assert "mean reciprocal rank" in resumed.out
    exported = run("export", out, "--out", reader, "--precision", "fp32")
    assert exported.code == 0, exported.err
    (places / "documents.txt").write_text("the ship was lost by you\nbread\n", encoding="utf-8")
    answered = run(
        "rerank", "who lost my ship?", places / "documents.txt", "--model", reader, "--json"
    )
    assert answered.code == 0, answered.err
    assert len(answered.json["results"]) == 2


def test_distilling_asks_the_teacher_once(run: Run, places: Path, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    tiny_cross_encoder(teacher)
    command = (
        "distill", places / "pairs.jsonl", "--teacher", teacher, "--out", tmp_path / "run",
        "--architecture", "cross-encoder", "--base", places / "bert", *SMALL,
    )  # fmt: skip
    first = run(*command)
    assert first.code == 0, first.err
    scores = tmp_path / "run.teacher-scores.jsonl"
    lines = scores.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 54
    assert all(len(json.loads(line)["scores"]) == 4 for line in lines)
    resumed = run(*command, "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["run"]["settings"]["teacher"] == 0.7
    assert scores.read_text(encoding="utf-8").splitlines() == lines


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (("--cap", "one=x"), "SOURCE=NUMBER"),
        (("--cap", "one=1.5"), "SOURCE=NUMBER"),
        (("--cap", "one=inf"), "SOURCE=NUMBER"),
        (("--weight", "0.5"), "SOURCE=NUMBER"),
        (("--weight", "one=0"), "weight"),
        (("--minutes", "1"), "cannot be combined"),
        (("--group", "1"), "group"),
    ],
)
def test_wrong_options_are_named(
    run: Run, places: Path, tmp_path: Path, wrong: tuple[str, ...], told: str
) -> None:
    command = ("train", places / "pairs.jsonl", "--out", tmp_path / "run", *SMALL)
    found = run(*command, *wrong)
    assert found.code == 2
    assert told in found.err
    assert not (tmp_path / "run").exists()


def test_data_that_cannot_be_used_is_named(run: Run, tmp_path: Path) -> None:
    found = run("train", tmp_path / "nothing.jsonl", "--out", tmp_path / "run")
    assert found.code == 2
    assert "nothing.jsonl" in found.err
