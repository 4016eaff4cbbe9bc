from __future__ import annotations

import gzip
import io
import json
import os
import time
import tracemalloc
import zipfile
from datetime import date
from pathlib import Path

import pytest

from secondpass.errors import MissingExtraError, ReadError
from secondpass.retrieve.loaders import LOADERS, FileRead, SourceFile, find_files, read_file
from secondpass.retrieve.loaders.files import load_batches
from secondpass.types import Document
from tests.retrieve.loaders.pdfs import WORDS, pdf


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, fields=None) -> list[Document]:
    return [d for file in find_files([path]) for d in read_file(file, fields)]


def test_text(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffGrüße\n")
    assert read(path) == [Document("Grüße\n", "a.txt")]
    assert read(write(tmp_path / "b.TXT", "x".encode("utf-16"))) == [Document("x", "b.TXT")]
    assert read(write(tmp_path / "c.txt", "")) == [Document("", "c.txt")]


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# One\n\ntext", "One"),
        ("intro\n\n## Two ##\n", "Two"),
        ("Set in\n======\n", "Set in"),
        ("```sh\n# no title\n```\n# Yes\n", "Yes"),
        ("~~~\n# no\n", None),
        ("---\nkey: 1\n---\n# After\n", "After"),
        ("#hashtag\n", None),
        ("- item\n---\n", None),
        ("plain", None),
        ("#\n", None),
        ("# One # two ## \n", "One # two"),
        # These spaces took hours.
        ("# One" + " " * 20_000 + "two\n", "One" + " " * 20_000 + "two"),
    ],
)
def test_markdown_has_its_first_heading_as_title(tmp_path, text, title):
    (document,) = read(write(tmp_path / "a.md", text))
    assert document.title == title
    assert "key: 1" not in document.text


def test_front_matter_becomes_title_and_metadata(tmp_path):
    yaml = (
        "---\ntitle: 'Rotate: keys'\ntags: [a, b]\ndate: 2024-05-01\nversion: 1.10\nlang: no\n"
        "draft: ~\nDate: again\nauthor:\n  name: Ann\n---\n\n# Heading\nText.\n"
    )
    fields = {"tags": "a, b", "date": "2024-05-01", "version": "1.10", "lang": "no"}
    fields["author_name"] = "Ann"
    toml = (
        '+++\ntitle = "Rotate: keys"\ntags = ["a", "b"]\ndate = 2024-05-01\nversion = "1.10"\n'
        'lang = "no"\n[author]\nname = "Ann"\n+++\n\n# Heading\nText.\n'
    )
    for text in (yaml, toml, yaml.replace("\n", "\r\n"), yaml.replace("---\n\n", "...\n\n")):
        (document,) = read(write(tmp_path / "a.md", text))
        assert document.title == "Rotate: keys"
        assert document.metadata == fields
        assert document.text.split() == ["#", "Heading", "Text."]
    (document,) = read(write(tmp_path / "b.md", "---\nid: x\n---\n# Heading\n"))
    assert (document.title, document.metadata) == ("Heading", {"id": "x"})


@pytest.mark.parametrize(
    ("head", "title", "metadata"),
    [
        ("---\ntitle: A: b\nn: 1 # one\n---\n", "A: b", {"n": "1"}),
        ("---\ntitle:\tTabs\nn:\t1\n---\n", "Tabs", {"n": "1"}),
        ("---\ntitle: {{ x }}\ntags: [a, b]\n---\n", "{{ x }}", {"tags": "a, b"}),
        ("---\ntitle: [Draft] It's: so\n---\n", "[Draft] It's: so", {}),
        ("---\ntitle: *Bold* @home\nby: @ann\n---\n", "*Bold* @home", {"by": "@ann"}),
        ("---\r\ntitle: A: b\r\nn: 1\r\n---\r\n", "A: b", {"n": "1"}),
        ("\n \n---\ntitle: After blank lines\n---\n", "After blank lines", {}),
        ("---\rtitle: Old Mac\rn: 1\r---\r", "Old Mac", {"n": "1"}),
        (
            "---\nPublish Date: 2024-05-01\ntitle: Spaces\n---\n",
            "Spaces",
            {"Publish Date": "2024-05-01"},
        ),
        (
            "---\ntitle: T\nby:\n- {name: Ann, at: {x: [1, 2]}}\n- name: Ben\n---\n",
            "T",
            {"by_name": "Ann, Ben", "by_at_x": "1, 2"},
        ),
        ("---\ntitle: T\nmixed: [[a, b], {c: d}]\n---\n", "T", {"mixed": "a, b, c: d"}),
        ('{\n "title": "J", "n": 1.10, "o": {"p": true}, "q": null\n}\n\n', "J", None),
    ],
)
def test_front_matter_as_people_write_it(tmp_path, head, title, metadata):
    (document,) = read(write(tmp_path / "a.md", head + "Text.\n"))
    assert (document.title, document.text.strip()) == (title, "Text.")
    assert document.metadata == ({"n": "1.10", "o_p": "true"} if metadata is None else metadata)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\ntitle: x\nb: [not closed\n  c: d\n---\nT.\n", "YAML: line 4"),
        ("---\na: &x [1]\nb: *x\n---\nT.\n", "YAML: line 3: aliases are not read"),
        ("+++\na = not\n+++\nT.\n", "TOML: line 2"),
        ("---\nNo field.\n: x: y\n---\nT.\n", None),
        ('{"a": 1} is JSON\n', None),
        ('{"a": 1}\n', None),
    ],
)
def test_front_matter_that_cannot_be_read_is_reported(tmp_path, text, problem):
    path = write(tmp_path / "a.md", text)
    found = FileRead(load_batches(SourceFile(path, tmp_path), characters=10_000))
    (document,) = found
    assert (document.text, document.metadata) == (text, {})
    expected = {} if problem is None else {f"front matter that is not {problem}": 1}
    assert found.left_out == expected


def test_files_of_other_formats_are_counted(tmp_path):
    for name in ("a.md", "b.mdx", "c.rst", "d.MDX", "LICENSE", ".hidden.rst"):
        write(tmp_path / name, "x")
    other: dict[str, int] = {}
    assert [file.name for file in find_files([tmp_path], other)] == ["a.md"]
    assert other == {"": 1, ".mdx": 2, ".rst": 1}


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nFirst section.\n\n---\n\nSecond.\n",
        "---\n\nPresent: Ann and Ben\n\n---\n\nSecond.\n",
        "---\nFirst section.\n---\nSecond.\n",
        "---\nAny other business: none\n---\nSecond.\n",
        "---\n- a\n- b\n---\nSecond.\n",
        "---\ntitle: [not closed\n---\nSecond.\n",
        "---\na: &x [1]\nb: *x\n---\nSecond.\n",
        "---\ntitle: never closed\n",
        "---\na: " + "[" * 5000 + "\n---\nSecond.\n",
        "+++\nnot toml\n+++\nSecond.\n",
        "+++\n\nx\n\n+++\nSecond.\n",
        "--- \n",
    ],
)
def test_a_rule_or_invalid_front_matter_is_text(tmp_path, text):
    (document,) = read(write(tmp_path / "a.md", text))
    assert document.text == text
    assert document.metadata == {}


def test_html(tmp_path):
    page = """<!doctype html><html><head><title> A  page </title><style>p{}</style></head>
    <body><nav>menu</nav><h1>Head</h1><p>One <b>bo</b>ld
    word.</p><script>var x</script><p hidden>secret</p><ul><li>a</li><li>b</li></ul>
    <!-- comment --></body></html>"""
    (document,) = read(write(tmp_path / "a.html", page))
    assert document.title == "A page"
    assert document.text.split() == ["Head", "One", "bold", "word.", "a", "b"]
    assert "Head\n" in document.text
    latin = "<meta charset=iso-8859-1><h1>Ü</h1>é".encode("latin-1")
    (document,) = read(write(tmp_path / "b.htm", latin))
    assert (document.title, document.text) == ("Ü", "Ü\né")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<form id=f><div><p>In a form</p></div></form>", "In a form"),
        ("<noscript><p>Without scripts</p></noscript>", "Without scripts"),
        ("<details><summary>Sum</summary>more</details>", "Sum more"),
        ("<dialog><fieldset><legend>L</legend><label>f</label></fieldset></dialog>", "L f"),
        ("<select><option>one<option>two</select><textarea>three</textarea>", "one two three"),
        ("<p hidden=until-found>found by the browser</p>", "found by the browser"),
        ("<x-page><template shadowrootmode=open><p>shadow</p></template></x-page>", "shadow"),
        ("<template><p>no</p></template><p>yes", "yes"),
        ("<template><p>only in a template</p></template>", "only in a template"),
        ("<svg><g><title>icon</title><style>p{}</style></g></svg><p>yes", "yes"),
        (
            "<svg><text>pump <tspan>house</tspan></text><text>valve</text></svg>",
            "pump house valve",
        ),
        ("<svg><foreignObject><div>in a diagram</div></foreignObject></svg>", "in a diagram"),
        ("<iframe srcdoc='&lt;p>page &amp;amp; page'>no</iframe>after", "page & page after"),
        ("<iframe hidden srcdoc='&lt;p>no'></iframe><p>yes", "yes"),
        ("<noframes>a &amp; <b>b</b></noframes>", "a & b"),
        ("a <![CDATA[b < c]]> d<![CDATA[ never ends <p>e", "a b < c d never ends e"),
        ("<script>//<![CDATA[ if (a<b) ]]></script><p>shown", "shown"),
        ("the <img alt='red fence'> and <area alt=gate>", "the red fence and gate"),
        (
            "<input value=Ann><input type=hidden value=h><input type=password value=p>"
            "<input type=checkbox value=c><input type=submit value=Send>",
            "Ann Send",
        ),
        ("<select><optgroup label=Fruit><option label=Pear></select>", "Fruit Pear"),
        ("<body hidden><p>shown by a script</p>", "shown by a script"),
        ("<body><nav><p>all of it</p></nav>", "all of it"),
        (
            "<frameset><frame src=a><noframes><p>No frames</p></noframes></frameset>",
            "No frames",
        ),
        ("<?xml version='1.0'?><html><head><script src='a'/></head><p>XML</p></html>", "XML"),
        ("<table><tr><td>a<td>b<tr><td>c</table>d", "a b c d"),
        ("<p>one<p>two<li>three", "one two three"),
        ("<p title='a > b'>quoted</p><!-- > --><p>x &lt; y&nbsp;z", "quoted x < y z"),
        ("<plaintext><b>as is", "<b>as is"),
        ("", ""),
    ],
)
def test_html_that_is_unusual_but_valid(tmp_path, page, text):
    (document,) = read(write(tmp_path / "a.html", page))
    assert " ".join(document.text.split()) == text
    assert document.title is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("<p>é".encode("utf-16"), "é"),
        (b"\xef\xbb\xbf<meta charset=latin1><p>\xc3\xa9", "é"),
        ("<meta charset='windows-1251'><p>Привет".encode("cp1251"), "Привет"),
        ("<meta charset=utf-8><p>caf\xe9".encode("latin-1"), "café"),
        ("<p>caf\xe9".encode("latin-1"), "café"),
        (b"<meta charset=latin1><p>\x93x\x94", "“x”"),
        ("<meta charset=utf-16><p>é".encode(), "é"),
        ("<meta charset=unknown><p>é".encode(), "é"),
        (b"<meta charset=hex><p>a", "a"),
        ("<p>no mark, but é".encode("utf-16le"), "no mark, but é"),
        ("<p>no mark, but é".encode("utf-16be"), "no mark, but é"),
    ],
)
def test_the_encoding_of_html(tmp_path, data, text):
    (document,) = read(write(tmp_path / "a.html", data))
    assert document.text == text


def test_the_title_of_html(tmp_path):
    for page, title in (
        ("<title>T</title><h1>H</h1>", "T"),
        ("<title> </title><h1>H <b>b</b></h1>", "H b"),
        ("<h1>H</h1>", "H"),
        ("<svg><g><title>icon</title></g></svg><h1>H</h1>", "H"),
    ):
        (document,) = read(write(tmp_path / "a.html", page))
        assert document.title == title


@pytest.mark.parametrize(
    ("unit", "end"),
    [
        ("<div>", "</div>"),
        ("<div>", ""),
        ("<font><div>", ""),
        ("<span><div></span>", ""),
        ("<ul><li>", "</li></ul>"),
    ],
)
def test_html_nested_20_000_deep(tmp_path, unit, end):
    count = 20_000
    page = f"<nav>menu</nav><h1>H</h1>{unit * count}deep <b>text</b>{end * count}<p>after</p>"
    path = write(tmp_path / "a.html", page)
    start = time.process_time()
    (document,) = read(path)
    assert time.process_time() - start < 5
    assert document.title == "H"
    assert document.text.split() == ["H", "deep", "text", "after"]


def test_html_with_many_elements_that_are_not_nested(tmp_path):
    page = "<nav>menu</nav>" + "<div><b>x</b></div>" * 3000 + "<p hidden>no</p><b>y</b>"
    (document,) = read(write(tmp_path / "a.html", page))
    assert document.text.split() == ["x"] * 3000 + ["y"]


def test_jsonl_of_beir(tmp_path):
    lines = [
        {"_id": "1", "title": "T", "text": "body", "metadata": {"year": 2015, "x": None}},
        {"_id": 2, "title": "", "text": "", "metadata": {}},
    ]
    path = write(tmp_path / "c.jsonl", "\n\n".join(json.dumps(x) for x in lines) + "\n")
    assert read(path) == [
        Document("body", "1", "T", {"year": 2015}),
        Document("", "2"),
    ]
    packed = write(tmp_path / "d.jsonl.gz", gzip.compress(path.read_bytes()))
    assert read(packed) == read(path)


def test_jsonl_with_free_fields(tmp_path):
    record = {"id": "a", "title": "T", "abstract": "A", "body": "B", "year": 1, "none": None}
    path = write(tmp_path / "c.jsonl", json.dumps(record) + "\n" + '{"content": "C"}')
    assert read(path) == [
        Document("B", "a", "T", {"abstract": "A", "year": 1}),
        Document("C", "c.jsonl:2"),
    ]
    path = write(tmp_path / "d.jsonl", json.dumps(record))
    assert read(path, ["title", "abstract", "missing"]) == [
        Document("T\n\nA", "a", None, {"body": "B", "year": 1})
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"{", "JSON"),
        (b"[1]", "object"),
        (b'{"_id": 1}', "--fields"),
        (b'{"text": 3}', "'text'"),
        (b'{"text": "\xff"}', "UTF-8"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, says):
    path = write(tmp_path / "c.jsonl", b'{"text": "good"}\n' + line + b"\n")
    found = []
    with pytest.raises(ReadError, match=says) as caught:
        found.extend(read_file(next(find_files([path]))))
    assert f"{path}, line 2" in str(caught.value)


def test_csv(tmp_path):
    content = (
        "id,title,text,year,price,ok,code,mixed,empty\n"
        '01,T,"one, ""two""\nlines",2015,1,true,007,1,\n'
        "02,,x,-3,2.5e1,FALSE,1,a,\n"
        ",,,,,,,,\n"
    )
    path = write(tmp_path / "a.csv", content)
    assert read(path) == [
        Document(
            'one, "two"\nlines',
            "01",
            "T",
            {"year": 2015, "price": 1.0, "ok": True, "code": "007", "mixed": "1"},
        ),
        Document(
            "x", "02", None, {"year": -3, "price": 25.0, "ok": False, "code": "1", "mixed": "a"}
        ),
    ]
    assert read(write(tmp_path / "b.tsv", "text\tn\na,b\t1\n")) == [
        Document("a,b", "b.tsv:2", None, {"n": 1})
    ]
    long = "x" * 200_000
    assert read(write(tmp_path / "c.csv", f"text\n{long}\n"))[0].text == long
    assert read(write(tmp_path / "d.csv", "")) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,text\na,b\n", "twice"),
        ("text,n\na\n", "line 2"),
        ('text\n"open', "line 2"),
        ("a,b\n1,2\n", "--fields"),
    ],
)
def test_a_bad_csv(tmp_path, content, says):
    with pytest.raises(ReadError, match=says):
        read(write(tmp_path / "a.csv", content))


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = pa.table(
        {
            "id": ["a", None],
            "body": ["x", None],
            "year": [1, None],
            "day": [date(2020, 1, 1)] * 2,
        }
    )
    pq.write_table(table, path)
    assert read(path) == [
        Document("x", "a", None, {"year": 1, "day": date(2020, 1, 1)}),
        Document("", "a.parquet:2", None, {"day": date(2020, 1, 1)}),
    ]
    with pytest.raises(ReadError, match=r"bad\.parquet"):
        read(write(tmp_path / "bad.parquet", "PAR1 not really"))


def docx(text: str) -> bytes:
    space = "http://schemas.openxmlformats.org"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package'
        '.relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/'
        'vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{space}/officeDocument/2006/relationships/'
        'officeDocument" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{space}/wordprocessingml/2006/main">'
        f"<w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + content)
    return stream.getvalue()


def test_office_files(tmp_path):
    pytest.importorskip("markitdown")
    pytest.importorskip("mammoth")
    path = write(tmp_path / "a.docx", docx("Quarterly figures"))
    (document,) = read(path)
    assert (document.id, document.text.strip()) == ("a.docx", "Quarterly figures")
    for name in ("bad.docx", "bad.pptx", "bad.pdf"):
        for content in ("not a zip", "%PDF-1.4 junk", ""):
            with pytest.raises(ReadError, match=name):
                read(write(tmp_path / name, content))


def test_slides(tmp_path):
    pptx = pytest.importorskip("pptx")
    pytest.importorskip("markitdown")
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[1])
    slide.shapes.title.text = "Slide title"
    slide.placeholders[1].text = "Body text"
    deck.save(tmp_path / "a.pptx")
    (document,) = read(tmp_path / "a.pptx")
    assert (document.title, document.id) == ("Slide title", "a.pptx")
    assert "Body text" in document.text


def test_pdf(tmp_path):
    pytest.importorskip("pdfminer")
    pytest.importorskip("markitdown")
    path = write(tmp_path / "a.pdf", pdf(WORDS % b"Quarterly figures"))
    assert [d.text.strip() for d in read(path)] == ["Quarterly figures"]


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("selectolax.lexbor", "a.html", "index"), ("markitdown", "a.pdf", "ingest")],
)
def test_a_missing_package_says_how_to_get_it(tmp_path, monkeypatch, module, name, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    path = write(tmp_path / name, "x")
    with pytest.raises(MissingExtraError, match=rf"secondpass\[{extra}\]"):
        list(LOADERS[path.suffix].load(path, name))


def test_bad_text_files(tmp_path):
    with pytest.raises(ReadError, match="line 3"):
        read(write(tmp_path / "a.txt", b"one\ntwo\n\xff"))
    with pytest.raises(ReadError, match="zero bytes"):
        read(write(tmp_path / "b.md", b"MZ\0\0"))
    with pytest.raises(ReadError, match=r"c\.jsonl\.gz"):
        read(write(tmp_path / "c.jsonl.gz", b"not gzip"))
    whole = gzip.compress(b'{"text": "x"}\n' * 10_000)
    with pytest.raises(ReadError, match=r"d\.jsonl\.gz"):
        read(write(tmp_path / "d.jsonl.gz", whole[: len(whole) // 2]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path):
    path = write(tmp_path / "a.txt", "x")
    path.chmod(0)
    with pytest.raises(ReadError, match=r"[Pp]ermission"):
        read(path)


def test_folders_are_walked_in_order_without_hidden_files(tmp_path):
    for name in (
        "b/z.txt",
        "b/a.md",
        "a.txt",
        ".hidden/x.txt",
        ".x.txt",
        "b/c/y.jsonl",
        "q.bin",
    ):
        write(tmp_path / name, '{"text": "x"}')
    files = list(find_files([tmp_path, tmp_path / "a.txt", tmp_path]))
    assert [f.name for f in files] == ["a.txt", "b/a.md", "b/z.txt", "b/c/y.jsonl"]
    assert [d.id for f in files for d in read_file(f)] == [
        *("a.txt", "b/a.md", "b/z.txt", "b/c/y.jsonl:1")
    ]


def test_a_beir_folder_gives_only_its_corpus(tmp_path):
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "SOURCE.md"):
        write(tmp_path / name, '{"_id": "1", "text": "x"}')
    assert [f.name for f in find_files([tmp_path])] == ["corpus.jsonl"]


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(ReadError, match="no such"):
        list(find_files([tmp_path / "nope"]))
    with pytest.raises(ReadError, match=r"\.jsonl"):
        list(find_files([write(tmp_path / "a.json", "{}")]))
    with pytest.raises(ReadError):
        list(find_files([write(tmp_path / "Makefile", "")]))
    assert ".pdf" in LOADERS


def test_a_large_file_is_not_loaded_whole(tmp_path):
    path = tmp_path / "big.jsonl"
    with path.open("w") as stream:
        for i in range(20_000):
            stream.write(json.dumps({"_id": str(i), "text": "word " * 200}) + "\n")
    tracemalloc.start()
    count = sum(1 for _ in read_file(next(find_files([path]))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < path.stat().st_size / 10
