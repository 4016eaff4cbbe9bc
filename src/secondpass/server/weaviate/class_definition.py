"""Class definitions: Weaviate's JSON declaration of a class, its defaults and validation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.retrieve.lance.table import NO_LANGUAGE
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.names import parse_class_name
from secondpass.server.weaviate.properties import Property, clean_json, complete_properties

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
_VECTOR_INDEXES: Mapping[str, dict[str, Any]] = {
    "hnsw": _HNSW,
    "flat": _FLAT,
    "dynamic": {"distance": "cosine", "threshold": 10_000, "hnsw": _HNSW, "flat": _FLAT},
}

_CLASS_DEFAULTS: Mapping[str, Any] = {
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

NO_VECTORIZER = "none"
_TEXT_VECTORIZER = "text2vec-"
_RERANKER = "reranker-"
_VECTOR_NAME = re.compile(r"(?!__)[_A-Za-z][_0-9A-Za-z]{0,229}")


@dataclass(frozen=True, slots=True)
class ClassDefinition:
    """A declared class.

    - `vectorizer`: "none", or a text2vec module, which stands for the server's embedder.
    - `vector_name`: the name of the vector, for classes with named vectors.
    - `sources`: the properties that are embedded; None for all texts.
    - `reranker`: the model that a reranker module names, or None.
    """

    name: str
    properties: tuple[Property, ...]
    vectorizer: str = NO_VECTORIZER
    vector_name: str | None = None
    sources: tuple[str, ...] | None = None
    reranker: str | None = None

    @classmethod
    def from_declaration(cls, declaration: Mapping[str, Any]) -> ClassDefinition:
        """Build a definition from a complete declaration."""
        vector_name, sources = None, None
        vectorizer = declaration.get("vectorizer", NO_VECTORIZER)
        if "vectorConfig" in declaration:
            ((vector_name, config),) = declaration["vectorConfig"].items()
            ((vectorizer, settings),) = config["vectorizer"].items()
            names = settings.get("properties")
            sources = None if names is None else tuple(names)
        reranker = None
        for module, settings in declaration["moduleConfig"].items():
            model = settings.get("model") if isinstance(settings, dict) else None
            if module.startswith(_RERANKER) and isinstance(model, str):
                reranker = model
        return cls(
            name=declaration["class"],
            properties=tuple(map(Property.from_declaration, declaration["properties"])),
            vectorizer=vectorizer,
            vector_name=vector_name,
            sources=sources,
            reranker=reranker,
        )

    @property
    def embeds(self) -> bool:
        """Whether the server embeds the objects."""
        return self.vectorizer != NO_VECTORIZER

    def property(self, name: str) -> Property:
        """Return a property; raises HttpError (422)."""
        for candidate in self.properties:
            if candidate.name == name:
                return candidate
        raise unprocessable(f"no such prop with name '{name}' found in class '{self.name}'")

    def searchable_text(self, values: Mapping[str, Any]) -> str:
        """Return the text of an object that BM25 indexes."""
        return _join_texts([p for p in self.properties if p.searchable], values)

    def vector_text(self, values: Mapping[str, Any]) -> str:
        """Return the text of an object that is embedded; never blank."""
        text = _join_texts([p for p in self.properties if self._vectorized(p)], values)
        # Weaviate embeds the class name of an object without texts, too.
        return text if text.strip() else self.name

    def _vectorized(self, property_: Property) -> bool:
        if self.sources is not None:
            return property_.name in self.sources
        module = (property_.modules or {}).get(self.vectorizer)
        return not (isinstance(module, dict) and module.get("skip") is True)


def _join_texts(properties: Sequence[Property], values: Mapping[str, Any]) -> str:
    present = [(p, values[p.name]) for p in properties if p.name in values]
    return "\n".join(text for p, value in present for text in p.texts(value))


def complete_class(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's class declaration, validated and completed with defaults.

    Raises HttpError (422).
    """
    name = parse_class_name(body.get("class"))
    declaration: dict[str, Any] = _fill_defaults(clean_json(dict(body)), _CLASS_DEFAULTS)
    for key in (*_CLASS_DEFAULTS, "moduleConfig", "vectorConfig", "vectorIndexConfig"):
        if not isinstance(declaration.get(key, {}), dict):
            raise unprocessable(f"class '{name}': {key} must be an object")
    if declaration["multiTenancyConfig"].get("enabled") not in (None, False):
        raise unprocessable(
            f"class '{name}': multi-tenancy is not supported: each API key has its tenant"
        )
    properties = complete_properties(declaration.get("properties"), name)
    declaration |= {"class": name, "properties": properties}
    declaration.setdefault("moduleConfig", {})
    if declaration.get("vectorConfig"):
        if declaration.get("vectorizer") not in (None, NO_VECTORIZER, ""):
            raise unprocessable(
                f"class '{name}': vectorizer and vectorConfig cannot be combined"
            )
        for key in ("vectorizer", "vectorIndexType", "vectorIndexConfig"):
            declaration.pop(key, None)
        declaration["vectorConfig"] = _complete_named_vector(name, declaration["vectorConfig"])
        return declaration
    declaration.pop("vectorConfig", None)
    declaration["vectorizer"] = _parse_vectorizer(name, declaration.get("vectorizer"))
    if declaration["vectorizer"] != NO_VECTORIZER:
        declaration["moduleConfig"].setdefault(declaration["vectorizer"], {})
    return declaration | _complete_vector_index(name, declaration)


def text_language(declaration: Mapping[str, Any]) -> str:
    """Return the language of the full-text index: none without stop words, else English."""
    stopwords = declaration["invertedIndexConfig"].get("stopwords")
    preset = stopwords.get("preset") if isinstance(stopwords, dict) else None
    return NO_LANGUAGE if preset == "none" else "english"


def _fill_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values over defaults at every depth; null counts as absent."""
    merged = dict(defaults)
    for key, value in values.items():
        if value is None:
            continue
        default = merged.get(key)
        if isinstance(value, dict) and isinstance(default, dict):
            value = _fill_defaults(value, default)
        merged[key] = value
    return merged


def _complete_named_vector(class_name: str, vectors: Mapping[str, Any]) -> dict[str, Any]:
    if len(vectors) > 1:
        raise unprocessable(f"class '{class_name}': several named vectors are not supported")
    ((name, config),) = vectors.items()
    if not _VECTOR_NAME.fullmatch(name):
        raise unprocessable(f"class '{class_name}': {name!r:.80} is not a valid vector name")
    if not isinstance(config, dict):
        raise unprocessable(f"class '{class_name}': vectorConfig.{name} must be an object")
    modules = config.get("vectorizer") or {NO_VECTORIZER: {}}
    if not isinstance(modules, dict) or len(modules) != 1:
        raise unprocessable(
            f"class '{class_name}': vectorConfig.{name}.vectorizer must name one module"
        )
    ((module, settings),) = modules.items()
    settings = {} if settings is None else settings
    valid = isinstance(settings, dict) and _are_texts(settings.get("properties"))
    if not valid:
        raise unprocessable(
            f"class '{class_name}': the settings of {module!r:.80} are not valid"
        )
    vectorizer = {_parse_vectorizer(class_name, module): settings}
    index = _complete_vector_index(class_name, config)
    return {name: {**config, "vectorizer": vectorizer} | index}


def _complete_vector_index(class_name: str, body: Mapping[str, Any]) -> dict[str, Any]:
    kind = body.get("vectorIndexType")
    kind = "hnsw" if kind is None else kind
    if not isinstance(kind, str) or kind not in _VECTOR_INDEXES:
        raise unprocessable(
            f"class '{class_name}': vectorIndexType {kind!r:.80} is not supported here"
        )
    config = body.get("vectorIndexConfig")
    if config is not None and not isinstance(config, dict):
        raise unprocessable(f"class '{class_name}': vectorIndexConfig must be an object")
    config = _fill_defaults(config or {}, _VECTOR_INDEXES[kind])
    if config["distance"] != "cosine":
        raise unprocessable(
            f"class '{class_name}': distance {config['distance']!r:.80} is not supported, "
            "only cosine"
        )
    return {"vectorIndexType": kind, "vectorIndexConfig": config}


def _parse_vectorizer(class_name: str, module: Any) -> str:
    if module is None or module == "":
        return NO_VECTORIZER
    if module == NO_VECTORIZER or (
        isinstance(module, str) and module.startswith(_TEXT_VECTORIZER)
    ):
        return str(module)
    raise unprocessable(
        f"class '{class_name}': vectorizer: no module with name {module!r:.80} present"
    )


def _are_texts(value: Any) -> bool:
    return value is None or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )
