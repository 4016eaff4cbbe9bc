from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from secondpass import InputError
from secondpass.evaluate.text_files import abbreviate, check_trec_ids, split_lines, write_lines


@pytest.mark.parametrize("name", ["run.txt", "run.txt.gz"])
def test_a_file_is_replaced_whole_and_reproducibly(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    write_lines(path, ["a b", "c"])
    first = path.read_bytes()
    assert (gzip.decompress(first) if name.endswith(".gz") else first) == b"a b\nc\n"
    write_lines(path, ["a b", "c"])
    assert path.read_bytes() == first
    assert [line.cells for line in split_lines(path, None)] == [["a", "b"], ["c"]]
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_while_lines_are_made_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.txt"
    path.write_text("old\n")
    with pytest.raises(ZeroDivisionError):
        write_lines(path, (str(1 // n) for n in (1, 0)))
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        write_lines(tmp_path / "missing" / "run.txt", [])
    with pytest.raises(InputError, match="white space separates"):
        check_trec_ids("run", "q1", "two words")
    assert abbreviate(["a", "b", "c", "d"]) == "'a', 'b', 'c', …"
