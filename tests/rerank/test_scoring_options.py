from __future__ import annotations

import pytest

from secondpass.errors import InputError
from secondpass.rerank.scoring_options import ScoringOptions, field_text
from secondpass.types import Candidate, Document

RIVER = Document(
    "Rivers run to the sea.",
    id="r1",
    title="Rivers",
    metadata={
        "year": 0,
        "tags": ["water", "land"],
        "draft": False,
        "size": {"km": 7},
        "x": None,
    },
)
BARE = Document("No more than this.")


def texts(reading: ScoringOptions, *documents: Document) -> list[tuple[str, str]]:
    reading.check(documents)
    return reading.texts([Candidate(d) for d in documents])


def test_title_and_text_by_default() -> None:
    assert texts(ScoringOptions(), RIVER, BARE) == [
        ("Rivers", "Rivers run to the sea."),
        ("", "No more than this."),
    ]


def test_fields_in_their_order_and_falsy_values_are_values() -> None:
    assert texts(ScoringOptions(fields=("year", "draft", "tags", "text")), RIVER) == [
        ("0 False water, land", "Rivers run to the sea.")
    ]
    assert texts(ScoringOptions(fields=("size",)), RIVER) == [("", '{"km": 7}')]


def test_a_template_lays_fields_out_and_the_last_is_the_body() -> None:
    assert texts(ScoringOptions(template="{title} ({year}): {text}!"), RIVER) == [
        ("Rivers (0): ", "Rivers run to the sea.!")
    ]


def test_braces_in_documents_are_not_placeholders() -> None:
    tricky = Document("{title} {0.__class__}", title="{text}")
    assert texts(ScoringOptions(template="{title}: {text}"), tricky) == [
        ("{text}: ", "{title} {0.__class__}")
    ]


def test_a_field_some_lack_is_left_out_and_one_all_lack_is_refused() -> None:
    assert texts(ScoringOptions(fields=("year", "text")), RIVER, BARE)[1] == ("", BARE.text)
    with pytest.raises(InputError, match=r"'yaer'.*Did you mean 'year'"):
        texts(ScoringOptions(fields=("yaer",)), RIVER, BARE)
    with pytest.raises(InputError, match="'x'"):
        texts(ScoringOptions(fields=("x",)), RIVER)


@pytest.mark.parametrize("template", ["", "no field", "{{}}x"])
def test_a_template_without_fields_is_refused(template: str) -> None:
    with pytest.raises(InputError):
        texts(ScoringOptions(template=template), RIVER)


def test_a_template_stays_within_the_fields() -> None:
    with pytest.raises(InputError, match="'body'"):
        ScoringOptions(fields=("title", "text"), template="{title} {body}")


def test_absent_fields_are_none() -> None:
    assert field_text(BARE, "title") is None
    assert field_text(BARE, "id") is None
    assert field_text(RIVER, "id") == "r1"
