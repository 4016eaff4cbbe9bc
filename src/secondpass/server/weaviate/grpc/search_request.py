"""Search requests: a gRPC message parsed into a `GetQuery` and the parts of its reply.

Filters and searches are first put in the form of GraphQL's arguments, so that both protocols
are validated by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from secondpass.server.http_errors import HttpError
from secondpass.server.weaviate.class_definition import ClassDefinition
from secondpass.server.weaviate.errors import unprocessable
from secondpass.server.weaviate.filters import LOGICAL_OPERATORS, MAX_DEPTH, TIME_COLUMNS
from secondpass.server.weaviate.get_query import (
    GetQuery,
    Rerank,
    max_distance,
    parse_get_query,
)
from secondpass.server.weaviate.grpc.messages import (
    BoostMessage,
    Filters,
    Hybrid,
    SearchOperatorOptions,
    parse_vectors,
)
from secondpass.server.weaviate.names import parse_property_name
from secondpass.server.weaviate.properties import Property

_DEFAULT_LIMIT = 10
"""How many objects a search returns that does not say; GraphQL's default is higher."""
_OMITTED_KINDS = ("blob", "reference")
"""Blobs are only sent if requested by name; references are not followed."""


def parse_search(message: Any, definition: ClassDefinition) -> GetQuery:
    """Parse a SearchRequest; raises HttpError (422)."""
    for name in message.metadata.vectors:
        if name != definition.vector_name:
            raise unprocessable(f"class '{definition.name}' has no vector {name!r:.80}")
    reranks = []
    if message.HasField("rerank"):
        query = message.rerank.query if message.rerank.HasField("query") else None
        reranks.append(Rerank(message.rerank.property, query))
    return parse_get_query(
        search_arguments(message, definition),
        definition,
        vectors=message.metadata.vector or bool(message.metadata.vectors),
        reranks=reranks,
    )


def search_arguments(message: Any, definition: ClassDefinition) -> dict[str, Any]:
    """Return a SearchRequest in the form of GraphQL's arguments of `Get`.

    Raises HttpError (422).
    """
    arguments: dict[str, Any] = {
        "offset": message.offset,
        "limit": message.limit if message.limit else _DEFAULT_LIMIT,
        # Unlike in GraphQL, 0 and "" mean that the client said nothing.
        "autocut": message.autocut or None,
        "after": message.after or None,
        "tenant": message.tenant or None,
    }
    if message.sort_by:
        arguments["sort"] = [
            {"path": list(item.path), "order": "asc" if item.ascending else "desc"}
            for item in message.sort_by
        ]
    if message.HasField("group_by"):
        group_by = message.group_by
        arguments["groupBy"] = {
            "path": list(group_by.path),
            "groups": group_by.number_of_groups,
            "objectsPerGroup": group_by.objects_per_group,
        }
    if message.HasField("boost"):
        arguments["boost"] = _boost_arguments(message.boost, definition)
    for name in ("near_text", "near_object", "near_vector", "hybrid_search"):
        search = getattr(message, name)
        if message.HasField(name) and search.HasField("selection"):
            mmr = search.selection.mmr
            arguments["diversity"] = {n: _optional(mmr, n) for n in ("limit", "balance")}
    if message.HasField("filters"):
        arguments["where"] = parse_filters(message.filters, definition)
    if message.HasField("bm25_search"):
        arguments["bm25"] = _bm25_arguments(message.bm25_search)
    if message.HasField("near_text"):
        arguments["nearText"] = _near_text_arguments(message.near_text)
    if message.HasField("near_object"):
        near = message.near_object
        arguments["nearObject"] = {"id": near.id, **_bounds(near), **_targets(near)}
    if message.HasField("near_vector"):
        arguments["nearVector"] = _near_vector_arguments(message.near_vector)
    if message.HasField("hybrid_search"):
        arguments["hybrid"] = _hybrid_arguments(message.hybrid_search)
    return arguments


_CURVES = {
    BoostMessage.DECAY_CURVE_GAUSS: "gauss",
    BoostMessage.DECAY_CURVE_LINEAR: "linear",
    BoostMessage.DECAY_CURVE_EXPONENTIAL: "exp",
    BoostMessage.DECAY_CURVE_UNSPECIFIED: "exp",
}


def _boost_arguments(boost: Any, definition: ClassDefinition) -> dict[str, Any]:
    """Return a Boost as `parse_score_boost` reads it; raises HttpError (422)."""
    conditions = []
    for condition in boost.conditions:
        weight = {"weight": _optional(condition, "weight")}
        kind = condition.WhichOneof("condition")
        if kind is None:
            raise unprocessable("boost: a condition is empty")
        if kind == "filter":
            where = parse_filters(condition.filter, definition)
            conditions.append({**weight, "where": where})
            continue
        function = getattr(condition, kind)
        rule: dict[str, Any] = {"property": function.property}
        if kind == "property_value":
            logarithm = function.modifier == BoostMessage.PROPERTY_VALUE_MODIFIER_LOG1P
            rule["function"] = "log" if logarithm else "linear"
            rule["root"] = function.modifier == BoostMessage.PROPERTY_VALUE_MODIFIER_SQRT
        else:
            rule |= {
                "function": _CURVES.get(function.curve, "exp"),
                "origin": function.origin,
                "scale": function.scale,
                "offset": _optional(function, "offset"),
                "decay": _optional(function, "decay_value"),
            }
        if kind == "time_decay":
            rule["kinds"] = ("date",)
        conditions.append({**weight, "rule": rule})
    numbers = {name: _optional(boost, name) for name in ("weight", "depth")}
    return {"conditions": conditions, **numbers}


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


@dataclass(frozen=True, slots=True)
class SelectedProperty:
    """A property that a client requests, and for an object those within it."""

    property: Property
    nested: tuple[SelectedProperty, ...] = ()


def parse_selection(message: Any, definition: ClassDefinition) -> tuple[SelectedProperty, ...]:
    """Return the properties that a SearchRequest selects; all by default.

    Raises HttpError (422) for an unknown property.
    """
    selection = message.properties
    if not message.HasField("properties") or selection.return_all_nonref_properties:
        return _select_all(definition.properties)
    names, objects = selection.non_ref_properties, selection.object_properties
    return _select(names, objects, definition.properties)


_VALUE_KEYS = {"text": "valueText", "int": "valueInt", "boolean": "valueBoolean"}
_VALUE_KEYS |= {"number": "valueNumber"}


def parse_filters(filters: Any, definition: ClassDefinition) -> dict[str, Any]:
    """Return a filter in the form of JSON, for `parse_where`; raises HttpError (422).

    gRPC has no dates, and its clients send integers for numbers, and numbers as texts: the
    property's type decides.
    """
    return _parse_filter(filters, definition, MAX_DEPTH)


def _parse_filter(filters: Any, definition: ClassDefinition, levels: int) -> dict[str, Any]:
    if not levels:
        raise unprocessable(f"filters are nested deeper than {MAX_DEPTH}")
    operator = _operator_name(filters.operator)
    if operator in LOGICAL_OPERATORS:
        operands = [_parse_filter(part, definition, levels - 1) for part in filters.filters]
        return {"operator": operator, "operands": operands}
    path = [filters.target.property] if filters.HasField("target") else list(filters.on)
    where = {"operator": operator, "path": path}
    key = filters.WhichOneof("test_value")
    if not path:
        raise unprocessable(f"filters: {operator} needs a property")
    if key is None:
        raise unprocessable(f"filters: {operator} on {path!r:.80} needs a value")
    value = getattr(filters, key)
    values = list(value.values) if key.endswith("_array") else value
    type_ = key.removeprefix("value_").removesuffix("_array")
    kind = _property_kind(path, definition) if operator != "IsNull" else None
    if kind in ("int", "number") and type_ == "text":
        values, type_ = _to_numbers(values), "number"
    if kind == "date" and type_ == "text":
        return {**where, "valueDate": values}
    if kind == "number" and type_ in ("int", "number"):
        return {**where, "valueNumber": values}
    if kind == "int" and type_ == "number":
        return {**where, "valueInt": _to_integers(values)}
    if path[0] in TIME_COLUMNS and type_ == "text" and not _are_digits(values):
        return {**where, "valueDate": values}
    return {**where, _VALUE_KEYS[type_]: values}


def _operator_name(number: int) -> str:
    try:
        name = Filters.Operator.Name(number)
    except ValueError:
        raise unprocessable(f"filters: operator {number} is unknown") from None
    return "".join(part.title() for part in name.removeprefix("OPERATOR_").split("_"))


def _property_kind(path: list[str], definition: ClassDefinition) -> str | None:
    try:
        return definition.property(parse_property_name(path[0])).kind
    except HttpError:
        # An id, a timestamp, or an error for `to_sql` to raise.
        return None


def _are_digits(values: Any) -> bool:
    return all(text.isdecimal() for text in (values if isinstance(values, list) else [values]))


def _to_numbers(values: Any) -> Any:
    if isinstance(values, list):
        return [_to_numbers(value) for value in values]
    try:
        return float(values)
    except ValueError:
        raise unprocessable(f"filters: {values!r:.80} is not a number") from None


def _to_integers(values: Any) -> Any:
    if isinstance(values, list):
        return [_to_integers(value) for value in values]
    return int(values) if values.is_integer() else values


def _bm25_arguments(message: Any) -> dict[str, Any]:
    _check_operator(message, "search_operator")
    return {"query": message.query, "properties": list(message.properties) or None}


def _near_text_arguments(near: Any) -> dict[str, Any]:
    arguments = {"concepts": list(near.query), **_bounds(near), **_targets(near)}
    for field, name in (("move_to", "moveTo"), ("move_away", "moveAwayFrom")):
        if near.HasField(field):
            move = getattr(near, field)
            if move.uuids:
                raise unprocessable(f"{name}: moving to objects is not supported here")
            arguments[name] = {"concepts": list(move.concepts), "force": move.force}
    return arguments


def _near_vector_arguments(near: Any) -> dict[str, Any]:
    names, numbers = _single_vector(near, "near_vector")
    if numbers is None:
        raise unprocessable("near_vector: vector is required")
    return {"vector": numbers, **_bounds(near), **_targets(near, names)}


def _hybrid_arguments(message: Any) -> dict[str, Any]:
    _check_operator(message, "bm25_search_operator")
    targets, numbers = _single_vector(message, "hybrid")
    fields = [name for name in ("near_vector", "near_text") if message.HasField(name)]
    if len(fields) + (numbers is not None) > 1:
        raise unprocessable("hybrid: give one of vector, near_vector and near_text")
    near: dict[str, Any] = {}
    near_text = None
    if fields == ["near_vector"]:
        near = _near_vector_arguments(message.near_vector)
        numbers = near["vector"]
        targets += near["targetVectors"]
    if fields == ["near_text"]:
        near = near_text = _near_text_arguments(message.near_text)
    furthest = max_distance("hybrid", near)
    if furthest is None and message.HasField("vector_distance"):
        furthest = message.vector_distance
    ranked = message.fusion_type == Hybrid.FUSION_TYPE_RANKED
    return {
        "query": message.query,
        "properties": list(message.properties) or None,
        "vector": numbers,
        "nearText": near_text,
        "alpha": _alpha(message),
        "fusionType": "rankedFusion" if ranked else "relativeScoreFusion",
        "maxVectorDistance": furthest,
        **_targets(message, targets),
    }


def _alpha(message: Any) -> float | None:
    if not message.use_alpha_param:
        return float(message.alpha)
    return float(message.alpha_param) if message.HasField("alpha_param") else None


def _single_vector(message: Any, name: str) -> tuple[list[str], list[float] | None]:
    """Return the names and the numbers of the one vector of a message, None without one."""
    vectors = parse_vectors(message)
    if len(vectors) > 1:
        raise unprocessable(f"{name}: only 1 vector is supported here, found {len(vectors)}")
    targets = [target for target, _ in vectors if target]
    return targets, vectors[0][1] if vectors else None


def _bounds(near: Any) -> dict[str, float]:
    fields = ("certainty", "distance")
    return {name: getattr(near, name) for name in fields if near.HasField(name)}


def _targets(message: Any, names: Iterable[str] = ()) -> dict[str, list[str]]:
    """Return the vectors that a search names; older clients send a plain list."""
    targets = [*message.targets.target_vectors, *message.target_vectors, *names]
    return {"targetVectors": targets}


def _check_operator(message: Any, field: str) -> None:
    if not message.HasField(field):
        return
    options = getattr(message, field)
    any_word = options.operator in (
        SearchOperatorOptions.OPERATOR_UNSPECIFIED,
        SearchOperatorOptions.OPERATOR_OR,
    )
    if not any_word or options.minimum_or_tokens_match > 1:
        raise unprocessable("bm25: only the operator Or with a minimum match of 1 is supported")


def _select_all(properties: Sequence[Property]) -> tuple[SelectedProperty, ...]:
    return tuple(
        SelectedProperty(property_, _select_all(property_.nested))
        for property_ in properties
        if property_.kind not in _OMITTED_KINDS
    )


def _select(
    names: Sequence[str], objects: Sequence[Any], properties: Sequence[Property]
) -> tuple[SelectedProperty, ...]:
    selected = []
    for name in names:
        property_ = _find_property(name, properties)
        if property_.kind == "reference":
            raise unprocessable(f"'{property_.name}' is a reference, which is not followed")
        selected.append(SelectedProperty(property_, _select_all(property_.nested)))
    for object_ in objects:
        property_ = _find_property(object_.prop_name, properties)
        nested = _select(
            object_.primitive_properties, object_.object_properties, property_.nested
        )
        selected.append(SelectedProperty(property_, nested))
    return tuple(selected)


def _find_property(name: str, properties: Sequence[Property]) -> Property:
    name = parse_property_name(name)
    for property_ in properties:
        if property_.name == name:
            return property_
    raise unprocessable(f"no such property {name!r}")
