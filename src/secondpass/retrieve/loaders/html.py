"""HTML files: one document a file, its visible text."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from secondpass.errors import MissingExtraError
from secondpass.retrieve.loaders.base import Loader, detect_utf16, leave_out, read_error
from secondpass.types import Document

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_NOT_TEXT = frozenset(("script", "style", "template", "head", "title", "iframe", "noembed"))
# Of pictures: names for programs that read pages aloud, and facts about the file.
_NOT_DRAWN = frozenset(("desc", "metadata"))
_TYPED = frozenset(
    (
        *("", "text", "search", "email", "tel", "url", "number", "date", "month", "week"),
        *("time", "datetime-local", "submit", "button", "reset"),
    )
)
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "caption", "center", "dd"),
        *("details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure"),
        *("footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr"),
        *("legend", "li", "listing", "main", "menu", "nav", "noscript", "ol", "optgroup"),
        *("option", "p", "plaintext", "pre", "search", "section", "select", "summary", "svg"),
        *("table", "tbody", "td", "text", "textarea", "tfoot", "th", "thead", "tr", "ul"),
        "xmp",
    )
)
_FORMATTING = frozenset(
    (
        "a",
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "s",
        "small",
        "strike",
        "strong",
        "tt",
        "u",
    )
)
# Without an end tag, or closed by the next one of its kind.
_UNCOUNTED = frozenset(
    (
        *("area", "base", "body", "br", "col", "colgroup", "dd", "dt", "embed", "head", "hr"),
        *("html", "img", "input", "li", "link", "meta", "optgroup", "option", "p", "param"),
        *("source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr"),
    )
)
_MAX_DEPTH = 1000
_MAX_FORMATTING = 16
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s<>/]*+)[^<>]*+>?")
_CHARSET = re.compile(
    rb"""<meta[^<>]{0,200}?charset\s{0,9}=\s{0,9}["']?([\w.:-]{1,40})""", re.IGNORECASE
)
# In XML, <script/> is a whole element; the HTML parser would read the page as its content.
_SELF_CLOSED = re.compile(
    r"<(script|style|title|textarea|iframe|noembed|noframes|noscript|xmp|template|nav|select)"
    r"((?:\s[^<>]*)?)/>",
    re.IGNORECASE,
)


def html_text(source: str) -> str:
    """Return the visible text of a page or of a part of one, without navigation.

    Raises MissingExtraError without selectolax.
    """
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MissingExtraError("reading HTML", package="selectolax", extra="index") from error
    page = LexborHTMLParser(_prepare(source))
    return _visible_text(page, []) or _visible_text(page, None)


def load(path: Path, name: str, fields: Sequence[str] | None = None) -> Iterator[Document]:
    """Yield the page as one document; its title is `<title>`, else the first `<h1>`.

    The text includes what is shown of attributes: what was typed into fields, the labels of
    buttons and choices, the text that stands for a picture. Navigation and hidden elements are
    left out, unless the page has no other text.
    """
    try:
        from selectolax.lexbor import LexborHTMLParser
    except ImportError as error:
        raise MissingExtraError("reading HTML", package="selectolax", extra="index") from error
    try:
        data = path.read_bytes()
    except OSError as error:
        raise read_error(path, error) from error
    page = LexborHTMLParser(_prepare(_decode(data)))
    skipped: list[str] = []
    text = _visible_text(page, skipped)
    if text:
        leave_out("hidden and navigation elements", len(skipped))
    else:
        # Some pages are hidden until a script shows them, or are one navigation element or
        # template.
        text = _visible_text(page, None)
    yield Document(text, name, title=_title(page))


def prepare() -> None:
    """Import the packages for this format."""
    with suppress(ImportError):
        import selectolax.lexbor  # noqa: F401


LOADER = Loader((".html", ".htm"), load, version=3, prepare=prepare)


def _decode(data: bytes) -> str:
    """Return the text, decoded by byte order mark, declaration, UTF-8 or Windows-1252."""
    if data[:3] == codecs.BOM_UTF8:
        return data.decode("utf-8-sig", "replace")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    unmarked = detect_utf16(data[:4096])
    if unmarked is not None:
        return data.decode(unmarked, "replace")
    declared = _CHARSET.search(data[:4096])
    encoding = "utf-8" if declared is None else declared[1].decode("ascii", "replace")
    try:
        encoding = codecs.lookup(encoding).name
    except LookupError:
        encoding = "utf-8"
    # A declaration of UTF-16 that can be read is wrong; browsers read it as UTF-8.
    if encoding.startswith(("utf-16", "utf-32", "utf-8")):
        encoding = "utf-8"
    if encoding in ("iso8859-1", "ascii"):
        # As browsers do.
        encoding = "cp1252"
    for name in (encoding, "utf-8", "cp1252"):
        try:
            return data.decode(name)
        except (UnicodeError, LookupError):
            continue
    return data.decode("cp1252", "replace")


def _prepare(text: str) -> str:
    """Return the source with what the parser would read otherwise than the author meant."""
    if text.lstrip()[:5] == "<?xml":
        text = _SELF_CLOSED.sub(r"<\1\2></\1>", text)
    return _flatten(_escape_sections(text))


def _escape_sections(text: str) -> str:
    """Return the source with CDATA sections as text, which HTML has in pictures only."""
    before, *sections = text.split("<![CDATA[")
    parts = [before]
    for section in sections:
        content, end, rest = section.partition("]]>")
        parts += [escape(content, quote=False), rest] if end else [section]
    return "".join(parts)


def _flatten(text: str) -> str:
    """Return the source without the tags of elements nested deeper than `_MAX_DEPTH`.

    The parser searches all open elements at each tag, so its time grows with the square of
    the depth; browsers limit the depth for this reason. The tags are counted, not parsed: the
    count is at most too high, where a page does not close its elements. No text is removed.
    """
    if text.count("<") <= _MAX_FORMATTING:
        return text
    stack: list[tuple[str, bool]] = []
    open_tags: Counter[str] = Counter()
    formatting: Counter[str] = Counter()
    active = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal active
        end, name = match[1], match[2].lower()
        if name in _UNCOUNTED:
            return match[0]
        if not end:
            removed = len(stack) >= _MAX_DEPTH or (
                name in _FORMATTING and active >= _MAX_FORMATTING
            )
            removed = removed and name not in _NOT_TEXT
            if name in _FORMATTING and not removed:
                formatting[name] += 1
                active += 1
            stack.append((name, removed))
            open_tags[name] += 1
            return "\n" if removed and name in _BLOCKS else "" if removed else match[0]
        if name in _FORMATTING and formatting[name]:
            formatting[name] -= 1
            active -= 1
        if not open_tags[name]:
            return match[0] if len(stack) < _MAX_DEPTH else ""
        depth = len(stack) - 1
        if name in _BLOCKS or name in _NOT_TEXT:
            while stack[depth][0] != name:
                depth -= 1
        else:
            # The end of an inline element does not close a block inside it.
            lowest = max(0, depth - 64)
            while stack[depth][0] != name:
                depth -= 1
                if depth < lowest or stack[depth + 1][0] in _BLOCKS:
                    return match[0] if len(stack) < _MAX_DEPTH else ""
        removed = stack[depth][1]
        for closed, _ in stack[depth:]:
            open_tags[closed] -= 1
        del stack[depth:]
        return "\n" if removed and name in _BLOCKS else "" if removed else match[0]

    return _TAG.sub(replace, text)


def _title(page: LexborHTMLParser) -> str | None:
    for selector in ("head title", "h1"):
        node = page.css_first(selector)
        title = "" if node is None else " ".join(node.text(separator=" ").split())
        if title:
            return title
    return None


def _visible_text(page: LexborHTMLParser, skipped: list[str] | None) -> str:
    """Return the text, a line break around blocks.

    `skipped` gets the tags of hidden elements that are left out; None includes them.
    """
    text = re.sub(r"[^\S\n]+", " ", "".join(_parts(page.root, skipped)))
    return re.sub(r" ?\n[ \n]*\n ?", "\n\n", re.sub(r" ?\n ?", "\n", text)).strip()


def _parts(root: LexborNode | None, skipped: list[str] | None) -> Iterator[str]:
    from selectolax.lexbor import LexborHTMLParser

    # Without recursion, because elements can be nested to any depth. The stack has nodes to
    # visit, and the text to write after an element.
    stack: list[LexborNode | str | None] = [root]
    while stack:
        node = stack.pop()
        if node is None:
            continue
        if isinstance(node, str):
            yield node
            continue
        if node is not root:
            stack.append(node.next)
        tag = node.tag
        if node.is_text_node:
            yield node.text_content or ""
        if not node.is_element_node or tag is None:
            continue
        if tag == "template":
            # The content of a declarative shadow root is shown in the place of the template.
            if skipped is None or "shadowrootmode" in node.attributes:
                stack += [fragment.first_child for fragment in node.template_fragments()]
            else:
                skipped.append(tag)
            continue
        if tag == "head" and skipped is None:
            stack.append(node.first_child)
            continue
        inner = _inner_page(node, tag)
        if not inner and (tag in _NOT_TEXT or tag in _NOT_DRAWN):
            continue
        if skipped is not None and not _is_shown(node, tag):
            skipped.append(tag)
            continue
        if inner:
            stack += ["\n", LexborHTMLParser(_flatten(inner)).root, "\n"]
            continue
        yield _shown_attribute(node, tag)
        if tag in _BLOCKS:
            yield "\n"
            stack.append("\n")
        stack.append(node.first_child)


def _is_shown(node: LexborNode, tag: str) -> bool:
    if tag == "nav":
        return False
    attributes = node.attributes
    if not attributes:
        return True
    hidden = attributes.get("hidden", "until-found")
    return (
        (hidden or "").lower() == "until-found"
        and attributes.get("aria-hidden") != "true"
        and attributes.get("role") != "navigation"
    )


def _inner_page(node: LexborNode, tag: str) -> str:
    """Return the source of a page inside this one, which is no markup for the parser."""
    if tag == "noframes":
        return node.text()
    return (node.attributes.get("srcdoc") or "") if tag == "iframe" else ""


def _shown_attribute(node: LexborNode, tag: str) -> str:
    """Return what is shown of the attributes of an element, between spaces; "" if nothing."""
    attributes = node.attributes
    text: str | None = None
    if tag in ("img", "area"):
        text = attributes.get("alt")
    elif tag in ("optgroup", "option"):
        text = attributes.get("label")
    elif tag == "input":
        kind = (attributes.get("type") or "").lower()
        text = attributes.get("alt" if kind == "image" else "value")
        text = text if kind in (*_TYPED, "image") else None
    return f" {text} " if text else ""
