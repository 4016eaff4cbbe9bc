"""Training lists of the ceiling benchmark, and what a step reads of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import cross_encoder_ceiling
import numpy as np
import pytest
from ceiling.learner import SAME, Learner, Settings
from ceiling.lists import TrainingList, build_lists, read_lists, write_lists

from secondpass.evaluate.first_stage import FirstStageCandidate
from secondpass.evaluate.score_matrix import build_score_matrix

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
    folder = tmp_path_factory.mktemp("ceiling")
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
    return build_lists([spans], ignore, data=folder / "data", held_out=folder / "held-out")


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
    right, wrong = learner.score(lists[0].query, [passages[lists[0].right][1], TEXTS["Rice"]])
    learner.save(tmp_path)
    assert right > wrong
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_the_tokens_of_the_answer_are_the_right_ones(built: Any) -> None:
    lists, passages, _ = built
    learner = Learner(passages, Settings())
    for titled in (True, False):
        ids, ends = learner._passage(lists[0].right, titled)
        pair = learner._join([5], ids)
        answering = learner._answering(lists[0], pair, titled)
        text = passages[lists[0].right][1]
        assert text[ends[answering[0] - 1] : ends[answering[-1]]].strip() == "1779"
        assert pair.tokens[0][pair.start : pair.end].tolist() == list(ids)


def test_near_copies_of_the_right_passage_are_not_drawn() -> None:
    passages = [("", text) for text in TEXTS.values()]
    learner = Learner(passages, Settings(passages=3))
    one = TrainingList("x", "bridge", [], 0, [], [1, 2], [0.9, SAME, 0.5])
    drawn = learner._draw(one)
    assert drawn[0] == (0, 0.9)
    assert (2, 0.5) in drawn
    assert (1, SAME) not in drawn
    assert len(drawn) == 3


def test_only_the_first_candidates_are_read_and_only_they_have_z_scores() -> None:
    mask = np.array([[True, True, True], [True, True, False]])
    pool = build_score_matrix(
        {"1": "a", "2": "b"},
        {
            "1": [FirstStageCandidate(i, 0.0, 0.0) for i in "xyz"],
            "2": [FirstStageCandidate(i, 0.0, 0.0) for i in "xy"],
        },
        None,
        {"1": {}, "2": {}},
    )
    read = cross_encoder_ceiling._first(pool, np.array([[1.0, 3, 2], [1, 2, 9]]), 2)
    assert read.tolist() == [[False, True, True], [True, True, False]]
    assert not (read & ~mask).any()
    values = cross_encoder_ceiling._standard(np.array([[7.0, 1, 3], [5, 5, 0]]), read)
    assert values.tolist() == [[0.0, -1.0, 1.0], [0.0, 0.0, 0.0]]
