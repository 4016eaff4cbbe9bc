from pathlib import Path

import pytest

from secondpass.errors import ReadError
from secondpass.retrieve.loaders import SourceFile, locate_rows, read_file

ROW = '{"id": "a", "text": "Käse"}\r\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("a.txt", "Käse"), ("a.md", "Käse"), ("a.jsonl", ROW), ("a.csv", "text\r\nKäse\r\n")],
)
def test_every_text_format_is_read(tmp_path: Path, encoding: str, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    assert [d.text for d in read_file(SourceFile(path, tmp_path))] == ["Käse"]


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        ("{} Käse".encode("cp1252"), "iconv -f windows-1252 -t utf-8"),
        (b"{} K\x81se", "iconv -f ENCODING"),
        ("Привет, мир".encode("koi8-r"), "iconv -f ENCODING"),
        ("日本語のテキスト".encode("shift_jis"), "such as windows-1251, gb18030, shift_jis"),
        ("{} Käse".encode() + b" \x80", "The text before it is UTF-8: correct line 1"),
        ('{"text": "abc"}'.encode("utf-16le"), "iconv -f utf-16le -t utf-8"),
        ('{"text": "abc"}'.encode("utf-16be"), "iconv -f utf-16be -t utf-8"),
        ("ab".encode("utf-16") + b"c", "truncated"),
    ],
)
@pytest.mark.parametrize("name", ["a b.txt", "a b.jsonl", "a b.csv"])
def test_advice_for_other_encodings(
    tmp_path: Path, data: bytes, advice: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ReadError) as caught:
        list(read_file(SourceFile(path, tmp_path)))
    assert advice in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_values_and_numbers_as_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": 7.0, "text": "x", "title": NaN, "year": NaN}\n{"id": NaN, "text": NaN}\n'
    )
    first, second = read_file(SourceFile(path, tmp_path))
    assert (first.id, first.title, first.metadata) == ("7", None, {})
    assert (second.id, second.text) == ("a.jsonl:2", "")


@pytest.mark.parametrize("value", ["true", "[1]", '{"$oid": "5"}', "1.5"])
def test_what_cannot_be_an_id(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"id": "x", "text": "a"}}\n{{"id": {value}, "text": "b"}}\n')
    found = read_file(SourceFile(path, tmp_path), strict=False)
    assert [d.id for d in found] == ["x"]
    (error,) = found.skipped
    assert "a.jsonl, line 2" in str(error)
    assert "must be text, a whole number or a UUID" in str(error)


def test_a_list_in_a_file_of_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('[{"text": "a"}, {"text": "b"}]')
    with pytest.raises(ReadError, match="jq -c"):
        list(read_file(SourceFile(path, tmp_path)))


def test_one_damaged_line_of_many(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = ['{"text": "Käse"}'.encode(), b'{"text": "K\xe4se"}', b'{"text": "bread"}']
    path.write_bytes(b"\n".join(rows))
    file = SourceFile(path, tmp_path)
    found = read_file(file, strict=False)
    assert [d.text for d in found] == ["Käse", "bread"]
    (error,) = found.skipped
    assert "a.jsonl, line 2" in str(error)
    assert locate_rows(file, [1], skipped=found.skipped) == [f"{path}, line 3"]
    with pytest.raises(ReadError, match="line 2"):
        list(read_file(file))
    # The whole file is in another encoding.
    path.write_bytes(b"\n".join(rows[1:]))
    with pytest.raises(ReadError, match="windows-1252"):
        list(read_file(file, strict=False))
