"""GraphQL schema of a tenant's classes: types, arguments and resolvers."""

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
from secondpass.server.weaviate.search import SearchHit

_TEXTS = GraphQLList(GraphQLNonNull(GraphQLString))
_NUMBERS = GraphQLList(GraphQLNonNull(GraphQLFloat))


def _parse_integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r:.80} is not an integer")
    return value


def _parse_integer_literal(node: Any, variables: Any = None) -> int:
    if not isinstance(node, IntValueNode) or len(node.value) > 20:
        raise ValueError("not an integer of 64 bits")
    return int(node.value)


INTEGER = GraphQLScalarType(
    "Integer",
    description="An integer of 64 bits; GraphQL's own has 32.",
    serialize=_parse_integer,
    parse_value=_parse_integer,
    parse_literal=_parse_integer_literal,
)


def _identity(value: Any) -> Any:
    return value


def _accept(node: Any, variables: Any = None) -> bool:
    return True


JSON = GraphQLScalarType("JSON", description="Any JSON.", serialize=_identity)

# In the schema, so that the error can say that the argument is not supported.
UNSUPPORTED = GraphQLScalarType(
    "Unsupported",
    description="Not supported by this server.",
    parse_value=_identity,
    parse_literal=_accept,
)


def _input_type(name: str, **fields: Any) -> GraphQLInputObjectType:
    inputs = {key: GraphQLInputField(type_) for key, type_ in fields.items()}
    return GraphQLInputObjectType(name, inputs)


_NEAR = {"certainty": GraphQLFloat, "distance": GraphQLFloat, "targetVectors": _TEXTS}
_MOVE = _input_type("MoveInpObj", concepts=GraphQLNonNull(_TEXTS), force=GraphQLFloat)
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
        GraphQLNonNull(_input_type("SortInpObj", path=GraphQLNonNull(_TEXTS), order=_ORDER))
    ),
    "nearVector": _input_type("NearVectorInpObj", vector=GraphQLNonNull(_NUMBERS), **_NEAR),
    "nearObject": _input_type(
        "NearObjectInpObj", id=GraphQLString, beacon=GraphQLString, **_NEAR
    ),
    "bm25": _input_type("Bm25InpObj", query=GraphQLNonNull(GraphQLString), properties=_TEXTS),
    "hybrid": _input_type(
        "HybridInpObj",
        query=GraphQLString,
        alpha=GraphQLFloat,
        vector=_NUMBERS,
        properties=_TEXTS,
        fusionType=GraphQLEnumType("FusionEnum", {name: name for name in _FUSION}),
        maxVectorDistance=GraphQLFloat,
        targetVectors=_TEXTS,
    ),
    "groupBy": _input_type(
        "GroupByInpObj",
        path=GraphQLNonNull(_TEXTS),
        groups=GraphQLNonNull(GraphQLInt),
        objectsPerGroup=GraphQLNonNull(GraphQLInt),
    ),
    "consistencyLevel": GraphQLString,
}
_EMBEDDED: dict[str, Any] = {
    "nearText": _input_type(
        "NearTextInpObj",
        concepts=GraphQLNonNull(_TEXTS),
        moveTo=_MOVE,
        moveAwayFrom=_MOVE,
        **_NEAR,
    )
}


def _get_arguments(*, embeds: bool) -> dict[str, GraphQLArgument]:
    """Return the arguments of `Get`; `nearText` needs a vectorizer."""
    types = _CLASS | _EMBEDDED if embeds else _CLASS
    return {name: GraphQLArgument(type_) for name, type_ in types.items()}


def _aggregate_arguments() -> dict[str, GraphQLArgument]:
    return {name: GraphQLArgument(type_) for name, type_ in _FILTER.items()}


# Names of types in every schema, which a class may have, too.
_RESERVED = ("String", "Int", "Float", "Boolean", "ID", "Integer", "JSON", "Unsupported")
_RESERVED_ENDINGS = ("Obj", "Enum")


def _field(type_: GraphQLOutputType, read: Callable[[Any], Any]) -> GraphQLField:
    return GraphQLField(type_, resolve=lambda source, info: read(source))


def _key(type_: GraphQLOutputType, name: str) -> GraphQLField:
    return _field(type_, lambda source: source.get(name))


_COORDINATES = {name: _key(GraphQLFloat, name) for name in ("latitude", "longitude")}
_SCALARS: Mapping[str, GraphQLOutputType] = {
    "int": INTEGER,
    "number": GraphQLFloat,
    "boolean": GraphQLBoolean,
    "geoCoordinates": GraphQLObjectType("GeoCoordinatesObj", _COORDINATES),
    "reference": GraphQLList(JSON),
}

RERANK = GraphQLField(
    GraphQLList(GraphQLObjectType("RerankObj", {"score": _key(GraphQLFloat, "score")})),
    args={name: GraphQLArgument(GraphQLString) for name in ("property", "query")},
    resolve=lambda hit, info, **arguments: info.context.rerank_scores(hit, arguments),
)
_COUNT = GraphQLObjectType("MetaCountObj", {"count": _field(GraphQLInt, lambda count: count)})


def build_schema(definitions: Sequence[ClassDefinition]) -> GraphQLSchema:
    """Build the schema of these classes, of which there must be at least one.

    Its resolvers call the context value of the execution: `get`, `count` and `rerank_scores`
    of `ExecutionContext`.
    """
    get = {d.name: _get(d) for d in definitions}
    aggregate = {d.name: _aggregate(d) for d in definitions}
    root = {
        "Get": _field(GraphQLObjectType("GetObjectsObj", get), lambda source: {}),
        "Aggregate": _field(
            GraphQLObjectType("AggregateObjectsObj", aggregate), lambda source: {}
        ),
    }
    # Names were validated when the classes were created.
    return GraphQLSchema(GraphQLObjectType("WeaviateObj", root), assume_valid=True)


def _get(definition: ClassDefinition) -> GraphQLField:
    name = definition.name
    fields = _properties(definition.properties, f"_{name}_", lambda hit: hit.properties)
    fields["_additional"] = _field(_additional(definition, dict(fields)), lambda hit: hit)
    reserved = name in _RESERVED or name.endswith(_RESERVED_ENDINGS)
    return GraphQLField(
        GraphQLList(GraphQLObjectType(f"_{name}" if reserved else name, fields)),
        args=_get_arguments(embeds=definition.embeds),
        resolve=lambda source, info, **arguments: info.context.get(name, info, arguments),
    )


def _aggregate(definition: ClassDefinition) -> GraphQLField:
    name = definition.name
    result = GraphQLObjectType(
        f"_{name}Aggregate", {"meta": _field(_COUNT, lambda count: count)}
    )
    return GraphQLField(
        GraphQLList(result),
        args=_aggregate_arguments(),
        resolve=lambda source, info, **arguments: [info.context.count(name, arguments)],
    )


def _properties(
    properties: Sequence[Property], owner: str, values: Callable[[Any], Any]
) -> dict[str, GraphQLField]:
    """Return a field for each property of a class, or of a nested object."""
    fields = {}
    for position, property_ in enumerate(properties):
        type_ = _SCALARS.get(property_.kind, GraphQLString)
        if property_.kind == "object":
            # Positions keep these names unique, whatever underscores the properties' have.
            # They are joined by a letter: with an underscore, an object inside the first one
            # of class "A" would have the name of the first one of class "A_0".
            inner = f"{owner}{position}"
            nested = _properties(property_.nested, f"{inner}x", lambda value: value)
            type_ = GraphQLObjectType(inner, nested)
        fields[property_.name] = _field(
            GraphQLList(type_) if property_.is_list else type_,
            lambda source, name=property_.name: values(source).get(name),  # type: ignore[misc]
        )
    return fields


def _additional(
    definition: ClassDefinition, properties: Mapping[str, GraphQLField]
) -> GraphQLObjectType:
    fields = {
        "id": _field(GraphQLString, lambda hit: hit.object.id),
        "vector": _field(GraphQLList(GraphQLFloat), _vector),
        "distance": _field(GraphQLFloat, lambda hit: hit.distance),
        "certainty": _field(GraphQLFloat, lambda hit: hit.certainty),
        "score": _field(GraphQLString, lambda hit: _format_score(hit.score)),
        "explainScore": _field(GraphQLString, lambda hit: hit.explanation),
        "creationTimeUnix": _field(GraphQLString, lambda hit: str(hit.object.created)),
        "lastUpdateTimeUnix": _field(GraphQLString, lambda hit: str(hit.object.updated)),
        "isConsistent": _field(GraphQLBoolean, lambda hit: True),
        "rerank": RERANK,
        "group": _field(_group(definition.name, properties), lambda hit: hit.group),
    }
    if definition.vector_name is not None:
        named = {definition.vector_name: _field(GraphQLList(GraphQLFloat), _vector)}
        vectors = GraphQLObjectType(f"_{definition.name}Vectors", named)
        fields["vectors"] = _field(vectors, lambda hit: hit)
    return GraphQLObjectType(f"_{definition.name}Additional", fields)


_GROUPED_BY = GraphQLObjectType(
    "GroupedByObj",
    {
        "path": _field(GraphQLList(GraphQLString), lambda group: [group.path]),
        "value": _field(GraphQLString, lambda group: group.value),
    },
)


def _group(name: str, properties: Mapping[str, GraphQLField]) -> GraphQLObjectType:
    """Return the type of a group of a class; as classes are capitalized, names are unique."""
    additional = {
        "id": _field(GraphQLString, lambda hit: hit.object.id),
        "vector": _field(GraphQLList(GraphQLFloat), _vector),
        "distance": _field(GraphQLFloat, lambda hit: hit.distance),
    }
    inner = GraphQLObjectType(f"_groupadditional_{name}", additional)
    hit = {**properties, "_additional": _field(inner, lambda hit: hit)}

    def distance(end: int) -> GraphQLField:
        return _field(
            GraphQLFloat, lambda group: group.distances[end] if group.distances else None
        )

    fields = {
        "id": _field(GraphQLInt, lambda group: group.number),
        "groupedBy": _field(_GROUPED_BY, lambda group: group),
        "count": _field(GraphQLInt, lambda group: len(group.hits)),
        "minDistance": distance(0),
        "maxDistance": distance(1),
        "hits": _field(
            GraphQLList(GraphQLObjectType(f"_grouphit_{name}", hit)), lambda group: group.hits
        ),
    }
    return GraphQLObjectType(f"_group_{name}", fields)


def _vector(hit: SearchHit) -> list[float] | None:
    return None if hit.object.vector is None else hit.object.vector.tolist()


def _format_score(score: float | None) -> str | None:
    return None if score is None else str(score)
