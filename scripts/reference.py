"""Writes the pages of docs/reference that are generated from the code.

python scripts/reference.py            # write them
python scripts/reference.py --check    # fail if they are out of date
"""

from __future__ import annotations

import enum
import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import clients_table
import http_page
import models_table
import request_fields_page
import rerankers_table
import typer.main

from secondpass.cli.app import app

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = (
    "<!-- Written by scripts/reference.py (make docs checks it). Change the code instead. -->"
)
WIDTH = 88

NAMESPACES = {
    "secondpass": "Rerankers, indexes, values and errors.",
    "secondpass.policies": (
        "Rerankers built from other rerankers, hosted services and language models. A policy"
        " takes a reranker and is one, so policies nest."
    ),
    "secondpass.providers": (
        "The services and language models behind `HostedReranker`, `Listwise`, `Setwise`,"
        " `Pairwise` and `Pointwise`. Most programs only need a name, such as"
        ' `Reranker("cohere/rerank-v3.5")`.'
    ),
    "secondpass.answer": (
        "Answers from the results of a search, with checked citations"
        " ([how to](../how-to/answer-questions.md))."
    ),
    "secondpass.explain": (
        "Why a document is ranked where it is ([how to](../how-to/explain-a-result.md))."
    ),
    "secondpass.evaluate": (
        "Collections, runs, measures, significance tests and judgments. Needs the extra"
        " `eval` ([how to](../how-to/find-out-whether-reranking-pays.md))."
    ),
    "secondpass.train": (
        "Examples, hard-negative mining and the training loop. Needs the extra `train`"
        " ([how to](../how-to/train.md))."
    ),
    "secondpass.testing": (
        "Test doubles for rerankers and language models, for tests of your own"
        " ([how to](../how-to/survive-a-failing-reranker.md#in-tests-of-your-own))."
    ),
}
PUBLIC_BASES = ("BaseReranker", "LLM", "Provider")
INTEGRATIONS = (
    "One module per framework: `langchain`, `llama_index`, `haystack`, `pyterrier` and"
    " `lancedb`, each with one reranker class and an extra of its name"
    " ([how to](../how-to/use-in-frameworks.md))."
)


def cli() -> str:
    """Return the page of all commands: the help text of each, and of its subcommands."""
    group: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        NOTE,
        "Results go to standard output, everything else to standard error, so that a result"
        " can be piped. With `--json` a command prints one JSON object (see"
        " [files](files.md)). Exit codes: 0 success, 1 failure, 2 wrong usage.",
    ]
    for name in group.commands:
        lines += [f"## secondpass {name}", f"```text\n{_help(group, name)}\n```"]
        command = group.commands[name]
        for inner in getattr(command, "commands", ()):
            text = _help(command, inner, f"secondpass {name}")
            lines += [f"### secondpass {name} {inner}", f"```text\n{text}\n```"]
    return "\n\n".join(lines) + "\n"


def _help(group: Any, name: str, parent: str = "secondpass") -> str:
    command = group.commands[name]
    context = command.context_class(
        command, info_name=f"{parent} {name}", terminal_width=WIDTH, max_content_width=WIDTH
    )
    with context:
        text = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def api() -> str:
    """Return the page of all public names, by namespace."""
    lines = [
        "# Library",
        NOTE,
        "The public interface, by namespace. Every namespace is imported quickly: a name is"
        " loaded at its first use. Modules and names that are not on this page are private"
        " and may change in any release. A public name that is renamed keeps its old name"
        " for one release, with a `DeprecationWarning` that gives the new one.",
        "\n".join(
            [
                "| namespace | contents |",
                "|---|---|",
                *(
                    f"| [`{name}`](#{name.replace('.', '')}) | {text} |"
                    for name, text in NAMESPACES.items()
                ),
                "| [`secondpass.integrations`](#secondpassintegrations) |"
                " Rerankers in the shapes of other frameworks. |",
            ]
        ),
    ]
    for namespace, text in NAMESPACES.items():
        lines += [f"## {namespace}", text, *_names(import_module(namespace))]
    lines += ["## secondpass.integrations", INTEGRATIONS]
    return "\n\n".join(line for line in lines if line) + "\n"


def _names(module: Any) -> list[str]:
    lines: list[str] = []
    for name in sorted(module.__all__, key=lambda name: (name.islower(), name.lower())):
        if name.startswith("__"):
            continue
        value = getattr(module, name)
        if inspect.isclass(value):
            lines += _class(name, value)
        else:
            lines += [f"### {name}", _code(_signature(name, value)), _doc(value)]
    return lines


def _class(name: str, value: type) -> list[str]:
    if issubclass(value, enum.Enum):
        members = [f"- `{name}.{m.name}` = `{m.value!r}`" for m in value]
        return [f"### {name}", _doc(value), "\n".join(members)]
    if issubclass(value, BaseException):
        bases = ", ".join(f"`{base.__name__}`" for base in value.__bases__)
        return [f"### {name}", f"Bases: {bases}.", _doc(value)]
    lines = [f"### {name}", _code(_signature(name, value)), _bases(value), _doc(value)]
    for attribute, member in vars(value).items():
        if attribute.startswith("_") or _inherited(value, attribute):
            continue
        if isinstance(member, property):
            lines += [f"#### {name}.{attribute}", _doc(member.fget)]
        elif isinstance(member, classmethod | staticmethod):
            method = getattr(value, attribute)
            lines += [
                f"#### {name}.{attribute}",
                _code(_signature(f"{name}.{attribute}", method)),
                _doc(method),
            ]
        elif inspect.isfunction(member):
            lines += [
                f"#### {name}.{attribute}",
                _code(_signature(attribute, member)),
                _doc(member),
            ]
    return lines


def _bases(value: type) -> str:
    """Return which public class of secondpass a class extends, or nothing."""
    for base in value.__mro__[1:]:
        if base.__name__ in PUBLIC_BASES:
            return f"Extends [`{base.__name__}`](#{base.__name__.lower()})."
    return ""


def _inherited(value: type, attribute: str) -> bool:
    """Return whether a public base class documents this attribute already."""
    return any(
        base.__name__ in PUBLIC_BASES and attribute in vars(base) for base in value.__mro__[1:]
    )


def _signature(name: str, value: Any) -> str:
    signature = inspect.signature(value)
    parameters = [
        p.replace(annotation=_plain(p.annotation))
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    parts: list[str] = []
    keyword_only = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
            keyword_only = True
        parts.append(_parameter(parameter))
    returns = _plain(signature.return_annotation)
    end = (
        ""
        if returns in (inspect.Signature.empty, "None") or inspect.isclass(value)
        else f" -> {returns}"
    )
    one_line = f"{name}({', '.join(parts)}){end}"
    if len(one_line) <= WIDTH:
        return one_line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){end}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {parameter.annotation}"
    if parameter.default is parameter.empty:
        return text
    default = parameter.default
    unreadable = "factory" in repr(default) or " at 0x" in repr(default)
    return f"{text} = {'…' if unreadable else repr(default)}"


def _plain(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty or isinstance(annotation, str):
        return annotation
    return getattr(annotation, "__name__", str(annotation))


def _code(text: str) -> str:
    # The language is "text" because tests/docs runs every block marked "python".
    return f"```text\n{text}\n```"


def _doc(value: Any) -> str:
    return inspect.getdoc(value) or ""


def main() -> int:
    pages = {
        REFERENCE / "cli.md": cli(),
        REFERENCE / "api.md": api(),
        REFERENCE / "clients.md": clients_table.page(NOTE),
        REFERENCE / "models.md": models_table.page(NOTE),
        REFERENCE / "rerankers.md": rerankers_table.page(NOTE),
        REFERENCE / "request-fields.md": request_fields_page.page(NOTE),
        REFERENCE / "http.md": http_page.page(NOTE),
        REFERENCE / "openapi.json": http_page.openapi(),
    }
    if "--check" not in sys.argv[1:]:
        for path, text in pages.items():
            path.write_text(text, "utf-8")
            print(f"written: {path.relative_to(REFERENCE.parent.parent)}")
        return 0
    stale = [
        path
        for path, text in pages.items()
        if not path.is_file() or path.read_text("utf-8") != text
    ]
    for path in stale:
        print(
            f"{path.relative_to(REFERENCE.parent.parent)} is out of date: run"
            " python scripts/reference.py",
            file=sys.stderr,
        )
    if not stale:
        print("docs/reference is up to date")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
