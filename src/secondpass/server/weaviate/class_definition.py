"""A class as it is declared: read once, checked, completed, and kept as JSON.

What the database says of a class where nobody said anything: its clients need it all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.retrieve.languages import NO_LANGUAGE
from secondpass.server.weaviate.names import class_name
from secondpass.server.weaviate.properties import (
    Property,
    all_declared,
    plain_json,
    read_property,
)
from secondpass.server.weaviate.responses import refused

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


NO_VECTORIZER = "none"
_TEXTS = "text2vec-"
_RERANKER = "reranker-"
_VECTOR_NAME = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]{0,229}")


@dataclass(frozen=True, slots=True)
class ClassDefinition:
    """What is declared of a class.

    - `vectorizer`: "none", or a text2vec module, which stands for the server's embedder.
    - `vector_name`: of the vector, where the class was made with named vectors.
    - `sources`: the properties that the vector is made of; None for all texts.
    - `reranker`: the model that a reranker module names, or None.
    """

    name: str
    properties: tuple[Property, ...]
    vectorizer: str = NO_VECTORIZER
    vector_name: str | None = None
    sources: tuple[str, ...] | None = None
    reranker: str | None = None

    @property
    def embeds(self) -> bool:
        """Whether the server makes the vectors."""
        return self.vectorizer != NO_VECTORIZER

    def property(self, name: str) -> Property:
        """Return a property; raises Problem (422)."""
        for one in self.properties:
            if one.name == name:
                return one
        raise refused(f"no such prop with name '{name}' found in class '{self.name}'")

    def searchable_text(self, values: Mapping[str, Any]) -> str:
        """Return what BM25 reads of an object."""
        return _joined([p for p in self.properties if p.searchable], values)

    def vector_text(self, values: Mapping[str, Any]) -> str:
        """Return what the vector of an object is made of: never nothing."""
        text = _joined([p for p in self.properties if self._vectorized(p)], values)
        # Of an object without texts, the database also takes its class.
        return text if text.strip() else self.name

    def _vectorized(self, one: Property) -> bool:
        if self.sources is not None:
            return one.name in self.sources
        module = (one.modules or {}).get(self.vectorizer)
        return not (isinstance(module, dict) and module.get("skip") is True)


def _joined(properties: Sequence[Property], values: Mapping[str, Any]) -> str:
    there = [(p, values[p.name]) for p in properties if p.name in values]
    return "\n".join(text for p, value in there for text in p.texts(value))


def declared_class(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declaration of a class, complete; raises Problem (422)."""
    name = class_name(given.get("class"))
    found: dict[str, Any] = filled(plain_json(dict(given)), CLASS)
    for key in (*CLASS, "moduleConfig", "vectorConfig", "vectorIndexConfig"):
        if not isinstance(found.get(key, {}), dict):
            raise refused(f"class '{name}': {key} must be an object")
    if found["multiTenancyConfig"].get("enabled") not in (None, False):
        raise refused(
            f"class '{name}': multi-tenancy is not supported: each key has its tenant"
        )
    found |= {"class": name, "properties": all_declared(found.get("properties"), name)}
    found.setdefault("moduleConfig", {})
    if found.get("vectorConfig"):
        if found.get("vectorizer") not in (None, NO_VECTORIZER, ""):
            raise refused(f"class '{name}': vectorizer and vectorConfig cannot both be there")
        for key in ("vectorizer", "vectorIndexType", "vectorIndexConfig"):
            found.pop(key, None)
        found["vectorConfig"] = _named_vector(name, found["vectorConfig"])
        return found
    found.pop("vectorConfig", None)
    found["vectorizer"] = _vectorizer(name, found.get("vectorizer"))
    if found["vectorizer"] != NO_VECTORIZER:
        found["moduleConfig"].setdefault(found["vectorizer"], {})
    return found | _vector_index(name, found)


def _named_vector(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    if len(given) > 1:
        raise refused(f"class '{owner}': several named vectors are not supported")
    ((name, config),) = given.items()
    if not _VECTOR_NAME.fullmatch(name):
        raise refused(f"class '{owner}': {name!r:.80} is not a valid vector name")
    if not isinstance(config, dict):
        raise refused(f"class '{owner}': vectorConfig.{name} must be an object")
    modules = config.get("vectorizer") or {NO_VECTORIZER: {}}
    if not isinstance(modules, dict) or len(modules) != 1:
        raise refused(f"class '{owner}': vectorConfig.{name}.vectorizer must name one module")
    ((module, settings),) = modules.items()
    settings = {} if settings is None else settings
    sources = settings.get("properties") if isinstance(settings, dict) else 0
    if sources is not None and not _are_texts(sources):
        raise refused(f"class '{owner}': the settings of {module!r:.80} cannot be used")
    made = {**config, "vectorizer": {_vectorizer(owner, module): settings}}
    return {name: made | _vector_index(owner, config)}


def _vector_index(owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    kind = given.get("vectorIndexType")
    kind = "hnsw" if kind is None else kind
    if not isinstance(kind, str) or kind not in VECTOR_INDEXES:
        raise refused(f"class '{owner}': vectorIndexType {kind!r:.80} is not supported here")
    config = given.get("vectorIndexConfig")
    if config is not None and not isinstance(config, dict):
        raise refused(f"class '{owner}': vectorIndexConfig must be an object")
    config = filled(config or {}, VECTOR_INDEXES[kind])
    if config["distance"] != "cosine":
        raise refused(
            f"class '{owner}': distance {config['distance']!r:.80} is not supported, but cosine"
        )
    return {"vectorIndexType": kind, "vectorIndexConfig": config}


def _vectorizer(owner: str, given: Any) -> str:
    if given is None or given == "":
        return NO_VECTORIZER
    if given == NO_VECTORIZER or (isinstance(given, str) and given.startswith(_TEXTS)):
        return str(given)
    raise refused(f"class '{owner}': vectorizer: no module with name {given!r:.80} present")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def language_of(declaration: Mapping[str, Any]) -> str:
    """Return the language of the text index: none without stop words, else English."""
    stopwords = declaration["invertedIndexConfig"].get("stopwords")
    preset = stopwords.get("preset") if isinstance(stopwords, dict) else None
    return NO_LANGUAGE if preset == "none" else "english"


def read_class(declaration: Mapping[str, Any]) -> ClassDefinition:
    """Return what a complete declaration says."""
    vector_name, sources = None, None
    vectorizer = declaration.get("vectorizer", NO_VECTORIZER)
    if "vectorConfig" in declaration:
        ((vector_name, config),) = declaration["vectorConfig"].items()
        ((vectorizer, settings),) = config["vectorizer"].items()
        given = settings.get("properties")
        sources = None if given is None else tuple(given)
    reranker = None
    for name, settings in declaration["moduleConfig"].items():
        model = settings.get("model") if isinstance(settings, dict) else None
        if name.startswith(_RERANKER) and isinstance(model, str):
            reranker = model
    return ClassDefinition(
        name=declaration["class"],
        properties=tuple(map(read_property, declaration["properties"])),
        vectorizer=vectorizer,
        vector_name=vector_name,
        sources=sources,
        reranker=reranker,
    )
