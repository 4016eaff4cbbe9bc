"""PDF files: the values of forms, and what was typed onto pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondpass.retrieve.loaders import FileRead, SourceFile
from secondpass.retrieve.loaders.files import load_batches
from tests.retrieve.loaders.pdfs import WORDS, pdf, with_objects

pytest.importorskip("markitdown")
pytest.importorskip("pdfminer")


def read(path: Path, data: bytes) -> tuple[str, FileRead]:
    path.write_bytes(data)
    found = FileRead(load_batches(SourceFile(path, path.parent), characters=10_000))
    (document,) = found
    return document.text, found


def test_values_of_fields_follow_with_their_labels(tmp_path: Path) -> None:
    fields = [
        b"<</FT/Tx/T(applicant)/V(Ottoline Brackwater)>>",
        b"<</FT/Tx/T(f2)/TU(Parish of birth)/V<FEFF005300E9006E0061006E>>>",
        b"<</T(address)/FT/Tx/Kids[11 0 R 12 0 R]>>",
        b"<</T(street)/V(Mill Lane)/Parent 8 0 R>>",
        b"<</T(empty)/Parent 8 0 R>>",
        b"<</FT/Btn/T(agreed)/V/Yes>>",
        b"<</FT/Btn/T(refused)/V/Off>>",
        b"<</FT/Ch/T(animals)/V[(alpaca)(goat)]>>",
        b"<</FT/Tx/Ff 8192/T(pin)/V(1234)>>",
        b"<</T(loop)/FT/Tx/Kids[15 0 R]>>",
    ]
    order = (6, 7, 8, 11, 12, 9, 10, 13, 14, 15)
    objects = dict(zip(order, fields, strict=True))
    shown = b"[6 0 R 7 0 R 8 0 R 9 0 R 10 0 R 13 0 R 14 0 R 15 0 R 99 0 R]"
    data = with_objects(pdf(WORDS % b"Permit"), objects, b"/AcroForm<</Fields%s>>" % shown)
    text, found = read(tmp_path / "a.pdf", data)
    assert text.split("\n") == [
        *("Permit", "", "applicant: Ottoline Brackwater", "Parish of birth: S\u00e9nan"),
        *("address.street: Mill Lane", "agreed: Yes", "animals: alpaca, goat"),
    ]
    assert found.left_out == {"passwords": 1}


def test_widgets_that_only_a_page_names_are_read_once(tmp_path: Path) -> None:
    picture = b"/Tx BMC BT /F1 9 Tf (drawn) Tj [(wo) -3 (rd)] TJ ET EMC"
    odd = b"<0001 0002> Tj"
    widget = b"/Type/Annot/Subtype/Widget"
    objects = {
        6: b"<<" + widget + b"/FT/Tx/T(listed)/V(one)>>",
        7: b"<<" + widget + b"/FT/Tx/T(orphan)/V(two)>>",
        8: b"<</FT/Tx/T(group)/V(three)/Kids[9 0 R 10 0 R]>>",
        9: b"<<" + widget + b"/Parent 8 0 R>>",
        10: b"<<" + widget + b"/Parent 8 0 R>>",
        11: b"<<" + widget + b"/FT/Tx/T(picture)/AP<</N 12 0 R>>>>",
        12: b"<</Length %d>>stream\n%s\nendstream" % (len(picture), picture),
        13: b"<<" + widget + b"/FT/Tx/T(glyphs)/AP<</N 14 0 R>>>>",
        14: b"<</Length %d>>stream\n%s\nendstream" % (len(odd), odd),
        15: b"<<" + widget + b"/FT/Tx/T(loop)/Parent 15 0 R/V(four)>>",
    }
    shown = b"/Annots[6 0 R 7 0 R 9 0 R 10 0 R 11 0 R 13 0 R 15 0 R]"
    data = with_objects(
        pdf(WORDS % b"Permit"), objects, b"/AcroForm<</Fields[6 0 R]>>", page=shown
    )
    text, found = read(tmp_path / "a.pdf", data)
    assert text.split("\n") == [
        *("Permit", "", "listed: one", "orphan: two", "group: three"),
        *("picture: drawn word", "loop: four"),
    ]
    assert found.left_out == {"pictures of form values": 1}


def test_a_choice_has_the_text_that_it_shows(tmp_path: Path) -> None:
    choices = b"/FT/Ch/Opt[[(1)(Sheep)][(2)(Goat)](Cow)]"
    objects = {
        6: b"<<" + choices + b"/T(animal)/V(1)>>",
        7: b"<<" + choices + b"/T(animals)/V[(2)(Cow)]>>",
    }
    catalog = b"/AcroForm<</Fields[6 0 R 7 0 R]>>"
    data = with_objects(pdf(WORDS % b"Permit"), objects, catalog)
    text, _ = read(tmp_path / "a.pdf", data)
    assert text == "Permit\n\nanimal: Sheep\nanimals: Goat, Cow"


def test_typed_notes_are_text_and_comments_are_counted(tmp_path: Path) -> None:
    notes = {
        6: b"<</Type/Annot/Subtype/FreeText/Contents(typed onto the page)>>",
        7: b"<</Type/Annot/Subtype/Text/Contents(a remark)>>",
        8: b"<</Type/Annot/Subtype/Link>>",
    }
    data = with_objects(pdf(WORDS % b"Permit"), notes, page=b"/Annots[6 0 R 7 0 R 8 0 R]")
    text, found = read(tmp_path / "a.pdf", data)
    assert text == "Permit\n\ntyped onto the page"
    assert found.left_out == {"comments": 1}


def test_data_of_an_xml_form(tmp_path: Path) -> None:
    xml = (
        b'<x:datasets xmlns:x="http://www.xfa.org/schema/xfa-data/1.0/"><x:data><form>'
        b"<name>Ottoline</name><empty/></form></x:data></x:datasets>"
    )
    objects = {6: b"<</Length %d>>stream\n%s\nendstream" % (len(xml), xml)}
    data = with_objects(
        pdf(WORDS % b"Please wait"), objects, b"/AcroForm<</XFA[(datasets) 6 0 R]>>"
    )
    assert read(tmp_path / "a.pdf", data)[0] == "Please wait\n\nname: Ottoline"


def test_a_damaged_form_costs_no_page(tmp_path: Path) -> None:
    objects = {6: b"<</Length 9>>stream\n<notxml>>\nendstream"}
    data = with_objects(pdf(WORDS % b"Permit"), objects, b"/AcroForm<</XFA[(datasets) 6 0 R]>>")
    text, found = read(tmp_path / "b.pdf", data)
    assert (text.strip(), found.left_out) == ("Permit", {"damaged forms": 1})
