"""`/api/v1/capabilities`: what this server has, for clients that make controls from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from fastapi import APIRouter

import secondpass
from secondpass.errors import MissingExtraError
from secondpass.evaluate.defaults import MEASURES
from secondpass.option_types import Option, declared, offered
from secondpass.options import (
    BoostOptions,
    ExpansionOptions,
    FirstStageOptions,
    GroupOptions,
    PolicyOptions,
    RerankingOptions,
    RerankOptions,
    ResultOptions,
    SearchOptions,
)
from secondpass.rerank.base import BaseReranker
from secondpass.retrieve.languages import LANGUAGES, NO_LANGUAGE
from secondpass.retrieve.loaders.files import LOADERS
from secondpass.server.access.api_keys import SCOPES
from secondpass.server.api_v1.router import Context, make_router
from secondpass.server.http_errors import HttpError
from secondpass.server.request_handler import RequestHandler
from secondpass.server.state import ServerState

_EVALUATION_PACKAGES = {"ir_measures": "ir-measures", "scipy": "scipy"}
# In this order: the first that declares an option is its group.
_GROUPS: Mapping[str, type] = {
    "grouping": GroupOptions,
    "boosts": BoostOptions,
    "policies": PolicyOptions,
    "first_stage": FirstStageOptions,
    "expansion": ExpansionOptions,
    "reranking": RerankingOptions,
    "reading": ResultOptions,
}


@dataclass
class ModelAbout:
    """A reranker: how many tokens it reads at once, its numeric precision, what it can do.

    `runs_here` is false for a provider's model; `gives_spans` says whether results can have the
    sentences that answer, `follows_instructions` whether it reads `instructions`.
    """

    name: str
    default: bool
    runs_here: bool
    precision: str
    max_length: int | None
    gives_spans: bool
    follows_instructions: bool


@dataclass
class OptionAbout:
    """A search option: one line of help, its default, and the JSON schema of a value.

    Null is a value where it is the default. `second_pass` options mean nothing with
    `rerank` false. `group` is "first_stage", "grouping", "expansion", "reranking", "reading",
    "boosts" or "policies".
    """

    name: str
    help: str
    default: Any
    second_pass: bool
    group: str
    schema: dict[str, Any]


@dataclass
class Limits:
    """The limits of a request: documents, bytes, nested JSON, and seconds."""

    max_documents: int
    max_body: int
    max_depth: int
    timeout: float


@dataclass
class Capabilities:
    """What a server has, and what the caller may do.

    `scopes` are those of the caller's key, all of them where no key is needed. `llm` is the
    language model of answers; `default_index` the first index that the server was started
    with. `measure_problem` says what to install where `can_measure` is false. `file_types` are
    suffixes of files that can be uploaded.
    """

    version: str
    key_required: bool
    scopes: list[str]
    models: list[ModelAbout]
    llm: str | None
    default_index: str | None
    can_create_indexes: bool
    can_measure: bool
    measure_problem: str | None
    measures: list[str]
    languages: list[str]
    file_types: list[str]
    limits: Limits
    search_options: list[OptionAbout]
    rerank_options: list[OptionAbout]


def router(handler: RequestHandler) -> APIRouter:
    """Return the route; every key may use it."""
    routes = make_router(handler, "server", None)
    state = handler.state

    @routes.get("/capabilities", response_model=Capabilities)
    async def get_capabilities(context: Context) -> object:
        """Return what this server has: models, options, languages, file types, limits."""
        caller, settings = context.caller, state.settings
        problem = evaluation_problem()
        return Capabilities(
            version=secondpass.__version__,
            key_required=handler.keys is not None,
            scopes=[scope for scope in SCOPES if caller.may(scope)],
            models=[_describe_model(name, state) for name in state.models],
            llm=settings.llm,
            default_index=_find_default_index(state, caller.tenant),
            can_create_indexes=settings.data is not None and caller.may("write"),
            can_measure=problem is None,
            measure_problem=problem,
            measures=[name for name in MEASURES if not name.startswith("Judged")],
            languages=[*LANGUAGES.values(), NO_LANGUAGE],
            file_types=sorted(LOADERS),
            limits=Limits(
                state.max_documents(caller.max_documents),
                min(settings.max_body, caller.max_body or settings.max_body),
                settings.max_depth,
                settings.timeout,
            ),
            search_options=_describe_options(SearchOptions),
            rerank_options=_describe_options(RerankOptions),
        )

    return routes


def evaluation_problem() -> str | None:
    """Return what to install before rankings can be measured; None where nothing is missing."""
    for module, package in _EVALUATION_PACKAGES.items():
        if find_spec(module) is None:
            return str(MissingExtraError("Measuring", package=package, extra="eval"))
    return None


def _find_default_index(state: ServerState, tenant: str) -> str | None:
    if not state.has_catalog:
        return None
    try:
        return state.catalog.default(tenant).key.label
    except HttpError as error:
        if error.status == 404:
            return None
        raise


def _describe_model(name: str, state: ServerState) -> ModelAbout:
    reranker: BaseReranker = state.model(name)
    base = reranker.base
    return ModelAbout(
        name,
        name == state.models[0],
        base.runs_here,
        base.precision,
        base.max_length,
        reranker.spans_from is not None,
        not reranker.models_without_instructions(),
    )


def _describe_options(options: type) -> list[OptionAbout]:
    return [_describe_option(name, o) for name, o in offered(options, "http").items()]


def _describe_option(name: str, option: Option) -> OptionAbout:
    group = next(group for group, options in _GROUPS.items() if name in declared(options))
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    schema = dict(option.kind.schema)
    return OptionAbout(name, option.help, default, option.second_pass, group, schema)
