"""Training lists of a cross-encoder, and what a step reads of them."""

from __future__ import annotations

import gzip
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from secondpass import Reranker
from secondpass.train.export.export import ExportSettings, export_model
from secondpass.train.listwise.list_learner import SAME, Learner, Settings
from secondpass.train.listwise.lists import TrainingList, read_lists, write_lists

BUILD = Path(__file__).parents[2] / "scripts" / "build_lists.py"

TEXTS = {
    "Iron Bridge": "The bridge over the Severn was built in 1779. It is of cast iron.",
    "Tower Bridge": "The bridge over the Thames was built in London in 1894.",
    "A copy": "An old book says that the bridge over the Severn was built in 1779.",
    "Rice": "Boil the rice for ten minutes.",
}


def ignore(stage: str, done: int, total: int) -> None:
    pass


def write_pairs(file: Path, *rows: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(file, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("lists")
    text = TEXTS["Iron Bridge"]
    place = text.index("1779")
    example = {
        "query": "when was the iron bridge built",
        "title": "Iron Bridge",
        "text": text,
        "answers": [0],
        "spans": [[place, place + 4]],
    }
    evaluated = example | {"query": "Who built it?"}
    spans = folder / "searches.jsonl"
    spans.write_text("".join(json.dumps(row) + "\n" for row in (example, evaluated)))
    pairs = [{"query": "", "positive": t, "title": name} for name, t in TEXTS.items()]
    write_pairs(folder / "data" / "train" / "squad11_train.jsonl.gz", *pairs)
    asked = {
        "query": "how long is rice boiled",
        "positive": TEXTS["Rice"],
        "negatives": [TEXTS["Tower Bridge"], TEXTS["Rice"]],
    }
    write_pairs(folder / "data" / "train" / "selqa.jsonl.gz", asked)
    held_out = folder / "held-out" / "wiki" / "queries.jsonl"
    held_out.parent.mkdir(parents=True)
    held_out.write_text(json.dumps({"_id": "1", "text": "who built it"}) + "\n")
    build_lists = runpy.run_path(str(BUILD))["build_lists"]
    lists, passages, left_out = build_lists(
        [spans], ignore, data=folder / "data", held_out=folder / "held-out"
    )
    return lists, passages.items, left_out


def test_lists_have_what_is_found_but_what_answers(built: Any) -> None:
    lists, passages, left_out = built
    searched, asked = lists
    assert passages[searched.right] == ("Iron Bridge", TEXTS["Iron Bridge"])
    found = [passages[number][1] for number in searched.found]
    assert found[0] == TEXTS["Tower Bridge"]
    assert TEXTS["A copy"] not in found
    assert TEXTS["Iron Bridge"] not in found
    assert asked.source == "selqa"
    assert [passages[number][1] for number in asked.given] == [TEXTS["Tower Bridge"]]
    assert not set(asked.given) & set(asked.found)
    assert left_out["candidates that have the answer"] == 1
    assert left_out["queries of evaluated collections"] == 1
    assert left_out["medquad.jsonl.gz, which is missing"] == 1
    assert "selqa.jsonl.gz, which is missing" not in left_out


def test_each_cosine_is_that_of_its_passage(built: Any) -> None:
    for one in built[0]:
        assert len(one.cosines) == 1 + len(one.given) + len(one.found)
        assert one.cosines[0] == max(one.cosines)


def test_lists_are_read_as_they_were_written(built: Any, tmp_path: Path) -> None:
    lists, passages, _ = built
    write_lists(tmp_path, lists, passages)
    read, texts = read_lists(tmp_path)
    assert [(one.query, one.found, one.cosines) for one in read] == [
        (one.query, one.found, one.cosines) for one in lists
    ]
    assert [tuple(item) for item in texts] == passages


def test_a_step_lowers_the_loss_of_its_own_lists(built: Any, tmp_path: Path) -> None:
    import torch

    lists, passages, _ = built
    learner = Learner(passages, Settings(passages=3))
    groups = learner.parameter_groups()
    optimizer = torch.optim.AdamW(groups)
    values = []
    for _ in range(6):
        losses = learner.losses(lists)
        values.append(float(learner.total(losses).detach()))
        optimizer.zero_grad()
        learner.total(losses).backward()
        optimizer.step()
    assert values[-1] < values[0]
    learner.save(tmp_path / "trained")
    settings = ExportSettings(precision="fp32", max_length=256)
    export_model(str(tmp_path / "trained"), tmp_path / "exported", settings)
    reranker = Reranker(tmp_path / "exported")
    texts = [TEXTS["Rice"], passages[lists[0].right][1]]
    assert reranker.rerank(lists[0].query, texts).results[0].index == 1


def test_the_tokens_of_the_answer_are_the_right_ones(built: Any) -> None:
    lists, passages, _ = built
    learner = Learner(passages, Settings())
    for titled in (True, False):
        ids, ends = learner._passage(lists[0].right, titled)
        pair = learner._join([5], ids, False)
        answering = learner._answering(lists[0], pair, titled)
        text = passages[lists[0].right][1]
        assert text[ends[answering[0] - 1] : ends[answering[-1]]].strip() == "1779"
        assert pair.tokens[0][pair.start : pair.end].tolist() == list(ids)


def test_near_copies_of_the_right_passage_are_not_drawn() -> None:
    passages = [("", text) for text in TEXTS.values()]
    learner = Learner(passages, Settings(passages=3))
    one = TrainingList("x", "bridge", [], 0, [], [1, 2], [0.9, SAME, 0.5])
    drawn = learner._draw(one)
    assert drawn[0] == (0, 0.9, None)
    assert (2, 0.5, None) in drawn
    assert 1 not in {number for number, cosine, _ in drawn if cosine}
    assert len(drawn) == 3
