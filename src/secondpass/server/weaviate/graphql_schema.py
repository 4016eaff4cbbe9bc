"""The classes of a tenant as a GraphQL schema, which checks queries and answers them.

What queries take: the arguments of a class, as GraphQL input types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLFloat,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
)
from graphql.language import IntValueNode

from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.filters import OPERATORS
from secondpass.server.weaviate.properties import Property
from secondpass.server.weaviate.search import FoundObject

_TEXTS = GraphQLList(GraphQLNonNull(GraphQLString))
_NUMBERS = GraphQLList(GraphQLNonNull(GraphQLFloat))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r:.80} is not an integer")
    return value


def _literal(node: Any, variables: Any = None) -> int:
    if not isinstance(node, IntValueNode) or len(node.value) > 20:
        raise ValueError("not an integer of 64 bits")
    return int(node.value)


INTEGER = GraphQLScalarType(
    "Integer",
    description="A whole number of 64 bits; that of GraphQL itself has 32.",
    serialize=_whole,
    parse_value=_whole,
    parse_literal=_literal,
)


def _anything(value: Any) -> Any:
    return value


def _there(node: Any, variables: Any = None) -> bool:
    return True


JSON = GraphQLScalarType("JSON", description="Any JSON.", serialize=_anything)

# What a client may write where another server would understand it: refused with a reason.
UNSUPPORTED = GraphQLScalarType(
    "Unsupported",
    description="What this server does not support.",
    parse_value=_anything,
    parse_literal=_there,
)


def _input(name: str, **fields: Any) -> GraphQLInputObjectType:
    made = {key: GraphQLInputField(kind) for key, kind in fields.items()}
    return GraphQLInputObjectType(name, made)


_NEAR = {"certainty": GraphQLFloat, "distance": GraphQLFloat, "targetVectors": _TEXTS}
_MOVE = _input("MoveInpObj", concepts=GraphQLNonNull(_TEXTS), force=GraphQLFloat)
_WHERE: GraphQLInputObjectType = GraphQLInputObjectType(
    "WhereInpObj",
    lambda: {
        "operator": GraphQLInputField(
            GraphQLEnumType("WhereOperatorEnum", {name: name for name in OPERATORS})
        ),
        "path": GraphQLInputField(_TEXTS),
        "operands": GraphQLInputField(GraphQLList(GraphQLNonNull(_WHERE))),
        "valueText": GraphQLInputField(_TEXTS),
        "valueString": GraphQLInputField(_TEXTS),
        "valueDate": GraphQLInputField(_TEXTS),
        "valueInt": GraphQLInputField(GraphQLList(GraphQLNonNull(INTEGER))),
        "valueNumber": GraphQLInputField(_NUMBERS),
        "valueBoolean": GraphQLInputField(GraphQLList(GraphQLNonNull(GraphQLBoolean))),
        "valueGeoRange": GraphQLInputField(UNSUPPORTED),
    },
)
_ORDER = GraphQLEnumType("SortOrderEnum", {"asc": "asc", "desc": "desc"})
_FUSION = ("rankedFusion", "relativeScoreFusion")
_FILTER: dict[str, Any] = {"where": _WHERE, "tenant": GraphQLString}
_CLASS: dict[str, Any] = {
    **_FILTER,
    "limit": GraphQLInt,
    "offset": GraphQLInt,
    "after": GraphQLString,
    "autocut": GraphQLInt,
    "sort": GraphQLList(
        GraphQLNonNull(_input("SortInpObj", path=GraphQLNonNull(_TEXTS), order=_ORDER))
    ),
    "nearVector": _input("NearVectorInpObj", vector=GraphQLNonNull(_NUMBERS), **_NEAR),
    "nearObject": _input("NearObjectInpObj", id=GraphQLString, beacon=GraphQLString, **_NEAR),
    "bm25": _input("Bm25InpObj", query=GraphQLNonNull(GraphQLString), properties=_TEXTS),
    "hybrid": _input(
        "HybridInpObj",
        query=GraphQLString,
        alpha=GraphQLFloat,
        vector=_NUMBERS,
        properties=_TEXTS,
        fusionType=GraphQLEnumType("FusionEnum", {name: name for name in _FUSION}),
        maxVectorDistance=GraphQLFloat,
        targetVectors=_TEXTS,
    ),
    "groupBy": UNSUPPORTED,
    "consistencyLevel": GraphQLString,
}
_EMBEDDED: dict[str, Any] = {
    "nearText": _input(
        "NearTextInpObj",
        concepts=GraphQLNonNull(_TEXTS),
        moveTo=_MOVE,
        moveAwayFrom=_MOVE,
        **_NEAR,
    )
}


def class_arguments(*, embeds: bool) -> dict[str, GraphQLArgument]:
    """Return the arguments of a class; without a vectorizer there is no `nearText`."""
    kinds = _CLASS | _EMBEDDED if embeds else _CLASS
    return {name: GraphQLArgument(kind) for name, kind in kinds.items()}


def count_arguments() -> dict[str, GraphQLArgument]:
    """Return the arguments of what is counted."""
    return {name: GraphQLArgument(kind) for name, kind in _FILTER.items()}


# Names of types that are always there; a class may have any of them.
_TAKEN = ("String", "Int", "Float", "Boolean", "ID", "Integer", "JSON", "Unsupported")
_TAKEN_ENDINGS = ("Obj", "Enum")


def _field(kind: GraphQLOutputType, read: Callable[[Any], Any]) -> GraphQLField:
    return GraphQLField(kind, resolve=lambda source, info: read(source))


def _key(kind: GraphQLOutputType, name: str) -> GraphQLField:
    return _field(kind, lambda source: source.get(name))


_PLACE = {name: _key(GraphQLFloat, name) for name in ("latitude", "longitude")}
_SCALARS: Mapping[str, GraphQLOutputType] = {
    "int": INTEGER,
    "number": GraphQLFloat,
    "boolean": GraphQLBoolean,
    "geoCoordinates": GraphQLObjectType("GeoCoordinatesObj", _PLACE),
    "reference": GraphQLList(JSON),
}

RERANK = GraphQLField(
    GraphQLList(GraphQLObjectType("RerankObj", {"score": _key(GraphQLFloat, "score")})),
    args={name: GraphQLArgument(GraphQLString) for name in ("property", "query")},
    resolve=lambda found, info, **given: info.context.second_pass(found, given),
)
_COUNT = GraphQLObjectType("MetaCountObj", {"count": _field(GraphQLInt, lambda count: count)})


def schema_of(definitions: Sequence[ClassDefinition]) -> GraphQLSchema:
    """Return the schema of these classes, of which there must be at least one.

    Its queries are answered by the context of their execution, see `Answers`.
    """
    get = {one.name: _get(one) for one in definitions}
    aggregate = {one.name: _aggregate(one) for one in definitions}
    root = {
        "Get": _field(GraphQLObjectType("GetObjectsObj", get), lambda source: {}),
        "Aggregate": _field(
            GraphQLObjectType("AggregateObjectsObj", aggregate), lambda source: {}
        ),
    }
    # Names were checked when the classes were made.
    return GraphQLSchema(GraphQLObjectType("WeaviateObj", root), assume_valid=True)


def _get(definition: ClassDefinition) -> GraphQLField:
    name = definition.name
    fields = _properties(definition.properties, f"_{name}", lambda found: found.properties)
    fields["_additional"] = _field(_additional(definition), lambda found: found)
    taken = name in _TAKEN or name.endswith(_TAKEN_ENDINGS)
    return GraphQLField(
        GraphQLList(GraphQLObjectType(f"_{name}" if taken else name, fields)),
        args=class_arguments(embeds=definition.embeds),
        resolve=lambda source, info, **given: info.context.get(name, info, given),
    )


def _aggregate(definition: ClassDefinition) -> GraphQLField:
    name = definition.name
    made = GraphQLObjectType(f"_{name}Aggregate", {"meta": _field(_COUNT, lambda count: count)})
    return GraphQLField(
        GraphQLList(made),
        args=count_arguments(),
        resolve=lambda source, info, **given: [info.context.count(name, given)],
    )


def _properties(
    properties: Sequence[Property], owner: str, values: Callable[[Any], Any]
) -> dict[str, GraphQLField]:
    """Return a field for each property of a class, or of a nested object."""
    found = {}
    for place, one in enumerate(properties):
        kind = _SCALARS.get(one.kind, GraphQLString)
        if one.kind == "object":
            # No two of these are alike, whatever underscores the names have.
            inner = f"{owner}_{place}"
            kind = GraphQLObjectType(inner, _properties(one.nested, inner, lambda v: v))
        found[one.name] = _field(
            GraphQLList(kind) if one.many else kind,
            lambda source, name=one.name: values(source).get(name),  # type: ignore[misc]
        )
    return found


def _additional(definition: ClassDefinition) -> GraphQLObjectType:
    fields = {
        "id": _field(GraphQLString, lambda found: found.object.id),
        "vector": _field(GraphQLList(GraphQLFloat), _vector),
        "distance": _field(GraphQLFloat, lambda found: found.distance),
        "certainty": _field(GraphQLFloat, lambda found: found.certainty),
        "score": _field(GraphQLString, lambda found: _shown(found.score)),
        "explainScore": _field(GraphQLString, lambda found: found.explained),
        "creationTimeUnix": _field(GraphQLString, lambda found: str(found.object.created)),
        "lastUpdateTimeUnix": _field(GraphQLString, lambda found: str(found.object.updated)),
        "isConsistent": _field(GraphQLBoolean, lambda found: True),
        "rerank": RERANK,
    }
    if definition.vector_name is not None:
        named = {definition.vector_name: _field(GraphQLList(GraphQLFloat), _vector)}
        vectors = GraphQLObjectType(f"_{definition.name}Vectors", named)
        fields["vectors"] = _field(vectors, lambda found: found)
    return GraphQLObjectType(f"_{definition.name}Additional", fields)


def _vector(found: FoundObject) -> list[float] | None:
    return None if found.object.vector is None else found.object.vector.tolist()


def _shown(score: float | None) -> str | None:
    return None if score is None else str(score)
