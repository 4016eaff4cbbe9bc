"""What the database says of a class where nobody said anything: its clients need it all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FLAT: dict[str, Any] = {
    "distance": "cosine",
    "vectorCacheMaxObjects": 1_000_000_000_000,
    "pq": {"enabled": False},
    "bq": {"enabled": False},
    "sq": {"enabled": False},
}
_HNSW: dict[str, Any] = {
    **_FLAT,
    "skip": False,
    "cleanupIntervalSeconds": 300,
    "maxConnections": 32,
    "efConstruction": 128,
    "ef": -1,
    "dynamicEfMin": 100,
    "dynamicEfMax": 500,
    "dynamicEfFactor": 8,
    "flatSearchCutoff": 40_000,
    "filterStrategy": "sweeping",
    "multivector": {"enabled": False},
}
VECTOR_INDEXES: Mapping[str, dict[str, Any]] = {
    "hnsw": _HNSW,
    "flat": _FLAT,
    "dynamic": {"distance": "cosine", "threshold": 10_000, "hnsw": _HNSW, "flat": _FLAT},
}

CLASS: Mapping[str, Any] = {
    "invertedIndexConfig": {
        "bm25": {"b": 0.75, "k1": 1.2},
        "cleanupIntervalSeconds": 60,
        "stopwords": {"preset": "en", "additions": None, "removals": None},
        "indexNullState": True,
        "indexPropertyLength": False,
        "indexTimestamps": True,
    },
    "multiTenancyConfig": {
        "enabled": False,
        "autoTenantCreation": False,
        "autoTenantActivation": False,
    },
    "replicationConfig": {
        "factor": 1,
        "asyncEnabled": False,
        "deletionStrategy": "NoAutomatedResolution",
    },
    "shardingConfig": {
        "virtualPerPhysical": 128,
        "desiredCount": 1,
        "actualCount": 1,
        "desiredVirtualCount": 128,
        "actualVirtualCount": 128,
        "key": "_id",
        "strategy": "hash",
        "function": "murmur3",
    },
}


def filled(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given, completed from the defaults at every depth; null is absent."""
    found = dict(defaults)
    for key, value in given.items():
        if value is None:
            continue
        there = found.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            value = filled(value, there)
        found[key] = value
    return found
