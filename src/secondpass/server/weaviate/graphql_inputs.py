"""What queries take: the arguments of a class, as GraphQL input types."""

from __future__ import annotations

from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLFloat,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLString,
)
from graphql.language import IntValueNode

from secondpass.server.weaviate.where import OPERATORS

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
