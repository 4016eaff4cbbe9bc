"""Write the pages of docs/reference that come from the code itself.

python scripts/reference.py            # write them
python scripts/reference.py --check    # fail if they are out of date
"""

from __future__ import annotations

import enum
import inspect
import sys
from pathlib import Path
from typing import Any

import http_page
import rerankers_table
import typer.main

import secondpass
import secondpass.evaluate
from secondpass.cli.app import app

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
NOTE = (
    "<!-- Written by scripts/reference.py (make docs checks it). Change the code instead. -->"
)
WIDTH = 88


def cli() -> str:
    """Return the page of all commands, as their own help says it."""
    group: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        NOTE,
        "Results go to standard output, everything else to standard error, so that a result"
        " can be piped. With `--json` a command prints one JSON object (see"
        " [files](files.md)). Exit codes: 0 ok, 1 failed, 2 wrong usage.",
    ]
    for name in group.commands:
        lines += [f"## secondpass {name}", f"```text\n{_help(group, name)}\n```"]
    return "\n\n".join(lines) + "\n"


def _help(group: Any, name: str) -> str:
    command = group.commands[name]
    context = command.context_class(
        command, info_name=f"secondpass {name}", terminal_width=WIDTH, max_content_width=WIDTH
    )
    with context:
        text = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def api() -> str:
    """Return the page of all public names."""
    lines = [
        "# Library",
        NOTE,
        "Everything here is imported from `secondpass`, but for what stands under Evaluation."
        " What is not on this page may change in any release.",
    ]
    lines += _names(secondpass)
    lines += [
        "# Evaluation",
        "These are imported from `secondpass.evaluate`, which needs the extra `eval`.",
        *_names(secondpass.evaluate),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _names(module: Any) -> list[str]:
    lines: list[str] = []
    for name in module.__all__:
        if name.startswith("__"):
            continue
        value = getattr(module, name)
        if inspect.isclass(value):
            lines += _class(name, value)
        else:
            lines += [f"## {name}", _code(_signature(name, value)), _doc(value)]
    return lines


def _class(name: str, value: type) -> list[str]:
    if issubclass(value, enum.Enum):
        members = [f"- `{name}.{m.name}` = `{m.value!r}`" for m in value]
        return [f"## {name}", _doc(value), "\n".join(members)]
    if issubclass(value, BaseException):
        bases = ", ".join(f"`{base.__name__}`" for base in value.__bases__)
        return [f"## {name}", f"A kind of {bases}.", _doc(value)]
    lines = [f"## {name}", _code(_signature(name, value)), _doc(value)]
    for attribute, member in vars(value).items():
        if attribute.startswith("_"):
            continue
        if isinstance(member, property):
            lines += [f"### {name}.{attribute}", _doc(member.fget)]
        elif isinstance(member, classmethod | staticmethod):
            target = getattr(value, attribute)
            lines += [
                f"### {name}.{attribute}",
                _code(_signature(f"{name}.{attribute}", target)),
            ]
            lines += [_doc(target)]
        elif inspect.isfunction(member):
            lines += [
                f"### {name}.{attribute}",
                _code(_signature(attribute, member)),
                _doc(member),
            ]
    return lines


def _signature(name: str, value: Any) -> str:
    signature = inspect.signature(value)
    shown = [
        p.replace(annotation=_plain(p.annotation))
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    parts: list[str] = []
    keyword_only = False
    for parameter in shown:
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
    shown = "…" if "factory" in repr(default) or " at 0x" in repr(default) else repr(default)
    return f"{text} = {shown}"


def _plain(annotation: Any) -> Any:
    if annotation is inspect.Signature.empty or isinstance(annotation, str):
        return annotation
    return getattr(annotation, "__name__", str(annotation))


def _code(text: str) -> str:
    # Not "python": the harness of the docs would run it.
    return f"```text\n{text}\n```"


def _doc(value: Any) -> str:
    return inspect.getdoc(value) or ""


def main() -> int:
    pages = {
        REFERENCE / "cli.md": cli(),
        REFERENCE / "api.md": api(),
        REFERENCE / "rerankers.md": rerankers_table.page(NOTE),
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
        print("docs/reference says what the code says")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
