from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondpass import Document, InputError, ModelError
from secondpass.evaluate.judge import (
    agreement,
    chat_judge,
    cohen_kappa,
    judge_all,
    judge_prompt,
    parse_grade,
)
from secondpass.evaluate.labelling import GradeFile, Labelling


class Chat(BaseHTTPRequestHandler):
    seen: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers.get("Authorization"), body))
        text = body["messages"][0]["content"]
        status = 503 if body["model"] == "busy" else 200
        grade = "3" if "engine" in text.split("Passage:")[1] else "The grade is 0."
        said: Any = {"choices": [{"message": {"content": grade}}]}
        if body["model"] == "odd":
            said = {"choices": []}
        answer = b"try later" if status == 503 else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Chat.seen.clear()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def labelling(folder: Path) -> Labelling:
    documents = [Document("An engine.", "a"), Document("Rice.", "b", title="Food")]
    file = GradeFile(folder / "qrels.tsv")
    return Labelling({"q": "steam engine"}, lambda name, text: documents, file)


def test_a_judge_behind_a_server(tmp_path: Path, url: str) -> None:
    session = labelling(tmp_path)
    judge_all(session, chat_judge(url, "some-model", key="secret"))
    assert session.file.grades == {"q": {"a": 3, "b": 0}}
    path, key, body = Chat.seen[0]
    assert path == "/v1/chat/completions"
    assert key == "Bearer secret"
    assert body["temperature"] == 0


def test_what_was_judged_stays_when_the_judge_fails(tmp_path: Path, url: str) -> None:
    session = labelling(tmp_path)
    session.grade(2)
    for model, message in (("busy", "503.*try later"), ("odd", "IndexError")):
        with pytest.raises(ModelError, match=message):
            judge_all(session, chat_judge(url, model))
    assert GradeFile(tmp_path / "qrels.tsv").grades == {"q": {"a": 2}}
    with pytest.raises(ModelError, match="did not answer"):
        chat_judge("http://127.0.0.1:9/v1", "m", timeout=2)("x")
    with pytest.raises(InputError, match="http"):
        chat_judge("file:///etc", "m")


def test_an_answer_without_a_grade_is_skipped(tmp_path: Path) -> None:
    session = labelling(tmp_path)
    judge_all(session, lambda text: "I cannot say." if "Rice" in text else "1")
    assert session.file.grades == {"q": {"a": 1}}
    assert session.skipped == 1


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("3", 3),
        (" 0.\n", 0),
        ("Grade: 2", 2),
        ("On a scale of 0-3: 1", 1),
        ("2/3", 2),
        ("**1**", 1),
        ("10", None),
        ("1.5", None),
        ("4", None),
        ("", None),
    ],
)
def test_grades_in_answers(answer: str, grade: int | None) -> None:
    assert parse_grade(answer) == grade


def test_the_prompt_has_query_title_and_text() -> None:
    said = judge_prompt("why {x}?", Document("y" * 9000, title="T"))
    assert "why {x}?" in said
    assert "Passage: T\ny" in said
    assert len(said) < 8000


def test_kappa_of_known_tables() -> None:
    # Cohen's own sort of table: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no.
    a = [1] * 25 + [0] * 25
    b = [1] * 20 + [0] * 5 + [1] * 10 + [0] * 15
    assert cohen_kappa(a, b) == pytest.approx(0.4)
    assert cohen_kappa([0, 1, 2, 3], [0, 1, 2, 3]) == 1
    assert cohen_kappa([1, 1], [1, 1]) is None
    near, far = cohen_kappa([0, 3, 1, 2], [1, 2, 0, 3], quadratic=True), None
    far = cohen_kappa([0, 3, 1, 2], [3, 0, 2, 1], quadratic=True)
    assert near is not None
    assert far is not None
    assert near > 0 > far


grades = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(grades, st.booleans())
def test_kappa_is_symmetric_and_at_most_one(rows: list[tuple[int, int]], bent: bool) -> None:
    a, b = [x for x, _ in rows], [y for _, y in rows]
    found = cohen_kappa(a, b, quadratic=bent)
    assert found == pytest.approx(cohen_kappa(b, a, quadratic=bent))
    assert found is None or found <= 1 + 1e-12


def test_agreement_is_over_common_pairs() -> None:
    first = {"q1": {"a": 3, "b": 0, "c": 1}, "q2": {"a": 2, "b": 0}, "q4": {"z": 1}}
    second = {"q1": {"a": 3, "b": 0}, "q2": {"a": 1, "b": 0}, "q3": {"a": 1}}
    found = agreement(first, second)
    assert (found.pairs, found.queries, found.same) == (4, 2, 0.75)
    assert found.binary == 1
    assert found.low is not None
    assert found.kappa is not None
    assert found.high is not None
    assert found.low <= found.kappa <= found.high
    with pytest.raises(InputError, match="no pair in common"):
        agreement(first, {"q3": {"a": 1}})
