import gzip
import re
from pathlib import Path
from typing import Any

import pytest

from secondpass.errors import ReadError
from secondpass.retrieve.loaders.delimited import load
from secondpass.types import Document


def read(path: Path, text: str, encoding: str = "utf-8", **kwargs: Any) -> list[Document]:
    data = text.encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return list(load(path, path.name, **kwargs))


@pytest.mark.parametrize("start", [0, 1])
def test_unnamed_column_of_row_numbers_is_left_out(tmp_path: Path, start: int) -> None:
    text = f'"",id,text,n\n{start},x,"Oats, rye.",3\n{start + 1},y,Barley.,4\n'
    documents = read(tmp_path / "a.csv", text)
    assert [d.id for d in documents] == ["x", "y"]
    assert documents[0].text == "Oats, rye."
    assert [d.metadata for d in documents] == [{"n": 3}, {"n": 4}]


def test_unnamed_column_with_values_is_kept(tmp_path: Path) -> None:
    (first, second) = read(tmp_path / "a.csv", ",text,\nMazda RX4,A car.,\nFiat,Another.,x\n")
    assert first.metadata == {"column_1": "Mazda RX4"}
    assert second.metadata == {"column_1": "Fiat", "column_3": "x"}


def test_trailing_separators_of_spreadsheets(tmp_path: Path) -> None:
    text = "id,text,year,,\na,One.,2001,,\nb,Two.,2002\nc,Three.,2003,,,,\n,,,,\n"
    documents = read(tmp_path / "a.csv", text)
    assert [(d.id, d.metadata) for d in documents] == [
        ("a", {"year": 2001}),
        ("b", {"year": 2002}),
        ("c", {"year": 2003}),
    ]


def test_filled_cell_beyond_the_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="double quotes") as caught:
        read(tmp_path / "a.csv", "id,text\n1,One.\n2,Two, three.\n")
    assert "line 3" in str(caught.value)


def test_tables_of_r_have_row_names_without_a_header(tmp_path: Path) -> None:
    text = '"id","text","n"\n"Mazda","x","Oats, rye.",3\n"Fiat","y","Barley.",4\n'
    documents = read(tmp_path / "a.csv", text)
    assert [(d.id, d.text) for d in documents] == [("x", "Oats, rye."), ("y", "Barley.")]
    assert documents[1].metadata == {"column_1": "Fiat", "n": 4}
    numbered = text.replace("Mazda", "1").replace("Fiat", "2")
    assert read(tmp_path / "b.csv", numbered)[0].metadata == {"n": 3}
    with pytest.raises(ReadError, match=r"write\.csv"):
        read(tmp_path / "c.csv", "id,text\n1,x,One.\n2,y,Two.\n")


@pytest.mark.parametrize(
    ("header", "fields", "expected"),
    [
        ("id,Title,Body", None, ("t", "b", {})),
        ("id,TITLE,Content", None, ("t", "b", {})),
        ("id,Text,body", None, (None, "b", {"Text": "t"})),
        ("id,Title,title_body", ["title_body"], ("t", "b", {})),
        ("id,Body,Other", ["Other"], (None, "b", {"Body": "t"})),
        ("id,Title,Body", ["Title", "Body"], (None, "t\n\nb", {})),
    ],
)
def test_known_names_in_another_case(
    tmp_path: Path,
    header: str,
    fields: list[str] | None,
    expected: tuple[str | None, str, dict[str, str]],
) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n1,t,b\n")
    (document,) = load(tmp_path / "a.csv", "a.csv", fields)
    assert (document.title, document.text, document.metadata) == expected


def test_lines_that_end_with_a_carriage_return_alone(tmp_path: Path) -> None:
    text = 'id,text\r\rx,"One\rline."\ry,Two.\r'
    documents = read(tmp_path / "a.csv", text)
    assert [(d.id, d.text) for d in documents] == [("x", "One\rline."), ("y", "Two.")]
    with pytest.raises(ReadError, match="line 2"):
        read(tmp_path / "b.csv", "id,text\rx\r")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz"])
def test_separator_of_the_header(tmp_path: Path, separator: str, suffix: str) -> None:
    text = separator.join(("id", "text", "jahr")) + "\r\n"
    text += separator.join(("1", "Der Ofen brennt.", "2019")) + "\r\n"
    (document,) = read(tmp_path / f"a{suffix}", text)
    assert document == Document("Der Ofen brennt.", "1", None, {"jahr": 2019})


def test_separator_splits_the_header_into_known_names(tmp_path: Path) -> None:
    (document,) = read(tmp_path / "a.csv", "id,text,a;b;c;d\n1,One.,x\n")
    assert document.metadata == {"a;b;c;d": "x"}
    (document,) = read(tmp_path / "b.csv", "key;körper;a,b,c,d\n1;Eins.;x\n", fields=["körper"])
    assert document.text == "Eins."


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;", "\nsep=;"])
def test_separator_declared_in_the_first_line(tmp_path: Path, first: str) -> None:
    text = f"{first}\r\nid;text\r\na;Fired, twice.\r\n;Once.\r\n"
    documents = read(tmp_path / "a.csv", text)
    line = text.count("\n")
    assert [(d.id, d.text) for d in documents] == [
        ("a", "Fired, twice."),
        (f"a.csv:{line}", "Once."),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz"])
def test_encodings_with_a_byte_order_mark(tmp_path: Path, encoding: str, name: str) -> None:
    text = "id\ttext\r\nä\tGrün\u2028und 日本.\r\n"
    (document,) = read(tmp_path / name, text, encoding)
    assert (document.id, document.text) == ("ä", "Grün\u2028und 日本.")


def test_repeated_column_name(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="'text' occurs twice"):
        read(tmp_path / "a.csv", "text,text\na,b\n")


def test_numbers_and_codes(tmp_path: Path) -> None:
    text = "text,code,n,f,flag\na,007,1,1.5,true\nb,12,2,2,False\n"
    assert read(tmp_path / "a.csv", text)[1].metadata == {
        "code": "12",
        "n": 2,
        "f": 2.0,
        "flag": False,
    }


def test_missing_values_as_other_programs_write_them(tmp_path: Path) -> None:
    text = (
        "id,text,year,ok,land\n1,a,NA,True,NA\n2,b,2001,NaN,FR\n3,c,#N/A,false,DE\n4,d,-,,-\n"
    )
    documents = read(tmp_path / "a.csv", text)
    assert [d.metadata for d in documents] == [
        {"ok": True, "land": "NA"},
        {"year": 2001, "land": "FR"},
        {"ok": False, "land": "DE"},
        {"land": "-"},
    ]
    # With types that the run decided, also in a file where no number stands in the column.
    (document,) = read(tmp_path / "b.csv", "id,text,year\n5,e,n/a\n", kinds={"year": "integer"})
    assert document.metadata == {}


def test_an_index_that_pandas_has_read_and_written_again(tmp_path: Path) -> None:
    text = ",Unnamed: 0,id,text,Unnamed: 7\n0,0,x,Oats.,kept\n1,1,y,Rye.,\n"
    documents = read(tmp_path / "a.csv", text)
    assert [d.metadata for d in documents] == [{"Unnamed: 7": "kept"}, {}]


@pytest.mark.parametrize("name", ["ID", "Id", "DocID", "_ID"])
def test_ids_in_another_case(tmp_path: Path, name: str) -> None:
    (document,) = read(tmp_path / "a.csv", f"{name},text\nx7,One.\n")
    assert (document.id, document.metadata) == ("x7", {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Report of May\nid,text\n1,a\n", "'Report of May', is taken for the header"),
        ("# by x\nid,text\n1,a\n", "'# by x', is taken for the header"),
        ('id,text\n1,"a\n2,b\n', "A quote at the beginning of a cell has none at its end"),
    ],
)
def test_what_to_do_about_a_file_that_is_no_table(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ReadError, match=re.escape(says)):
        read(tmp_path / "a.csv", text)
