from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (folder / "rows.jsonl").write_text('{"id": "d", "text": "The key is in the shed."}\n')
    (folder / "q.tsv").write_text("q\twhere is the key\n")
    (folder / "q.qrels").write_text("q 0 d 1\n")
    (folder / "a.run").write_text("q Q0 d 1 1.0 a\n")
    return folder


def test_paths_begin_with_the_home_folder(run: Run, home: Path) -> None:
    for arguments in (
        ("index", "~/rows.jsonl", "--index", "~/i"),
        ("rerank", "~ key", "~/rows.jsonl"),
        ("eval", "--queries", "~/q.tsv", "--qrels", "~/q.qrels", "--runs", "~/a.run"),
        ("keys", "create", "n", "--keys", "~/keys.json"),
        ("keys", "list", "--keys", "~/keys.json"),
    ):
        ran = run(*arguments)
        assert (ran.code, arguments if ran.code else ()) == (0, ()), ran.err
    assert (home / "i").is_dir()
    assert (home / "keys.json").is_file()
    assert list(Path().iterdir()) == []


def test_a_name_may_begin_with_a_tilde(run: Run, home: Path) -> None:
    assert run("index", home / "rows.jsonl", "--index", "./~home").code == 0
    assert Path("~home").absolute().is_dir()
    assert run("search", "key", "--index", "./~home", "--no-rerank").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "key", "--index", "~nosuchuser/x"),
        ("rerank", "key", "~nosuchuser/x"),
        ("keys", "list", "--keys", "~nosuchuser/x"),
        ("mcp", "--index", "a=~nosuchuser/x"),
        ("rerank", "key", "--model", "~nosuchuser/x"),
    ],
)
def test_an_unknown_user_is_an_error(run: Run, home: Path, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments, stdin=b"The key.\n")
    assert ran.code == 2
    assert "Error: '~nosuchuser' is not the home folder of a user (~nosuchuser/x)" in ran.err
    assert "'./~nosuchuser/x'" in ran.err
