"""A search as gRPC has it, as the arguments of `Get`.

Filters of gRPC as those of the other ways to ask.

Vectors on the wire: float32, little-endian, under one of several fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.classes import ClassIndex
from secondpass.server.weaviate.filters import GROUPS, MOST_LEVELS, TIMES
from secondpass.server.weaviate.get_query import GetQuery, furthest_of, near_text
from secondpass.server.weaviate.grpc.messages import (
    Filters,
    Hybrid,
    SearchOperatorOptions,
    Vectors,
)
from secondpass.server.weaviate.names import property_name
from secondpass.server.weaviate.responses import refused

if TYPE_CHECKING:
    from secondpass.retrieve.store_protocol import Embedding


_VALUES = {"text": "valueText", "int": "valueInt", "boolean": "valueBoolean"}
_VALUES |= {"number": "valueNumber"}


def where_of(filters: Any, definition: ClassDefinition) -> dict[str, Any]:
    """Return a filter as JSON has it, which is checked by whoever reads it.

    gRPC has no dates, and its clients send whole numbers for numbers, and numbers as texts:
    the property's type decides. Raises Problem (422).
    """
    return _where(filters, definition, MOST_LEVELS)


def _where(filters: Any, definition: ClassDefinition, levels: int) -> dict[str, Any]:
    if not levels:
        raise refused(f"filters are nested deeper than {MOST_LEVELS}")
    operator = _operator(filters.operator)
    if operator in GROUPS:
        parts = [_where(one, definition, levels - 1) for one in filters.filters]
        return {"operator": operator, "operands": parts}
    path = [filters.target.property] if filters.HasField("target") else list(filters.on)
    found = {"operator": operator, "path": path}
    key = filters.WhichOneof("test_value")
    if not path:
        raise refused(f"filters: {operator} needs a property")
    if key is None:
        raise refused(f"filters: {operator} on {path!r:.80} needs a value")
    value = getattr(filters, key)
    values = list(value.values) if key.endswith("_array") else value
    type_ = key.removeprefix("value_").removesuffix("_array")
    kind = _kind(path, definition) if operator != "IsNull" else None
    if kind in ("int", "number") and type_ == "text":
        values, type_ = _numbers(values), "number"
    if kind == "date" and type_ == "text":
        return {**found, "valueDate": values}
    if kind == "number" and type_ in ("int", "number"):
        return {**found, "valueNumber": values}
    if kind == "int" and type_ == "number":
        return {**found, "valueInt": _whole(values)}
    if path[0] in TIMES and type_ == "text" and not _digits(values):
        return {**found, "valueDate": values}
    return {**found, _VALUES[type_]: values}


def _operator(number: int) -> str:
    try:
        name = Filters.Operator.Name(number)
    except ValueError:
        raise refused(f"filters: operator {number} is not known") from None
    return "".join(part.title() for part in name.removeprefix("OPERATOR_").split("_"))


def _kind(path: list[str], definition: ClassDefinition) -> str | None:
    try:
        return definition.property(property_name(path[0])).kind
    except HttpError:
        # Ids, times, and what is no property: whoever reads the filter knows more.
        return None


def _digits(values: Any) -> bool:
    return all(one.isdecimal() for one in (values if isinstance(values, list) else [values]))


def _numbers(values: Any) -> Any:
    if isinstance(values, list):
        return [_numbers(one) for one in values]
    try:
        return float(values)
    except ValueError:
        raise refused(f"filters: {values!r:.80} is not a number") from None


def _whole(values: Any) -> Any:
    if isinstance(values, list):
        return [_whole(one) for one in values]
    return int(values) if values.is_integer() else values


def named_vectors(message: Any) -> list[tuple[str, list[float]]]:
    """Return the vectors that a message holds, each with its name, empty where it has none.

    Whatever the age of the client that sent it. Raises Problem (422) for bytes that are no
    vector, and for several vectors in one.
    """
    return list(_vectors(message))


def to_bytes(vector: Embedding) -> bytes:
    """Return a vector as it is sent."""
    return vector.astype("<f4").tobytes()


def _vectors(message: Any) -> Iterator[tuple[str, list[float]]]:
    # The newest way first: where a client sends the same in several, that one counts.
    fields = message.DESCRIPTOR.fields_by_name
    if message.vectors:
        for one in message.vectors:
            if one.type == Vectors.VECTOR_TYPE_MULTI_FP32:
                raise refused("vectors of several vectors are not supported here")
            yield one.name, _vector_numbers(one.vector_bytes)
    elif "vector_for_targets" in fields and message.vector_for_targets:
        for one in message.vector_for_targets:
            yield from ((one.name, numbers) for _, numbers in _vectors(one))
    elif "vector_per_target" in fields and message.vector_per_target:
        named = message.vector_per_target.items()
        yield from ((name, _vector_numbers(content)) for name, content in named)
    elif message.vector_bytes:
        yield "", _vector_numbers(message.vector_bytes)
    elif "vector" in fields and message.vector:
        yield "", list(message.vector)


def _vector_numbers(content: bytes) -> list[float]:
    import numpy as np

    if len(content) % 4:
        raise refused(f"a vector has {len(content)} bytes, which are no float32 numbers")
    numbers: list[float] = np.frombuffer(content, dtype="<f4").tolist()
    return numbers


LIMIT = 10
"""How many objects a search gives that does not say; GraphQL gives more."""


def asked_of(request: Any, definition: ClassDefinition) -> GetQuery:
    """Return what a SearchRequest asks of its objects besides their properties.

    Raises Problem (422) for a vector that there is not.
    """
    for name in request.metadata.vectors:
        if name != definition.vector_name:
            raise refused(f"class '{definition.name}' has no vector {name!r:.80}")
    vectors = request.metadata.vector or bool(request.metadata.vectors)
    if not request.HasField("rerank"):
        return GetQuery(vectors)
    query = request.rerank.query if request.rerank.HasField("query") else None
    return GetQuery(vectors, ((request.rerank.property, query),))


def arguments_of(request: Any, index: ClassIndex) -> dict[str, Any]:
    """Return the arguments that a SearchRequest means; blocks where it embeds.

    Raises Problem (422) for what cannot be.
    """
    given: dict[str, Any] = {
        "offset": request.offset,
        "limit": request.limit if request.limit else LIMIT,
        # 0 and nothing mean none here, other than in GraphQL.
        "autocut": request.autocut or None,
        "after": request.after or None,
        "tenant": request.tenant or None,
    }
    if request.sort_by:
        given["sort"] = [
            {"path": list(one.path), "order": "asc" if one.ascending else "desc"}
            for one in request.sort_by
        ]
    if request.HasField("filters"):
        given["where"] = where_of(request.filters, index.definition)
    if request.HasField("bm25_search"):
        given["bm25"] = _bm25(request.bm25_search)
    if request.HasField("near_text"):
        given["nearText"] = _near_text(request.near_text)
    if request.HasField("near_object"):
        near = request.near_object
        given["nearObject"] = {"id": near.id, **_bounds(near), **_targets(near)}
    if request.HasField("near_vector"):
        given["nearVector"] = _near_vector(request.near_vector)
    if request.HasField("hybrid_search"):
        given["hybrid"] = _hybrid(request.hybrid_search, index)
    return given


def _bm25(asked: Any) -> dict[str, Any]:
    _check_operator(asked, "search_operator")
    return {"query": asked.query, "properties": list(asked.properties) or None}


def _near_text(near: Any) -> dict[str, Any]:
    found = {"concepts": list(near.query), **_bounds(near), **_targets(near)}
    for field, name in (("move_to", "moveTo"), ("move_away", "moveAwayFrom")):
        if near.HasField(field):
            move = getattr(near, field)
            if move.uuids:
                raise refused(f"{name}: moving to objects is not supported here")
            found[name] = {"concepts": list(move.concepts), "force": move.force}
    return found


def _near_vector(near: Any) -> dict[str, Any]:
    names, numbers = _one_vector(near, "near_vector")
    if numbers is None:
        raise refused("near_vector: vector is required")
    return {"vector": numbers, **_bounds(near), **_targets(near, names)}


def _hybrid(asked: Any, index: ClassIndex) -> dict[str, Any]:
    _check_operator(asked, "bm25_search_operator")
    names, numbers = _one_vector(asked, "hybrid")
    furthest = asked.vector_distance if asked.HasField("vector_distance") else None
    fields = ("near_vector", "near_text")
    given = [name for name in fields if asked.HasField(name)]
    if len(given) + (numbers is not None) > 1:
        raise refused("hybrid: give one of vector, near_vector and near_text")
    if given == ["near_vector"]:
        near = _near_vector(asked.near_vector)
        numbers, furthest = near["vector"], _furthest(near, furthest)
        names += near["targetVectors"]
    if given == ["near_text"]:
        near = _near_text(asked.near_text)
        numbers, furthest = near_text(index, near).tolist(), _furthest(near, furthest)
    ranked = asked.fusion_type == Hybrid.FUSION_TYPE_RANKED
    return {
        "query": asked.query,
        "properties": list(asked.properties) or None,
        "vector": numbers,
        "alpha": _alpha(asked),
        "fusionType": "rankedFusion" if ranked else "relativeScoreFusion",
        "maxVectorDistance": furthest,
        **_targets(asked, names),
    }


def _furthest(near: Mapping[str, Any], otherwise: float | None) -> float | None:
    found = furthest_of("hybrid", near)
    return otherwise if found is None else found


def _alpha(asked: Any) -> float | None:
    if not asked.use_alpha_param:
        return float(asked.alpha)
    return float(asked.alpha_param) if asked.HasField("alpha_param") else None


def _one_vector(message: Any, what: str) -> tuple[list[str], list[float] | None]:
    """Return the names and the numbers of the one vector of a message, if there is one."""
    found = named_vectors(message)
    if len(found) > 1:
        raise refused(f"{what}: only 1 vector is supported here, found {len(found)}")
    return [name for name, _ in found if name], found[0][1] if found else None


def _bounds(near: Any) -> dict[str, float]:
    return {n: getattr(near, n) for n in ("certainty", "distance") if near.HasField(n)}


def _targets(message: Any, names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the vectors that a search names; messages of older clients have a list alone."""
    targets = [*message.targets.target_vectors, *message.target_vectors, *names]
    return {"targetVectors": targets}


def _check_operator(asked: Any, field: str) -> None:
    if not asked.HasField(field):
        return
    operator = getattr(asked, field)
    any_word = operator.operator in (
        SearchOperatorOptions.OPERATOR_UNSPECIFIED,
        SearchOperatorOptions.OPERATOR_OR,
    )
    if not any_word or operator.minimum_or_tokens_match > 1:
        raise refused("bm25: only an Or of which one word must match is supported here")
