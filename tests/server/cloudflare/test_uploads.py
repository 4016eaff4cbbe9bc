"""The metadata of uploaded files."""

from __future__ import annotations

import json
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from secondpass.server.cloudflare.filters import filterable_fields
from secondpass.server.cloudflare.uploads import metadata_warnings, parse_metadata
from secondpass.server.http_errors import HttpError

FIELDS = filterable_fields(
    [
        {"field_name": "Lang", "data_type": "text"},
        {"field_name": "page-count", "data_type": "number"},
        {"field_name": "draft", "data_type": "boolean"},
    ]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def test_warnings_name_values_that_filters_cannot_find() -> None:
    metadata = {"lang": 3, "page-count": "7", "colour": "red", "folder": "x", "DRAFT": "maybe"}
    assert metadata_warnings(FIELDS, metadata) == [
        {"code": "custom_metadata_value_not_indexed", "field": "lang", "expected_type": "text"},
        {"code": "custom_metadata_field_not_filterable", "field": "colour"},
        {"code": "custom_metadata_field_not_filterable", "field": "folder"},
        {
            "code": "custom_metadata_value_not_indexed",
            "field": "DRAFT",
            "expected_type": "boolean",
        },
    ]


@settings(max_examples=200)
@given(st.text(max_size=60) | _json.map(lambda value: json.dumps(value)))
def test_any_metadata_is_parsed_or_refused(text: str) -> None:
    with suppress(HttpError):
        metadata = parse_metadata(text)
        assert all(isinstance(v, str | int | float | bool) for v in metadata.values())
