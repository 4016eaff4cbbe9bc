"""Office files: text that stands beside the body, and what is left out."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from secondpass.retrieve.loaders import FileRead, SourceFile
from secondpass.retrieve.loaders.files import load_batches

pytest.importorskip("markitdown")
pytest.importorskip("mammoth")

OFFICE = "http://schemas.openxmlformats.org"
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml"
NAMES = (
    f'xmlns:w="{OFFICE}/wordprocessingml/2006/main" '
    f'xmlns:wp="{OFFICE}/drawingml/2006/wordprocessingDrawing" '
    f'xmlns:a="{OFFICE}/drawingml/2006/main" '
    f'xmlns:m="{OFFICE}/officeDocument/2006/math" '
    f'xmlns:mc="{OFFICE}/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:v="urn:schemas-microsoft-com:vml"'
)


def run(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def paragraph(text: str) -> str:
    return f"<w:p>{run(text)}</w:p>"


def drawing(text: str) -> str:
    return (
        "<w:drawing><wp:inline><a:graphic><a:graphicData><wps:wsp><wps:txbx><w:txbxContent>"
        f"{paragraph(text)}</w:txbxContent></wps:txbx></wps:wsp></a:graphicData></a:graphic>"
        "</wp:inline></w:drawing>"
    )


def docx(body: str, **parts: str) -> bytes:
    """Return a file with this body, and parts such as header1="<w:p>…"."""
    relations = "".join(
        f'<Relationship Id="p{n}" Target="{name}.xml" '
        f'Type="{OFFICE}/officeDocument/2006/relationships/{name.rstrip("0123456789")}"/>'
        for n, name in enumerate(parts)
    )
    space = f"{OFFICE}/package/2006/relationships"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{OFFICE}/package/2006/content-types"><Default '
        'Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships'
        f'+xml"/><Override PartName="/word/document.xml" ContentType="{MAIN}.document.main+xml"'
        "/></Types>",
        "_rels/.rels": f'<Relationships xmlns="{space}"><Relationship Id="r1" Type="{OFFICE}/'
        'officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
        "</Relationships>",
        "word/document.xml": f"<w:document {NAMES}><w:body>{body}</w:body></w:document>",
        "word/_rels/document.xml.rels": f'<Relationships xmlns="{space}">{relations}'
        "</Relationships>",
    }
    files |= {
        f"word/{name}.xml": f"<w:part {NAMES}>{xml}</w:part>" for name, xml in parts.items()
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def read(path: Path, data: bytes, characters: int = 10_000) -> tuple[str, FileRead]:
    path.write_bytes(data)
    found = FileRead(load_batches(SourceFile(path, path.parent), characters=characters))
    (document,) = found
    return document.text, found


def test_headers_footers_and_diagrams_follow_the_body(tmp_path: Path) -> None:
    table = f"<w:tbl><w:tr><w:tc>{paragraph('Flat nine')}</w:tc></w:tr></w:tbl>"
    parts = {
        "header1": paragraph("Lease 7781") + table,
        "header2": paragraph("Lease 7781") + table,
        "footer1": f"<w:p>{run('Con')}{run('fidential')}</w:p>",
        "diagramData1": "<a:p><a:r><a:t>Step one</a:t></a:r></a:p>",
        "comments": f'<w:comment w:id="1">{paragraph("Is this right?")}</w:comment>',
    }
    text, found = read(tmp_path / "a.docx", docx(paragraph("The terms"), **parts))
    assert text == "The terms\n\nLease 7781\nFlat nine\n\nConfidential\n\nStep one"
    assert found.left_out == {"comments": 1}


def test_text_boxes_are_read_once_with_and_without_a_fallback(tmp_path: Path) -> None:
    fallback = (
        "<mc:Fallback><w:pict><v:shape><v:textbox><w:txbxContent>"
        f"{paragraph('Both')}</w:txbxContent></v:textbox></v:shape></w:pict></mc:Fallback>"
    )
    choice = f'<mc:AlternateContent><mc:Choice Requires="wps">{drawing("{}")}</mc:Choice>'
    body = (
        paragraph("Body")
        + f"<w:p><w:r>{choice.format('Both')}{fallback}</mc:AlternateContent></w:r></w:p>"
        + f"<w:p><w:r>{choice.format('Only new')}</mc:AlternateContent></w:r></w:p>"
        + f"<w:p><w:r>{drawing('Bare')}</w:r></w:p>"
    )
    text, _ = read(tmp_path / "a.docx", docx(body))
    assert text.split("\n\n") == ["Body", "Both", "Only new", "Bare"]


def test_elements_that_wrap_text_are_read(tmp_path: Path) -> None:
    inline = {
        "fldSimple": run("Figure 3"),
        "customXml": run("tagged"),
        "dir": run("right to left"),
        "bdo": run("overridden"),
        "moveTo": run("moved here"),
    }
    body = "".join(f"<w:p><w:{tag}>{text}</w:{tag}></w:p>" for tag, text in inline.items())
    body += f"<w:customXml>{paragraph('a block')}</w:customXml>"
    body += (
        f"<w:p><w:r><w:ruby><w:rt>{run('reading')}</w:rt><w:rubyBase>{run('base')}</w:rubyBase>"
        "</w:ruby></w:r></w:p><w:p><m:oMath><m:r><m:t>x</m:t></m:r></m:oMath></w:p>"
        '<w:p><w:del w:id="1"><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>'
    )
    text, found = read(tmp_path / "a.docx", docx(body))
    expected = ["Figure 3", "tagged", "right to left", "overridden", "moved here", "a block"]
    assert text.split("\n\n") == [*expected, "base", "$x$"]
    assert found.left_out == {"tracked deletions": 1}


def test_a_body_beyond_the_limit_is_cut_before_it_is_converted(tmp_path: Path) -> None:
    body = paragraph("word " * 100) + paragraph("word " * 2_000_000) + paragraph("the end")
    text, found = read(tmp_path / "a.docx", docx(body), characters=1000)
    assert 900 < len(text) <= 1000
    assert found.cut == pytest.approx(10_000_507 - 1000, abs=10)


def test_groups_tables_notes_and_diagrams_of_slides(tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx")
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "Lift"
    group = slide.shapes.add_group_shape()
    for shapes, text in (
        (group.shapes, "grouped"),
        (group.shapes.add_group_shape().shapes, "in"),
    ):
        shapes.add_textbox(0, 0, 99, 99).text_frame.text = text
    slide.shapes.add_table(1, 1, 0, 0, 99, 99).table.cell(0, 0).text = "cell"
    slide.notes_slide.notes_text_frame.text = "spoken"
    path = tmp_path / "a.pptx"
    deck.save(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("ppt/diagrams/data1.xml", f"<p {NAMES}><a:p><a:t>step</a:t></a:p></p>")
        archive.writestr("ppt/comments/comment1.xml", "<c/>")
    text, found = read(path, path.read_bytes())
    for word in ("# Lift", "grouped", "in", "cell", "spoken", "step"):
        assert word in text
    assert found.left_out == {"files of comments": 1}
