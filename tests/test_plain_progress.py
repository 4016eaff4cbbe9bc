from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from secondpass import plain_progress
from secondpass.cli.output import counting, stages, working
from secondpass.plain_progress import PlainProgress, format_seconds


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_at_the_beginning_every_ten_seconds_and_at_the_end() -> None:
    clock, lines = Clock(), list[str]()
    progress = PlainProgress(lines.append, unit="documents", clock=clock)
    for second in range(31):
        clock.now = 100.0 + second
        progress.update("Indexing", 20 * second, 620)
    clock.now += 1
    progress.update("Indexing", 620, 620)
    progress.close()
    assert lines == [
        "Indexing: started, 620 documents",
        "Indexing: 200 of 620 documents, 10 s so far, 20.0 per second, about 21 s left",
        "Indexing: 400 of 620 documents, 20 s so far, 20.0 per second, about 11 s left",
        "Indexing: 600 of 620 documents, 30 s so far, 20.0 per second, about 1 s left",
        "Indexing: finished, 620 documents, after 31 s",
    ]


def test_lines_come_while_nothing_is_reported() -> None:
    clock, lines = Clock(), list[str]()
    progress = PlainProgress(lines.append, clock=clock)
    progress.update("read", 0, None)
    for _ in range(3):
        clock.now += 5
        progress.tick()
    assert lines == ["read: started", "read: 10 s so far"]


def test_short_stages_are_quiet_and_a_stage_that_goes_on_is_not_called_finished() -> None:
    clock, lines = Clock(), list[str]()
    progress = PlainProgress(lines.append, clock=clock)
    progress.update("start", 0, None)
    clock.now += 0.5
    for done, stage in ((10, "train"), (1, "validate"), (20, "train")):
        progress.update(stage, done, 40)
        clock.now += 2
        progress.tick()
    progress.close(failed=True)
    assert lines == [
        "train: started, 40",
        "train: left, 10 of 40, after 2 s",
        "validate: started, 40",
        "validate: left, 1 of 40, after 2 s",
        "train: started, 40",
        "train: stopped, 20 of 40, after 2 s",
    ]


def test_a_resumed_stage_has_the_rate_of_this_run() -> None:
    clock, lines = Clock(), list[str]()
    progress = PlainProgress(lines.append, clock=clock)
    progress.update("train", 1000, 2000)
    clock.now += 10
    progress.update("train", 1010, 2000)
    assert lines[-1] == (
        "train: 1,010 of 2,000, 10 s so far, 1.0 per second, about 16 min 30 s left"
    )
    assert format_seconds(3725) == "1 h 2 min"


def test_every_helper_writes_lines_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plain_progress, "BEGIN_AFTER", 0.02)
    monkeypatch.setattr(plain_progress, "EVERY", 0.05)
    monkeypatch.setattr("secondpass.cli.output.EVERY", 0.05)
    with counting("Indexing", "documents") as update:
        update(3, 6)
        time.sleep(0.3)
    error = capsys.readouterr().err
    assert "Indexing: started, 6 documents\nIndexing: 3 of 6 documents, " in error
    with stages() as progress:
        progress("score", 1, 4)
        time.sleep(0.3)
    assert "score: 1 of 4, " in capsys.readouterr().err
    with working("Searching"):
        time.sleep(0.3)
    assert "Searching: 0 s so far" in capsys.readouterr().err


def test_a_closed_pipe_does_not_end_the_work(tmp_path: Path) -> None:
    code = (
        "import time\nfrom secondpass import plain_progress as p\n"
        "with p.plain_progress(begin_after=0.01, every=0.01) as progress:\n"
        "    progress.update('work', 1, 2)\n    time.sleep(0.3)\n"
        f"open({str(tmp_path / 'done')!r}, 'w').close()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    process.wait()
    assert (tmp_path / "done").exists()
