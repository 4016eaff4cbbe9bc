"""Validation of an instance's settings, and what a change of them entails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from secondpass.server.cloudflare.boosts import check_boosts
from secondpass.server.cloudflare.filters import RESERVED_FIELDS, filterable_fields
from secondpass.server.cloudflare.schemas import DEFAULT_SETTINGS, InstanceSettings, Schema
from secondpass.server.http_errors import invalid

_SCHEMA = Schema(InstanceSettings)
_REINDEX_ON_CHANGE = ("chunk", "chunk_size", "chunk_overlap", "custom_metadata")


def new_settings(body: Mapping[str, Any]) -> InstanceSettings:
    """Return the settings of a new instance; raises HttpError (400)."""
    sent = _SCHEMA.parse(body)
    if "index_method" not in sent and sent.get("hybrid_search_enabled") is False:
        sent["index_method"] = {"vector": True, "keyword": False}
    return _validate(cast(InstanceSettings, {**DEFAULT_SETTINGS, **sent}))


def updated_settings(before: InstanceSettings, body: Mapping[str, Any]) -> InstanceSettings:
    """Return the settings after an update; null resets one to its default.

    Raises HttpError (400).
    """
    sent = dict(_SCHEMA.parse(body))
    for read_only in ("id", "type"):
        sent.pop(read_only, None)
    model = sent.get("embedding_model", before.get("embedding_model"))
    if model != before.get("embedding_model"):
        raise invalid("embedding_model cannot be changed: create another instance")
    options = sent.get("retrieval_options")
    if isinstance(options, dict):
        sent["retrieval_options"] = {**before["retrieval_options"], **options}
    after = dict(before)
    for name, value in body.items():
        if value is None and name in InstanceSettings.__annotations__:
            after.pop(name, None)
    after = {**DEFAULT_SETTINGS, **after, **sent}
    return _validate(cast(InstanceSettings, after))


def requires_reindexing(before: InstanceSettings, after: InstanceSettings) -> bool:
    """Return whether the items must be indexed again after a change of settings."""
    return any(before.get(name) != after.get(name) for name in _REINDEX_ON_CHANGE)


def chunking(settings: InstanceSettings) -> tuple[int | None, int]:
    """Return the size of a chunk, None for whole files, and the overlap of two, in tokens."""
    if not settings["chunk"]:
        return None, 0
    size = settings["chunk_size"]
    return size, size * settings["chunk_overlap"] // 100


def _validate(settings: InstanceSettings) -> InstanceSettings:
    method = settings["index_method"]
    if not (method["vector"] or method["keyword"]):
        raise invalid("index_method: vector or keyword must be true")
    _check_supported(settings)
    names = [field["field_name"].lower() for field in settings["custom_metadata"]]
    for name in names:
        if name in RESERVED_FIELDS or not name.strip():
            raise invalid(f"custom_metadata: {name!r} is reserved or blank: use another name")
    if len(set(names)) != len(names):
        raise invalid("custom_metadata: two fields have the same name")
    settings["custom_metadata"] = [
        {**field, "field_name": field["field_name"].lower()}
        for field in settings["custom_metadata"]
    ]
    boosts = settings["retrieval_options"].get("boost_by", [])
    check_boosts(boosts, filterable_fields(settings["custom_metadata"]))
    return settings


def _check_supported(settings: InstanceSettings) -> None:
    """Reject settings that this server does not implement, instead of ignoring them."""
    options = settings["indexing_options"]
    if settings.get("type") is not None or settings.get("source"):
        raise invalid(
            "source: crawling and R2 are not supported, omit source and type and upload files"
        )
    if options.get("use_ocr"):
        raise invalid("indexing_options.use_ocr: OCR is not supported")
    if options.get("keyword_tokenizer") == "trigram":
        raise invalid("indexing_options.keyword_tokenizer: the only tokenizer is porter")
    if settings.get("summarization"):
        raise invalid("summarization: files are not summarized")
