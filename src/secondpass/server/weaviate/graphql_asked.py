"""What a query asks of the objects of a class, before any of them is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLResolveInfo,
    GraphQLSkipDirective,
    InlineFragmentNode,
    get_argument_values,
    get_directive_values,
)

from secondpass.server.weaviate.both_passes import Asked
from secondpass.server.weaviate.graphql_schema import RERANK


def asked_in(info: GraphQLResolveInfo[Any]) -> Asked:
    """Return what the selections of a class ask for among the additional properties."""
    blocks = [n for n in _selected(info, info.field_nodes) if n.name.value == "_additional"]
    vectors, reranks = False, []
    for node in _selected(info, blocks):
        if node.name.value in ("vector", "vectors"):
            vectors = True
        if node.name.value == "rerank":
            given = get_argument_values(RERANK, node, info.variable_values)
            asked = (given.get("property"), given.get("query"))
            if asked not in reranks:
                reranks.append(asked)
    return Asked(vectors, tuple(reranks))


def _selected(info: GraphQLResolveInfo[Any], nodes: Sequence[FieldNode]) -> list[FieldNode]:
    """Return the fields below these, those of fragments and merged blocks among them."""
    seen: set[str] = set()
    found: list[FieldNode] = []
    for node in nodes:
        found += _fields(info, node.selection_set, seen)
    return found


def _fields(
    info: GraphQLResolveInfo[Any], selections: Any, seen: set[str]
) -> Iterator[FieldNode]:
    for node in () if selections is None else selections.selections:
        if not _included(info, node):
            continue
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(info, node.selection_set, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            # Once for each level, as in the execution: else a few could unfold to millions.
            seen.add(node.name.value)
            yield from _fields(info, _fragment(info, node.name.value), seen)


def _fragment(info: GraphQLResolveInfo[Any], name: str) -> Any:
    found: Any = info.fragments[name]
    # Some versions of the library wrap the definition.
    return getattr(found, "definition", found).selection_set


def _included(info: GraphQLResolveInfo[Any], node: Any) -> bool:
    skip = get_directive_values(GraphQLSkipDirective, node, info.variable_values)
    include = get_directive_values(GraphQLIncludeDirective, node, info.variable_values)
    return not (skip and skip["if"]) and not (include and not include["if"])
