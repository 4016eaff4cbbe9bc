"""What the settings of an instance must be together, and what changes when they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from secondpass.server.cloudflare.filters import RESERVED, fields_of
from secondpass.server.cloudflare.schemas import NEW, Form, InstanceForm
from secondpass.server.cloudflare.search_plan import check_boosts
from secondpass.server.http_errors import invalid

_FORM = Form(InstanceForm)
_CUT = ("chunk", "chunk_size", "chunk_overlap", "custom_metadata")


def created(found: Mapping[str, Any]) -> InstanceForm:
    """Return the settings of a new instance; raises Problem (400)."""
    sent = _FORM.read(found)
    if "index_method" not in sent and sent.get("hybrid_search_enabled") is False:
        sent["index_method"] = {"vector": True, "keyword": False}
    return _checked(cast(InstanceForm, {**NEW, **sent}))


def changed(before: InstanceForm, found: Mapping[str, Any]) -> InstanceForm:
    """Return the settings after an update: null takes one back to its default.

    Raises Problem (400).
    """
    sent = dict(_FORM.read(found))
    for fixed in ("id", "type"):
        sent.pop(fixed, None)
    model = sent.get("embedding_model", before.get("embedding_model"))
    if model != before.get("embedding_model"):
        raise invalid("embedding_model cannot be changed: make another instance")
    options = sent.get("retrieval_options")
    if isinstance(options, dict):
        sent["retrieval_options"] = {**before["retrieval_options"], **options}
    after = dict(before)
    for name, value in found.items():
        if value is None and name in InstanceForm.__annotations__:
            after.pop(name, None)
    after = {**NEW, **after, **sent}
    return _checked(cast(InstanceForm, after))


def cuts_anew(before: InstanceForm, after: InstanceForm) -> bool:
    """Return whether what is indexed is no longer what the settings say."""
    return any(before.get(name) != after.get(name) for name in _CUT)


def chunking(settings: InstanceForm) -> tuple[int | None, int]:
    """Return how long a chunk is in tokens, None for whole files, and how far two overlap."""
    if not settings["chunk"]:
        return None, 0
    size = settings["chunk_size"]
    return size, size * settings["chunk_overlap"] // 100


def _checked(settings: InstanceForm) -> InstanceForm:
    method = settings["index_method"]
    if not (method["vector"] or method["keyword"]):
        raise invalid("index_method: vector or keyword must be true")
    _check_possible(settings)
    names = [field["field_name"].lower() for field in settings["custom_metadata"]]
    for name in names:
        if name in RESERVED or not name.strip():
            raise invalid(f"custom_metadata: a field cannot be called {name!r}")
    if len(set(names)) != len(names):
        raise invalid("custom_metadata: two fields have the same name")
    settings["custom_metadata"] = [
        {**field, "field_name": field["field_name"].lower()}
        for field in settings["custom_metadata"]
    ]
    boosts = settings["retrieval_options"].get("boost_by", [])
    check_boosts(boosts, fields_of(settings["custom_metadata"]))
    return settings


def _check_possible(settings: InstanceForm) -> None:
    """Refuse what nothing here does: it would look as if it were done."""
    options = settings["indexing_options"]
    if settings.get("type") is not None or settings.get("source"):
        raise invalid("source: nothing is fetched here, leave source and type out and upload")
    if options.get("use_ocr"):
        raise invalid("indexing_options.use_ocr: pictures are not read here")
    if options.get("keyword_tokenizer") == "trigram":
        raise invalid("indexing_options.keyword_tokenizer: words are cut by porter here")
    if settings.get("summarization"):
        raise invalid("summarization: files are not summarised here")
